//! Noticing new versions, and the number of requests that it takes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use keyroll::crypto::Algorithm;
use keyroll::keys::{KeyName, Ring};
use keyroll::store::vault_kv::VaultKv;
use keyroll::store::{KeyStore, RefreshPolicy};
use serde_json::json;

use test_support::fault_proxy::{Fault, Proxy};
use test_support::openbao::Bao;
use test_support::vault_kv::*;

#[test]
fn a_look_brings_new_versions_and_new_keys_and_nothing_else() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let store = store(bao, &mount);
    let before = ring(&store.load().unwrap());
    assert!(look(&store, &before).unwrap().keys.is_empty());
    bao.put(&mount, 1, LONG_KEY);
    bao.put(&mount, 2, KEY);
    let changes = look(&store, &before).unwrap();
    assert_eq!(names(&changes.keys), [(1, 2), (2, 1)]);
    assert!(changes.warnings.is_empty());
}

#[test]
fn versions_have_the_time_at_which_vault_took_them() {
    let bao = Bao::shared();
    let mount = bao.kv();
    let started = SystemTime::now();
    bao.put(&mount, 1, KEY);
    let store = store(bao, &mount);
    let loaded = store.load().unwrap();
    bao.put(&mount, 1, LONG_KEY);
    let noticed = look(&store, &ring(&loaded)).unwrap().keys;
    for (keys, version) in [(&loaded.keys, 1), (&noticed, 2)] {
        let created = keys.created(KeyName { id: 1, version }).unwrap();
        assert!(created >= started && created <= SystemTime::now());
    }
}

#[test]
fn a_version_that_is_gone_is_warned_about_once_and_kept() {
    let bao = Bao::shared();
    let mount = bao.kv();
    (0..3).for_each(|_| bao.put(&mount, 1, KEY));
    bao.put(&mount, 2, KEY);
    let store = store(bao, &mount);
    let before = ring(&store.load().unwrap());
    bao.must("POST", &format!("{mount}/delete/1"), &json!({"versions": [1]}));
    bao.must("PUT", &format!("{mount}/destroy/1"), &json!({"versions": [2]}));
    bao.must("DELETE", &format!("{mount}/metadata/2"), &json!({}));
    let mut source = store.change_source().unwrap();
    let changes = source.refresh(&before, &BTreeSet::new()).unwrap();
    let warnings: Vec<String> = changes.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    for words in [
        "version 1 of key 1 is deleted",
        "version 2 of key 1 is destroyed",
        "version 1 of key 2 is missing",
    ] {
        assert!(warnings.iter().any(|text| text.contains(words)), "{warnings:?}");
    }
    assert!(
        source
            .refresh(&before, &BTreeSet::new())
            .unwrap()
            .warnings
            .is_empty()
    );
    assert!(
        store.keeps_versions_that_are_gone(),
        "so do reloads and rotations"
    );
    let all = before.keys_with(&changes.keys).unwrap();
    assert_eq!(all.len(), 4);
}

#[test]
fn a_secret_that_is_no_key_is_warned_about_once_and_hinders_no_other() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 2, KEY);
    let store = store(bao, &mount);
    let before = ring(&store.load().unwrap());
    bao.put(&mount, 1, "s3cr3t");
    bao.put(&mount, 2, LONG_KEY);
    let mut source = store.change_source().unwrap();
    let changes = source.refresh(&before, &BTreeSet::new()).unwrap();
    assert_eq!(names(&changes.keys), [(2, 2)]);
    let warnings: Vec<String> = changes.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings.len() == 1 && warnings[0].contains("data/1?version=1"),
        "{warnings:?}"
    );
    assert!(!warnings[0].contains("s3cr3t"));
    assert!(
        source
            .refresh(&before, &BTreeSet::new())
            .unwrap()
            .warnings
            .is_empty()
    );
}

#[test]
fn a_secret_that_was_made_anew_with_other_bytes_is_an_error() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let store = comparing_store(bao, &mount);
    let before = ring(&store.load().unwrap());
    bao.must("DELETE", &format!("{mount}/metadata/1"), &json!({}));
    bao.put(&mount, 1, LONG_KEY);
    std::thread::sleep(Duration::from_millis(1100));
    let mut source = store.change_source().unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    let changes = source.refresh(&before, &BTreeSet::new()).unwrap();
    let error = before.keys_with(&changes.keys).unwrap_err();
    assert!(error.to_string().contains("other bytes"), "{error}");
}

#[test]
fn a_version_that_is_gone_is_warned_about_where_its_bytes_are_compared() {
    let bao = Bao::shared();
    let mount = bao.kv();
    (0..2).for_each(|_| bao.put(&mount, 1, KEY));
    let store = comparing_store(bao, &mount);
    let before = ring(&store.load().unwrap());
    let mut source = store.change_source().unwrap();
    bao.must("POST", &format!("{mount}/delete/1"), &json!({"versions": [1]}));
    std::thread::sleep(Duration::from_millis(1100));
    let changes = source.refresh(&before, &BTreeSet::new()).unwrap();
    let warnings: Vec<String> = changes.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings.len() == 1 && warnings[0].contains("version 1 of key 1 is deleted"),
        "{warnings:?}"
    );
}

#[test]
fn a_token_that_lasts_causes_no_looks_of_its_own() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let token_text = bao.token(&reading(&mount), &json!({"ttl": "1h"}));
    let store = store_with(bao, &mount, token(&token_text));
    let before = ring(&store.load().unwrap());
    let mut source = store.change_source().unwrap();
    source.refresh(&before, &BTreeSet::new()).unwrap();
    assert_eq!(source.interval(), Duration::from_secs(60));
}

#[test]
fn a_start_and_a_look_take_few_connections_and_few_requests() {
    let bao = Bao::shared();
    let mount = bao.kv();
    (0..3).for_each(|_| bao.put(&mount, 1, KEY));
    (0..3).for_each(|_| bao.put(&mount, 2, KEY));
    bao.must("POST", &format!("{mount}/delete/2"), &json!({"versions": [1]}));
    bao.must("PUT", &format!("{mount}/destroy/2"), &json!({"versions": [2]}));
    let proxy = Proxy::plain(bao.plain_port);
    let url = format!("{}/v1/{mount}", proxy.url());
    let counted = || (proxy.requests(), proxy.connections());
    let store = VaultKv::new(config(&url, access(bao, token(&bao.root_token)))).unwrap();
    let loaded = store.load().unwrap();
    // The token, the mount, the list; for each key its metadata, and each version but the one that is destroyed.
    assert_eq!(counted().0, 3 + 2 + 5);
    let connections = counted().1;
    assert!(
        connections <= 3,
        "half as many as there are versions: {connections}"
    );
    let ring = Ring::new(&loaded.keys, Algorithm::AesCbc).unwrap();
    let mut source = store.change_source().unwrap();
    for look in 1..=10 {
        source.refresh(&ring, &BTreeSet::new()).unwrap();
        // The list, and the metadata of each key; the version that is deleted is asked for once.
        assert_eq!(counted(), (10 + 3 * look + 1, connections));
    }
}

#[test]
fn another_timeout_counts_for_the_next_request_of_all_threads() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let proxy = Proxy::plain(bao.plain_port);
    let url = format!("{}/v1/{mount}", proxy.url());
    let store = VaultKv::new(config(&url, access(bao, token(&bao.root_token)))).unwrap();
    let held = ring(&store.load().unwrap());
    let mut source = store.change_source().unwrap();
    proxy.makes(Fault::Hanging);
    source.policy_setter()(RefreshPolicy {
        version_interval: Duration::from_secs(5),
        key_interval: Duration::MAX,
        timeout: Duration::from_secs(1),
        max_retries: 0,
    });
    let began = Instant::now();
    let look = source.refresh(&held, &BTreeSet::new()).unwrap_err();
    let load = store.load().unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for error in [look, load] {
        assert!(error.to_string().contains("within 1 s"), "{error}");
    }
    assert_eq!(source.interval(), Duration::from_secs(5));
}
