//! Putting a file on disk so that at every moment, and after a crash at any, the path names either the whole
//! old file or the whole new one.
//!
//! ```text
//! .NAME.keyroll-new   made, locked, given owner, attributes and mode of NAME, written, fsync
//!         └─ rename ─> NAME, fsync of the directory, read back; on failure the old bytes go the same way
//! ```

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use xattr::FileExt;

use super::super::error::KeyStoreError;
use super::lock;
use super::step::{DiskState, Step};

/// The mode of a new key file, and of every file while it is written.
const OWNER_ONLY: u32 = 0o600;

/// A step that failed on a file.
struct Failure {
    step: Step,
    path: PathBuf,
    source: io::Error,
}

impl Failure {
    fn with(self, state: DiskState) -> KeyStoreError {
        KeyStoreError::NotWritten {
            step: self.step,
            path: self.path,
            source: self.source,
            state,
        }
    }
}

/// Replaces the file that `locked` holds open and `path` names (no symbolic link) by one with the bytes
/// `new`, which has the same owner, mode and extended attributes.
///
/// `old` are the file's bytes now. `read_back` reads the path again and judges it; its answer is returned. If
/// it or anything else after the rename fails, `old` is put back.
pub(super) fn replace<T>(
    path: &Path,
    locked: &File,
    old: &[u8],
    new: &[u8],
    read_back: impl FnOnce() -> Result<T, KeyStoreError>,
) -> Result<T, KeyStoreError> {
    let place = Place::new(path);
    let as_it_was = |failure: Failure| failure.with(DiskState::AsItWas);
    place.remove_stale().map_err(as_it_was)?;
    let meta = locked
        .metadata()
        .map_err(place.failure(Step::Examine))
        .map_err(as_it_was)?;
    if meta.nlink() > 1 {
        return Err(KeyStoreError::HardLinked {
            path: path.into(),
            links: meta.nlink(),
        });
    }

    // Opened before anything is changed, because it may be what fails.
    let directory = place.open_directory().map_err(as_it_was)?;
    // Both files stay open, and thereby locked, to the end: nobody reads a version that may be taken back.
    let staged = place
        .stage(new, |file| place.make_like(file, locked))
        .map_err(as_it_was)?;
    // A network file system may rename and yet report a failure.
    if let Err(failure) = place.rename()
        && !lock::is_named_by(&staged, path)
    {
        place.discard();
        return Err(as_it_was(failure));
    }

    let done = place
        .sync(&directory)
        .and_then(|()| read_back().map_err(|error| place.failure(Step::ReadBack)(io::Error::other(error))));
    done.map_err(|failure| {
        let back = place
            .stage(old, |file| place.make_like(file, &staged))
            .and_then(|back| {
                place.rename()?;
                place.sync(&directory)?;
                Ok(back)
            });
        failure.with(match back {
            Ok(_) => DiskState::PutBack,
            Err(failure) => {
                place.discard();
                DiskState::MayHoldUnused { why: failure.source }
            }
        })
    })
}

/// Makes a new file of mode 0600, never over another one: after a crash it is there as a whole or not at all.
/// Without `owner` (user id, group id) it belongs to who makes it.
pub(super) fn create(
    path: &Path,
    bytes: &[u8],
    owner: Option<(u32, u32)>,
    timeout: Duration,
) -> Result<(), KeyStoreError> {
    let place = Place::new(path);
    let no_file = |failure: Failure| match failure.source.kind() {
        io::ErrorKind::AlreadyExists => KeyStoreError::FileExists { path: path.into() },
        _ => failure.with(DiskState::NoFile),
    };
    // Two that make the same file at once would fight over the temporary one.
    let directory = place.open_directory().map_err(no_file)?;
    lock::wait_for(&directory, Instant::now() + timeout, File::try_lock)
        .map_err(|error| place.failure(Step::Lock)(error.into()))
        .map_err(no_file)?;
    if path.symlink_metadata().is_ok() {
        return Err(KeyStoreError::FileExists { path: path.into() });
    }
    let make = || {
        place.remove_stale()?;
        place.stage(bytes, |file| {
            if let Some((user, group)) = owner {
                fchown(file, Some(user), Some(group)).map_err(place.failure(Step::Owner))?;
            }
            file.set_permissions(Permissions::from_mode(OWNER_ONLY))
                .map_err(place.failure(Step::Mode))
        })?;
        // A link, unlike a rename, never replaces.
        let linked = fs::hard_link(&place.temporary, path).map_err(place.failure(Step::Rename));
        place.discard();
        linked
    };
    make().map_err(no_file)?;
    place.sync(&directory).map_err(|failure| {
        let _ = fs::remove_file(path);
        no_file(failure)
    })
}

/// A file's path and what goes with it.
struct Place {
    path: PathBuf,
    directory: PathBuf,
    temporary: PathBuf,
}

impl Place {
    fn new(path: &Path) -> Place {
        Place {
            path: path.to_owned(),
            directory: directory_of(path),
            temporary: temporary_path(path),
        }
    }

    fn failure(&self, step: Step) -> impl Fn(io::Error) -> Failure {
        let path = match step {
            Step::RemoveStale | Step::Create | Step::Write | Step::Sync => &self.temporary,
            _ => &self.path,
        };
        let path = path.clone();
        move |source| Failure {
            step,
            path: path.clone(),
            source,
        }
    }

    /// Removes the temporary file of a rotation that was killed: whoever holds the lock is the only one who
    /// could be at work on it.
    fn remove_stale(&self) -> Result<(), Failure> {
        // A read-only file system would refuse to remove even what is not there.
        if self.temporary.symlink_metadata().is_err() {
            return Ok(());
        }
        match fs::remove_file(&self.temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failure(Step::RemoveStale)(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the temporary file after a failure, which is what gets reported.
    fn discard(&self) {
        let _ = fs::remove_file(&self.temporary);
    }

    /// Makes the temporary file: locked, prepared, with these bytes, durable. After an error it is gone.
    fn stage(
        &self,
        bytes: &[u8],
        prepare: impl FnOnce(&File) -> Result<(), Failure>,
    ) -> Result<File, Failure> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(OWNER_ONLY)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&self.temporary)
            .map_err(self.failure(Step::Create))?;
        let staged = (|| {
            file.try_lock()
                .map_err(|error| self.failure(Step::Lock)(error.into()))?;
            prepare(&file)?;
            file.write_all(bytes).map_err(self.failure(Step::Write))?;
            file.sync_all().map_err(self.failure(Step::Sync))
        })();
        match staged {
            Ok(()) => Ok(file),
            Err(failure) => {
                self.discard();
                Err(failure)
            }
        }
    }

    fn rename(&self) -> Result<(), Failure> {
        fs::rename(&self.temporary, &self.path).map_err(self.failure(Step::Rename))
    }

    fn open_directory(&self) -> Result<File, Failure> {
        File::open(&self.directory).map_err(|source| {
            let path = self.directory.clone();
            Failure {
                step: Step::Examine,
                path,
                source,
            }
        })
    }

    fn sync(&self, directory: &File) -> Result<(), Failure> {
        directory.sync_all().map_err(self.failure(Step::SyncDirectory))
    }

    /// Gives the file owner, group, extended attributes and mode of another one.
    fn make_like(&self, file: &File, model: &File) -> Result<(), Failure> {
        let (have, want) = file
            .metadata()
            .and_then(|have| Ok((have, model.metadata()?)))
            .map_err(self.failure(Step::Examine))?;
        if (have.uid(), have.gid()) != (want.uid(), want.gid()) {
            fchown(file, Some(want.uid()), Some(want.gid())).map_err(self.failure(Step::Owner))?;
        }
        copy_attributes(file, model).map_err(self.failure(Step::Attributes))?;
        // Last: a change of owner or of an access control list changes the mode too.
        let mode = Permissions::from_mode(want.mode() & 0o7777);
        file.set_permissions(mode).map_err(self.failure(Step::Mode))
    }
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The name under which the file's successor is written.
pub(super) fn temporary_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".keyroll-new");
    directory_of(path).join(name)
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Gives the file exactly the extended attributes of another one, access control lists among them.
fn copy_attributes(file: &File, model: &File) -> io::Result<()> {
    // The system gives every new file its labels; where we may not change them they are right as they are.
    let best_effort = |name: &OsStr| name.as_bytes().starts_with(b"security.");
    let wanted = attribute_names(model)?;
    // A directory's default access control list may have given the new file one that the old file has not.
    for name in attribute_names(file)?
        .iter()
        .filter(|name| !wanted.contains(name))
    {
        match file.remove_xattr(name) {
            Err(_) if best_effort(name) => {}
            result => result?,
        }
    }
    for name in &wanted {
        let copied = match model.get_xattr(name) {
            Ok(Some(value)) => file.set_xattr(name, &value),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match copied {
            Err(_) if best_effort(name) => {}
            result => result?,
        }
    }
    Ok(())
}

fn attribute_names(file: &File) -> io::Result<Vec<OsString>> {
    match file.list_xattr() {
        Ok(names) => Ok(names.collect()),
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
