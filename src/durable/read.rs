//! Reading a file that holds secrets, whole, into memory that is wiped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memmap2::MmapMut;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{FileError, FileKind};
use crate::cancel;
use crate::secret::SecretBytes;

/// How long a pipe is waited for: whoever writes a secret into one is at it.
pub const PIPE_TIMEOUT: Duration = Duration::from_secs(10);

/// The memory that goes with each byte of a file while it is understood, replaced and read back,
/// with its keys in memory before and after.
const MEMORY_PER_BYTE: usize = 32;

/// The least room that a file is read into, in bytes.
const LEAST_ROOM: u64 = 4096;

/// The file that the path leads to in the end, without a symbolic link in it: the one that a
/// replacement takes the place of, so that the links stay.
///
/// # Errors
/// [`FileError::FileNotFound`].
pub fn resolve(path: &Path) -> Result<PathBuf, FileError> {
    fs::canonicalize(path).map_err(not_found(path))
}

/// Opens a regular file for reading; never waits, as a named pipe would for someone to write into
/// it.
///
/// # Errors
/// [`FileError::FileNotFound`]; [`FileError::ReadFailed`] for a directory, a pipe or a device.
pub fn open_regular(path: &Path) -> Result<File, FileError> {
    let file = open(path).map_err(not_found(path))?;
    check_regular(&file).map_err(failed(path))?;
    Ok(file)
}

/// Opens a regular file like [`open_regular`], with the system's error.
///
/// # Errors
/// What cannot be opened; a directory, a pipe or a device.
pub fn regular(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    check_regular(&file)?;
    Ok(file)
}

/// Opens a file or a pipe, as [`up_to`] reads them; does not wait for whoever is to write into the
/// pipe.
///
/// # Errors
/// [`FileError::FileNotFound`]; [`FileError::ReadFailed`] for a directory.
pub fn open_any(path: &Path) -> Result<File, FileError> {
    let file = open(path).map_err(not_found(path))?;
    match file.metadata() {
        Ok(meta) if meta.is_dir() => Err(failed(path)(io::Error::from_raw_os_error(libc::EISDIR))),
        _ => Ok(file),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

fn check_regular(file: &File) -> io::Result<()> {
    match file.metadata()?.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_dir() => Err(io::Error::from_raw_os_error(libc::EISDIR)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// Reads an open file of this kind to its end. `path` is for messages alone.
///
/// An allocation that fails ends the process. So the memory that work on so large a file takes is
/// asked for first, and given back, to report a lack of it. That is no promise: another thread may
/// take it in the next moment, and the system may have promised more than it has.
///
/// # Errors
/// [`FileError::FileTooLarge`]; [`FileError::NoMemory`]; [`FileError::ReadFailed`], also when the
/// file grows meanwhile.
pub fn whole(file: &File, path: &Path, kind: &'static FileKind) -> Result<SecretBytes, FileError> {
    let bytes = up_to(file, path, kind.size_limit)?.ok_or_else(|| FileError::FileTooLarge {
        path: path.into(),
        kind,
    })?;
    let needed = bytes.expose().len().saturating_mul(MEMORY_PER_BYTE);
    // Of the system and not of malloc, which learns from a large piece that was given back to keep
    // large pieces.
    if needed > 0 && MmapMut::map_anon(needed).is_err() {
        return Err(no_memory(path, needed));
    }
    Ok(bytes)
}

fn no_memory(path: &Path, bytes: usize) -> FileError {
    FileError::NoMemory {
        path: path.into(),
        bytes,
    }
}

/// Reads an open file, which may be a pipe, to its end; `None` if it has more than `limit` bytes.
///
/// # Errors
/// [`FileError::ReadFailed`], also when the file grows meanwhile, or a pipe has not come to its end
/// after [`PIPE_TIMEOUT`]; [`FileError::Cancelled`].
pub fn up_to(mut file: &File, path: &Path, limit: u64) -> Result<Option<SecretBytes>, FileError> {
    let meta = file.metadata().map_err(failed(path))?;
    // All the room at once: a vector that grows leaves an unwiped copy behind. A pipe tells no
    // size.
    let room = meta.len().max(LEAST_ROOM).min(limit) as usize + 1;
    let mut bytes = Vec::new();
    let no_memory = |_| no_memory(path, room);
    bytes.try_reserve_exact(room).map_err(no_memory)?;
    bytes.resize(room, 0);
    let mut bytes = SecretBytes::new(bytes);
    let mut length = 0;
    let deadline = Instant::now() + PIPE_TIMEOUT;
    while length < room {
        match file.read(&mut bytes.expose_mut()[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for_writer(file, path, deadline)?;
            }
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

/// Waits until a pipe has more, or has ended.
fn wait_for_writer(pipe: &File, path: &Path, deadline: Instant) -> Result<(), FileError> {
    if cancel::is_cancelled() {
        return Err(FileError::Cancelled { path: path.into() });
    }
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        let text = format!("nobody wrote it to its end within {} s", PIPE_TIMEOUT.as_secs());
        return Err(failed(path)(io::Error::new(io::ErrorKind::TimedOut, text)));
    }
    let wait = cancel::slice(Some(left)).unwrap_or(left).as_millis() + 1;
    let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], wait) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(failed(path)(error.into())),
    }
}

fn not_found(path: &Path) -> impl Fn(io::Error) -> FileError {
    move |source| FileError::FileNotFound {
        path: path.into(),
        source,
    }
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
        let fifo = directory.path().join("fifo");
        let refused = open_regular(&fifo).unwrap_err();
        assert!(refused.hint().ends_with("not a regular file"), "{refused}");
        assert_eq!(regular(&fifo).unwrap_err().to_string(), "not a regular file");
        // Nobody writes into it, so there is nothing to wait for.
        let empty = open_any(&fifo).unwrap();
        assert_eq!(up_to(&empty, &fifo, 100).unwrap().unwrap().expose(), b"");
    }

    #[test]
    fn a_writer_who_is_slow_is_waited_for_unless_the_work_is_no_longer_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = open_any(&fifo).unwrap();
        let mut writer = OpenOptions::new().write(true).open(&fifo).unwrap();
        let start = Instant::now();
        let killed = move || start.elapsed() > Duration::from_millis(100);
        let given_up = cancel::while_wanted(killed, || up_to(&reader, &fifo, 100));
        assert!(matches!(given_up, Err(FileError::Cancelled { .. })));
        assert!(start.elapsed() < PIPE_TIMEOUT / 2);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(100));
                writer.write_all(b"hunter").unwrap();
                std::thread::sleep(Duration::from_millis(100));
                writer.write_all(b"2").unwrap();
            });
            assert_eq!(up_to(&reader, &fifo, 100).unwrap().unwrap().expose(), b"hunter2");
        });
    }

    #[test]
    fn a_disk_that_cannot_be_read_is_told_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let error = up_to(&File::open(directory.path()).unwrap(), directory.path(), 100).unwrap_err();
        assert!(matches!(error, FileError::ReadFailed { .. }), "{error}");
    }
}
