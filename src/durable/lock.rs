//! The lock of a file: exclusive for who replaces it, shared for who reads it.
//!
//! It is a flock on the file itself. The file that a replacement puts in its place is locked as
//! well: whoever comes later waits for that one, and whoever waited for the old one notices that
//! the path no longer names it.
//!
//! flock has no timeout, so the lock is tried again and again. The threads of this process queue up
//! before that, so that none overtakes those that wait.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::step::{DiskState, Step};
use super::{FileError, FileKind, LockHolder, failpoint, read};
use crate::cancel::{self, NotLocked, Queue, Turn};

/// How long to wait for a lock unless told. A replacement takes a few milliseconds, on a slow disk
/// a second.
pub const TIMEOUT: Duration = Duration::from_secs(10);

const RETRY: Duration = Duration::from_millis(20);

/// The shortest wait for another process, however long it has held the lock: it may just have
/// released it.
const LEAST_TIME: Duration = Duration::from_millis(100);

/// The threads of this process that want to lock one path.
#[derive(Default)]
struct LockQueue {
    queue: Queue,
    /// Since when another process has held the lock, by the last attempt to get it.
    held_elsewhere_since: Mutex<Option<Instant>>,
}

impl LockQueue {
    /// The queue of a path. It is never freed, as there are few: one for each file of a server.
    fn of(path: &Path) -> &'static LockQueue {
        static QUEUES: Mutex<BTreeMap<PathBuf, &'static LockQueue>> = Mutex::new(BTreeMap::new());
        let mut queues = QUEUES.lock().unwrap_or_else(PoisonError::into_inner);
        queues
            .entry(path.into())
            .or_insert_with(|| Box::leak(Box::default()))
    }

    fn turn(&'static self, timeout: Duration) -> Result<Turn<'static>, Unlocked> {
        self.queue.turn(timeout).map_err(|why| match why {
            NotLocked::Cancelled => Unlocked::Cancelled,
            NotLocked::TimedOut => Unlocked::TimedOut(match *self.since() {
                Some(_) => LockHolder::AnotherProcess,
                None => LockHolder::ThisProcess,
            }),
        })
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        let locked = self.held_elsewhere_since.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether another process holds the lock now.
    fn set_held_elsewhere(&self, is_held: bool) {
        let mut since = self.since();
        *since = is_held.then(|| since.unwrap_or_else(Instant::now));
    }

    /// How long the thread whose turn it is waits for another process: what the timeout leaves of
    /// the time that its statement has seen that process hold the lock. So statements that queued
    /// up behind one that waits in vain fail together with it.
    fn time_limit(&self, timeout: Duration) -> Duration {
        let since = *self.since();
        let waited = since.map_or(Duration::ZERO, |since| since.max(cancel::begun()).elapsed());
        timeout.saturating_sub(waited).max(LEAST_TIME.min(timeout))
    }
}

/// A file that nobody else can replace while this lives.
#[derive(Debug)]
pub struct Exclusive {
    // Dropped first, so that it is closed when the next turn begins.
    file: File,
    _turn: Turn<'static>,
}

impl Deref for Exclusive {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

/// Why a file is not locked.
pub(super) enum Unlocked {
    /// Somebody else held it all the time.
    TimedOut(LockHolder),
    /// Nobody wants it any more.
    Cancelled,
    /// The system refused the lock.
    Refused(io::Error),
    /// It could not be opened.
    NotOpened(FileError),
}

impl Unlocked {
    /// The error of a wait that took this long; `refused` makes the one of a refusal.
    pub(super) fn error(
        self,
        path: &Path,
        waited: Duration,
        refused: impl FnOnce(io::Error) -> FileError,
    ) -> FileError {
        let path = path.into();
        match self {
            Unlocked::Cancelled => FileError::Cancelled { path },
            Unlocked::TimedOut(by) => FileError::Locked { path, by, waited },
            Unlocked::Refused(source) => refused(source),
            Unlocked::NotOpened(error) => error,
        }
    }
}

/// Opens the file that the path names and keeps everyone else from replacing it while it is open.
///
/// # Errors
/// [`FileError::Locked`] after `timeout`; [`FileError::Cancelled`]; a file that is not there, is
/// not regular or cannot be locked.
pub fn exclusive(path: &Path, kind: &'static FileKind, timeout: Duration) -> Result<Exclusive, FileError> {
    let failed = |source| FileError::NotWritten {
        step: Step::Lock,
        path: path.into(),
        source,
        state: DiskState::AsItWas,
        kind,
    };
    failpoint::reach("replace:lock").map_err(failed)?;
    let queue = LockQueue::of(path);
    let turn = queue
        .turn(timeout)
        .map_err(|why| why.error(path, timeout, failed))?;
    let locked = match open_locked(path, queue, timeout, read::open_regular, File::try_lock) {
        Err(Unlocked::Refused(error)) if is_for_writers(&error) => {
            let open = |path: &Path| open_to_write(path).map_err(failed);
            open_locked(path, queue, timeout, open, File::try_lock)
        }
        locked => locked,
    };
    let file = locked.map_err(|why| why.error(path, timeout, failed))?;
    Ok(Exclusive { file, _turn: turn })
}

/// Opens the file that the path names when no replacement is at work on it, which may yet be
/// undone. Where the file system has no locks, nothing can replace the file either, and it is
/// opened without: a server that can read its keys must start.
///
/// # Errors
/// [`FileError::Locked`] after `timeout`; [`FileError::Cancelled`]; a file that is not there or is
/// not regular.
pub fn shared_if_possible(path: &Path, timeout: Duration) -> Result<File, FileError> {
    let failed = |source| FileError::ReadFailed {
        path: path.into(),
        source,
    };
    let queue = LockQueue::of(path);
    // It ends with this function: readers read side by side.
    let _turn = queue
        .turn(timeout)
        .map_err(|why| why.error(path, timeout, failed))?;
    match open_locked(path, queue, timeout, read::open_regular, File::try_lock_shared) {
        Ok(file) => Ok(file),
        Err(Unlocked::Refused(source)) if has_no_locks(&source) => read::open_regular(path),
        Err(why) => Err(why.error(path, timeout, failed)),
    }
}

/// Whether the error says that this file system has no locks. ENOLCK is no such error: the kernel
/// has no room for a lock now, or an NFS server's lock service cannot be reached.
fn has_no_locks(error: &io::Error) -> bool {
    const NO_LOCKS: [i32; 3] = [libc::EOPNOTSUPP, libc::ENOSYS, libc::EINVAL];
    error.raw_os_error().is_some_and(|code| NO_LOCKS.contains(&code))
}

/// Locks an open file or directory.
pub(super) fn wait_for(
    file: &File,
    timeout: Duration,
    try_lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<(), Unlocked> {
    let attempt = || match try_lock(file) {
        Ok(()) => Some(Ok(())),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(source)) => Some(Err(Unlocked::Refused(source))),
    };
    match cancel::wait_for_lock(timeout, attempt, |left| sleep(RETRY.min(left))) {
        Ok(locked) => locked,
        Err(NotLocked::Cancelled) => Err(Unlocked::Cancelled),
        Err(NotLocked::TimedOut) => Err(Unlocked::TimedOut(LockHolder::AnotherProcess)),
    }
}

/// Whether the error says that a file must be open for writing to be locked, as on NFS: flock(2).
fn is_for_writers(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADF)
}

/// Opens a file, which was a regular one a moment ago, for reading and writing, to lock it alone.
fn open_to_write(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

/// Opens and locks a file. The caller's turn in the queue has come.
fn open_locked(
    path: &Path,
    queue: &LockQueue,
    timeout: Duration,
    open: impl Fn(&Path) -> Result<File, FileError>,
    try_lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<File, Unlocked> {
    let (start, limit) = (Instant::now(), queue.time_limit(timeout));
    let noted = |file: &File| {
        let tried = try_lock(file);
        queue.set_held_elsewhere(matches!(tried, Err(TryLockError::WouldBlock)));
        tried
    };
    loop {
        let file = open(path).map_err(Unlocked::NotOpened)?;
        wait_for(&file, limit.saturating_sub(start.elapsed()), noted)?;
        if is_named_by(&file, path) {
            return Ok(file);
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
    use std::thread;

    use super::super::tests::KIND;
    use super::*;

    /// A file, and its lock as another process would have it.
    fn locked_by_another() -> (tempfile::TempDir, PathBuf, File) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "x").unwrap();
        let other = File::open(&path).unwrap();
        other.lock().unwrap();
        (directory, path, other)
    }

    fn holder(result: Result<Exclusive, FileError>) -> Option<LockHolder> {
        match result {
            Err(FileError::Locked { by, .. }) => Some(by),
            _ => None,
        }
    }

    #[test]
    fn who_has_waited_in_vain_for_another_process_takes_those_along_that_waited_for_him() {
        const TIMEOUT: Duration = Duration::from_millis(600);
        let (_directory, path, other) = locked_by_another();
        let wait = || {
            let start = Instant::now();
            let result = cancel::while_wanted(|| false, || exclusive(&path, &KIND, TIMEOUT));
            assert_eq!(holder(result), Some(LockHolder::AnotherProcess));
            start.elapsed()
        };
        thread::scope(|scope| {
            for waiter in [(); 3].map(|()| scope.spawn(wait)) {
                let waited = waiter.join().unwrap();
                assert!(
                    waited >= TIMEOUT && waited < TIMEOUT + 5 * LEAST_TIME,
                    "{waited:?}"
                );
            }
        });
        // Who came later has the whole time.
        assert!(wait() >= TIMEOUT);
        drop(other);
        exclusive(&path, &KIND, TIMEOUT).unwrap();
    }

    #[test]
    fn who_has_waited_for_changes_that_succeed_still_has_the_whole_time_for_another_process() {
        const TIMEOUT: Duration = Duration::from_millis(400);
        let (_directory, path, other) = locked_by_another();
        drop(other);
        let work = || {
            thread::sleep(TIMEOUT);
            drop(exclusive(&path, &KIND, TIMEOUT).unwrap());
            let other = File::open(&path).unwrap();
            other.lock().unwrap();
            let start = Instant::now();
            assert!(holder(exclusive(&path, &KIND, TIMEOUT)).is_some());
            start.elapsed()
        };
        assert!(cancel::while_wanted(|| false, work) >= TIMEOUT);
    }

    #[test]
    fn a_wait_for_this_process_says_so_and_readers_read_side_by_side() {
        let (_directory, path, other) = locked_by_another();
        drop(other);
        let limit = Duration::from_millis(50);
        let held = exclusive(&path, &KIND, TIMEOUT).unwrap();
        assert_eq!(
            holder(exclusive(&path, &KIND, limit)),
            Some(LockHolder::ThisProcess)
        );
        assert!(shared_if_possible(&path, limit).is_err());
        drop(held);
        let readers = [(); 3].map(|()| shared_if_possible(&path, limit).unwrap());
        // A lock of one's own as a reader is as good as another process's.
        assert_eq!(
            holder(exclusive(&path, &KIND, limit)),
            Some(LockHolder::AnotherProcess)
        );
        drop(readers);
        exclusive(&path, &KIND, limit).unwrap();
    }

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
