//! Which key store settings name, and what opens it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SettingsError;
use super::kms::DEFAULT_KEYSTORE;
use super::values::{Settings, path, text};
use crate::crypto::password::Digest;
use crate::durable::SecretSource;
use crate::master_key::DEFAULT_REQUEST_TIMEOUT;
use crate::master_key::{self, MasterKey, MasterKeyError, ProviderOptions};
use crate::store::StoreConfig;
use crate::store::key_file::KeyFileConfig;
use crate::store::keystore::KeystoreConfig;
use crate::store::vault_kv::VaultKvConfig;

/// The key store that settings name. Nothing of it has been read.
#[derive(Debug)]
pub enum StoreSettings {
    /// A key file, plain or encrypted.
    KeyFile(KeyFileConfig),
    /// A keystore behind a master key.
    Keystore(KeystoreSettings),
    /// Secrets of Vault's KV engine, version 2.
    VaultKv(Box<VaultKvConfig>),
}

impl StoreSettings {
    /// What such a store is called.
    pub fn kind(&self) -> &'static str {
        match self {
            StoreSettings::KeyFile(_) => "key file",
            StoreSettings::Keystore(_) => "keystore",
            StoreSettings::VaultKv(_) => "Vault KV store",
        }
    }

    /// The store's file; `None` where it lies with a service.
    pub fn file(&self) -> Option<&Path> {
        match self {
            StoreSettings::KeyFile(config) => Some(&config.path),
            StoreSettings::Keystore(keystore) => Some(&keystore.path),
            StoreSettings::VaultKv(_) => None,
        }
    }

    /// Kind and place of the store for people.
    pub fn describe(&self) -> String {
        match self {
            StoreSettings::KeyFile(KeyFileConfig { path, .. })
            | StoreSettings::Keystore(KeystoreSettings { path, .. }) => {
                format!("{} {}", self.kind(), path.display())
            }
            StoreSettings::VaultKv(config) => {
                format!("Vault KV {} at {}", config.path, config.vault.address.authority())
            }
        }
    }

    /// Refuses files that others may read or change.
    pub fn be_strict(&mut self) {
        match self {
            StoreSettings::KeyFile(config) => config.strict_permissions = true,
            StoreSettings::Keystore(keystore) => keystore.strict_permissions = true,
            StoreSettings::VaultKv(config) => config.strict_permissions = true,
        }
    }

    /// The store's configuration.
    ///
    /// # Errors
    /// [`SettingsError::MasterKey`] if there is no such master key.
    pub fn config(self) -> Result<StoreConfig, SettingsError> {
        Ok(match self {
            StoreSettings::KeyFile(config) => StoreConfig::KeyFile(config),
            StoreSettings::Keystore(keystore) => StoreConfig::Keystore(
                keystore
                    .config()
                    .map_err(|error| SettingsError::MasterKey(Box::new(error)))?,
            ),
            StoreSettings::VaultKv(config) => StoreConfig::VaultKv(config),
        })
    }
}

/// Where a keystore is and what its master key is opened with.
#[derive(Clone, Debug)]
pub struct KeystoreSettings {
    /// The keystore's file.
    pub path: PathBuf,
    /// The URI of its master key.
    pub master_key: String,
    /// What providers of master keys are opened with.
    pub options: ProviderOptions,
    /// Refuse a file that others may read or change, instead of a warning.
    pub strict_permissions: bool,
}

impl KeystoreSettings {
    /// The same keystore behind another master key.
    pub fn with_master_key(&self, uri: &str) -> KeystoreSettings {
        KeystoreSettings {
            master_key: uri.to_owned(),
            ..self.clone()
        }
    }

    /// The master key; nothing is read or called yet.
    ///
    /// # Errors
    /// There is no such master key.
    pub fn provider(&self) -> Result<Box<dyn MasterKey>, MasterKeyError> {
        master_key::open(&self.master_key, &self.options)
    }

    /// The keystore's configuration.
    ///
    /// # Errors
    /// As of [`provider`](Self::provider).
    pub fn config(&self) -> Result<KeystoreConfig, MasterKeyError> {
        Ok(KeystoreConfig {
            path: self.path.clone(),
            master_key: self.provider()?,
            options: self.options.clone(),
            strict_permissions: self.strict_permissions,
        })
    }
}

impl Settings {
    /// The variables that name a key store, with the prefix, and which of them are set.
    fn named_stores(&self) -> Vec<&'static str> {
        [
            ("keyroll_filename", &self.filename),
            ("keyroll_keystore", &self.keystore),
            ("keyroll_vault_url", &self.vault_url),
        ]
        .into_iter()
        .filter_map(|(name, value)| (!value.is_empty()).then_some(name))
        .collect()
    }

    /// Whether they name a key store at all.
    pub fn name_a_store(&self) -> bool {
        !self.named_stores().is_empty() || !self.master_key_id.is_empty()
    }

    /// The key store that they name; where there is none, a key file without a path.
    ///
    /// # Errors
    /// More than one, a keystore without a master key, a login that lacks a setting.
    pub fn store(&self) -> Result<StoreSettings, SettingsError> {
        let kms_key = self.kms_master_key();
        match (self.named_stores().as_slice(), &kms_key) {
            ([] | ["keyroll_keystore"], Some(_)) | (["keyroll_keystore"], None) => {
                self.keystore_under(kms_key).map(StoreSettings::Keystore)
            }
            ([] | ["keyroll_filename"], None) => self.key_file().map(StoreSettings::KeyFile),
            (["keyroll_vault_url"], None) => self.vault_kv(),
            (named, _) => {
                let mut set = named.to_vec();
                if kms_key.is_some() && !set.contains(&"keyroll_keystore") {
                    set.push("keyroll_master_key_id");
                }
                Err(SettingsError::SeveralStores { set })
            }
        }
    }

    /// The key store that a server starts with.
    ///
    /// # Errors
    /// As of [`store`](Self::store), and keys of aws_key_management that are to be imported first.
    pub fn store_of_server(&self) -> Result<StoreConfig, SettingsError> {
        self.refuse_keys_of_peer()?;
        self.store()?.config()
    }

    /// The key file, with its password.
    ///
    /// # Errors
    /// [`SettingsError::SecretHidden`].
    pub fn key_file(&self) -> Result<KeyFileConfig, SettingsError> {
        Ok(KeyFileConfig {
            path: path(&self.filename).unwrap_or_default(),
            filekey: SecretSource::from_setting(self.given_filekey()?),
            digest: Digest::ALL.get(self.digest).copied().unwrap_or(Digest::Sha1),
            pbkdf2_rounds: self.use_pbkdf2,
            strict_permissions: self.strict_permissions,
        })
    }

    fn keystore_under(&self, kms_key: Option<String>) -> Result<KeystoreSettings, SettingsError> {
        let master_key = match (self.master_key.is_empty(), kms_key) {
            (true, None) => return Err(SettingsError::NoMasterKey),
            (false, Some(_)) => return Err(SettingsError::TwoMasterKeys),
            (true, Some(kms_key)) => kms_key,
            (false, None) => text(&self.master_key),
        };
        Ok(KeystoreSettings {
            path: path(&self.keystore).unwrap_or_else(|| self.data_directory.join(DEFAULT_KEYSTORE)),
            master_key,
            options: self.master_key_options()?,
            strict_permissions: self.strict_permissions,
        })
    }

    /// What providers of master keys are opened with.
    ///
    /// # Errors
    /// A login at Vault that lacks a setting.
    pub fn master_key_options(&self) -> Result<ProviderOptions, SettingsError> {
        let mut options = ProviderOptions::of_this_process(match self.request_timeout {
            0 => DEFAULT_REQUEST_TIMEOUT,
            milliseconds => Duration::from_millis(milliseconds.into()),
        });
        options.notify = self.notify.clone();
        self.put_kms_into(&mut options.environment);
        options.vault = Some(Box::new(self.vault_access()?));
        Ok(options)
    }
}
