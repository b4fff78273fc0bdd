//! What can be wrong with the keys of a store that a server is to go on with.

use thiserror::Error;

use super::KeyName;
use crate::crypto::Algorithm;
use crate::crypto::derive::DATA_KEY_LENGTH;

/// Keys that do not go with those in use, or with their cipher. Nothing was changed.
#[derive(Debug, Error)]
pub enum KeysError {
    /// A known version is gone from the store.
    #[error("{name} is in use, but the key store no longer holds it")]
    KnownVersionMissing {
        /// The version.
        name: KeyName,
    },

    /// A known version has other bytes in the store.
    #[error("{name} is in use, but the key store now holds other bytes for it")]
    KnownVersionDiffers {
        /// The version.
        name: KeyName,
    },

    /// A known version is for another algorithm in the store.
    #[error("{name} is in use with {}, but the key store now says {}", held.name(), found.name())]
    KnownAlgorithmDiffers {
        /// The version.
        name: KeyName,
        /// What data was encrypted with.
        held: Algorithm,
        /// What the store says.
        found: Algorithm,
    },

    /// The algorithm derives its keys from data keys of full length, and this one is shorter.
    #[error("{name} has {bits} bits, but {} needs data keys of {} bits", algorithm.name(), DATA_KEY_LENGTH * 8)]
    KeyTooShort {
        /// The first version that is too short.
        name: KeyName,
        /// Its length in bits.
        bits: usize,
        /// The algorithm.
        algorithm: Algorithm,
    },
}

impl KeysError {
    /// What a DBA can do about it.
    pub fn hint(&self) -> String {
        match self {
            KeysError::KnownVersionMissing { .. }
            | KeysError::KnownVersionDiffers { .. }
            | KeysError::KnownAlgorithmDiffers { .. } => {
                "put the newest copy of the key store back: data on disk needs this version".into()
            }
            KeysError::KeyTooShort { algorithm, .. } => format!(
                "‹encryption_algorithm› = {} is for key stores that hold keys of {} hex digits only; data \
                 that is encrypted already can be read only with the algorithm and the keys it was encrypted with",
                algorithm.name(),
                DATA_KEY_LENGTH * 2
            ),
        }
    }
}
