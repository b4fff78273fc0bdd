//! The settings for Vault: those of hashicorp_key_management under their names, and ours for other logins than a token.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use super::PluginError;
use super::settings::HIDDEN;
use crate::net::{ClientCertificate, PlainHttp, TlsOptions};
use crate::secret::SecretBytes;
use crate::service::vault::config::KUBERNETES_TOKEN;
use crate::service::vault::{Login, SecretSource, VaultAccess, VaultConfig};
use crate::store::vault_kv::{VaultKvConfig, parse_url};
use crate::store::{RefreshPolicy, StoreConfig, StoreError};

/// The environment variable that stands in for an empty or hidden `keyroll_token`, as for Vault's own command.
pub const TOKEN_VARIABLE: &str = "VAULT_TOKEN";

/// The environment variable that stands in for an empty or hidden `keyroll_vault_secret`.
pub const SECRET_VARIABLE: &str = "KEYROLL_VAULT_SECRET";

/// What a timeout of 0 means: the time that the peer's library gives a connection.
const TIMEOUT_OF_ZERO: Duration = Duration::from_secs(300);

/// The values of those variables for Vault KV that count anew from any SET GLOBAL on, as the server hands them over.
#[derive(Clone, Copy, Debug, Default)]
pub struct RefreshSettings {
    /// `keyroll_timeout` in seconds.
    pub timeout: u32,
    /// `keyroll_max_retries`.
    pub max_retries: u32,
    /// `keyroll_caching_enabled`.
    pub caching_enabled: bool,
    /// `keyroll_cache_timeout` in milliseconds.
    pub cache_timeout: i64,
    /// `keyroll_cache_version_timeout` in milliseconds.
    pub cache_version_timeout: i64,
}

impl RefreshSettings {
    /// What they come to.
    pub fn policy(&self) -> RefreshPolicy {
        let milliseconds = |value: i64| Duration::from_millis(value.max(0).unsigned_abs());
        RefreshPolicy {
            // Without caching the peer asks for every page; here no secret is looked at more than once a second.
            version_interval: match self.caching_enabled {
                true => milliseconds(self.cache_version_timeout),
                false => Duration::ZERO,
            },
            key_interval: milliseconds(self.cache_timeout),
            timeout: match self.timeout {
                0 => TIMEOUT_OF_ZERO,
                seconds => Duration::from_secs(seconds.into()),
            },
            max_retries: self.max_retries,
        }
    }
}

/// The values of the variables for Vault, as the server hands them over.
#[derive(Debug, Default)]
pub struct VaultSettings {
    /// `keyroll_vault_url`.
    pub url: Vec<u8>,
    /// `keyroll_token`.
    pub token: SecretBytes,
    /// The value of [`TOKEN_VARIABLE`] in the environment.
    pub token_of_environment: SecretBytes,
    /// `keyroll_vault_ca`.
    pub ca: Vec<u8>,
    /// Those that count anew from any SET GLOBAL on.
    pub refresh: RefreshSettings,
    /// `keyroll_check_kv_version`.
    pub check_kv_version: bool,
    /// `keyroll_vault_namespace`.
    pub namespace: Vec<u8>,
    /// `keyroll_vault_login` as an index into [`LOGINS`].
    pub login: usize,
    /// `keyroll_vault_login_mount`.
    pub login_mount: Vec<u8>,
    /// `keyroll_vault_role`.
    pub role: Vec<u8>,
    /// `keyroll_vault_secret`.
    pub secret: SecretBytes,
    /// The value of [`SECRET_VARIABLE`] in the environment.
    pub secret_of_environment: SecretBytes,
    /// `keyroll_vault_client_cert`.
    pub client_cert: Vec<u8>,
    /// `keyroll_vault_client_key`.
    pub client_key: Vec<u8>,
    /// `keyroll_vault_allow_http`.
    pub allow_http: bool,
}

/// The names of `keyroll_vault_login`, each also the usual mount of its method.
pub const LOGINS: [&str; 5] = ["token", "approle", "kubernetes", "jwt", "cert"];

impl VaultSettings {
    /// The store that `keyroll_vault_url` names.
    ///
    /// # Errors
    /// A URL that is none, and a login that lacks a setting.
    pub fn store(self, strict_permissions: bool) -> Result<StoreConfig, PluginError> {
        let (address, path) = parse_url(&text(&self.url)).map_err(StoreError::from)?;
        let policy = self.refresh.policy();
        Ok(StoreConfig::VaultKv(Box::new(VaultKvConfig {
            path,
            check_kv_version: self.check_kv_version,
            version_interval: policy.version_interval,
            key_interval: policy.key_interval,
            strict_permissions,
            vault: VaultConfig {
                address,
                access: self.access()?,
            },
        })))
    }

    /// How Vault is asked, for the store and for transit.
    ///
    /// # Errors
    /// A login that lacks a setting.
    pub fn access(&self) -> Result<VaultAccess, PluginError> {
        let policy = self.refresh.policy();
        let path =
            |bytes: &[u8]| (!bytes.is_empty()).then(|| PathBuf::from(OsString::from_vec(bytes.to_vec())));
        let client_certificate = path(&self.client_cert)
            .zip(path(&self.client_key))
            .map(|(certificate, key)| ClientCertificate { certificate, key });
        Ok(VaultAccess {
            namespace: text(&self.namespace),
            login: self.login(client_certificate.is_some())?,
            tls: TlsOptions {
                ca: path(&self.ca),
                client_certificate,
            },
            plain_http: match self.allow_http {
                true => PlainHttp::Anywhere,
                false => PlainHttp::ToLoopback,
            },
            timeout: policy.timeout,
            max_retries: policy.max_retries,
        })
    }

    fn login(&self, has_certificate: bool) -> Result<Option<Login>, PluginError> {
        let name = LOGINS.get(self.login).copied().unwrap_or(LOGINS[0]);
        let lacks = |setting| PluginError::LoginLacks { login: name, setting };
        let mount = match self.login_mount.is_empty() {
            true => name.to_owned(),
            false => text(&self.login_mount).trim_matches('/').to_owned(),
        };
        let role = || match self.role.is_empty() {
            true => Err(lacks("keyroll_vault_role")),
            false => Ok(text(&self.role)),
        };
        let secret = given(&self.secret, &self.secret_of_environment);
        let secret = || match (secret, is_hidden(&self.secret)) {
            (Some(secret), _) => Ok(secret),
            (None, true) => Err(PluginError::VaultSecretHidden {
                variable: SECRET_VARIABLE,
                setting: "keyroll_vault_secret",
            }),
            (None, false) => Err(lacks("keyroll_vault_secret")),
        };
        Ok(Some(match name {
            "approle" => Login::AppRole {
                mount,
                role_id: role()?,
                secret_id: secret()?,
            },
            "kubernetes" => Login::Jwt {
                mount,
                role: role()?,
                jwt: match (
                    self.secret.expose().is_empty(),
                    self.secret_of_environment.expose().is_empty(),
                ) {
                    (true, true) => SecretSource::File(KUBERNETES_TOKEN.into()),
                    _ => secret()?,
                },
            },
            "jwt" => Login::Jwt {
                mount,
                role: role()?,
                jwt: secret()?,
            },
            "cert" if !has_certificate => {
                return Err(lacks("keyroll_vault_client_cert and keyroll_vault_client_key"));
            }
            "cert" => Login::Certificate {
                mount,
                name: text(&self.role),
            },
            _ => match (
                given(&self.token, &self.token_of_environment),
                is_hidden(&self.token),
            ) {
                (Some(token), _) => Login::Token(token),
                (None, true) => {
                    return Err(PluginError::VaultSecretHidden {
                        variable: TOKEN_VARIABLE,
                        setting: "keyroll_token",
                    });
                }
                (None, false) => return Ok(None),
            },
        }))
    }
}

fn is_hidden(setting: &SecretBytes) -> bool {
    setting.expose() == HIDDEN.as_bytes()
}

/// What is set, or what the environment says where nothing is, or where the server has hidden it.
fn given(setting: &SecretBytes, of_environment: &SecretBytes) -> Option<SecretSource> {
    match is_hidden(setting) || setting.expose().is_empty() {
        true => SecretSource::from_setting(of_environment.expose()),
        false => SecretSource::from_setting(setting.expose()),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
