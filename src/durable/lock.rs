//! Who may replace a file, and when a reader may trust what it sees.
//!
//! The lock (flock) is on the file itself. A replacement puts another one in its place that it has locked
//! as well, so whoever comes later waits on the new file and whoever waited on the old one notices
//! that it is no longer the one the path names.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::step::{DiskState, Step};
use super::{FileError, FileKind, failpoint, read};

/// How long to wait for a lock unless told. A replacement takes a few milliseconds, on a slow disk a second.
pub const TIMEOUT: Duration = Duration::from_secs(10);

const RETRY: Duration = Duration::from_millis(20);

/// Opens the file that the path names and keeps everyone else from replacing it while it is open.
///
/// # Errors
/// [`FileError::Locked`] after `timeout`; a file that is not there, is not regular or cannot be locked.
pub fn exclusive(path: &Path, kind: &'static FileKind, timeout: Duration) -> Result<File, FileError> {
    let failed = |source| FileError::NotWritten {
        step: Step::Lock,
        path: path.into(),
        source,
        state: DiskState::AsItWas,
        kind,
    };
    failpoint::reach("replace:lock").map_err(failed)?;
    let locked = match open_locked(path, timeout, read::open_regular, File::try_lock)? {
        Err(TryLockError::Error(error)) if is_for_writers(&error) => open_locked(
            path,
            timeout,
            |path| open_to_write(path).map_err(failed),
            File::try_lock,
        )?,
        locked => locked,
    };
    locked.map_err(|error| match error {
        TryLockError::WouldBlock => FileError::Locked {
            path: path.into(),
            waited: timeout,
        },
        TryLockError::Error(source) => failed(source),
    })
}

/// Opens the file that the path names when no replacement is at work on it: a reader must not take up what
/// the replacement may yet take back. Where the file system has no locks, no replacement is at work either, and the file is
/// opened without: a server that can read its keys must start.
///
/// # Errors
/// [`FileError::Locked`] after `timeout`; a file that is not there or is not regular.
pub fn shared_if_possible(path: &Path, timeout: Duration) -> Result<File, FileError> {
    match open_locked(path, timeout, read::open_regular, File::try_lock_shared)? {
        Ok(file) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FileError::Locked {
            path: path.into(),
            waited: timeout,
        }),
        Err(TryLockError::Error(source)) if has_no_locks(&source) => read::open_regular(path),
        Err(TryLockError::Error(source)) => Err(FileError::ReadFailed {
            path: path.into(),
            source,
        }),
    }
}

/// Whether the error says that this file system has no locks, and not that one cannot be had now (ENOLCK: the kernel has no room
/// for it, or an NFS server's lock service is away).
fn has_no_locks(error: &io::Error) -> bool {
    const NO_LOCKS: [i32; 3] = [libc::EOPNOTSUPP, libc::ENOSYS, libc::EINVAL];
    error.raw_os_error().is_some_and(|code| NO_LOCKS.contains(&code))
}

/// Locks an open file or directory.
pub(super) fn wait_for(
    file: &File,
    deadline: Instant,
    try_lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<(), TryLockError> {
    loop {
        match try_lock(file) {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(RETRY),
            result => return result,
        }
    }
}

/// Whether the error says that only who has the file open for writing may lock it, as on NFS: flock(2).
fn is_for_writers(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADF)
}

/// Opens a file, which was a regular one a moment ago, for reading and writing. Nobody writes into it: it is replaced.
fn open_to_write(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

fn open_locked(
    path: &Path,
    timeout: Duration,
    open: impl Fn(&Path) -> Result<File, FileError>,
    try_lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<Result<File, TryLockError>, FileError> {
    let deadline = Instant::now() + timeout;
    loop {
        let file = open(path)?;
        if let Err(error) = wait_for(&file, deadline, &try_lock) {
            return Ok(Err(error));
        }
        if is_named_by(&file, path) {
            return Ok(Ok(file));
        }
        if Instant::now() >= deadline {
            return Ok(Err(TryLockError::WouldBlock));
        }
    }
}

/// Whether the open file is the one that the path names now.
pub(super) fn is_named_by(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_locks_is_known_by_its_error() {
        for code in [libc::EOPNOTSUPP, libc::ENOSYS, libc::EINVAL] {
            assert!(has_no_locks(&io::Error::from_raw_os_error(code)), "{code}");
        }
        for code in [libc::ENOLCK, libc::EINTR, libc::EIO, libc::EBADF, libc::EAGAIN] {
            assert!(!has_no_locks(&io::Error::from_raw_os_error(code)), "{code}");
        }
        assert!(!has_no_locks(&io::Error::other("no code")));
    }
}
