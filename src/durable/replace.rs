//! Making and replacing a file that several processes use: at every moment, and after a crash at
//! any, the path names either the whole old file or the whole new one.
//!
//! ```text
//! .NAME.keyroll-new     made, locked, given owner, attributes and mode of NAME, written, fsync
//!      │   .NAME.previous.keyroll-new     the same with the old bytes, where they are to be kept
//!      └──────────│─ rename ─> NAME, fsync of the directory, read back; on failure the old bytes
//!                 │            go the same way
//!                 └─ rename ─> NAME.previous, fsync of the directory
//! ```
//!
//! In this order NAME.previous is older than NAME at every moment: where both are the same, someone
//! has put an old copy in the place of NAME.
//!
//! NAME.previous is a copy and no hard link to the old file: not every file system has links, and
//! after a crash before the last rename an editor would change both names at once.

use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::step::{DiskState, Step};
use super::target::{StepFailure, Target};
use super::{FileError, FileKind, failpoint, lock};
use crate::cancel;

/// What takes the place of what. `Debug` is left out: the bytes are secret.
pub struct Replacement<'a> {
    /// The file's path, without a symbolic link at its end (see
    /// [`read::resolve`](super::read::resolve)).
    pub path: &'a Path,
    /// What it is.
    pub kind: &'static FileKind,
    /// The open file that the path names, as [`lock::exclusive`] gives it.
    pub locked: &'a File,
    /// Its bytes now.
    pub old: &'a [u8],
    /// The bytes it is to have.
    pub new: &'a [u8],
    /// What becomes of the copy in [`previous_path`].
    pub previous: Previous,
}

/// What a replacement does with the copy of an older file beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Previous {
    /// There is none, and none is made.
    None,
    /// The old bytes take its place.
    Keep,
    /// It is removed, because its keys must not be recovered any more.
    Remove,
}

/// The outcome of a replacement: the new file is in place, durably.
#[derive(Debug)]
pub struct Replaced<T> {
    /// What `read_back` returned.
    pub read_back: T,
    /// Whether the copy beside it was kept or removed as asked.
    pub copy: Result<(), FileError>,
}

/// Replaces the file by one with the new bytes, which has the same owner, mode and extended
/// attributes, and returns when it is durable.
///
/// `read_back` reads the path again, without its lock, and checks it; its answer is returned. If it
/// or anything else after the rename fails, the old bytes are put back. The new file is locked
/// until then, so that nobody reads it before. A copy to be kept is durable before the file is
/// replaced.
///
/// # Errors
/// [`FileError::FileTooLarge`] for new bytes beyond the kind's limit; [`FileError::HardLinked`];
/// [`FileError::Cancelled`]; [`FileError::NotWritten`], with what the disk holds then, also for a
/// failure of `read_back`. What fails with the copy afterwards is in [`Replaced::copy`].
pub fn replace<T, E>(
    replacement: &Replacement<'_>,
    read_back: impl FnOnce() -> Result<T, E>,
) -> Result<Replaced<T>, FileError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let &Replacement {
        path,
        kind,
        locked,
        old,
        new,
        previous,
    } = replacement;
    check_size(new, path, kind)?;
    let target = Target::new(path, "replace");
    let copy = Target::new(&previous_path(path), "previous");
    let as_it_was = |failure: StepFailure| failure.with(DiskState::AsItWas, kind);
    target
        .reach("remove-stale", Step::RemoveStale)
        .and_then(|()| target.remove_stale())
        .and_then(|()| copy.remove_stale())
        .map_err(as_it_was)?;
    let meta = failpoint::reach("replace:examine")
        .and_then(|()| locked.metadata())
        .map_err(target.failure(Step::Examine))
        .map_err(as_it_was)?;
    if meta.nlink() > 1 {
        return Err(FileError::HardLinked {
            path: path.into(),
            links: meta.nlink(),
        });
    }

    // Opened before anything is changed, because it may be what fails.
    let directory = target.open_directory().map_err(as_it_was)?;
    // Both files stay open, and so locked, to the end: nobody reads what may be undone.
    let staged = target
        .stage(new, |file| target.make_like(file, locked))
        .map_err(as_it_was)?;
    if previous == Previous::Keep {
        stage_copy(&copy, locked, old).map_err(|failure| {
            target.discard();
            as_it_was(failure)
        })?;
    }
    // The last moment to give up.
    still_wanted(path).inspect_err(|_| {
        target.discard();
        copy.discard();
    })?;
    // A network file system may rename and yet report a failure.
    if let Err(failure) = target.rename()
        && !lock::is_named_by(&staged, path)
    {
        target.discard();
        copy.discard();
        return Err(as_it_was(failure));
    }

    let done = target
        .sync(&directory)
        .and_then(|()| target.reach("read-back", Step::ReadBack))
        .and_then(|()| read_back().map_err(|error| target.failure(Step::ReadBack)(io::Error::other(error))));
    let read_back = done.map_err(|failure| {
        let state = match put_back(path, old, &staged, &directory) {
            Ok(_) => DiskState::PutBack,
            Err(failure) => DiskState::MayHoldUnused { why: failure.source },
        };
        copy.discard();
        failure.with(state, kind)
    })?;
    let copy = match previous {
        Previous::None => Ok(()),
        Previous::Keep => copy
            .rename()
            .and_then(|()| copy.sync(&directory))
            .inspect_err(|_| copy.discard()),
        Previous::Remove => copy.remove(&directory),
    };
    Ok(Replaced {
        read_back,
        copy: copy.map_err(|failure| failure.with(DiskState::Replaced, kind)),
    })
}

/// Fails where the statement that asked for the file was killed.
fn still_wanted(path: &Path) -> Result<(), FileError> {
    match cancel::is_cancelled() {
        true => Err(FileError::Cancelled { path: path.into() }),
        false => Ok(()),
    }
}

/// Writes the copy of the old file, durably, under its temporary name.
fn stage_copy(copy: &Target, locked: &File, old: &[u8]) -> Result<(), StepFailure> {
    failpoint::reach("replace:previous").map_err(copy.failure(Step::Create))?;
    // Nothing takes the place of a folder.
    if copy.path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        return Err(copy.failure(Step::Rename)(io::Error::from_raw_os_error(
            libc::EISDIR,
        )));
    }
    copy.stage(old, |file| copy.make_like(file, locked)).map(drop)
}

/// Removes the copy of an older file, durably, if there is one. Call it under the file's lock.
///
/// # Errors
/// [`FileError::NotWritten`]: the copy is still there, or may be after a power failure.
pub fn remove_previous(path: &Path, kind: &'static FileKind) -> Result<(), FileError> {
    let copy = Target::new(&previous_path(path), "previous");
    copy.open_directory()
        .and_then(|directory| copy.remove(&directory))
        .map_err(|failure| failure.with(DiskState::AsItWas, kind))
}

/// Puts the old bytes back; the file with them, which is locked while it is open.
fn put_back(path: &Path, old: &[u8], staged: &File, directory: &File) -> Result<File, StepFailure> {
    let target = Target::new(path, "back");
    let back = target.stage(old, |file| target.make_like(file, staged))?;
    target
        .rename()
        .and_then(|()| target.sync(directory))
        .inspect_err(|_| target.discard())?;
    Ok(back)
}

/// Makes a new file of mode 0600, never over another one: after a crash it is there as a whole or
/// not at all. Without `owner` (user id, group id) it belongs to this process's user.
///
/// `read_back` reads the path, without its lock, and checks it; its answer is returned. There is no
/// new file after an error.
///
/// # Errors
/// [`FileError::FileTooLarge`]; [`FileError::FileExists`]; [`FileError::Locked`];
/// [`FileError::Cancelled`]; [`FileError::NotWritten`]; what `read_back` fails with, as it is.
pub fn create<T, E: From<FileError>>(
    path: &Path,
    kind: &'static FileKind,
    bytes: &[u8],
    owner: Option<(u32, u32)>,
    lock_timeout: Duration,
    read_back: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    check_size(bytes, path, kind)?;
    let target = Target::new(path, "create");
    let no_file = |failure: StepFailure| match failure.source.kind() {
        io::ErrorKind::AlreadyExists => FileError::FileExists { path: path.into() },
        _ => failure.with(DiskState::NoFile, kind),
    };
    // Two that make the same file at once would fight over the temporary one.
    let directory = target.open_directory().map_err(no_file)?;
    target.reach("lock", Step::Lock).map_err(no_file)?;
    lock::wait_for(&directory, lock_timeout, File::try_lock).map_err(|why| {
        let locked = path.parent().unwrap_or(path);
        why.error(locked, lock_timeout, |source| {
            no_file(target.failure(Step::Lock)(source))
        })
    })?;
    if path.symlink_metadata().is_ok() {
        return Err(FileError::FileExists { path: path.into() }.into());
    }
    let made = target
        .remove_stale()
        .and_then(|()| target.stage(bytes, |file| target.make_new(file, owner)))
        .map_err(no_file)?;
    still_wanted(path).inspect_err(|_| target.discard())?;
    link(&target).map_err(no_file)?;
    let done = target
        .reach("unlink", Step::Rename)
        .inspect(|()| target.discard())
        .and_then(|()| target.sync(&directory))
        .and_then(|()| target.reach("read-back", Step::ReadBack))
        .map_err(|failure| no_file(failure).into())
        .and_then(|()| read_back());
    let done = done.inspect_err(|_| {
        target.discard();
        let _ = fs::remove_file(path);
        let _ = directory.sync_all();
    });
    // Locked until here: nobody reads a file that is taken away again.
    drop(made);
    done
}

/// Gives the temporary file the path's name too: a link, unlike a rename, never replaces.
fn link(target: &Target) -> Result<(), StepFailure> {
    target
        .reach("link", Step::Rename)
        .and_then(|()| fs::hard_link(&target.temporary, &target.path).map_err(target.failure(Step::Rename)))
        .inspect_err(|_| target.discard())
}

/// Where a replacement keeps the old file: `NAME.previous` beside it. It is a whole file, and older
/// than the file itself, unless someone has put an older file in its place.
pub fn previous_path(path: &Path) -> PathBuf {
    let mut previous = OsString::from(path);
    previous.push(".previous");
    previous.into()
}

/// The temporary files that a killed process has left of this file. They may hold secrets; the next
/// replacement removes them. Call it under the file's lock, or they may be in use.
pub fn leftovers(path: &Path) -> Vec<PathBuf> {
    [path, &previous_path(path)]
        .map(|path| Target::new(path, "replace").temporary)
        .into_iter()
        .filter(|temporary| temporary.symlink_metadata().is_ok())
        .collect()
}

/// Makes durable what was read, where the file system can: the writer may have been an editor, or
/// was killed, and keys must not be used that a power failure would take away.
///
/// # Errors
/// [`FileError::ReadFailed`]: the disk does not store it.
pub fn settle(file: &File, path: &Path) -> Result<(), FileError> {
    let failed = |source| FileError::ReadFailed {
        path: path.into(),
        source,
    };
    unless_not_here(file.sync_all()).map_err(failed)?;
    let directory = fs::canonicalize(path).ok();
    let directory = directory.as_deref().and_then(Path::parent);
    let synced = match directory.and_then(|directory| File::open(directory).ok()) {
        Some(directory) => directory.sync_all(),
        // Root may have written in a folder that this user may not open.
        None => nix::unistd::syncfs(file).map_err(io::Error::from),
    };
    unless_not_here(synced).map_err(failed)
}

/// Passes the errors of a file system or a pipe that cannot sync. EROFS is none of them: a disk
/// that was mounted read-only syncs, one that became so after an error shows what it has not
/// stored.
fn unless_not_here(synced: io::Result<()>) -> io::Result<()> {
    const NOT_HERE: [i32; 3] = [libc::EINVAL, libc::ENOSYS, libc::EOPNOTSUPP];
    match synced {
        Err(error) if error.raw_os_error().is_some_and(|code| NOT_HERE.contains(&code)) => Ok(()),
        synced => synced,
    }
}

pub(super) fn check_size(bytes: &[u8], path: &Path, kind: &'static FileKind) -> Result<(), FileError> {
    if bytes.len() as u64 > kind.size_limit {
        return Err(FileError::FileTooLarge {
            path: path.into(),
            kind,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::tests::KIND;
    use super::*;
    use crate::durable::read;

    #[test]
    fn where_nothing_can_be_synced_nothing_is_lost_and_all_else_is_an_error() {
        assert!(unless_not_here(Ok(())).is_ok());
        let passes = |code| unless_not_here(Err(io::Error::from_raw_os_error(code))).is_ok();
        assert!([libc::EINVAL, libc::ENOSYS, libc::EOPNOTSUPP].map(passes) == [true; 3]);
        assert!([libc::EROFS, libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EBADF].map(passes) == [false; 5]);
        assert!(unless_not_here(Err(io::Error::other("no code"))).is_err());
    }

    #[test]
    fn whoever_makes_a_file_waits_for_who_is_at_work_in_its_folder() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let make = |limit| create(&path, &KIND, b"made", None, limit, || read::open_regular(&path));
        let at_work = File::open(directory.path()).unwrap();
        at_work.lock().unwrap();
        let error = make(Duration::from_millis(10)).unwrap_err();
        assert!(matches!(error, FileError::Locked { .. }), "{error}");
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(200));
                at_work.unlock().unwrap();
            });
            make(lock::TIMEOUT).unwrap();
        });
        assert_eq!(fs::read(&path).unwrap(), b"made");
    }
}
