//! Stores to try things on.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use keyroll::crypto::Algorithm;
use keyroll::durable::SecretSource;
use keyroll::keys::Ring;
use keyroll::net::{PlainHttp, Proxies, TlsOptions};
use keyroll::service::vault::{Login, VaultAccess, VaultConfig};
use keyroll::store::vault_kv::{VaultKv, VaultKvConfig, parse_url};
use keyroll::store::{Changes, KeyStore, Loaded, StoreError, Warning};
use serde_json::json;

use crate::openbao::Bao;

pub const KEY: &str = "00112233445566778899aabbccddeeff";
pub const LONG_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub fn token(token: &str) -> Option<Login> {
    Some(Login::Token(SecretSource::value(token.as_bytes())))
}

pub fn access(bao: &Bao, login: Option<Login>) -> VaultAccess {
    VaultAccess {
        namespace: String::new(),
        login,
        tls: TlsOptions {
            ca: Some(bao.path("ca.pem")),
            client_certificate: None,
        },
        plain_http: PlainHttp::ToLoopback,
        proxies: Proxies::default(),
        timeout: Duration::from_secs(10),
        max_retries: 1,
    }
}

pub fn config(url: &str, access: VaultAccess) -> VaultKvConfig {
    let (address, path) = parse_url(url).unwrap();
    VaultKvConfig {
        vault: VaultConfig { address, access },
        path,
        check_kv_version: true,
        version_interval: Duration::from_secs(60),
        key_interval: Duration::MAX,
        strict_permissions: false,
    }
}

/// A store whose looks compare the bytes of the versions that are known, each time.
pub fn comparing_store(bao: &Bao, path: &str) -> VaultKv {
    let mut config = config(
        &bao.url(&format!("v1/{path}")),
        access(bao, token(&bao.root_token)),
    );
    config.key_interval = Duration::ZERO;
    VaultKv::new(config).unwrap()
}

/// Has Vault keep so many versions of this secret.
pub fn keep_versions(bao: &Bao, mount: &str, id: u32, most: u32) {
    let body = json!({"max_versions": most});
    bao.must("POST", &format!("{mount}/metadata/{id}"), &body);
}

/// The store of a mount, as root.
pub fn store(bao: &Bao, mount: &str) -> VaultKv {
    store_with(bao, mount, token(&bao.root_token))
}

pub fn store_with(bao: &Bao, mount: &str, login: Option<Login>) -> VaultKv {
    VaultKv::new(config(&bao.url(&format!("v1/{mount}")), access(bao, login))).unwrap()
}

/// All that a store has, and the keys with these ids where it does not tell which it has.
pub fn load_with(store: &VaultKv, ids: &[u32]) -> Result<Loaded, StoreError> {
    keyroll::store::load_with(store, || Ok(ids.iter().copied().collect()))
}

/// What is to be mended.
pub fn texts(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(ToString::to_string).collect()
}

pub fn ring(loaded: &Loaded) -> Ring {
    Ring::new(&loaded.keys, Algorithm::AesCbc).unwrap()
}

/// One look of a store's source.
pub fn look(store: &VaultKv, ring: &Ring) -> Result<Changes, StoreError> {
    store.change_source().unwrap().refresh(ring, &BTreeSet::new())
}

pub fn names(keys: &keyroll::keys::KeySet) -> Vec<(u32, u32)> {
    keys.iter().map(|(name, _)| (name.id, name.version)).collect()
}

/// The least rights that a server can do with, as hashicorp_key_management documents them: keys are read by their ids.
pub fn least(mount: &str) -> String {
    format!(
        r#"
path "{mount}/data/*" {{ capabilities = ["read"] }}
path "sys/mounts/{mount}/tune" {{ capabilities = ["read"] }}
"#
    )
}

/// A store of this mount whose token has this policy.
pub fn store_under(bao: &Bao, mount: &str, policy: &str) -> VaultKv {
    store_with(bao, mount, token(&bao.token(policy, &json!({}))))
}

/// The rights that show all keys.
pub fn reading(mount: &str) -> String {
    format!(
        r#"
path "{mount}/metadata/*" {{ capabilities = ["list", "read"] }}
path "{mount}/data/*" {{ capabilities = ["read"] }}
"#
    )
}

pub fn secret_file(bao: &Bao, name: &str, text: &str) -> PathBuf {
    let path = bao.path(name);
    std::fs::write(&path, text).unwrap();
    path
}
