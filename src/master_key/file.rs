//! `file:PATH`: a master key in a file of mode 0600, whose format [`key_list`](super::key_list)
//! has.
//!
//! The file is read anew for each call: no master key stays in memory, and what a rotation by
//! another process has added is seen at once.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;

use super::key_list::{KeyList, MASTER_KEY_LENGTH};
use super::options::{ProviderOptions, absolute_path};
use super::syntax::{KeyListError, KeyListProblem};
use super::{MasterKey, MasterKeyError, Wrapped};
use crate::durable::permissions::owner_only;
use crate::durable::replace::{self, Previous, Replacement};
use crate::durable::{FileError, FileKind, lock, read};
use crate::secret::{KeystoreKey, SecretBytes};

static KIND: FileKind = FileKind {
    name: "master key file",
    size_limit: 1024 * 1024,
    when_too_large: "it has one line for each rotation of the master key",
    replace_as_root: Some("run `keyroll rotate-master-key` as root"),
    when_not_put_back: "the unused new version, which does no harm as nothing is wrapped with it",
};

const HEADER: &str = "\
# Master key of a keystore of MariaDB Server, made by keyroll. A line is version;key.
# Never remove a line: older copies of the keystore need it. Keep a copy in a safe place, apart from the keystore's.
";

/// A file with a master key.
#[derive(Debug)]
pub struct MasterKeyFile {
    path: PathBuf,
    /// The time to wait for someone else who rotates it.
    lock_timeout: Duration,
}

/// The file at this path; reads nothing yet.
pub(super) fn open(path: &str, options: &ProviderOptions) -> Result<Box<dyn MasterKey>, String> {
    Ok(Box::new(MasterKeyFile {
        path: absolute_path(path)?,
        lock_timeout: options.request_timeout,
    }))
}

impl MasterKeyFile {
    /// Makes a new file of mode 0600 with a random version 1, durably, and reads it back. `owner`
    /// is a user id and a group id; without, the file belongs to who makes it.
    ///
    /// # Errors
    /// A file of this name, a failing disk. There is no new file then.
    pub fn create(path: &Path, owner: Option<(u32, u32)>) -> Result<(), MasterKeyError> {
        let keys = KeyList::random()?;
        let text = keys.with_newest_line(HEADER.as_bytes());
        replace::create(path, &KIND, text.expose(), owner, lock::TIMEOUT, || {
            read_back(path, &text, &keys)
        })
    }

    fn read(&self) -> Result<KeyList, MasterKeyError> {
        let file = lock::shared_if_possible(&self.path, self.lock_timeout)?;
        let (_, keys) = read_and_parse(&file, &self.path)?;
        // A keystore may soon hang on a version that a killed process has written.
        replace::settle(&file, &self.path)?;
        Ok(keys)
    }
}

impl MasterKey for MasterKeyFile {
    fn describe(&self) -> String {
        format!("master key file {}", self.path.display())
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        self.read()?.wrap(key, keystore)
    }

    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError> {
        self.read()?.unwrap(wrapped, keystore, self)
    }

    fn rotate(&self) -> Result<(), MasterKeyError> {
        // The file that a symbolic link names is replaced, not the link.
        let path = read::resolve(&self.path)?;
        let file = lock::exclusive(&path, &KIND, self.lock_timeout)?;
        let (old, mut keys) = read_and_parse(&file, &path)?;
        if keys.add_random()?.is_none() {
            return Err(MasterKeyError::CannotRotate {
                provider: self.describe(),
                reason: "no version is left above the newest one",
                instead: "make a new master key file and run `keyroll rotate-master-key --to file:PATH`",
            });
        }
        let new = keys.with_newest_line(old.expose());
        let replacement = Replacement {
            path: &path,
            kind: &KIND,
            locked: &file,
            old: old.expose(),
            new: new.expose(),
            previous: Previous::None,
        };
        replace::replace(&replacement, || read_back(&path, &new, &keys))?;
        Ok(())
    }
}

/// Reads an open master key file, if it is nobody's but its owner's.
fn read_and_parse(file: &File, path: &Path) -> Result<(SecretBytes, KeyList), MasterKeyError> {
    let meta = file.metadata().map_err(|source| FileError::ReadFailed {
        path: path.into(),
        source,
    })?;
    owner_only(&meta, path).map_err(FileError::NotOwnerOnly)?;
    check_owner(meta.uid(), geteuid().as_raw(), path)?;
    let text = read::whole(file, path, &KIND)?;
    let keys = parse(text.expose()).map_err(|error| MasterKeyError::Syntax {
        path: path.into(),
        error,
        is_credential: false,
    })?;
    Ok((text, keys))
}

fn parse(text: &[u8]) -> Result<KeyList, KeyListError> {
    KeyList::parse(text).map_err(|error| match text.len() {
        MASTER_KEY_LENGTH => KeyListError {
            problem: KeyListProblem::Bytes,
            ..error
        },
        _ => error,
    })
}

/// The owner can read the file and give himself the right to change it, so that he has to be
/// someone who could do so anyway: root, or the reader himself. Root reads everyone's, for the
/// command is run by root on the server's files.
fn check_owner(owner: u32, reader: u32, path: &Path) -> Result<(), MasterKeyError> {
    if owner == 0 || owner == reader || reader == 0 {
        return Ok(());
    }
    Err(MasterKeyError::ForeignOwner {
        path: path.into(),
        owner,
        reader,
    })
}

/// Reads the file anew, not through the lock of its writer, and compares it with what was meant.
fn read_back(path: &Path, text: &SecretBytes, keys: &KeyList) -> Result<(), MasterKeyError> {
    let file = read::open_regular(path)?;
    let bytes = read::whole(&file, path, &KIND)?;
    match KeyList::parse(bytes.expose()) {
        Ok(read) if read == *keys && bytes.expose() == text.expose() => Ok(()),
        _ => Err(FileError::NotAsWritten { path: path.into() }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_root_or_the_reader_and_root_reads_everyones() {
        let path = Path::new("/etc/keyroll/master");
        for (owner, reader) in [(0, 0), (0, 27), (27, 27), (27, 0)] {
            assert!(check_owner(owner, reader, path).is_ok(), "{owner} {reader}");
        }
        let refused = check_owner(1000, 27, path).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "/etc/keyroll/master belongs to user 1000, who can read and change the master key"
        );
        assert_eq!(refused.hint(), "run `chown 27 /etc/keyroll/master`");
    }
}
