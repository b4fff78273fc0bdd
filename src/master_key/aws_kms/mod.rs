//! `aws-kms:KEY`: a master key in AWS Key Management Service, named by its id, an alias or an ARN. docs/aws-kms.md is for
//! those who set it up.
//!
//! The keystore key goes to KMS to be encrypted, and its ciphertext to be decrypted; the KMS key never leaves AWS. An
//! encryption context binds each ciphertext to one keystore.

use super::{MAX_WRAPPED, MasterKey, MasterKeyError, Wrapped};
use crate::durable::LoosePermissions;
use crate::net::NetError;
use crate::notify::Notify;
use crate::secret::{KEYSTORE_KEY_LENGTH, KeystoreKey};
use crate::service::aws::{Arn, AwsError, AwsKmsConfig, Class, Kms};

/// The name in the encryption context whose value is the keystore's UUID.
const CONTEXT_KEYSTORE: &str = "keyroll:keystore";

/// The most characters of the name of a master key's version.
const KEY_VERSION_LIMIT: usize = 512;

/// A master key in AWS KMS.
pub struct AwsKms {
    kms: Kms,
}

impl AwsKms {
    /// The KMS key that the settings name; reads and asks nothing yet.
    pub fn new(config: AwsKmsConfig, notify: Notify) -> AwsKms {
        AwsKms {
            kms: Kms::new(config, notify),
        }
    }

    fn failed(&self, operation: &'static str, error: AwsError) -> MasterKeyError {
        let provider = self.describe();
        let reason = error.to_string();
        match error {
            AwsError::Answered(answered) if answered.class() == Class::WrongKey => {
                MasterKeyError::WrongKey { provider, reason }
            }
            AwsError::Net(NetError::Cancelled { .. }) => MasterKeyError::Cancelled { provider },
            AwsError::Net(NetError::TimedOut { waited, .. }) => MasterKeyError::Timeout { provider, waited },
            AwsError::Net(NetError::Unreachable { .. } | NetError::CutOff { .. }) => {
                MasterKeyError::Unreachable { provider, reason }
            }
            source => MasterKeyError::AwsKms {
                provider,
                operation,
                source: Box::new(source),
            },
        }
    }

    fn wrong_key(&self, reason: String) -> MasterKeyError {
        MasterKeyError::WrongKey {
            provider: self.describe(),
            reason,
        }
    }

    fn bad_answer(&self, operation: &'static str, reason: &str) -> MasterKeyError {
        MasterKeyError::BadAnswer {
            provider: self.describe(),
            operation,
            reason: reason.into(),
        }
    }

    /// The key to name to KMS for what the key of this ARN has encrypted.
    ///
    /// A key that is named by its id must be that key. An alias may have pointed to another one when it wrapped: that one is
    /// named, in the region that is asked.
    fn decrypting_key(&self, wrapped_by: &str) -> Result<String, MasterKeyError> {
        let key = &self.kms.config.key;
        let of_key = Arn::parse(wrapped_by).and_then(|arn| Some((arn, arn.key_id()?)));
        let Some((arn, id)) = of_key else {
            return Err(self.wrong_key(format!(
                "the keystore was wrapped with version {}, which is no ARN of a KMS key",
                wrapped_by.escape_debug()
            )));
        };
        match key.id() {
            Some(named) if named == id => Ok(key.text.clone()),
            Some(_) => Err(self.wrong_key(format!("{wrapped_by} wrapped the keystore"))),
            None => {
                let session = self.kms.session().map_err(|error| self.failed("unwrap", error))?;
                Ok(arn.in_region(&session.region))
            }
        }
    }
}

impl MasterKey for AwsKms {
    fn describe(&self) -> String {
        format!("AWS KMS key {}", self.kms.config.key.text)
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        let encrypted = self
            .kms
            .encrypt(key.expose(), &[(CONTEXT_KEYSTORE, keystore)])
            .map_err(|error| self.failed("wrap", error))?;
        let is_arn = Arn::parse(&encrypted.key).is_some_and(|arn| arn.key_id().is_some());
        if !is_arn || encrypted.key.len() > KEY_VERSION_LIMIT {
            return Err(self.bad_answer("wrap", "its KeyId is no ARN of a KMS key"));
        }
        // What ends in the keystore must not be the key in clear, whoever answers at the endpoint.
        let in_clear = encrypted
            .ciphertext
            .windows(KEYSTORE_KEY_LENGTH)
            .any(|window| window == key.expose());
        if in_clear || !(KEYSTORE_KEY_LENGTH..=MAX_WRAPPED).contains(&encrypted.ciphertext.len()) {
            return Err(self.bad_answer("wrap", "its CiphertextBlob is no ciphertext of a key"));
        }
        Ok(Wrapped {
            bytes: encrypted.ciphertext,
            key_version: encrypted.key,
        })
    }

    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError> {
        let key = self.decrypting_key(&wrapped.key_version)?;
        if wrapped.bytes.is_empty() {
            return Err(self.wrong_key("there is no ciphertext".into()));
        }
        let plaintext = self
            .kms
            .decrypt(&wrapped.bytes, Some(&key), &[(CONTEXT_KEYSTORE, keystore)])
            .map_err(|error| self.failed("unwrap", error))?;
        KeystoreKey::new(plaintext.expose())
            .ok_or_else(|| self.bad_answer("unwrap", "its Plaintext has not the length of a keystore's key"))
    }

    /// KMS makes the new versions: by its own rotation of a key, or by an alias that someone has pointed to another key. Each
    /// [`wrap`](MasterKey::wrap) has KMS resolve the alias and take the newest of the key's own versions, so that nothing is
    /// left to be done here.
    fn rotate(&self) -> Result<(), MasterKeyError> {
        Ok(())
    }

    /// The file with access keys. Tokens that Kubernetes puts into a pod have the modes that Kubernetes gives them.
    fn loose_files(&self) -> Vec<LoosePermissions> {
        self.kms.loose_files()
    }
}
