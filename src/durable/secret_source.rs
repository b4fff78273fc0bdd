//! A secret, or the file that holds it: what a setting with a secret says.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::{FileError, read};
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

    /// Reads the secret from its file, which is open. `path` is for messages alone.
    pub fn read(&self, file: &File, path: &Path) -> Result<SecretBytes, NoSecret> {
        // Two more, for a line end.
        let bytes = read::up_to(file, path, self.limit as u64 + 2)?.ok_or(NoSecret::TooLong)?;
        match (self.trim)(bytes.expose()) {
            [] => Err(NoSecret::Empty),
            secret if secret.len() > self.limit => Err(NoSecret::TooLong),
            secret => Ok(SecretBytes::copy_of(secret)),
        }
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
    }
}
