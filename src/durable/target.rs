//! A file to be made or replaced, and the file beside it under which its new bytes are written.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use xattr::FileExt;

use super::step::{DiskState, Step};
use super::{FileError, FileKind, failpoint};

/// The mode of a new file, and of every file while it is written.
const OWNER_ONLY: u32 = 0o600;

/// A step that failed on a file.
pub(super) struct StepFailure {
    pub(super) step: Step,
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

impl StepFailure {
    pub(super) fn with(self, state: DiskState, kind: &'static FileKind) -> FileError {
        FileError::NotWritten {
            step: self.step,
            path: self.path,
            source: self.source,
            state,
            kind,
        }
    }
}

/// The path of a file to be made or replaced, with the path that its new bytes are written to
/// first.
pub(super) struct Target {
    pub(super) path: PathBuf,
    pub(super) temporary: PathBuf,
    directory: PathBuf,
    /// What is done with it: the first word of its failpoints.
    work: &'static str,
}

impl Target {
    pub(super) fn new(path: &Path, work: &'static str) -> Target {
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".keyroll-new");
        Target {
            path: path.to_owned(),
            temporary: directory.join(name),
            directory,
            work,
        }
    }

    pub(super) fn failure(&self, step: Step) -> impl Fn(io::Error) -> StepFailure {
        let path = match step {
            Step::RemoveStale | Step::Create | Step::Write | Step::Sync => &self.temporary,
            _ => &self.path,
        };
        let path = path.clone();
        move |source| StepFailure {
            step,
            path: path.clone(),
            source,
        }
    }

    /// Reaches a failpoint of this step.
    pub(super) fn reach(&self, point: &str, step: Step) -> Result<(), StepFailure> {
        failpoint::reach(format_args!("{}:{point}", self.work)).map_err(self.failure(step))
    }

    /// Removes the temporary file of a process that was killed: whoever holds the lock is the only
    /// one who could be at work on it.
    pub(super) fn remove_stale(&self) -> Result<(), StepFailure> {
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
    pub(super) fn discard(&self) {
        let _ = fs::remove_file(&self.temporary);
    }

    /// Removes the file itself and the temporary one, durably.
    pub(super) fn remove(&self, directory: &File) -> Result<(), StepFailure> {
        self.remove_stale()?;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failure(Step::Remove)(error)),
            _ => self.sync(directory),
        }
    }

    /// Makes the temporary file: of mode 0600, prepared, with these bytes, durable. After an error
    /// it is gone.
    pub(super) fn stage(
        &self,
        bytes: &[u8],
        prepare: impl FnOnce(&File) -> Result<(), StepFailure>,
    ) -> Result<File, StepFailure> {
        self.reach("create", Step::Create)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(OWNER_ONLY)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&self.temporary)
            .map_err(self.failure(Step::Create))?;
        let staged = (|| {
            self.reach("prepare", Step::Mode)?;
            prepare(&file)?;
            self.reach("write", Step::Write)?;
            file.write_all(bytes).map_err(self.failure(Step::Write))?;
            self.reach("sync", Step::Sync)?;
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

    /// Gives the temporary file the path's name, in place of the file that has it.
    pub(super) fn rename(&self) -> Result<(), StepFailure> {
        self.reach("rename", Step::Rename)?;
        fs::rename(&self.temporary, &self.path).map_err(self.failure(Step::Rename))
    }

    pub(super) fn open_directory(&self) -> Result<File, StepFailure> {
        File::open(&self.directory).map_err(|source| StepFailure {
            step: Step::Examine,
            path: self.directory.clone(),
            source,
        })
    }

    /// Makes the names in the directory durable.
    pub(super) fn sync(&self, directory: &File) -> Result<(), StepFailure> {
        self.reach("sync-directory", Step::SyncDirectory)?;
        directory.sync_all().map_err(self.failure(Step::SyncDirectory))
    }

    fn lock(&self, file: &File) -> Result<(), StepFailure> {
        file.try_lock()
            .map_err(|error| self.failure(Step::Lock)(error.into()))
    }

    /// Locks the file and gives it owner, group, extended attributes and mode of another one.
    pub(super) fn make_like(&self, file: &File, model: &File) -> Result<(), StepFailure> {
        self.lock(file)?;
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

    /// Locks the file and gives it this owner and group, if any, and mode 0600.
    pub(super) fn make_new(&self, file: &File, owner: Option<(u32, u32)>) -> Result<(), StepFailure> {
        self.lock(file)?;
        if let Some((user, group)) = owner {
            fchown(file, Some(user), Some(group)).map_err(self.failure(Step::Owner))?;
        }
        file.set_permissions(Permissions::from_mode(OWNER_ONLY))
            .map_err(self.failure(Step::Mode))
    }
}

/// Gives the file exactly the extended attributes of another one, access control lists among them.
fn copy_attributes(file: &File, model: &File) -> io::Result<()> {
    // The system gives every new file its labels; where we may not change them they are right as
    // they are.
    let best_effort = |name: &OsStr| name.as_bytes().starts_with(b"security.");
    let wanted = attribute_names(model)?;
    // A directory's default access control list may have given the new file one that the old file
    // has not.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_cannot_be_listed_are_not_taken_for_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // A file that is only named, not open for anything.
        let named = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(file.path())
            .unwrap();
        let error = attribute_names(&named).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        assert!(attribute_names(file.as_file()).is_ok());
    }
}
