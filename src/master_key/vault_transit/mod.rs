//! `vault-transit:https://HOST:PORT/MOUNT/KEY`: a master key that never leaves the transit engine of HashiCorp Vault or
//! OpenBao. The keystore's UUID is bound to what it wraps. Tested against OpenBao.

mod config;

pub use config::{VaultTransitConfig, service};

use super::error::MasterKeyError;
use super::options::ProviderOptions;
use super::{MasterKey, Wrapped};
use crate::durable::LoosePermissions;
use crate::secret::KeystoreKey;
use crate::service::vault::TransitKey;

/// A master key in Vault transit.
#[derive(Debug)]
pub struct VaultTransit {
    key: TransitKey,
}

/// The key of this URL; asks nobody yet.
pub(super) fn open(url: &str, options: &ProviderOptions) -> Result<Box<dyn MasterKey>, String> {
    let VaultTransitConfig { vault, mount, key } = VaultTransitConfig::new(url, options)?;
    let key = TransitKey::new(vault, mount, key);
    Ok(Box::new(VaultTransit { key }))
}

impl MasterKey for VaultTransit {
    fn describe(&self) -> String {
        self.key.describe()
    }

    fn loose_files(&self) -> Vec<LoosePermissions> {
        self.key.config().access.loose_files()
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        let ciphertext = self
            .key
            .encrypt(key.expose(), keystore)
            .map_err(|error| MasterKeyError::of_service(self, "wrap", error))?;
        let Some(version) = version_of(&ciphertext).map(str::to_owned) else {
            return Err(MasterKeyError::bad_answer(
                self,
                "wrap",
                "its ciphertext is not one of transit",
            ));
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
        let plain = self
            .key
            .decrypt(ciphertext, keystore)
            .map_err(|error| MasterKeyError::of_service(self, "unwrap", error))?;
        KeystoreKey::new(plain.expose())
            .ok_or_else(|| MasterKeyError::wrong_key(self, "what comes out is no keystore key"))
    }

    fn rotate(&self) -> Result<(), MasterKeyError> {
        self.key
            .rotate()
            .map_err(|error| MasterKeyError::of_service(self, "rotate", error))
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
