//! Where the secrets are, and how old an answer may become.

use std::time::Duration;

use super::KvError;
use crate::net::Url;
use crate::service::vault::VaultConfig;

/// No secret is looked at more often.
pub(crate) const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// The settings of a store.
#[derive(Debug)]
pub struct VaultKvConfig {
    /// Which Vault, and who we are there.
    pub vault: VaultConfig,
    /// What follows `/v1/` in the URL: the mount and, possibly, a path in it; no slash at either
    /// end.
    pub path: String,
    /// Ask for the mount's KV version at the start (the setting `check_kv_version`).
    pub check_kv_version: bool,
    /// New versions are in force after this time (the setting `cache_version_timeout`).
    pub version_interval: Duration,
    /// The bytes of all versions are compared with Vault's after this time
    /// (the setting `cache_timeout`).
    pub key_interval: Duration,
    /// Refuse files to log in with that others may read or change, instead of a warning
    /// (the setting `strict_permissions`).
    pub strict_permissions: bool,
}

/// Takes the setting `vault_url` apart: Vault's address, and the path after `/v1/`.
/// Errors have the words of hashicorp_key_management.
pub fn parse_url(text: &str) -> Result<(Url, String), KvError> {
    // Without what may be a password.
    let shown = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    let shown = shown.escape_debug().to_string();
    let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let (host, path) = after_scheme.split_once('/').unwrap_or((after_scheme, ""));
    if host.is_empty() || host.starts_with(':') {
        return Err(KvError::NoHost { url: shown });
    }
    let path = match path.trim_start_matches('/').strip_prefix("v1") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.trim_matches('/'),
        _ => return Err(KvError::NoPrefix { url: shown }),
    };
    if path.is_empty() {
        return Err(KvError::NoSecretName { url: shown });
    }
    let url = Url::parse(text).map_err(|error| KvError::Vault(error.into()))?;
    if url.query().is_some() {
        let url = shown.split('?').next().unwrap_or_default().to_owned();
        return Err(KvError::Query { url });
    }
    Ok((url, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_host_and_the_path_of_the_secrets() {
        for (text, authority, path) in [
            ("https://vault:8200/v1/secret", "vault:8200", "secret"),
            ("https://vault:8200/v1/secret/", "vault:8200", "secret"),
            ("http://127.0.0.1:8200/v1/a/b/c/", "127.0.0.1:8200", "a/b/c"),
            ("http://127.0.0.1:8200//v1//bug///", "127.0.0.1:8200", "bug"),
        ] {
            let (url, found) = parse_url(text).unwrap();
            assert_eq!((url.authority(), found.as_str()), (authority, path));
        }
    }

    #[test]
    fn wrong_urls_are_refused_in_the_words_of_the_peer() {
        for (text, words) in [
            (
                "https://vault:8200",
                "the path inside the URL must start with the \"/v1/\" prefix, while",
            ),
            (
                "https://vault:8200/secret",
                "must start with the \"/v1/\" prefix, while the supplied URL value is: \"https://vault:8200/secret\"",
            ),
            (
                "https:///v1/bug/",
                "Supplied URL does not contain a hostname: \"https:///v1/bug/\"",
            ),
            (
                "/v1/bug/",
                "Supplied URL does not contain a hostname: \"/v1/bug/\"",
            ),
            (
                "https://vault:8200/v1/",
                "Supplied URL does not contain a secret name: \"https://vault:8200/v1/\"",
            ),
            (
                "https://",
                "Supplied URL does not contain a hostname: \"https://\"",
            ),
            (
                "vault",
                "the path inside the URL must start with the \"/v1/\" prefix",
            ),
            (
                "https://vault/v1b",
                "the path inside the URL must start with the \"/v1/\" prefix",
            ),
            (
                "https://vault/v1",
                "Supplied URL does not contain a secret name: \"https://vault/v1\"",
            ),
            (
                "vault///v1/",
                "Supplied URL does not contain a secret name: \"vault///v1/\"",
            ),
        ] {
            let error = parse_url(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let query = parse_url("https://vault:8200/v1/secret?token=s3cr3t").unwrap_err();
        assert_eq!(
            query.to_string(),
            "Supplied URL has a query, which names no keys, after \"https://vault:8200/v1/secret\""
        );
        assert!(parse_url("vault:8200/v1/secret").is_err());
        assert!(
            !parse_url("https://root:s3cr3t@vault/x")
                .unwrap_err()
                .to_string()
                .contains("s3cr3t")
        );
    }
}
