//! `vault-transit:https://HOST:PORT/MOUNT/KEY`: a master key that never leaves the transit engine of HashiCorp Vault or
//! OpenBao. The keystore's UUID is bound to what it wraps. Tested against OpenBao.

mod client;
mod config;

pub use config::{VaultTransitConfig, service};

use self::client::TransitClient;
use super::{MasterKey, MasterKeyError, Wrapped};
use crate::durable::LoosePermissions;
use crate::secret::KeystoreKey;

/// The most bytes of a ciphertext; a wrapped keystore key has some 90.
const MAX_CIPHERTEXT: usize = 8 * 1024;

/// A master key in Vault transit.
#[derive(Debug)]
pub struct VaultTransit {
    client: TransitClient,
}

impl VaultTransit {
    /// The key that the settings name; asks nobody yet.
    pub fn new(config: VaultTransitConfig) -> VaultTransit {
        VaultTransit {
            client: TransitClient::new(config),
        }
    }
}

impl MasterKey for VaultTransit {
    fn describe(&self) -> String {
        self.client.describe()
    }

    fn loose_files(&self) -> Vec<LoosePermissions> {
        self.client.loose_files()
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        let ciphertext = self.client.encrypt(key.expose(), keystore)?;
        match version_of(&ciphertext) {
            Some(version) => Ok(Wrapped {
                key_version: version.into(),
                bytes: ciphertext.into_bytes(),
            }),
            None => Err(self
                .client
                .bad_answer("wrap", "its ciphertext is not one of transit")),
        }
    }

    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError> {
        let text = std::str::from_utf8(&wrapped.bytes).ok();
        let Some((ciphertext, version)) = text.and_then(|text| Some((text, version_of(text)?))) else {
            return Err(self
                .client
                .wrong_key("what is to be unwrapped is no ciphertext of transit"));
        };
        if version != wrapped.key_version {
            return Err(self.client.wrong_key(&format!(
                "version {} is said to have wrapped it, but version {version} did",
                wrapped.key_version.escape_debug()
            )));
        }
        let plain = self.client.decrypt(ciphertext, keystore)?;
        KeystoreKey::new(plain.expose())
            .ok_or_else(|| self.client.wrong_key("what comes out is no keystore key"))
    }

    fn rotate(&self) -> Result<(), MasterKeyError> {
        self.client.rotate()
    }
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
    (is_number && is_base64 && !sealed.is_empty() && ciphertext.len() <= MAX_CIPHERTEXT).then_some(version)
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
