//! Makes or replaces a file as a key store does, from a process of its own, so that tests can kill it at a
//! failpoint (`--features test-failpoints`).
//!
//! ```text
//! write_secret_file PATH create TEXT
//! write_secret_file PATH replace TEXT...     one after the other
//! write_secret_file PATH keep TEXT...        the same; each file that is replaced is kept as PATH.previous
//! write_secret_file PATH forget TEXT...      the same; what was kept before is removed
//! write_secret_file PATH refuse TEXT         as keep, and then finds fault with what it reads back
//! write_secret_file PATH put TEXT...         as a file that one process alone writes
//! ```
//!
//! A failure ends with exit code 2 and, on standard error, `MESSAGE (HINT)`.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use keyroll::durable::replace::{self, Previous, Replacement};
use keyroll::durable::{FileError, FileKind, lock, put, read};

static KIND: FileKind = FileKind {
    name: "test file",
    size_limit: 1024,
    when_too_large: "make it smaller",
    replace_as_root: None,
    when_not_put_back: "the new text",
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, action, texts @ ..] = arguments.as_slice() else {
        return ExitCode::FAILURE;
    };
    for text in texts {
        let path = Path::new(path);
        let done = match action.as_str() {
            "create" => create(path, text),
            "replace" => replace(path, text, Previous::None, text),
            "keep" => replace(path, text, Previous::Keep, text),
            "forget" => replace(path, text, Previous::Remove, text),
            "refuse" => replace(path, text, Previous::Keep, "something else"),
            "put" => put::put(path, &KIND, text.as_bytes()),
            _ => return ExitCode::FAILURE,
        };
        if let Err(error) = done {
            let _ = writeln!(std::io::stderr(), "{error} ({})", error.hint());
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn create(path: &Path, text: &str) -> Result<(), FileError> {
    replace::create(path, &KIND, text.as_bytes(), None, lock::TIMEOUT, || {
        read_back(path, text)
    })
}

fn replace(path: &Path, text: &str, previous: Previous, wanted: &str) -> Result<(), FileError> {
    let path = read::resolve(path)?;
    let file = lock::exclusive(&path, &KIND, lock::TIMEOUT)?;
    let old = read::whole(&file, &path, &KIND)?;
    let replacement = Replacement {
        path: &path,
        kind: &KIND,
        locked: &file,
        old: old.expose(),
        new: text.as_bytes(),
        previous,
    };
    let replaced = replace::replace(&replacement, || read_back(&path, wanted))?;
    if let Err(error) = replaced.copy {
        let _ = writeln!(std::io::stderr(), "{error} ({})", error.hint());
    }
    Ok(())
}

fn read_back(path: &Path, wanted: &str) -> Result<(), FileError> {
    let failed = |source| FileError::ReadFailed {
        path: path.into(),
        source,
    };
    let bytes = read::whole(&File::open(path).map_err(failed)?, path, &KIND)?;
    if bytes.expose() != wanted.as_bytes() {
        return Err(FileError::NotAsWritten { path: path.into() });
    }
    Ok(())
}
