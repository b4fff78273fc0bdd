//! Master keys: what wraps and unwraps the key of a keystore, wherever it is held.
//!
//! A [`MasterKey`] never touches data, and nothing here knows of data keys, their ids or their versions. One folder
//! for each kind of provider; [`open`](open::open) makes one out of a URI.

pub mod aws_kms;
pub mod credential;
pub mod error;
pub mod exec;
pub mod file;
pub mod key_list;
pub mod open;
pub mod vault_transit;

pub use error::MasterKeyError;
pub use open::{ByStatement, FORMS, PROVIDERS, Provider, ProviderOptions, check_by_statement, file_of, open};

use crate::durable::LoosePermissions;
use crate::secret::KeystoreKey;

/// The most bytes that a wrapped keystore key may have. AWS KMS answers with some 200, an RSA key with 512.
pub const MAX_WRAPPED: usize = 16 * 1024;

/// A keystore key as a master key has wrapped it. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// What the provider made of the key; only the provider understands it. At most [`MAX_WRAPPED`] bytes.
    pub bytes: Vec<u8>,
    /// Which version of the master key wrapped it, in the provider's words: at most 512 printable characters, empty where
    /// the provider names none.
    pub key_version: String,
}

/// A master key at its provider.
///
/// Contract: every call ends within the request timeout that the provider was made with, all retries together. No
/// error and no message holds a byte of a key.
pub trait MasterKey: Send + Sync {
    /// Kind and place of the master key for people, without secrets: `master key file /etc/keyroll/master`.
    fn describe(&self) -> String;

    /// Wraps the key with the newest version of the master key. Where the provider can authenticate a context, `keystore`
    /// (the keystore's UUID) is bound to the result, so that it unwraps for this keystore alone.
    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError>;

    /// Unwraps what [`wrap`](Self::wrap) made, with whatever version of the master key wrapped it.
    ///
    /// # Errors
    /// [`MasterKeyError::is_wrong_key`] tells a master key that does not open it from a provider that is away.
    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError>;

    /// Makes a new version of the master key, or has the provider name its newest, durably: the next
    /// [`wrap`](Self::wrap) uses it. Older versions go on unwrapping.
    fn rotate(&self) -> Result<(), MasterKeyError>;

    /// Files that hold secrets to reach the master key with, and that others may read or change.
    fn loose_files(&self) -> Vec<LoosePermissions> {
        Vec::new()
    }
}
