//! What can go wrong in the running plugin.

use thiserror::Error;

use crate::keystore::KeyStoreError;

/// A failure of a start, a rotation or a reload. Nothing was changed unless the key store's error says so.
#[derive(Debug, Error)]
pub enum PluginError {
    /// The key store failed.
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),

    /// mariadb-backup was handed the place-holder of a password. It prints no notes, so the hint for it is in the
    /// message.
    #[error(
        "keyroll_filekey is a password, which the server does not show and so could not pass on; set the \
         environment variable {} to it",
        super::settings::FILEKEY_VARIABLE
    )]
    FilekeyHidden,

    /// The number in SET GLOBAL keyroll_rotate_key is no key id.
    #[error("{request} is not a key id: 1 to 4294967295, or -1 for all keys")]
    NotAKeyId {
        /// What was asked for.
        request: i64,
    },

    /// A variable that acts was set while the plugin was not running.
    #[error("keyroll is not running")]
    NotRunning,
}

impl PluginError {
    /// What a DBA can do about it.
    pub fn hint(&self) -> String {
        match self {
            PluginError::KeyStore(error) => error.hint(),
            PluginError::FilekeyHidden => {
                "or put the password into a file (mode 0600) and set keyroll_filekey=FILE:path".into()
            }
            PluginError::NotAKeyId { .. } => "SELECT keyroll_keys() lists the key ids".into(),
            PluginError::NotRunning => "the error log of the server's start says why".into(),
        }
    }
}
