//! `vault-transit:https://HOST:PORT/MOUNT/KEY`: a master key that never leaves the transit engine
//! of HashiCorp Vault or OpenBao. The keystore's UUID is bound to what it wraps.
//!
//! Source: API of the transit secrets engine (`MOUNT/encrypt/KEY`, `MOUNT/decrypt/KEY`,
//! `MOUNT/keys/KEY/rotate`), and what OpenBao 2.7.2 answers.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use once_cell::sync::OnceCell;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::MasterKeyError;
use super::options::ProviderOptions;
use super::{MasterKey, Wrapped};
use crate::durable::LoosePermissions;
use crate::net::{Deadline, Url};
use crate::secret::{KeystoreKey, SecretBytes};
use crate::service::body::{SecretBase64, with_secret};
use crate::service::vault::{Answer, Refusal, VaultAccess, VaultClient, VaultConfig, VaultError};

pub(crate) struct VaultTransit {
    config: VaultConfig,
    /// Where the engine is mounted: `transit`.
    mount: String,
    key: String,
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

/// The key of this URL: `https://HOST:PORT/MOUNT/KEY`, where a `v1/` may stand before the mount;
/// asks nobody yet.
pub(super) fn open(text: &str, options: &ProviderOptions) -> Result<Box<dyn MasterKey>, String> {
    let address = Url::parse(text).map_err(|error| error.to_string())?;
    let path = address.path().trim_matches('/');
    let path = path.strip_prefix("v1/").unwrap_or(path);
    let parts = path
        .rsplit_once('/')
        .filter(|(mount, key)| !mount.is_empty() && !key.is_empty());
    let Some((mount, key)) = parts.filter(|_| address.query().is_none()) else {
        return Err("it must end with the transit engine's mount and a key's name, as in https://HOST:PORT/transit/KEY"
            .into());
    };
    let mut access = match &options.vault {
        Some(access) => VaultAccess::clone(access),
        None => VaultAccess::from_environment(|name| options.variable(name), options.request_timeout),
    };
    access.timeout = options.request_timeout;
    Ok(Box::new(VaultTransit {
        mount: mount.to_owned(),
        key: key.to_owned(),
        config: VaultConfig { address, access },
        client: OnceCell::new(),
    }))
}

/// Whether TLS protects the way to the Vault of `https://HOST:PORT/MOUNT/KEY`, and its host.
pub(super) fn service(text: &str) -> Option<(bool, String)> {
    let url = Url::parse(text).ok()?;
    Some((url.is_https(), url.authority().to_owned()))
}

impl VaultTransit {
    /// Posts to `MOUNT/VERB/KEY` what may be posted twice.
    fn compute(&self, verb: &str, body: &SecretBytes) -> Result<Answer, VaultError> {
        let path = format!("{}/{verb}/{}", self.mount, self.key);
        self.client()?.compute(&path, body, self.deadline())
    }

    /// The certificates are read at the first call.
    fn client(&self) -> Result<&VaultClient, VaultError> {
        self.client
            .get_or_try_init(|| VaultClient::new(self.config.clone()))
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.config.access.timeout)
    }

    fn failed(&self, operation: &'static str) -> impl FnOnce(VaultError) -> MasterKeyError {
        move |error| match error.refusal() {
            Some(Refusal::Other(400, "")) if operation == "unwrap" => {
                MasterKeyError::wrong_key(self, "Vault does not decrypt it with this key")
            }
            Some(Refusal::Other(400, reason)) if operation == "unwrap" => {
                MasterKeyError::wrong_key(self, reason)
            }
            _ => MasterKeyError::of_service(self, operation, error),
        }
    }
}

impl MasterKey for VaultTransit {
    fn describe(&self) -> String {
        let host = self.config.address.authority();
        format!("Vault transit key {}/{} at {host}", self.mount, self.key)
    }

    fn loose_files(&self) -> Vec<LoosePermissions> {
        self.config.access.loose_files()
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        let start = format!("{}\"plaintext\":\"", start_of(keystore));
        let answer = self.compute("encrypt", &with_secret(&start, key.expose(), "\"}"));
        let Encrypted { ciphertext } = answer
            .and_then(|answer| answer.data())
            .map_err(self.failed("wrap"))?;
        let Some(version) = version_of(&ciphertext).map(str::to_owned) else {
            let reason = "its ciphertext is not one of transit";
            return Err(MasterKeyError::bad_answer(self, "wrap", reason));
        };
        Wrapped::new(self, ciphertext.into_bytes(), version, key)
    }

    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError> {
        let text = std::str::from_utf8(&wrapped.bytes).ok();
        let Some((ciphertext, version)) = text.and_then(|text| Some((text, version_of(text)?))) else {
            let reason = "what is to be unwrapped is no ciphertext of transit";
            return Err(MasterKeyError::wrong_key(self, reason));
        };
        if version != wrapped.key_version {
            let reason = format!(
                "version {} is said to have wrapped it, but version {version} did",
                wrapped.key_version.escape_debug()
            );
            return Err(MasterKeyError::wrong_key(self, reason));
        }
        let ciphertext = serde_json::Value::from(ciphertext);
        let body = format!("{}\"ciphertext\":{ciphertext}}}", start_of(keystore));
        let answer = self.compute("decrypt", &SecretBytes::new(body.into_bytes()));
        let Decrypted { plaintext } = answer
            .and_then(|answer| answer.data())
            .map_err(self.failed("unwrap"))?;
        KeystoreKey::new(plaintext.0.expose())
            .ok_or_else(|| MasterKeyError::wrong_key(self, "what comes out is no keystore key"))
    }

    fn rotate(&self) -> Result<(), MasterKeyError> {
        let path = format!("{}/keys/{}/rotate", self.mount, self.key);
        let empty = SecretBytes::new(b"{}".to_vec());
        let answer = self
            .client()
            .and_then(|client| client.write(&path, &empty, self.deadline()));
        match answer {
            Ok(answer) if answer.is_empty() => Ok(()),
            // Newer ones tell of the key. What else answers with status 200 has made no version.
            other => other
                .and_then(|answer| answer.data::<IgnoredAny>().map(drop))
                .map_err(self.failed("rotate")),
        }
    }
}

/// The start of a request. A key that derives others takes `context`; one that does not ignores it.
fn start_of(context: &str) -> String {
    let bound = BASE64_STANDARD.encode(context);
    format!("{{\"associated_data\":\"{bound}\",\"context\":\"{bound}\",")
}

/// The version in `vault:v3:BASE64`; `None` if it is no such text. Vault reads base64 more loosely.
fn version_of(ciphertext: &str) -> Option<&str> {
    let (version, sealed) = ciphertext.strip_prefix("vault:v")?.split_once(':')?;
    let is_number = version
        .parse()
        .is_ok_and(|number: u32| number > 0 && number.to_string() == version);
    let is_base64 = sealed
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
    (is_number && is_base64 && !sealed.is_empty()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_out_of_a_ciphertext_and_out_of_nothing_else() {
        assert_eq!(version_of("vault:v1:YWJj+/=="), Some("1"));
        assert_eq!(version_of("vault:v120:YWJj"), Some("120"));
        for wrong in [
            "",
            "vault:v1",
            "vault:v1:",
            "vault:v0:YWJj",
            "vault:v01:YWJj",
            "vault:v-1:YWJj",
            "Vault:v1:YWJj",
        ] {
            assert_eq!(version_of(wrong), None, "{wrong}");
        }
        for wrong in [
            "vault:v1:YW\nJj",
            "vault:v1:YW Jj",
            "vault:v1:YW:Jj",
            "vault:v99999999999:YWJj",
        ] {
            assert_eq!(version_of(wrong), None, "{wrong}");
        }
    }
}
