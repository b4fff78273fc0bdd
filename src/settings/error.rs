//! What is wrong with settings.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::durable::permissions::shell_word;
use crate::master_key::MasterKeyError;
use crate::store::StoreError;
use crate::store::keystore::KeystoreError;

/// Settings that name no key store, or none that can be opened. Nothing was read or changed.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they hold")]
pub enum SettingsError {
    /// An option file's value is none that the variable can have. It may be a secret in the wrong
    /// place, so it is not shown.
    #[error("{name} cannot be this: it takes {values}")]
    Value { name: String, values: String },

    #[error("{} are both set, but a server has one key store", set.join(" and "))]
    SeveralStores { set: Vec<&'static str> },

    #[error("keyroll_keystore is set, but keyroll_master_key is not")]
    NoMasterKey,

    #[error("keyroll_master_key_id and keyroll_master_key are both set, but a keystore has one master key")]
    TwoMasterKeys,

    #[error(
        "there is no keystore {} yet, but {count} keys of aws_key_management are there, and data that needs them",
        keystore.display()
    )]
    KeysOfPeer {
        directory: PathBuf,
        keystore: PathBuf,
        count: usize,
        master_key: String,
    },

    #[error("keyroll_master_key: {0}")]
    MasterKey(Box<MasterKeyError>),

    /// The place-holder of a secret stands where the secret should: mariadb-backup was handed what
    /// the server shows. It prints no notes, so the remedy is in the message.
    #[error(
        "{setting} is a secret, which the server does not show and so could not pass on; set the environment variable \
         {variable} to it"
    )]
    SecretHidden {
        variable: &'static str,
        setting: &'static str,
    },

    #[error("keyroll_vault_login = {login} needs {setting}")]
    LoginLacks {
        login: &'static str,
        setting: &'static str,
    },

    #[error(transparent)]
    Store(#[from] Box<StoreError>),
}

impl From<StoreError> for SettingsError {
    fn from(error: StoreError) -> SettingsError {
        match error {
            StoreError::Keystore(KeystoreError::MasterKey(error)) => SettingsError::MasterKey(error),
            error => SettingsError::Store(error.into()),
        }
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
                keystore,
                master_key,
                ..
            } => format!(
                "run `keyroll import --from-aws {} --keystore {} --master-key {} --owner mysql`, which decrypts each key once \
                 and leaves the files as they are; then start the server again",
                shell_word(directory),
                shell_word(keystore),
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
