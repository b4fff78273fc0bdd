//! `vault-transit:https://HOST:PORT/MOUNT/KEY`: a master key that never leaves the transit engine
//! of HashiCorp Vault or OpenBao. The keystore's UUID is bound to what it wraps. Tested against
//! OpenBao.

use super::error::MasterKeyError;
use super::options::ProviderOptions;
use super::{MasterKey, Wrapped};
use crate::durable::LoosePermissions;
use crate::net::Url;
use crate::secret::KeystoreKey;
use crate::service::vault::{TransitKey, VaultAccess, VaultConfig};

/// A master key in Vault transit.
#[derive(Debug)]
pub(crate) struct VaultTransit {
    key: TransitKey,
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
    let (mount, key) = (mount.to_owned(), key.to_owned());
    let key = TransitKey::new(VaultConfig { address, access }, mount, key);
    Ok(Box::new(VaultTransit { key }))
}

/// The Vault that `https://HOST:PORT/MOUNT/KEY` is at: whether TLS protects the way there, and its
/// host.
pub(super) fn service(text: &str) -> Option<(bool, String)> {
    let url = Url::parse(text).ok()?;
    Some((url.is_https(), url.authority().to_owned()))
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
