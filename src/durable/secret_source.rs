//! A secret, or the file that holds it: what a setting with a secret says.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::{FileError, OddText, read};
use crate::secret::{LockedMemory, SecretBytes};

/// What a setting begins with that names a file.
pub const FILE_PREFIX: &str = "FILE:";

/// A secret, or the file that holds it. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// The secret itself, which clones share.
    Value(Arc<LockedMemory>),
    /// A file, read anew each time.
    File(PathBuf),
}

impl SecretSource {
    /// This secret, in memory of its own.
    pub fn value(secret: &[u8]) -> SecretSource {
        SecretSource::Value(Arc::new(LockedMemory::copy_of(secret)))
    }

    /// What a setting says, read as file_key_management does: `FILE:path`, or the secret itself;
    /// `None` if it is empty.
    pub fn from_setting(setting: &[u8]) -> Option<SecretSource> {
        match setting.strip_prefix(FILE_PREFIX.as_bytes()) {
            Some(path) => Some(SecretSource::File(OsStr::from_bytes(path).into())),
            None => (!setting.is_empty()).then(|| SecretSource::value(setting)),
        }
    }

    /// Whether the secret itself looks like the path of a file, which `FILE:` was to stand before.
    pub fn looks_like_path(&self) -> bool {
        let SecretSource::Value(secret) = self else {
            return false;
        };
        let text = secret.trim_ascii();
        let starts: [&[u8]; 5] = [b"/", b"./", b"../", b"~/", b"file:"];
        let is_start = |start: &&[u8]| {
            text.get(..start.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(start))
        };
        starts.iter().any(is_start)
    }

    /// The file, where the secret is in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            SecretSource::Value(_) => None,
            SecretSource::File(path) => Some(path),
        }
    }
}

/// A kind of secret: what the file may be that holds one.
#[derive(Debug)]
pub struct SecretKind {
    /// The most bytes of such a secret.
    pub limit: usize,
    /// Whether it may come through a pipe, which is how a shell passes the output of a command.
    pub may_be_pipe: bool,
    /// What of the file's text is the secret.
    pub trim: fn(&[u8]) -> &[u8],
}

/// Why a file gives no secret.
#[derive(Debug, Error)]
pub enum NoSecret {
    /// It cannot be opened or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It has more bytes than such a secret.
    #[error("it is too long for a secret")]
    TooLong,
    /// Nothing is in it.
    #[error("it is empty")]
    Empty,
    /// It is no line of text.
    #[error("it {}", .0.told())]
    Odd(OddText),
}

impl NoSecret {
    /// What helps; `path` is the file.
    pub fn hint(&self, path: &Path) -> String {
        match self {
            NoSecret::File(_) => {
                "check the path, what writes or mounts the file, and that the server's user may read it"
                    .into()
            }
            NoSecret::TooLong => "check that it is the right file".into(),
            NoSecret::Empty => "see what writes or mounts the file".into(),
            NoSecret::Odd(odd) => format!("{} makes a line of plain text of it", odd.mend(path)),
        }
    }
}

impl SecretKind {
    /// Opens the file with such a secret. Errors: [`FileError::FileNotFound`];
    /// [`FileError::ReadFailed`] for what is no such file.
    pub fn open(&self, path: &Path) -> Result<File, FileError> {
        match self.may_be_pipe {
            true => read::open_any(path),
            false => read::open_regular(path),
        }
    }

    /// The secret that the file holds.
    pub fn read_at(&self, path: &Path) -> Result<SecretBytes, NoSecret> {
        self.read(&self.open(path)?, path)
    }

    /// Reads the secret from its file, which is open. `path` is for messages alone. It is a line of
    /// text, as tokens and the like are.
    pub fn read(&self, file: &File, path: &Path) -> Result<SecretBytes, NoSecret> {
        let content = self.content(file, path)?.ok_or(NoSecret::TooLong)?;
        let secret = (self.trim)(content.expose());
        match OddText::of_one_line(secret) {
            Some(odd) => Err(NoSecret::Odd(odd)),
            None if secret.is_empty() => Err(NoSecret::Empty),
            None => Ok(SecretBytes::copy_of(secret)),
        }
    }

    /// All that is in the file, which is open; `None` if that is too long for such a secret.
    pub fn content(&self, file: &File, path: &Path) -> Result<Option<SecretBytes>, FileError> {
        // Two more, for a line end.
        let content = read::up_to(file, path, self.limit as u64 + 2)?;
        Ok(content.filter(|content| (self.trim)(content.expose()).len() <= self.limit))
    }
}

impl From<NoSecret> for io::Error {
    fn from(error: NoSecret) -> io::Error {
        match error {
            NoSecret::File(FileError::FileNotFound { source, .. } | FileError::ReadFailed { source, .. }) => {
                source
            }
            error => io::Error::other(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_nothing_a_file_or_a_secret() {
        assert!(SecretSource::from_setting(b"").is_none());
        let file = SecretSource::from_setting(b"FILE:/a b").unwrap();
        assert_eq!(file.file(), Some(Path::new("/a b")));
        for secret in [&b"file:/x"[..], b"FILE", b" ", b"\xFF\x00"] {
            match SecretSource::from_setting(secret) {
                Some(SecretSource::Value(value)) => assert_eq!(**value, *secret),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_secret_that_looks_like_a_path_is_recognised() {
        for secret in [
            "/run/password",
            "./x",
            "../x",
            "~/x",
            "file:/x",
            "File:x",
            " FILE:/x",
        ] {
            assert!(
                SecretSource::value(secret.as_bytes()).looks_like_path(),
                "{secret}"
            );
        }
        for secret in ["", "secret", ".", "~", "file", "a/b", "profile:x"] {
            assert!(
                !SecretSource::value(secret.as_bytes()).looks_like_path(),
                "{secret}"
            );
        }
        assert!(!SecretSource::File("/x".into()).looks_like_path());
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let shown = format!("{:?}", SecretSource::from_setting(b"hunter2"));
        assert!(
            shown.contains("redacted") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn a_secret_may_be_as_long_as_its_kind_and_have_a_line_end() {
        let kind = SecretKind {
            limit: 4,
            may_be_pipe: false,
            trim: <[u8]>::trim_ascii,
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            kind.read_at(&path).map(|secret| secret.expose().to_vec())
        };
        assert_eq!(read("abcd\r\n").unwrap(), b"abcd");
        for long in ["abcde", "abcd\n\n\n"] {
            assert!(matches!(read(long), Err(NoSecret::TooLong)), "{long:?}");
        }
        for empty in ["", "\n"] {
            assert!(matches!(read(empty), Err(NoSecret::Empty)), "{empty:?}");
        }
        for odd in ["\u{feff}a", "a\nb", "ab\0", "a\0b\0"] {
            assert!(matches!(read(odd), Err(NoSecret::Odd(_))), "{odd:?}");
        }
    }
}
