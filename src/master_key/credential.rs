//! `credential:NAME`: a master key that systemd passes to the server's unit (LoadCredential=,
//! LoadCredentialEncrypted=; see systemd.exec(5), Credentials), so that `systemd-creds` can bind it
//! to the TPM.
//!
//! What is in it is one of these:
//!
//! ```text
//! lines `version;key`, as in a master key file
//! a single line of 64 hexadecimal digits          version 1
//! exactly 32 bytes                                version 1
//! ```
//!
//! No two of them can be meant by the same bytes: 32 bytes are too short for the others.

use std::io;
use std::path::{Path, PathBuf};

use super::key_list::{self, KeyList};
use super::options::ProviderOptions;
use super::{MasterKey, MasterKeyError, Wrapped};
use crate::durable::permissions;
use crate::durable::{FileError, FileKind, read};
use crate::secret::KeystoreKey;

static KIND: FileKind = FileKind {
    name: "credential",
    size_limit: 1024 * 1024,
    when_too_large: "systemd passes credentials of up to 1 MiB",
    replace_as_root: None,
    when_not_put_back: "what was there before",
};

#[derive(Debug)]
pub(crate) struct Credential {
    name: String,
    /// `$CREDENTIALS_DIRECTORY`, if the service manager has set it.
    directory: Option<PathBuf>,
}

/// The credential of this name; reads nothing yet.
pub(super) fn open(name: &str, options: &ProviderOptions) -> Result<Box<dyn MasterKey>, String> {
    let is_plain = !name.is_empty()
        && !name.contains('/')
        && !name.chars().any(char::is_control)
        && Path::new(name).file_name().is_some_and(|file| file == name);
    if !is_plain {
        return Err("a credential's name is a plain file name, without a path".into());
    }
    Ok(Box::new(Credential {
        name: name.into(),
        directory: options.variable("CREDENTIALS_DIRECTORY").map(PathBuf::from),
    }))
}

impl Credential {
    fn read(&self) -> Result<KeyList, MasterKeyError> {
        let Some(directory) = &self.directory else {
            return Err(MasterKeyError::NoCredentials {
                name: self.name.clone(),
            });
        };
        let path = directory.join(&self.name);
        let file = read::open_regular(&path).map_err(|error| match error {
            FileError::FileNotFound { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                MasterKeyError::CredentialMissing {
                    name: self.name.clone(),
                    directory: directory.clone(),
                }
            }
            other => other.into(),
        })?;
        let meta = file.metadata().map_err(|source| FileError::ReadFailed {
            path: path.clone(),
            source,
        })?;
        // The group may read: systemd lets the unit's user in by an access control list, which
        // shows as its bits.
        if let Some(loose) = permissions::check(&meta, &path) {
            return Err(FileError::from(loose).into());
        }
        let bytes = read::whole(&file, &path, &KIND)?;
        if let Ok(key) = bytes.expose().try_into() {
            return Ok(KeyList::single(key));
        }
        if let Some(keys) = key_list::parse_bare_key(bytes.expose()) {
            return Ok(keys);
        }
        KeyList::parse(bytes.expose()).map_err(|error| MasterKeyError::Syntax {
            path,
            error,
            is_credential: true,
        })
    }
}

impl MasterKey for Credential {
    fn describe(&self) -> String {
        format!("credential {}", self.name)
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        self.read()?.wrap(key, keystore)
    }

    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError> {
        self.read()?.unwrap(wrapped, keystore, self)
    }

    fn rotate(&self) -> Result<(), MasterKeyError> {
        Err(MasterKeyError::CannotRotate {
            provider: self.describe(),
            reason: "a credential is read only",
            instead: "pass the server a new credential beside this one, restart it, then run `keyroll \
                      rotate-master-key --to credential:NEW_NAME`; docs/master-keys.md has the steps",
        })
    }
}
