//! Which key of which transit engine.

use crate::master_key::options::ProviderOptions;
use crate::net::Url;
use crate::service::vault::{VaultAccess, VaultConfig};

/// The settings of a master key in Vault transit.
#[derive(Clone, Debug)]
pub struct VaultTransitConfig {
    /// Which Vault, and who we are there; its timeout is that of one call with all its retries.
    pub vault: VaultConfig,
    /// Where the engine is mounted: `transit`.
    pub mount: String,
    /// The key's name.
    pub key: String,
}

impl VaultTransitConfig {
    /// Takes `https://HOST:PORT/MOUNT/KEY` apart; a `v1/` before the mount may stand there or not.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str, options: &ProviderOptions) -> Result<VaultTransitConfig, String> {
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
        Ok(VaultTransitConfig {
            mount: mount.to_owned(),
            key: key.to_owned(),
            vault: VaultConfig { address, access },
        })
    }
}

/// The Vault that `https://HOST:PORT/MOUNT/KEY` is at: whether TLS protects the way there, and its host.
pub fn service(text: &str) -> Option<(bool, String)> {
    let url = Url::parse(text).ok()?;
    Some((url.is_https(), url.authority().to_owned()))
}
