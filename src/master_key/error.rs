//! What can go wrong with a master key: at which provider, why, and what helps.

use thiserror::Error;

/// A failure of a master key provider.
#[derive(Debug, Error)]
pub enum MasterKeyError {
    /// The master key does not open what it was given.
    #[error("{provider} does not open the keystore: {reason}")]
    WrongKey {
        /// The provider, as it describes itself.
        provider: String,
        /// Why.
        reason: String,
    },
}

impl MasterKeyError {
    /// Whether the provider answered, but with a master key that does not open the keystore.
    pub fn is_wrong_key(&self) -> bool {
        matches!(self, MasterKeyError::WrongKey { .. })
    }

    /// Whether another try may succeed.
    pub fn is_retryable(&self) -> bool {
        false
    }

    /// What a DBA can do about it.
    pub fn hint(&self) -> String {
        match self {
            MasterKeyError::WrongKey { .. } => {
                "name the master key that wrapped this keystore in keyroll_master_key".into()
            }
        }
    }
}
