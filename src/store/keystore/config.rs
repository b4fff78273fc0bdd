//! What a keystore is made of: the file, and the master key that opens it.

use std::fmt;
use std::path::PathBuf;

use crate::master_key::{self, MasterKey};

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
