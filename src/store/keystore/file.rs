//! A keystore's file with its settings, and what this process remembers of it.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::KeystoreError;
use super::remembered::Remembered;
use crate::durable::{FileError, FileKind, lock};
use crate::master_key::{self, MasterKey, MasterKeyError, ProviderOptions};
use crate::store::StoreError;

/// What a keystore's file is to those who look after files.
pub const KIND: FileKind = FileKind {
    name: "keystore",
    size_limit: 64 * 1024 * 1024,
    when_too_large: "it has room for some 310,000 versions, and none is ever removed: rotate single keys and not all",
    replace_as_root: Some(
        "run `keyroll rotate --key ID`, `keyroll add-key --key ID` or `keyroll rotate-master-key`, whichever failed, as root, then \
         `SET GLOBAL ‹reload_keys› = 1` takes up what is new",
    ),
    when_not_put_back: "what was to be written, which does no harm as it holds all keys",
};

/// The settings of a keystore. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct KeystoreConfig {
    /// The keystore's file (the setting `keystore`).
    pub path: PathBuf,
    /// The URI of what wraps and unwraps its key (the setting `master_key`).
    pub master_key: String,
    /// What providers of master keys are opened with.
    pub options: ProviderOptions,
    /// Refuse a file that others may read or change, instead of a warning (the setting
    /// `strict_permissions`).
    pub strict_permissions: bool,
}

impl KeystoreConfig {
    /// The same keystore behind another master key.
    #[must_use]
    pub fn with_master_key(&self, uri: &str) -> KeystoreConfig {
        KeystoreConfig {
            master_key: uri.to_owned(),
            ..self.clone()
        }
    }

    /// The master key, if there is such a one; nothing is read or called yet.
    pub fn provider(&self) -> Result<Box<dyn MasterKey>, MasterKeyError> {
        master_key::open(&self.master_key, &self.options)
    }
}

/// A keystore as a key store.
#[derive(Debug)]
pub struct KeystoreFile {
    pub(super) config: KeystoreConfig,
    pub(super) provider: Box<dyn MasterKey>,
    pub(super) lock_timeout: Duration,
    remembered: Mutex<Remembered>,
}

impl KeystoreFile {
    /// A keystore with these settings; reads nothing yet.
    ///
    /// # Errors
    /// No path, or no such master key.
    pub fn new(config: KeystoreConfig) -> Result<KeystoreFile, StoreError> {
        if config.path.as_os_str().is_empty() {
            return Err(KeystoreError::PathNotSet.into());
        }
        let provider = config
            .provider()
            .map_err(|error| KeystoreError::MasterKey(Box::new(error)))?;
        Ok(KeystoreFile::behind(provider, config))
    }

    /// A keystore behind this master key, whatever the settings name.
    pub fn behind(provider: Box<dyn MasterKey>, config: KeystoreConfig) -> KeystoreFile {
        KeystoreFile {
            config,
            provider,
            lock_timeout: lock::TIMEOUT,
            remembered: Mutex::default(),
        }
    }

    /// The same with another time to wait for the file's lock; 10 seconds unless told.
    #[must_use]
    pub fn with_lock_timeout(self, lock_timeout: Duration) -> KeystoreFile {
        KeystoreFile { lock_timeout, ..self }
    }

    /// The same file, to be opened with another master key.
    pub(super) fn opened_by(&self, uri: &str) -> Result<KeystoreFile, StoreError> {
        let other = KeystoreFile::new(self.config.with_master_key(uri))?;
        Ok(KeystoreFile {
            lock_timeout: self.lock_timeout,
            remembered: Mutex::new(self.remembered().without_key()),
            ..other
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
