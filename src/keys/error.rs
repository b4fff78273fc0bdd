//! What can be wrong with the keys of a store that a server is to go on with.

use thiserror::Error;

use super::KeyName;
use crate::crypto::Algorithm;
use crate::crypto::derive::DATA_KEY_LENGTH;

/// Keys that do not go with those in use, or with their cipher. Nothing was changed.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they are")]
pub enum KeysError {
    #[error("{name} is in use, but the key store no longer holds it")]
    KnownVersionMissing { name: KeyName },

    #[error("{name} is in use, but the key store now holds other bytes for it")]
    KnownVersionDiffers { name: KeyName },

    #[error("{name} is in use with {}, but the key store now says {}", held.name(), found.name())]
    KnownAlgorithmDiffers {
        name: KeyName,
        held: Algorithm,
        found: Algorithm,
    },

    /// The algorithm derives its keys from data keys of full length, and this one is shorter.
    #[error("{name} has {bits} bits, but {} needs data keys of {} bits", algorithm.name(), DATA_KEY_LENGTH * 8)]
    KeyTooShort {
        name: KeyName,
        bits: usize,
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
