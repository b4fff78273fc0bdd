//! Reading a file that holds secrets, whole, into memory that is wiped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{FileError, FileKind};
use crate::secret::SecretBytes;

/// The least room that a file is read into, in bytes.
const LEAST_ROOM: u64 = 4096;

/// The file that the path leads to in the end, without a symbolic link in it: the one that a replacement takes
/// the place of, so that the links stay.
///
/// # Errors
/// [`FileError::FileNotFound`].
pub fn resolve(path: &Path) -> Result<PathBuf, FileError> {
    fs::canonicalize(path).map_err(|source| FileError::FileNotFound {
        path: path.into(),
        source,
    })
}

/// Opens a regular file for reading; never waits, as a named pipe would for someone to write into it.
///
/// # Errors
/// [`FileError::FileNotFound`]; [`FileError::ReadFailed`] for a directory, a pipe or a device.
pub fn open_regular(path: &Path) -> Result<File, FileError> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|source| FileError::FileNotFound {
            path: path.into(),
            source,
        })?;
    let kind = file.metadata().map_err(failed(path))?.file_type();
    if kind.is_dir() {
        return Err(failed(path)(io::Error::from_raw_os_error(libc::EISDIR)));
    }
    if !kind.is_file() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
        return Err(failed(path)(source));
    }
    Ok(file)
}

/// Reads an open file of this kind to its end. `path` is for messages alone.
///
/// # Errors
/// [`FileError::FileTooLarge`]; [`FileError::ReadFailed`], also when the file grows meanwhile.
pub fn whole(file: &File, path: &Path, kind: &'static FileKind) -> Result<SecretBytes, FileError> {
    up_to(file, path, kind.size_limit)?.ok_or_else(|| FileError::FileTooLarge {
        path: path.into(),
        kind,
    })
}

/// Reads an open file, which may be a pipe, to its end; `None` if it has more than `limit` bytes.
///
/// # Errors
/// [`FileError::ReadFailed`], also when the file grows meanwhile.
pub fn up_to(mut file: &File, path: &Path, limit: u64) -> Result<Option<SecretBytes>, FileError> {
    let meta = file.metadata().map_err(failed(path))?;
    // All the room at once: a vector that grows leaves an unwiped copy behind. A pipe tells no size.
    let room = meta.len().max(LEAST_ROOM).min(limit) as usize + 1;
    let mut bytes = SecretBytes::new(vec![0; room]);
    let mut length = 0;
    while length < room {
        match file.read(&mut bytes.expose_mut()[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(path)(error)),
        }
    }
    if length as u64 > limit {
        return Ok(None);
    }
    if length == room {
        return Err(failed(path)(io::Error::other("it grew while it was read")));
    }
    bytes.expose_mut().truncate(length);
    Ok(Some(bytes))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> FileError {
    move |source| FileError::ReadFailed {
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: &[u8], limit: u64) -> Option<Vec<u8>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let opened = open_regular(file.path()).unwrap();
        up_to(&opened, file.path(), limit)
            .unwrap()
            .map(|secret| secret.expose().to_vec())
    }

    #[test]
    fn a_file_is_read_to_its_end_or_not_at_all() {
        for length in [0, 1, 4095, 4096, 4097, 10_000] {
            let bytes: Vec<u8> = (0..length).map(|n| n as u8).collect();
            assert_eq!(read(&bytes, 1 << 20).unwrap(), bytes);
            assert_eq!(read(&bytes, length).unwrap(), bytes);
            if length > 0 {
                assert_eq!(read(&bytes, length - 1), None);
            }
        }
    }

    #[test]
    fn a_pipe_is_read_where_one_is_allowed_and_refused_where_not() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"hunter2").unwrap();
        drop(writer);
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        let secret = up_to(&file, Path::new("pipe"), 100).unwrap().unwrap();
        assert_eq!(secret.expose(), b"hunter2");

        let directory = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(directory.path().join("fifo"))
            .status();
        assert!(made.unwrap().success());
        let refused = open_regular(&directory.path().join("fifo")).unwrap_err();
        assert!(refused.hint().ends_with("not a regular file"), "{refused}");
    }

    #[test]
    fn a_disk_that_cannot_be_read_is_told_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let error = up_to(&File::open(directory.path()).unwrap(), directory.path(), 100).unwrap_err();
        assert!(matches!(error, FileError::ReadFailed { .. }), "{error}");
    }
}
