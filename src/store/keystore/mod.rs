//! The keystore: one file whose data keys are wrapped, so that a copy of the disk is worthless without the master key.
//!
//! ```text
//! master key, at its provider ── wraps ──> keystore key, 256 random bits
//!                                              └─ HKDF ─> wrapping key ── wraps ──> data keys
//!                                                    └──> MAC key, over the whole file
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`mod@format`] | the file's text as types, and what is refused; [`json`] below it, [`canonical`] beside it |
//! | [`keys`] | what is derived from the keystore key |
//! | `open` | from a file to its data keys |
//! | `create`, `change` | from data keys to a file |
//! | `held` | what a process remembers between calls |
//! | `save` | from what is held to a new file |
//! | [`metadata`] | what a file tells without its master key |
//!
//! `docs/keystore-format.md` describes the file so that a second implementation could be written from it.

pub mod canonical;
mod change;
pub mod config;
mod create;
pub mod error;
pub mod format;
mod held;
pub mod json;
pub mod keys;
mod members;
pub mod metadata;
mod open;
mod render;
mod save;
pub mod uuid;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use change::FAILPOINTS;
pub use config::KeystoreConfig;
pub use create::NewKey;
pub use error::KeystoreError;
pub use metadata::Metadata;

use self::held::Held;
use super::next_names::next_names;
use super::{Identity, KeyStore, KeysAdded, Loaded, MasterKeyRotated, Rotate, StoreError};
use crate::durable::{FileError, FileKind, lock};
use crate::keys::{KeyName, KeySet, KeySpec, NewVersions, Ring};
use crate::master_key;

/// What a keystore's file is to those who look after files.
pub const KIND: FileKind = FileKind {
    name: "keystore",
    size_limit: 64 * 1024 * 1024,
    when_too_large: "it has room for some 290,000 versions, and none is ever removed: rotate single keys and not all",
    replace_as_root: Some(
        "run `keyroll rotate --key ID` as root, then `SET GLOBAL keyroll_reload_keys = 1` takes the new version up",
    ),
    when_not_put_back: "what was to be written, which does no harm as it holds all keys",
};

/// A keystore as a key store.
#[derive(Debug)]
pub struct KeystoreFile {
    config: KeystoreConfig,
    lock_timeout: Duration,
    held: Mutex<Held>,
}

impl KeystoreFile {
    /// A keystore with these settings; reads nothing yet.
    ///
    /// # Errors
    /// [`KeystoreError::PathNotSet`] if the path is empty.
    pub fn new(config: KeystoreConfig) -> Result<KeystoreFile, StoreError> {
        if config.path.as_os_str().is_empty() {
            return Err(KeystoreError::PathNotSet.into());
        }
        Ok(KeystoreFile {
            config,
            lock_timeout: lock::TIMEOUT,
            held: Mutex::default(),
        })
    }

    /// The same with another time to wait for the file's lock; 10 seconds unless told.
    #[must_use]
    pub fn with_lock_timeout(self, lock_timeout: Duration) -> KeystoreFile {
        KeystoreFile { lock_timeout, ..self }
    }

    /// Tells of a failure beside the answer, which it leaves as it is.
    fn tell_of(&self, error: &FileError) {
        let notify = &self.config.options.notify;
        notify.tell(&format!("{error}. Hint: {}", error.hint()));
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // What is held is replaced as a whole, so that a panic leaves it whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for KeystoreFile {
    fn describe(&self) -> String {
        format!("keystore {}", self.config.path.display())
    }

    fn master_key(&self) -> Option<String> {
        self.held().master_key()
    }

    fn identity(&self) -> Option<Identity> {
        self.held().identity()
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        let (keys, warnings) = self.open()?;
        Ok(Loaded { keys, warnings })
    }

    fn rotate_keys(
        &self,
        which: Rotate,
        new: NewVersions<'_>,
        known: Option<&Ring>,
    ) -> Result<KeysAdded, StoreError> {
        self.add(new.spec, known, |keys| {
            next_names(keys, which, new, || self.describe())
        })
    }

    fn creates_keys(&self) -> bool {
        true
    }

    fn create_key(&self, id: u32, spec: KeySpec, known: Option<&Ring>) -> Result<KeysAdded, StoreError> {
        if id == 0 {
            return Err(create::not_an_id(id));
        }
        self.add(spec, known, |keys| {
            // Someone else may have made it meanwhile.
            let missing = keys.latest(id).is_none();
            Ok(missing
                .then_some(KeyName { id, version: 1 })
                .into_iter()
                .collect())
        })
    }

    fn with_master_key(&self, uri: &str) -> Result<Box<dyn KeyStore>, StoreError> {
        let KeystoreConfig {
            path,
            options,
            strict_permissions,
            ..
        } = &self.config;
        let master_key =
            master_key::open(uri, options).map_err(|error| KeystoreError::MasterKey(Box::new(error)))?;
        Ok(Box::new(KeystoreFile {
            config: KeystoreConfig {
                path: path.clone(),
                master_key,
                options: options.clone(),
                strict_permissions: *strict_permissions,
            },
            lock_timeout: self.lock_timeout,
            held: Mutex::new(self.held().without_key()),
        }))
    }

    fn save(&self, keys: &KeySet, path: &Path) -> Result<(), StoreError> {
        self.save_from_memory(keys, path)
    }

    fn rotate_master_key(&self, known: Option<&Ring>) -> Result<MasterKeyRotated, StoreError> {
        self.rotate_and_rewrap(known)
    }
}
