//! A keystore's file with its settings, and what this process remembers of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::KeystoreError;
use super::remembered::Remembered;
use crate::durable::{FileError, FileKind, lock};
use crate::master_key::{self, MasterKey};
use crate::store::StoreError;

/// What a keystore's file is to those who look after files.
pub const KIND: FileKind = FileKind {
    name: "keystore",
    size_limit: 64 * 1024 * 1024,
    when_too_large: "it has room for some 310,000 versions, and none is ever removed: rotate single keys and not all",
    replace_as_root: Some(
        "run `keyroll rotate --key ID` as root, then `SET GLOBAL ‹reload_keys› = 1` takes the new version up",
    ),
    when_not_put_back: "what was to be written, which does no harm as it holds all keys",
};

/// The settings of a keystore. `Debug` shows no secret.
pub struct KeystoreConfig {
    /// The keystore's file (the setting `keystore`).
    pub path: PathBuf,
    /// What wraps and unwraps its key (the setting `master_key`).
    pub master_key: Box<dyn MasterKey>,
    /// What another master key is opened with, once the keystore has moved to it.
    pub options: master_key::ProviderOptions,
    /// Refuse a file that others may read or change, instead of a warning (the setting
    /// `strict_permissions`).
    pub strict_permissions: bool,
}

impl fmt::Debug for KeystoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeystoreConfig")
            .field("path", &self.path)
            .field("master_key", &self.master_key.describe())
            .field("strict_permissions", &self.strict_permissions)
            // The environment may hold secrets of others.
            .finish_non_exhaustive()
    }
}

/// A keystore as a key store.
#[derive(Debug)]
pub struct KeystoreFile {
    pub(super) config: KeystoreConfig,
    pub(super) lock_timeout: Duration,
    remembered: Mutex<Remembered>,
}

impl KeystoreFile {
    /// A keystore with these settings; reads nothing yet.
    pub fn new(config: KeystoreConfig) -> Result<KeystoreFile, StoreError> {
        if config.path.as_os_str().is_empty() {
            return Err(KeystoreError::PathNotSet.into());
        }
        Ok(KeystoreFile {
            config,
            lock_timeout: lock::TIMEOUT,
            remembered: Mutex::default(),
        })
    }

    /// The same with another time to wait for the file's lock; 10 seconds unless told.
    #[must_use]
    pub fn with_lock_timeout(self, lock_timeout: Duration) -> KeystoreFile {
        KeystoreFile { lock_timeout, ..self }
    }

    /// The same file, to be opened with another master key.
    pub(super) fn opened_by(&self, uri: &str) -> Result<KeystoreFile, StoreError> {
        let master_key = master_key::open(uri, &self.config.options)
            .map_err(|error| KeystoreError::MasterKey(Box::new(error)))?;
        Ok(KeystoreFile {
            config: KeystoreConfig {
                path: self.config.path.clone(),
                master_key,
                options: self.config.options.clone(),
                ..self.config
            },
            lock_timeout: self.lock_timeout,
            remembered: Mutex::new(self.remembered().without_key()),
        })
    }

    /// Tells of a failure beside the answer, which it leaves as it is.
    pub(super) fn tell_of(&self, error: &FileError) {
        let notify = &self.config.options.notify;
        notify.tell(&format!("{error}. Hint: {}", error.hint()));
    }

    pub(super) fn remembered(&self) -> MutexGuard<'_, Remembered> {
        // What is remembered is replaced as a whole, so that a panic leaves it whole.
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
