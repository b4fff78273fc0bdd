//! How Vault is asked: the settings of hashicorp_key_management under their names, and ours for
//! other logins than a token.

use std::time::Duration;

use super::SettingsError;
use super::values::{Settings, path, text};
use crate::durable::SecretSource;
use crate::net::{ClientCertificate, PlainHttp, TlsOptions};
use crate::service::vault::config::KUBERNETES_TOKEN;
use crate::service::vault::{Login, VaultAccess, VaultConfig};
use crate::store::vault_kv::{VaultKvConfig, parse_url};
use crate::store::{RefreshPolicy, StoreConfig, StoreError};

/// What a timeout of 0 means: the time that the peer's library gives a connection.
const TIMEOUT_OF_ZERO: Duration = Duration::from_secs(300);

/// The names of `keyroll_vault_login`, each also the usual mount of its method.
const LOGINS: [&str; 5] = ["token", "approle", "kubernetes", "jwt", "cert"];

impl Settings {
    /// What the variables come to that count anew from any SET GLOBAL on: `keyroll_timeout`,
    /// `keyroll_max_retries`, `keyroll_caching_enabled`, `keyroll_cache_timeout` and
    /// `keyroll_cache_version_timeout`.
    pub fn refresh_policy(&self) -> RefreshPolicy {
        let milliseconds = |value: i64| Duration::from_millis(value.max(0).unsigned_abs());
        RefreshPolicy {
            // Without caching the peer asks for every page; here no secret is looked at more than
            // once a second.
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

    /// The store that `keyroll_vault_url` names.
    pub(super) fn vault_kv(&self) -> Result<StoreConfig, SettingsError> {
        let (address, path) = parse_url(&text(&self.vault_url)).map_err(StoreError::from)?;
        let policy = self.refresh_policy();
        Ok(StoreConfig::VaultKv(Box::new(VaultKvConfig {
            path,
            check_kv_version: self.check_kv_version,
            version_interval: policy.version_interval,
            key_interval: policy.key_interval,
            strict_permissions: self.strict_permissions,
            vault: VaultConfig {
                address,
                access: self.vault_access()?,
            },
        })))
    }

    /// How Vault is asked, for the store and for transit.
    ///
    /// # Errors
    /// A login that lacks a setting.
    pub(super) fn vault_access(&self) -> Result<VaultAccess, SettingsError> {
        let policy = self.refresh_policy();
        let client_certificate = path(&self.vault_client_cert)
            .zip(path(&self.vault_client_key))
            .map(|(certificate, key)| ClientCertificate { certificate, key });
        Ok(VaultAccess {
            namespace: text(&self.vault_namespace),
            login: self.login(client_certificate.is_some())?,
            tls: TlsOptions {
                ca: path(&self.vault_ca),
                client_certificate,
            },
            plain_http: match self.vault_allow_http {
                true => PlainHttp::Anywhere,
                false => PlainHttp::ToLoopback,
            },
            proxies: self.environment.proxies.clone(),
            timeout: policy.timeout,
            max_retries: policy.max_retries,
        })
    }

    /// How a token is had, in the words of `keyroll_vault_login`.
    pub fn vault_login_name(&self) -> &'static str {
        LOGINS.get(self.vault_login).copied().unwrap_or(LOGINS[0])
    }

    fn login(&self, has_certificate: bool) -> Result<Option<Login>, SettingsError> {
        let name = self.vault_login_name();
        let lacks = |setting| SettingsError::LoginLacks { login: name, setting };
        let mount = match self.vault_login_mount.is_empty() {
            true => name.to_owned(),
            false => text(&self.vault_login_mount).trim_matches('/').to_owned(),
        };
        let role = || match self.vault_role.is_empty() {
            true => Err(lacks("keyroll_vault_role")),
            false => Ok(text(&self.vault_role)),
        };
        let given = || self.given_vault_secret();
        let secret = || given()?.ok_or_else(|| lacks("keyroll_vault_secret"));
        Ok(Some(match name {
            "approle" => Login::AppRole {
                mount,
                role_id: role()?,
                secret_id: secret()?,
            },
            "kubernetes" => Login::Jwt {
                mount,
                role: role()?,
                jwt: given()?.unwrap_or_else(|| SecretSource::File(KUBERNETES_TOKEN.into())),
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
                name: text(&self.vault_role),
            },
            _ => return Ok(self.given_token()?.map(Login::Token)),
        }))
    }
}
