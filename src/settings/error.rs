//! What is wrong with settings.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::durable::permissions::shell_word;
use crate::master_key::MasterKeyError;
use crate::service::aws::DEFAULT_KEYSTORE;
use crate::store::StoreError;

/// Settings that name no key store, or none that can be opened. Nothing was read or changed.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// An option file's value is none that the variable can have. It may be a secret in the wrong
    /// place, so it is not shown.
    #[error("{name} cannot be this: it takes {values}")]
    Value {
        /// The variable, with its prefix.
        name: String,
        /// What it takes.
        values: String,
    },

    /// The settings name more than one key store.
    #[error("{} are both set, but a server has one key store", set.join(" and "))]
    SeveralStores {
        /// The variables that are set.
        set: Vec<&'static str>,
    },

    /// The settings name a keystore and no master key.
    #[error("keyroll_keystore is set, but keyroll_master_key is not")]
    NoMasterKey,

    /// A KMS key is named by its id, and a master key by its URI.
    #[error("keyroll_master_key_id and keyroll_master_key are both set, but a keystore has one master key")]
    TwoMasterKeys,

    /// The server has keys of aws_key_management and no keystore yet.
    #[error(
        "there is no keystore {}/{} yet, but {count} keys of aws_key_management are there, and data that needs them",
        directory.display(), DEFAULT_KEYSTORE
    )]
    KeysOfPeer {
        /// The data directory.
        directory: PathBuf,
        /// How many key versions.
        count: usize,
        /// The URI of the master key.
        master_key: String,
    },

    /// The setting names no master key that can be opened.
    #[error("keyroll_master_key: {0}")]
    MasterKey(Box<MasterKeyError>),

    /// The place-holder of a secret stands where the secret should: mariadb-backup was handed what
    /// the server shows. It prints no notes, so the remedy is in the message.
    #[error(
        "{setting} is a secret, which the server does not show and so could not pass on; set the environment variable \
         {variable} to it"
    )]
    SecretHidden {
        /// The environment variable that is read instead.
        variable: &'static str,
        /// The system variable.
        setting: &'static str,
    },

    /// A login at Vault lacks one of its settings.
    #[error("keyroll_vault_login = {login} needs {setting}")]
    LoginLacks {
        /// The login.
        login: &'static str,
        /// The variables that are not set.
        setting: &'static str,
    },

    /// A setting is none that the store takes.
    #[error(transparent)]
    Store(#[from] Box<StoreError>),
}

impl From<StoreError> for SettingsError {
    fn from(error: StoreError) -> SettingsError {
        SettingsError::Store(error.into())
    }
}

impl SettingsError {
    /// What a DBA can do about it.
    pub fn hint(&self) -> String {
        match self {
            SettingsError::Value { .. } => "mend the line; the server does not start with it either".into(),
            SettingsError::SeveralStores { .. } => {
                "unset one of them; `keyroll import --keystore PATH --master-key URI` moves the keys of a key file into a keystore".into()
            }
            SettingsError::NoMasterKey => {
                "set it to the master key that the keystore was made with: file:PATH, credential:NAME, exec:PATH, aws-kms:KEY or vault-transit:URL"
                    .into()
            }
            SettingsError::TwoMasterKeys => {
                "unset one of them; keyroll_master_key_id=KEY is the same as keyroll_master_key=aws-kms:KEY".into()
            }
            SettingsError::KeysOfPeer {
                directory,
                master_key,
                ..
            } => format!(
                "run `keyroll import --from-aws {} --keystore {} --master-key {} --owner mysql`, which decrypts each key once \
                 and leaves the files as they are; then start the server again",
                shell_word(directory),
                shell_word(&directory.join(DEFAULT_KEYSTORE)),
                shell_word(Path::new(master_key))
            ),
            SettingsError::MasterKey(error) => error.hint(),
            SettingsError::SecretHidden { setting, .. } => {
                format!("or put the secret into a file (mode 0600) and set {setting}=FILE:path")
            }
            SettingsError::LoginLacks { .. } => "docs/vault.md shows each login".into(),
            SettingsError::Store(error) => error.hint(),
        }
    }
}
