//! `aws-kms:KEY`: a master key in AWS Key Management Service, named by its id, an alias or an ARN.
//! docs/aws-kms.md is for those who set it up.
//!
//! The keystore key goes to KMS to be encrypted, and its ciphertext to be decrypted; the KMS key
//! never leaves AWS. An encryption context binds each ciphertext to one keystore.

use super::options::ProviderOptions;
use super::{MasterKey, MasterKeyError, Wrapped};
use crate::durable::LoosePermissions;
use crate::secret::KeystoreKey;
use crate::service::aws::{Arn, AwsError, Kms};

/// The name in the encryption context whose value is the keystore's UUID.
const CONTEXT_KEYSTORE: &str = "keyroll:keystore";

pub(crate) struct AwsKms(Kms);

/// The KMS key of this id, alias or ARN; reads and asks nothing yet.
pub(super) fn open(key: &str, options: &ProviderOptions) -> Result<Box<dyn MasterKey>, String> {
    let (environment, timeout) = (&options.environment, options.request_timeout);
    let kms = Kms::new(key, environment, timeout, options.notify.clone())?;
    Ok(Box::new(AwsKms(kms)))
}

impl AwsKms {
    fn failed(&self, operation: &'static str) -> impl FnOnce(AwsError) -> MasterKeyError {
        move |error| MasterKeyError::of_service(self, operation, error)
    }

    /// The key to name to KMS for what the key of this ARN has encrypted.
    ///
    /// A key that is named by its id must be that key. An alias may have pointed to another one
    /// when it wrapped: that one is named, in the region that is asked.
    fn decrypting_key(&self, wrapped_by: &str) -> Result<String, MasterKeyError> {
        let key = &self.0.key;
        let of_key = Arn::parse(wrapped_by).and_then(|arn| Some((arn, arn.key_id()?)));
        let Some((arn, id)) = of_key else {
            let reason = format!(
                "the keystore was wrapped with version {}, which is no ARN of a KMS key",
                wrapped_by.escape_debug()
            );
            return Err(MasterKeyError::wrong_key(self, reason));
        };
        match key.id() {
            Some(named) if named == id => Ok(key.text.clone()),
            Some(_) => {
                let reason = format!("{wrapped_by} wrapped the keystore");
                Err(MasterKeyError::wrong_key(self, reason))
            }
            None => {
                let region = self.0.region().map_err(self.failed("unwrap"))?;
                Ok(arn.in_region(&region))
            }
        }
    }
}

impl MasterKey for AwsKms {
    fn describe(&self) -> String {
        format!("AWS KMS key {}", self.0.key.text)
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        let encrypted = self
            .0
            .encrypt(key.expose(), &[(CONTEXT_KEYSTORE, keystore)])
            .map_err(self.failed("wrap"))?;
        if Arn::parse(&encrypted.key).is_none_or(|arn| arn.key_id().is_none()) {
            let reason = "its KeyId is no ARN of a KMS key";
            return Err(MasterKeyError::bad_answer(self, "wrap", reason));
        }
        Wrapped::new(self, encrypted.ciphertext, encrypted.key, key)
    }

    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError> {
        let key = self.decrypting_key(&wrapped.key_version)?;
        if wrapped.bytes.is_empty() {
            return Err(MasterKeyError::wrong_key(self, "there is no ciphertext"));
        }
        let plaintext = self
            .0
            .decrypt(&wrapped.bytes, Some(&key), &[(CONTEXT_KEYSTORE, keystore)])
            .map_err(self.failed("unwrap"))?;
        KeystoreKey::new(plaintext.expose()).ok_or_else(|| {
            let reason = "its Plaintext has not the length of a keystore's key";
            MasterKeyError::bad_answer(self, "unwrap", reason)
        })
    }

    /// KMS makes the new versions: by its own rotation of a key, or by an alias that someone has
    /// pointed to another key. Each [`wrap`](MasterKey::wrap) has KMS resolve the alias and take
    /// the newest of the key's own versions, so that nothing is left to be done here.
    fn rotate(&self) -> Result<(), MasterKeyError> {
        Ok(())
    }

    /// The file with access keys. Tokens that Kubernetes puts into a pod have the modes that
    /// Kubernetes gives them.
    fn loose_files(&self) -> Vec<LoosePermissions> {
        self.0.loose_files()
    }
}
