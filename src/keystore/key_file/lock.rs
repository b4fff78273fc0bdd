//! Who may replace a key file, and when a reader may trust what it sees.
//!
//! The lock (flock) is on the key file itself. A rotation replaces that file by another one that it has
//! locked as well, so whoever comes later waits on the new file and whoever waited on the old one notices
//! that it is no longer the one the path names.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::super::error::KeyStoreError;
use super::step::{DiskState, Step};

/// How long to wait for a lock. A rotation takes a few milliseconds, on a slow disk a second.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

const RETRY: Duration = Duration::from_millis(20);

/// Opens the file that the path names and keeps everyone else from replacing it while it is open.
pub(super) fn exclusive(path: &Path, timeout: Duration) -> Result<File, KeyStoreError> {
    let failed = |source| KeyStoreError::NotWritten {
        step: Step::Lock,
        path: path.into(),
        source,
        state: DiskState::AsItWas,
    };
    open_locked(path, timeout, File::try_lock)?.map_err(|error| match error {
        TryLockError::WouldBlock => KeyStoreError::Locked {
            path: path.into(),
            waited: timeout,
        },
        TryLockError::Error(source) => failed(source),
    })
}

/// Opens the file that the path names when no rotation is at work on it: a reader must not take up a version
/// that the rotation may yet take back. Where locks are not to be had, it is opened all the same, because a
/// server that can read its keys must start.
pub(super) fn shared_if_possible(path: &Path, timeout: Duration) -> Result<File, KeyStoreError> {
    match open_locked(path, timeout, File::try_lock_shared)? {
        Ok(file) => Ok(file),
        Err(_) => open(path),
    }
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

fn open_locked(
    path: &Path,
    timeout: Duration,
    try_lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<Result<File, TryLockError>, KeyStoreError> {
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

/// Opens a regular file for reading.
fn open(path: &Path) -> Result<File, KeyStoreError> {
    // O_NONBLOCK: a named pipe would keep the server waiting for someone to write into it.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|source| KeyStoreError::FileNotFound {
            path: path.into(),
            source,
        })?;
    let read_failed = |source| KeyStoreError::ReadFailed {
        path: path.into(),
        source,
    };
    let kind = file.metadata().map_err(read_failed)?.file_type();
    if kind.is_dir() {
        return Err(read_failed(io::Error::from_raw_os_error(libc::EISDIR)));
    }
    if !kind.is_file() {
        return Err(read_failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        )));
    }
    Ok(file)
}

/// Whether the open file is the one that the path names now.
pub(super) fn is_named_by(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}
