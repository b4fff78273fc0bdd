//! The one factory of key stores: settings in, a store out.

use super::KeyStore;
use super::error::StoreError;
use super::key_file::{KeyFile, KeyFileConfig};
use super::keystore::{KeystoreConfig, KeystoreFile};
use super::vault_kv::{VaultKv, VaultKvConfig};

/// Which store to open, and how.
#[derive(Debug)]
pub enum StoreConfig {
    /// A key file, plain or encrypted with a password.
    KeyFile(KeyFileConfig),
    /// A keystore, whose data keys are wrapped by a master key.
    Keystore(KeystoreConfig),
    /// Secrets of Vault's KV engine, version 2.
    VaultKv(Box<VaultKvConfig>),
}

/// Makes the store ready; reads nothing yet.
pub fn open(config: StoreConfig) -> Result<Box<dyn KeyStore>, StoreError> {
    match config {
        StoreConfig::KeyFile(config) => Ok(Box::new(KeyFile::new(config)?)),
        StoreConfig::Keystore(config) => Ok(Box::new(KeystoreFile::new(config)?)),
        StoreConfig::VaultKv(config) => Ok(Box::new(VaultKv::new(*config)?)),
    }
}
