//! Requests to the transit engine, and what its answers mean for a master key.
//!
//! Source: API of the transit secrets engine (`MOUNT/encrypt/KEY`, `MOUNT/decrypt/KEY`, `MOUNT/keys/KEY/rotate`), and
//! what OpenBao 2.7.2 answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use once_cell::sync::OnceCell;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::super::MasterKeyError;
use super::VaultTransitConfig;
use crate::durable::LoosePermissions;
use crate::net::{Deadline, NetError};
use crate::secret::SecretBytes;
use crate::service::vault::{SecretText, VaultClient, VaultError};

/// One key of one engine.
#[derive(Debug)]
pub(super) struct TransitClient {
    config: VaultTransitConfig,
    vault: OnceCell<VaultClient>,
}

/// What is sent. A key that derives others takes `context`; one that does not ignores it.
#[derive(Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext: Option<&'a str>,
    associated_data: &'a str,
    context: &'a str,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: SecretText,
}

impl TransitClient {
    pub(super) fn new(config: VaultTransitConfig) -> TransitClient {
        TransitClient {
            config,
            vault: OnceCell::new(),
        }
    }

    /// The key, for people.
    pub(super) fn describe(&self) -> String {
        let VaultTransitConfig { vault, mount, key } = &self.config;
        format!("Vault transit key {mount}/{key} at {}", vault.address.authority())
    }

    /// Files to log in with that others may read or change.
    pub(super) fn loose_files(&self) -> Vec<LoosePermissions> {
        self.config.vault.access.loose_files()
    }

    /// The ciphertext of some bytes, as Vault writes it.
    pub(super) fn encrypt(&self, plain: &[u8], keystore: &str) -> Result<String, MasterKeyError> {
        let digits = SecretText::new(STANDARD.encode(plain));
        let answer: Encrypted = self.call("wrap", "encrypt", Some(&digits), None, keystore)?;
        Ok(answer.ciphertext)
    }

    /// The bytes of a ciphertext.
    pub(super) fn decrypt(&self, ciphertext: &str, keystore: &str) -> Result<SecretBytes, MasterKeyError> {
        let answer: Decrypted = self.call("unwrap", "decrypt", None, Some(ciphertext), keystore)?;
        let mut plain = SecretBytes::new(vec![0; answer.plaintext.len() / 4 * 3 + 3]);
        let length = STANDARD
            .decode_slice(answer.plaintext.as_bytes(), plain.expose_mut())
            .map_err(|_| self.bad_answer("unwrap", "its plaintext is not base64"))?;
        plain.expose_mut().truncate(length);
        Ok(plain)
    }

    /// Makes a new version of the key.
    pub(super) fn rotate(&self) -> Result<(), MasterKeyError> {
        let path = format!("{}/keys/{}/rotate", self.config.mount, self.config.key);
        let empty = SecretBytes::new(b"{}".to_vec());
        let deadline = Deadline::after(self.config.vault.access.timeout);
        self.vault()
            .and_then(|vault| vault.write(&path, &empty, deadline))
            .and_then(|answer| match answer.is_empty() {
                true => Ok(()),
                // Newer ones tell of the key. Whatever else answers with status 200 has made no version.
                false => answer.data::<IgnoredAny>().map(drop),
            })
            .map_err(|error| self.failed("rotate", error))
    }

    /// An answer that cannot be used.
    pub(super) fn bad_answer(&self, operation: &'static str, reason: &str) -> MasterKeyError {
        MasterKeyError::BadAnswer {
            provider: self.describe(),
            operation,
            reason: reason.into(),
        }
    }

    /// A wrapped key that this master key does not open.
    pub(super) fn wrong_key(&self, reason: &str) -> MasterKeyError {
        MasterKeyError::WrongKey {
            provider: self.describe(),
            reason: reason.into(),
        }
    }

    fn call<T: serde::de::DeserializeOwned>(
        &self,
        operation: &'static str,
        verb: &str,
        plaintext: Option<&str>,
        ciphertext: Option<&str>,
        keystore: &str,
    ) -> Result<T, MasterKeyError> {
        let bound = STANDARD.encode(keystore);
        let call = Call {
            plaintext,
            ciphertext,
            associated_data: &bound,
            context: &bound,
        };
        let length = plaintext.or(ciphertext).map_or(0, str::len) + 2 * bound.len() + 200;
        let mut body = SecretBytes::with_capacity(length);
        // Base64 cannot fail to serialise.
        let _ = serde_json::to_writer(body.expose_mut(), &call);
        let path = format!("{}/{verb}/{}", self.config.mount, self.config.key);
        let deadline = Deadline::after(self.config.vault.access.timeout);
        self.vault()
            .and_then(|vault| vault.compute(&path, &body, deadline))
            .and_then(|answer| answer.data())
            .map_err(|error| self.failed(operation, error))
    }

    /// The certificates are read at the first call.
    fn vault(&self) -> Result<&VaultClient, VaultError> {
        self.vault
            .get_or_try_init(|| VaultClient::new(self.config.vault.clone()))
    }

    fn failed(&self, operation: &'static str, error: VaultError) -> MasterKeyError {
        let provider = self.describe();
        match error {
            VaultError::Refused {
                status: 400, reason, ..
            } if operation == "unwrap" => MasterKeyError::WrongKey {
                provider,
                reason: match reason {
                    "" => "Vault does not decrypt it with this key".into(),
                    reason => reason.into(),
                },
            },
            VaultError::Net(NetError::Cancelled { .. }) => MasterKeyError::Cancelled { provider },
            VaultError::Net(NetError::TimedOut { waited, .. }) => {
                MasterKeyError::Timeout { provider, waited }
            }
            error if error.is_away() => MasterKeyError::Unreachable {
                provider,
                reason: error.to_string(),
            },
            source => MasterKeyError::Vault {
                provider,
                operation,
                source: Box::new(source),
            },
        }
    }
}
