//! Putting a file on disk that one process alone writes, whether one of its name is there or not.
//!
//! ```text
//! .NAME.keyroll-new     made, mode 0600, written, fsync
//!         └─ rename ─> NAME, fsync of the directory, read back
//! ```
//!
//! At every moment, and after a crash at any, the path names the whole old file or the whole new
//! one, or no file where there was none. There is no lock: it would have to be had on every file
//! system that a data directory is on.

use std::io;
use std::path::Path;

use super::replace::check_size;
use super::step::{DiskState, Step};
use super::target::{StepFailure, Target};
use super::{FileError, FileKind, read};

/// Makes the file, or replaces the one of its name, and returns when it is durable and was read
/// back.
///
/// # Errors
/// [`FileError::FileTooLarge`]; [`FileError::NotWritten`]: the path names the old file then, or the
/// new one where the error says that it may.
pub fn put(path: &Path, kind: &'static FileKind, bytes: &[u8]) -> Result<(), FileError> {
    check_size(bytes, path, kind)?;
    let target = Target::new(path, "put");
    let as_it_was = |failure: StepFailure| failure.with(DiskState::AsItWas, kind);
    let directory = target.open_directory().map_err(as_it_was)?;
    target.remove_stale().map_err(as_it_was)?;
    target
        .stage(bytes, |_| Ok(()))
        .and_then(|_| target.rename())
        .inspect_err(|_| target.discard())
        .map_err(as_it_was)?;
    target
        .sync(&directory)
        .and_then(|()| target.reach("read-back", Step::ReadBack))
        .and_then(|()| read_back(&target, kind, bytes))
        .map_err(|failure| {
            let why = io::Error::new(failure.source.kind(), "it is not put back");
            failure.with(DiskState::MayHoldUnused { why }, kind)
        })
}

fn read_back(target: &Target, kind: &'static FileKind, bytes: &[u8]) -> Result<(), StepFailure> {
    let found = read::open_regular(&target.path).and_then(|file| read::whole(&file, &target.path, kind));
    let source = match found {
        Ok(found) if found.expose() == bytes => return Ok(()),
        Ok(_) => io::Error::other("it does not hold what was written"),
        Err(error) => io::Error::other(error),
    };
    Err(target.failure(Step::ReadBack)(source))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::tests::KIND;
    use super::*;

    #[test]
    fn a_file_is_made_and_replaced_whole_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for bytes in [&b"one"[..], b"", b"another one"] {
            put(&path, &KIND, bytes).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn what_is_too_large_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        put(&path, &KIND, b"old").unwrap();
        put(&path, &KIND, &[b'x'; 101]).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        put(&path, &KIND, &[b'x'; 100]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [b'x'; 100]);
    }

    #[test]
    fn what_a_killed_process_left_is_in_nobodys_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(directory.path().join(".file.keyroll-new"), "half").unwrap();
        put(&path, &KIND, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_in_the_temporary_files_way_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let temporary = directory.path().join(".file.keyroll-new");
        fs::create_dir(&temporary).unwrap();
        let error = put(&path, &KIND, b"new").unwrap_err().to_string();
        let wanted = format!("Cannot remove the stale {}: ", temporary.display());
        assert!(error.starts_with(&wanted), "{error}");
    }

    #[test]
    fn what_is_read_back_must_be_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let target = Target::new(&directory.path().join("file"), "put");
        let judge = || read_back(&target, &KIND, b"meant").map_err(|failure| failure.source.to_string());
        assert!(judge().is_err(), "no file");
        fs::write(&target.path, "other").unwrap();
        assert_eq!(judge(), Err("it does not hold what was written".into()));
        fs::write(&target.path, "meant").unwrap();
        assert_eq!(judge(), Ok(()));
    }
}
