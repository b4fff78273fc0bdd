//! Master keys: what wraps and unwraps the key of a keystore, wherever it is held.
//!
//! A [`MasterKey`] never touches data, and nothing here knows of data keys, their ids or their
//! versions. One folder for each kind of provider; [`open`](open::open) makes one out of a URI.

pub(crate) mod aws_kms;
pub(crate) mod credential;
pub(crate) mod error;
pub(crate) mod exec;
pub mod file;
pub mod key_list;
pub mod open;
pub(crate) mod options;
pub(crate) mod syntax;
pub(crate) mod vault_transit;

pub use error::MasterKeyError;
pub use open::{ByStatement, PROVIDERS, Provider, check_by_statement, file_of, open};
pub use options::{DEFAULT_REQUEST_TIMEOUT, FORMS, ProviderOptions};

use std::fmt;

use crate::durable::LoosePermissions;
use crate::secret::{KEYSTORE_KEY_LENGTH, KeystoreKey};

/// The most bytes of a wrapped keystore key. AWS KMS answers with some 200, an RSA key with 512.
pub const MAX_WRAPPED: usize = 16 * 1024;

/// The most characters that the name of a master key's version may have.
pub const MAX_KEY_VERSION: usize = 512;

/// A keystore key as a master key has wrapped it. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// What the provider alone understands: at most [`MAX_WRAPPED`] bytes.
    pub bytes: Vec<u8>,
    /// Which version of the master key wrapped it, in the provider's words: at most
    /// [`MAX_KEY_VERSION`] printable ASCII characters, none where the provider names no version.
    pub key_version: String,
}

impl Wrapped {
    /// What this provider made of this key.
    ///
    /// # Errors
    /// [`MasterKeyError::BadAnswer`], if it cannot be that ([`check`](Self::check)).
    pub fn new(
        provider: &dyn MasterKey,
        bytes: Vec<u8>,
        key_version: String,
        key: &KeystoreKey,
    ) -> Result<Wrapped, MasterKeyError> {
        let wrapped = Wrapped { bytes, key_version };
        let checked = wrapped.check(key);
        checked.map_err(|reason| MasterKeyError::bad_answer(provider, "wrap", reason))?;
        Ok(wrapped)
    }

    /// Whether it can be what a provider made of this key. What ends in the keystore must not be
    /// the key in clear, whatever the provider takes for wrapping.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check(&self, key: &KeystoreKey) -> Result<(), String> {
        let mut windows = self.bytes.windows(KEYSTORE_KEY_LENGTH);
        if self.bytes.is_empty() {
            return Err("its ciphertext is empty".into());
        }
        if self.bytes.len() > MAX_WRAPPED {
            return Err(format!("its ciphertext has more than {MAX_WRAPPED} bytes"));
        }
        if windows.any(|window| window == key.expose()) {
            return Err("its ciphertext holds the key in clear".into());
        }
        if !is_key_version(&self.key_version) {
            return Err(format!(
                "its key_version is not at most {MAX_KEY_VERSION} printable ASCII characters"
            ));
        }
        Ok(())
    }
}

/// Whether a text may name a version of a master key.
pub fn is_key_version(text: &str) -> bool {
    text.len() <= MAX_KEY_VERSION && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// A master key at its provider.
///
/// Contract: every call ends within the request timeout that the provider was made with, all
/// retries together. No error and no message holds a byte of a key.
pub trait MasterKey: Send + Sync {
    /// Kind and place of the master key for people, without secrets: `master key file
    /// /etc/keyroll/master`.
    fn describe(&self) -> String;

    /// Wraps the key with the newest version of the master key. Where the provider can authenticate
    /// a context, `keystore` (the keystore's UUID) is bound to the result, so that it unwraps for
    /// this keystore alone.
    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError>;

    /// Unwraps what [`wrap`](Self::wrap) made, with whatever version of the master key wrapped it.
    ///
    /// # Errors
    /// [`MasterKeyError::is_wrong_key`] tells a master key that does not open it from a provider
    /// that is away.
    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError>;

    /// Makes a new version of the master key, or has the provider name its newest, durably: the
    /// next [`wrap`](Self::wrap) uses it. Older versions go on unwrapping.
    fn rotate(&self) -> Result<(), MasterKeyError>;

    /// Files that hold secrets to reach the master key with, and that others may read or change.
    fn loose_files(&self) -> Vec<LoosePermissions> {
        Vec::new()
    }
}

impl fmt::Debug for dyn MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrap_is_neither_the_key_nor_out_of_bounds() {
        let key = KeystoreKey::new(&[0xA7; 32]).unwrap();
        let check = |bytes: &[u8], key_version: &str| {
            let (bytes, key_version) = (bytes.to_vec(), key_version.to_owned());
            Wrapped { bytes, key_version }.check(&key)
        };
        let (longest, too_long) = ("v".repeat(MAX_KEY_VERSION), "v".repeat(MAX_KEY_VERSION + 1));
        for key_version in ["", "3", "a ~", &longest] {
            assert_eq!(check(&[1], key_version), Ok(()), "{key_version}");
        }
        assert_eq!(check(&[0; MAX_WRAPPED], "1"), Ok(()));
        let in_clear = [&[0][..], &[0xA7; 32], &[1]].concat();
        for (bytes, key_version, reason) in [
            (&[][..], "1", "empty"),
            (&[0; MAX_WRAPPED + 1], "1", "more than 16384 bytes"),
            (&in_clear, "1", "in clear"),
            (&[1], &too_long, "printable"),
            (&[1], "a\nb", "printable"),
            (&[1], "ä", "printable"),
        ] {
            let error = check(bytes, key_version).unwrap_err();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }
}
