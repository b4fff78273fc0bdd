//! Who may replace a file, and when a reader may trust what it sees.
//!
//! The lock (flock) is on the file itself. A replacement puts another one in its place that it has
//! locked as well, so whoever comes later waits on the new file and whoever waited on the old one
//! notices that it is no longer the one the path names.
//!
//! The threads of this process take turns before they ask for it: flock knows no end of a wait, so
//! the lock is tried for again and again, and whoever came in the right moment would overtake those
//! who wait.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::step::{DiskState, Step};
use super::{FileError, FileKind, LockHolder, failpoint, read};
use crate::cancel::{self, NotLocked, Queue, Turn};

/// How long to wait for a lock unless told. A replacement takes a few milliseconds, on a slow disk
/// a second.
pub const TIMEOUT: Duration = Duration::from_secs(10);

const RETRY: Duration = Duration::from_millis(20);

/// What a wait has at least, however long others have been away with the lock: it may have come
/// free just now.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);

/// The threads of this process that want to lock one path.
#[derive(Default)]
struct LockQueue {
    queue: Queue,
    /// Since when another process has had the lock, as far as whoever tried last knows.
    away_since: Mutex<Option<Instant>>,
}

impl LockQueue {
    /// That of a path. It stays, as there are few: the files of one server.
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
            NotLocked::TimedOut => Unlocked::TimedOut(match self.away_since() {
                Some(_) => LockHolder::AnotherProcess,
                None => LockHolder::ThisProcess,
            }),
        })
    }

    fn away_since(&self) -> Option<Instant> {
        *self.away_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether another process has the lock now.
    fn set_away(&self, is_away: bool) {
        let mut since = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = is_away.then(|| since.unwrap_or_else(Instant::now));
    }

    /// How long whoever's turn it is waits for other processes: of many statements that wait for
    /// one that waits in vain, none has the whole time once more when its turn comes, and all fail
    /// together.
    fn patience(&self, timeout: Duration) -> Duration {
        let waited = self
            .away_since()
            .map_or(Duration::ZERO, |since| since.max(cancel::begun()).elapsed());
        timeout.saturating_sub(waited).max(LEAST_PATIENCE.min(timeout))
    }
}

/// A file that nobody else can replace while this lives.
#[derive(Debug)]
pub struct Exclusive {
    // Closed before the next one's turn comes.
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
    /// The system refused it.
    Refused(io::Error),
}

impl Unlocked {
    /// The error of a wait that took this long; `refused` makes that of a refusal.
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
    let locked = match open_locked(path, queue, timeout, read::open_regular, File::try_lock)? {
        Err(Unlocked::Refused(error)) if is_for_writers(&error) => open_locked(
            path,
            queue,
            timeout,
            |path| open_to_write(path).map_err(failed),
            File::try_lock,
        )?,
        locked => locked,
    };
    let file = locked.map_err(|why| why.error(path, timeout, failed))?;
    Ok(Exclusive { file, _turn: turn })
}

/// Opens the file that the path names when no replacement is at work on it: a reader must not take
/// up what the replacement may yet take back. Where the file system has no locks, no replacement is
/// at work either, and the file is opened without: a server that can read its keys must start.
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
    // Over when the file is locked: readers read side by side.
    let _turn = queue
        .turn(timeout)
        .map_err(|why| why.error(path, timeout, failed))?;
    match open_locked(path, queue, timeout, read::open_regular, File::try_lock_shared)? {
        Ok(file) => Ok(file),
        Err(Unlocked::Refused(source)) if has_no_locks(&source) => read::open_regular(path),
        Err(why) => Err(why.error(path, timeout, failed)),
    }
}

/// Whether the error says that this file system has no locks, and not that one cannot be had now
/// (ENOLCK: the kernel has no room for it, or an NFS server's lock service is away).
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

/// Whether the error says that only who has the file open for writing may lock it, as on NFS:
/// flock(2).
fn is_for_writers(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADF)
}

/// Opens a file, which was a regular one a moment ago, for reading and writing. Nobody writes into
/// it: it is replaced.
fn open_to_write(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

/// Opens and locks the file whose turn it is.
fn open_locked(
    path: &Path,
    queue: &LockQueue,
    timeout: Duration,
    open: impl Fn(&Path) -> Result<File, FileError>,
    try_lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<Result<File, Unlocked>, FileError> {
    let (start, patience) = (Instant::now(), queue.patience(timeout));
    let noted = |file: &File| {
        let tried = try_lock(file);
        queue.set_away(matches!(tried, Err(TryLockError::WouldBlock)));
        tried
    };
    loop {
        let file = open(path)?;
        if let Err(why) = wait_for(&file, patience.saturating_sub(start.elapsed()), noted) {
            return Ok(Err(why));
        }
        if is_named_by(&file, path) {
            return Ok(Ok(file));
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
                    waited >= TIMEOUT && waited < TIMEOUT + 5 * LEAST_PATIENCE,
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
        let patience = Duration::from_millis(50);
        let held = exclusive(&path, &KIND, TIMEOUT).unwrap();
        assert_eq!(
            holder(exclusive(&path, &KIND, patience)),
            Some(LockHolder::ThisProcess)
        );
        assert!(shared_if_possible(&path, patience).is_err());
        drop(held);
        let readers = [(); 3].map(|()| shared_if_possible(&path, patience).unwrap());
        // A lock of one's own as a reader is as good as another process's.
        assert_eq!(
            holder(exclusive(&path, &KIND, patience)),
            Some(LockHolder::AnotherProcess)
        );
        drop(readers);
        exclusive(&path, &KIND, patience).unwrap();
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
