//! Vault by a proxy of the environment: keys in KV, a login, and a master key in transit.

use keyroll::net::Proxies;
use keyroll::store::KeyStore;
use keyroll::store::vault_kv::VaultKv;

use test_support::forward_proxy::{ForwardProxy, Manner};
use test_support::master_keys::{KEYSTORE, Place, wrap};
use test_support::openbao::Bao;
use test_support::vault_kv::*;

#[test]
fn keys_in_vault_are_read_by_the_proxy() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let proxy = ForwardProxy::start(Manner::Leads, &[("vault.test:8200", bao.port)]);
    let mut access = access(bao, token(&bao.root_token));
    access.proxies = Proxies::from_environment(|name| (name == "HTTPS_PROXY").then(|| proxy.url("")));
    let url = format!("https://vault.test:8200/v1/{mount}");
    let store = VaultKv::new(config(&url, access.clone())).unwrap();
    assert_eq!(names(&store.load().unwrap().keys), [(1, 1)]);
    assert_eq!(proxy.asked(), ["CONNECT vault.test:8200 HTTP/1.1"]);
    // The host is asked directly where no_proxy names it: there is none.
    access.proxies = Proxies::from_environment(|name| match name {
        "HTTPS_PROXY" => Some(proxy.url("")),
        "no_proxy" => Some("test".into()),
        _ => None,
    });
    access.max_retries = 0;
    let error = VaultKv::new(config(&url, access)).unwrap().load().unwrap_err();
    assert!(error.to_string().contains("there is no such host"), "{error}");
    assert_eq!(proxy.asked().len(), 1);
}

#[test]
fn a_master_key_in_transit_is_reached_by_the_proxy_of_the_servers_environment() {
    let bao = Bao::shared();
    let mut place = Place::vault_transit();
    let proxy = ForwardProxy::start(Manner::Wants("dTpw"), &[("vault.test:443", bao.port)]);
    place.uri = place.uri.replace(&bao.url(""), "https://vault.test/");
    place.set("https_proxy", proxy.url("u:p@").as_ref());
    let (key, wrapped) = wrap(&*place.open());
    assert_eq!(
        place.open().unwrap(&wrapped, KEYSTORE).unwrap().expose(),
        key.expose()
    );
    assert_eq!(proxy.asked(), ["CONNECT vault.test:443 HTTP/1.1"; 2]);
}
