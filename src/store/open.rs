//! The one factory of key stores: settings in, a store out.

use std::path::Path;

use super::KeyStore;
use super::error::StoreError;
use super::key_file::{KeyFile, KeyFileConfig};
use super::keystore::{KeystoreConfig, KeystoreFile};
use super::vault_kv::{VaultKv, VaultKvConfig};

/// Which store to open, and how. Nothing of it has been read.
#[derive(Debug)]
pub enum StoreConfig {
    /// A key file, plain or encrypted with a password.
    KeyFile(KeyFileConfig),
    /// A keystore, whose data keys are wrapped by a master key.
    Keystore(KeystoreConfig),
    /// Secrets of Vault's KV engine, version 2.
    VaultKv(Box<VaultKvConfig>),
}

impl StoreConfig {
    /// What such a store is called.
    pub fn kind(&self) -> &'static str {
        match self {
            StoreConfig::KeyFile(_) => "key file",
            StoreConfig::Keystore(_) => "keystore",
            StoreConfig::VaultKv(_) => "Vault KV store",
        }
    }

    /// The store's file; `None` where it lies with a service.
    pub fn file(&self) -> Option<&Path> {
        match self {
            StoreConfig::KeyFile(config) => Some(&config.path),
            StoreConfig::Keystore(keystore) => Some(&keystore.path),
            StoreConfig::VaultKv(_) => None,
        }
    }

    /// Kind and place of the store for people.
    pub fn describe(&self) -> String {
        match self {
            StoreConfig::KeyFile(KeyFileConfig { path, .. })
            | StoreConfig::Keystore(KeystoreConfig { path, .. }) => {
                format!("{} {}", self.kind(), path.display())
            }
            StoreConfig::VaultKv(config) => {
                format!("Vault KV {} at {}", config.path, config.vault.address.authority())
            }
        }
    }

    /// Refuses files that others may read or change.
    pub fn be_strict(&mut self) {
        match self {
            StoreConfig::KeyFile(config) => config.strict_permissions = true,
            StoreConfig::Keystore(keystore) => keystore.strict_permissions = true,
            StoreConfig::VaultKv(config) => config.strict_permissions = true,
        }
    }

    /// Whether files that others can read are refused.
    pub fn is_strict(&self) -> bool {
        match self {
            StoreConfig::KeyFile(config) => config.strict_permissions,
            StoreConfig::Keystore(keystore) => keystore.strict_permissions,
            StoreConfig::VaultKv(config) => config.strict_permissions,
        }
    }
}

/// Makes the store ready; reads nothing yet.
pub fn open(config: StoreConfig) -> Result<Box<dyn KeyStore>, StoreError> {
    match config {
        StoreConfig::KeyFile(config) => Ok(Box::new(KeyFile::new(config)?)),
        StoreConfig::Keystore(config) => Ok(Box::new(KeystoreFile::new(config)?)),
        StoreConfig::VaultKv(config) => Ok(Box::new(VaultKv::new(*config)?)),
    }
}
