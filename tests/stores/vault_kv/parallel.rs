//! Reading many keys from a Vault that is slow: how many requests there are, and how many at once.

use std::time::{Duration, Instant};

use keyroll::cancel;
use keyroll::store::KeyStore;
use keyroll::store::vault_kv::VaultKv;
use serde_json::json;

use test_support::fault_proxy::{Fault, Proxy};
use test_support::openbao::Bao;
use test_support::vault_kv::*;

const KEYS: u32 = 60;
const VERSIONS: u32 = 5;

/// A mount with many keys, and a proxy before it.
fn many_keys(bao: &Bao) -> (String, Proxy) {
    let mount = bao.kv();
    std::thread::scope(|scope| {
        for part in 0..4 {
            let mount = &mount;
            scope.spawn(move || {
                for id in (1..=KEYS).filter(|id| id % 4 == part) {
                    (0..VERSIONS).for_each(|_| bao.put(mount, id, KEY));
                }
            });
        }
    });
    (mount, Proxy::plain(bao.plain_port))
}

fn store_behind(bao: &Bao, proxy: &Proxy, mount: &str, policy: &str) -> VaultKv {
    let url = format!("{}/v1/{mount}", proxy.url());
    let login = token(&bao.token(policy, &json!({})));
    VaultKv::new(config(&url, access(bao, login))).unwrap()
}

#[test]
fn many_keys_are_read_at_once_with_one_request_for_each_version() {
    let bao = Bao::shared();
    let (mount, proxy) = many_keys(bao);
    let slow = Duration::from_millis(50);
    proxy.makes(Fault::Slow(slow));
    let (keys, versions) = (u64::from(KEYS), u64::from(KEYS * VERSIONS));
    let ids: Vec<u32> = (1..=KEYS).collect();
    for (what, policy, expected) in [
        // The token, the mount, the list; the metadata of each key, and each version.
        ("all rights", reading(&mount), 3 + keys + versions),
        // The token, the mount; the list, and the metadata of two keys at most, each refused after a look at the token; each version.
        ("the least", least(&mount), 2 + 2 + 4 + versions),
    ] {
        let store = store_behind(bao, &proxy, &mount, &policy);
        let (before, start) = (proxy.requests(), Instant::now());
        let loaded = load_with(&store, &ids).unwrap();
        let (requests, took) = (proxy.requests() - before, start.elapsed());
        println!(
            "{what}: {requests} requests, {} at once, {took:?}",
            proxy.most_at_once()
        );
        assert_eq!(loaded.keys.len() as u64, versions);
        assert!(
            (expected - 2..=expected).contains(&requests),
            "{requests} of {expected}"
        );
        assert!(
            (16..=32).contains(&proxy.most_at_once()),
            "{}",
            proxy.most_at_once()
        );
        assert!(
            took < slow * expected as u32,
            "no faster than one after the other: {took:?}"
        );

        let connections = proxy.connections();
        let held = ring(&loaded);
        let before = proxy.requests();
        assert!(look(&store, &held).unwrap().warnings.is_empty());
        let of_look = proxy.requests() - before;
        assert!(
            (keys..=keys + 1).contains(&of_look),
            "one small request for each key: {of_look}"
        );
        assert_eq!(proxy.connections(), connections, "those of the start serve on");
    }
}

#[test]
fn a_start_that_waits_for_many_keys_ends_at_once_when_it_is_cancelled_or_interrupted() {
    let bao = Bao::shared();
    let (mount, proxy) = many_keys(bao);
    let store = store_behind(bao, &proxy, &mount, &reading(&mount));
    let ids: Vec<u32> = (1..=KEYS).collect();
    store.load_keys(&ids).unwrap();
    proxy.makes(Fault::Hanging);
    let start = Instant::now();
    let soon = move || start.elapsed() > Duration::from_millis(300);
    let error = cancel::while_wanted(soon, || store.load_keys(&ids).unwrap_err());
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(error.to_string().contains("was killed"), "{error}");

    let interrupt = store.change_source().unwrap().interrupter();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| store.load_keys(&ids).unwrap_err());
        std::thread::sleep(Duration::from_millis(300));
        let start = Instant::now();
        interrupt();
        reading.join().unwrap();
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    });
}

#[test]
fn a_vault_that_is_away_is_told_after_one_timeout_however_many_keys_there_are() {
    let bao = Bao::shared();
    let (mount, proxy) = many_keys(bao);
    let mut config = config(
        &format!("{}/v1/{mount}", proxy.url()),
        access(bao, token(&bao.root_token)),
    );
    config.vault.access.timeout = Duration::from_secs(1);
    config.vault.access.max_retries = 0;
    let store = VaultKv::new(config).unwrap();
    let ids: Vec<u32> = (1..=KEYS).collect();
    store.load_keys(&ids).unwrap();
    proxy.makes(Fault::Hanging);
    let start = Instant::now();
    let error = store.load_keys(&ids).unwrap_err();
    assert!(error.to_string().contains("within 1 s"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}
