//! Which key store settings name, and what opens it.

use std::time::Duration;

use super::SettingsError;
use super::kms::{DEFAULT_KEYSTORE, refuse_keys_of_peer};
use super::values::{Settings, path, text};
use crate::crypto::password::Digest;
use crate::master_key::DEFAULT_REQUEST_TIMEOUT;
use crate::master_key::ProviderOptions;
use crate::store::key_file::KeyFileConfig;
use crate::store::keystore::KeystoreConfig;
use crate::store::{self, KeyStore, StoreConfig};

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
    pub fn store(&self) -> Result<StoreConfig, SettingsError> {
        let kms_key = self.kms_master_key();
        match (self.named_stores().as_slice(), &kms_key) {
            ([] | ["keyroll_keystore"], Some(_)) | (["keyroll_keystore"], None) => {
                self.keystore_under(kms_key).map(StoreConfig::Keystore)
            }
            ([] | ["keyroll_filename"], None) => self.key_file().map(StoreConfig::KeyFile),
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

    /// The key store that a server starts with, of which nothing is read yet.
    ///
    /// # Errors
    /// As of [`store`](Self::store), no such master key, and keys of aws_key_management that are to
    /// be imported first.
    pub fn open_store_of_server(&self) -> Result<Box<dyn KeyStore>, SettingsError> {
        let store = self.store()?;
        refuse_keys_of_peer(&store, &self.data_directory)?;
        Ok(store::open(store)?)
    }

    /// The key file, with its password.
    ///
    /// # Errors
    /// [`SettingsError::SecretHidden`].
    pub fn key_file(&self) -> Result<KeyFileConfig, SettingsError> {
        Ok(KeyFileConfig {
            path: path(&self.filename).unwrap_or_default(),
            filekey: self.given_filekey()?,
            digest: Digest::ALL.get(self.digest).copied().unwrap_or(Digest::Sha1),
            pbkdf2_rounds: self.use_pbkdf2,
            strict_permissions: self.strict_permissions,
        })
    }

    fn keystore_under(&self, kms_key: Option<String>) -> Result<KeystoreConfig, SettingsError> {
        let master_key = match (self.master_key.is_empty(), kms_key) {
            (true, None) => return Err(SettingsError::NoMasterKey),
            (false, Some(_)) => return Err(SettingsError::TwoMasterKeys),
            (true, Some(kms_key)) => kms_key,
            (false, None) => text(&self.master_key),
        };
        Ok(KeystoreConfig {
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
