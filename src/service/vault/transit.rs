//! A key of the transit engine: it encrypts and decrypts, and never leaves Vault.
//!
//! Source: API of the transit secrets engine (`MOUNT/encrypt/KEY`, `MOUNT/decrypt/KEY`,
//! `MOUNT/keys/KEY/rotate`), and what OpenBao 2.7.2 answers.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use once_cell::sync::OnceCell;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Refusal, VaultClient, VaultConfig, VaultError};
use crate::net::Deadline;
use crate::secret::SecretBytes;
use crate::service::body::{SecretBase64, with_secret};

/// One key of one engine.
#[derive(Debug)]
pub struct TransitKey {
    config: VaultConfig,
    /// Where the engine is mounted: `transit`.
    mount: String,
    name: String,
    client: OnceCell<VaultClient>,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: SecretBase64,
}

impl TransitKey {
    /// The key of this name; reads and asks nothing yet.
    pub fn new(config: VaultConfig, mount: String, name: String) -> TransitKey {
        TransitKey {
            config,
            mount,
            name,
            client: OnceCell::new(),
        }
    }

    /// The key, for people.
    pub fn describe(&self) -> String {
        let host = self.config.address.authority();
        format!("Vault transit key {}/{} at {host}", self.mount, self.name)
    }

    /// How Vault is asked.
    pub fn config(&self) -> &VaultConfig {
        &self.config
    }

    /// The ciphertext of some bytes, as Vault writes it: `vault:v3:BASE64`. Only `context` opens it
    /// again.
    pub fn encrypt(&self, plain: &[u8], context: &str) -> Result<String, VaultError> {
        let body = with_secret(&format!("{}\"plaintext\":\"", start_of(context)), plain, "\"}");
        let answer = self
            .client()?
            .compute(&self.path("encrypt"), &body, self.deadline())?;
        Ok(answer.data::<Encrypted>()?.ciphertext)
    }

    /// The bytes of a ciphertext, which is one of [`encrypt`](Self::encrypt)'s form.
    ///
    /// # Errors
    /// [`VaultError::NotDecrypted`] where this key or this context does not open it.
    pub fn decrypt(&self, ciphertext: &str, context: &str) -> Result<SecretBytes, VaultError> {
        let ciphertext = serde_json::Value::from(ciphertext);
        let body = format!("{}\"ciphertext\":{ciphertext}}}", start_of(context));
        let body = SecretBytes::new(body.into_bytes());
        match self
            .client()?
            .compute(&self.path("decrypt"), &body, self.deadline())
        {
            Ok(answer) => Ok(answer.data::<Decrypted>()?.plaintext.0),
            Err(error) => Err(match error.refusal() {
                Some(Refusal::Other(400, "")) => VaultError::NotDecrypted {
                    reason: "Vault does not decrypt it with this key",
                },
                Some(Refusal::Other(400, reason)) => VaultError::NotDecrypted { reason },
                _ => error,
            }),
        }
    }

    /// Makes a new version of the key.
    pub fn rotate(&self) -> Result<(), VaultError> {
        let path = format!("{}/keys/{}/rotate", self.mount, self.name);
        let empty = SecretBytes::new(b"{}".to_vec());
        let answer = self.client()?.write(&path, &empty, self.deadline())?;
        match answer.is_empty() {
            true => Ok(()),
            // Newer ones tell of the key. Whatever else answers with status 200 has made no
            // version.
            false => answer.data::<IgnoredAny>().map(drop),
        }
    }

    fn path(&self, verb: &str) -> String {
        format!("{}/{verb}/{}", self.mount, self.name)
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.config.access.timeout)
    }

    /// The certificates are read at the first call.
    fn client(&self) -> Result<&VaultClient, VaultError> {
        self.client
            .get_or_try_init(|| VaultClient::new(self.config.clone()))
    }
}

/// The start of a request. A key that derives others takes `context`; one that does not ignores it.
fn start_of(context: &str) -> String {
    let bound = BASE64_STANDARD.encode(context);
    format!("{{\"associated_data\":\"{bound}\",\"context\":\"{bound}\",")
}
