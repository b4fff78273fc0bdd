//! What a token may do, and what a server gets by it: the least rights, with which keys are read by their ids, those that list the
//! keys, and secrets that may not be read.

use std::collections::BTreeSet;
use std::time::Duration;

use keyroll::keys::{KeyName, NewVersions};
use keyroll::store::vault_kv::{KvError, VaultKv};
use keyroll::store::{KeyStore, Rotate, StoreError};
use serde_json::json;

use test_support::fault_proxy::Proxy;
use test_support::front::{Front, empty};
use test_support::openbao::Bao;
use test_support::vault_kv::*;

/// The least rights, with those to write.
fn writing(mount: &str) -> String {
    least(mount).replace("[\"read\"]", "[\"read\", \"create\", \"update\"]")
}

fn nobody() -> BTreeSet<u32> {
    BTreeSet::new()
}

#[test]
fn with_the_least_policy_keys_are_read_with_all_their_versions_by_their_ids() {
    let bao = Bao::shared();
    let mount = bao.kv();
    for (id, versions) in [(1, 3), (2, 1), (7, 2), (8, 1)] {
        (0..versions).for_each(|_| bao.put(&mount, id, KEY));
    }
    bao.must("POST", &format!("{mount}/delete/1"), &json!({"versions": [2]}));
    let store = store_under(bao, &mount, &least(&mount));
    let loaded = store.load().unwrap();
    assert!(!loaded.is_complete);
    assert_eq!(names(&loaded.keys), [(1, 1), (1, 3), (2, 1)]);
    let warnings = texts(&loaded.warnings);
    assert!(
        warnings.len() == 1 && warnings[0].contains("version 2 of key 1 is deleted"),
        "{warnings:?}"
    );
    let more = store.load_keys(&[7, 9]).unwrap();
    assert_eq!(names(&more.keys), [(7, 1), (7, 2)]);
    let all = load_with(&store, &[1, 7]).unwrap();
    assert_eq!(names(&all.keys), [(1, 1), (1, 3), (2, 1), (7, 1), (7, 2)]);
}

/// A token without the policy `default` may not look at itself: a refusal of what it need not do is not the end of it.
#[test]
fn a_token_that_may_not_look_at_itself_serves_as_any_other() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let bare = bao.token(&least(&mount), &json!({"no_default_policy": true}));
    let store = store_with(bao, &mount, token(&bare));
    let loaded = store.load().unwrap();
    assert_eq!((names(&loaded.keys), loaded.is_complete), (vec![(1, 1)], false));
    bao.put(&mount, 1, KEY);
    assert_eq!(names(&look(&store, &ring(&loaded)).unwrap().keys), [(1, 2)]);
}

#[test]
fn a_token_that_lists_and_reads_no_metadata_shows_all_keys() {
    let bao = Bao::shared();
    let mount = bao.kv();
    (0..2).for_each(|_| bao.put(&mount, 1, KEY));
    bao.put(&mount, 7, KEY);
    let listing = format!(
        r#"{} path "{mount}/metadata/" {{ capabilities = ["list"] }}"#,
        least(&mount)
    );
    let store = store_under(bao, &mount, &listing);
    let loaded = store.load().unwrap();
    assert!(loaded.is_complete && !loaded.is_described);
    assert_eq!(names(&loaded.keys), [(1, 1), (1, 2), (7, 1)]);
    bao.put(&mount, 7, LONG_KEY);
    bao.put(&mount, 9, KEY);
    // With the newest version of a key whose metadata is hidden come its bytes.
    let changes = look(&store, &ring(&loaded)).unwrap();
    assert_eq!(names(&changes.keys), [(1, 2), (7, 2), (9, 1)]);
}

#[test]
fn versions_that_vault_has_dropped_are_not_asked_for_one_by_one() {
    let bao = Bao::shared();
    let mount = bao.kv();
    keep_versions(bao, &mount, 1, 3);
    (0..100).for_each(|_| bao.put(&mount, 1, KEY));
    let proxy = Proxy::plain(bao.plain_port);
    let url = format!("{}/v1/{mount}", proxy.url());
    let token = token(&bao.token(&least(&mount), &json!({})));
    let store = VaultKv::new(config(&url, access(bao, token))).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(names(&loaded.keys), [(1, 98), (1, 99), (1, 100)]);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert!(proxy.requests() < 50, "{}", proxy.requests());
}

#[test]
fn a_look_without_the_list_takes_one_request_for_each_key_and_sees_what_is_new() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    bao.put(&mount, 7, KEY);
    let proxy = Proxy::plain(bao.plain_port);
    let url = format!("{}/v1/{mount}", proxy.url());
    let token = token(&bao.token(&least(&mount), &json!({})));
    let store = VaultKv::new(config(&url, access(bao, token))).unwrap();
    let loaded = load_with(&store, &[7]).unwrap();
    let held = ring(&loaded);
    let mut source = store.change_source().unwrap();
    let before = proxy.requests();
    let newest = source.refresh(&held, &nobody()).unwrap().keys;
    assert_eq!(names(&newest), [(1, 1), (7, 1)]);
    assert_eq!(proxy.requests(), before + 2);
    (0..3).for_each(|_| bao.put(&mount, 7, LONG_KEY));
    bao.put(&mount, 8, KEY);
    bao.put(&mount, 9, KEY);
    let changes = source.refresh(&held, &BTreeSet::from([8, 10])).unwrap();
    assert_eq!(
        names(&changes.keys),
        [(1, 1), (7, 2), (7, 3), (7, 4), (8, 1)],
        "what was asked for, and no other"
    );
    assert!(changes.warnings.is_empty(), "{:?}", changes.warnings);
}

#[test]
fn a_deleted_version_comes_back_without_a_reload() {
    let bao = Bao::shared();
    for sees_metadata in [true, false] {
        let mount = bao.kv();
        (0..3).for_each(|_| bao.put(&mount, 1, KEY));
        bao.must("POST", &format!("{mount}/delete/1"), &json!({"versions": [1, 3]}));
        let policy = match sees_metadata {
            true => reading(&mount),
            false => least(&mount),
        };
        let login = token(&bao.token(&policy, &json!({})));
        let mut config = config(&bao.url(&format!("v1/{mount}")), access(bao, login));
        if !sees_metadata {
            config.key_interval = Duration::from_secs(1);
        }
        let store = VaultKv::new(config).unwrap();
        let held = ring(&store.load().unwrap());
        let mut source = store.change_source().unwrap();
        let changes = source.refresh(&held, &nobody()).unwrap();
        assert!(changes.keys.latest(1).is_none_or(|name| name.version < 3));
        bao.must(
            "POST",
            &format!("{mount}/undelete/1"),
            &json!({"versions": [1, 3]}),
        );
        std::thread::sleep(Duration::from_millis(1100));
        let changes = source.refresh(&held, &nobody()).unwrap();
        let found = names(&changes.keys);
        assert!(
            found.contains(&(1, 1)) && found.contains(&(1, 3)),
            "{sees_metadata}: {found:?}"
        );
    }
}

#[test]
fn a_held_version_that_is_deleted_is_told_once_where_bytes_are_compared() {
    let bao = Bao::shared();
    let mount = bao.kv();
    (0..3).for_each(|_| bao.put(&mount, 1, KEY));
    bao.put(&mount, 7, KEY);
    let login = token(&bao.token(&least(&mount), &json!({})));
    let mut config = config(&bao.url(&format!("v1/{mount}")), access(bao, login));
    config.key_interval = Duration::from_secs(1);
    let store = VaultKv::new(config).unwrap();
    let held = ring(&load_with(&store, &[7]).unwrap());
    let mut source = store.change_source().unwrap();
    bao.must("POST", &format!("{mount}/delete/1"), &json!({"versions": [1]}));
    bao.must("DELETE", &format!("{mount}/metadata/7"), &json!({}));
    let mut told = Vec::new();
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1100));
        told.extend(texts(&source.refresh(&held, &nobody()).unwrap().warnings));
    }
    assert_eq!(told.len(), 2, "{told:?}");
    for words in ["version 1 of key 7 is missing", "version 1 of key 1 is deleted"] {
        assert!(told.iter().any(|text| text.contains(words)), "{told:?}");
    }
}

#[test]
fn a_version_that_vault_will_delete_some_day_is_not_told_of_as_gone() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.must(
        "POST",
        &format!("{mount}/metadata/1"),
        &json!({"delete_version_after": "1h"}),
    );
    bao.put(&mount, 1, KEY);
    let store = store(bao, &mount);
    let held = ring(&store.load().unwrap());
    let changes = look(&store, &held).unwrap();
    assert!(changes.warnings.is_empty(), "{:?}", changes.warnings);
}

/// All rights but those to one secret.
fn all_but(mount: &str, id: u32) -> String {
    format!(
        r#"
path "{mount}/*" {{ capabilities = ["list", "read", "create", "update"] }}
path "{mount}/data/{id}" {{ capabilities = ["deny"] }}
"#
    )
}

#[test]
fn a_secret_that_may_not_be_read_is_named_and_hinders_no_other() {
    let bao = Bao::shared();
    let mount = bao.kv();
    for id in [1, 2, 7] {
        bao.put(&mount, id, KEY);
    }
    let store = store_under(bao, &mount, &all_but(&mount, 7));
    let loaded = store.load().unwrap();
    assert_eq!(names(&loaded.keys), [(1, 1), (2, 1)]);
    assert_eq!(loaded.unread.keys().copied().collect::<Vec<_>>(), [7]);
    let warnings = texts(&loaded.warnings);
    assert!(
        warnings.len() == 1
            && warnings[0].contains(&format!("does not allow {mount}/data/7"))
            && warnings[0].contains("key 7 is left out"),
        "{warnings:?}"
    );
    let held = ring(&loaded);
    let mut source = store.change_source().unwrap();
    bao.put(&mount, 2, LONG_KEY);
    let changes = source.refresh(&held, &nobody()).unwrap();
    assert_eq!(names(&changes.keys), [(2, 2)]);
    assert_eq!(texts(&changes.warnings), warnings);
    let again = source.refresh(&held, &nobody()).unwrap();
    assert!(again.warnings.is_empty(), "it is told once: {:?}", again.warnings);

    let rotated = store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, Some(&held))
        .unwrap();
    assert_eq!(
        rotated.new,
        [(1, 3), (2, 4)].map(|(id, version)| KeyName { id, version })
    );
    let error = store
        .rotate_keys(Rotate::Key(7), NewVersions::DEFAULT, Some(&held))
        .unwrap_err();
    assert!(error.to_string().contains("does not allow"), "{error}");
}

#[test]
fn a_key_that_may_not_be_written_is_rotated_under_the_rule_that_is_named() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let rotate = |policy: &str| {
        store_under(bao, &mount, policy).rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, None)
    };
    let hint = rotate(&least(&mount)).unwrap_err().hint();
    let rule = hint.strip_prefix("add to the policy: ").unwrap();
    assert!(
        rule.contains(r#"["read", "create", "update"]"#) && !rule.contains("list"),
        "{rule}"
    );
    assert_eq!(rotate(rule).unwrap().new, [KeyName { id: 1, version: 3 }]);
}

/// OpenBao shows every token where the mounts are that it may read in; older servers, and proxies that let only some paths
/// through, do not.
#[test]
fn where_the_mounts_are_not_shown_their_tuning_is_read_as_the_peer_does_it() {
    let bao = Bao::shared();
    let mount = format!("nested/{}", bao.kv());
    let version = |version: &str| json!({"type": "kv", "options": {"version": version}});
    bao.must("POST", &format!("sys/mounts/{mount}"), &version("2"));
    while bao.ask("GET", &format!("{mount}/config"), &json!(null)).0 == 400 {
        std::thread::sleep(Duration::from_millis(20));
    }
    bao.put(&mount, "prod/1", KEY);
    let policy = least(&mount);
    let login = token(&bao.token(&policy, &json!({})));
    for status in ["403 Forbidden", "404 Not Found"] {
        let front = Front::tls(bao.plain_port, &bao.path("server.pem"), move |target, _| {
            target
                .starts_with("/v1/sys/internal/ui/mounts/")
                .then(|| empty(status, ""))
        });
        let at = |path: &str| {
            let url = format!("https://127.0.0.1:{}/v1/{path}", front.port);
            VaultKv::new(config(&url, access(bao, login.clone()))).unwrap()
        };
        let loaded = at(&format!("{mount}/prod")).load().unwrap();
        assert_eq!(names(&loaded.keys), [(1, 1)]);
        let asked = front.requests();
        let asked = asked.iter().filter_map(|request| request.split(' ').nth(1));
        let tried = Vec::from_iter(asked.filter(|path| path.starts_with("/v1/sys/")));
        assert_eq!(
            tried,
            [
                format!("/v1/sys/internal/ui/mounts/{mount}/prod"),
                format!("/v1/sys/mounts/{mount}/prod/tune"),
                format!("/v1/sys/mounts/{mount}/tune"),
            ]
        );
        let old = bao.mount(&version("1"));
        let root = access(bao, token(&bao.root_token));
        let url = format!("https://127.0.0.1:{}/v1/{old}", front.port);
        let error = VaultKv::new(config(&url, root)).unwrap().load().unwrap_err();
        assert!(
            matches!(error, StoreError::VaultKv(KvError::KvVersion1 { .. })),
            "{error}"
        );
    }
}

#[test]
fn where_no_secret_may_be_read_the_missing_rule_is_named() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    for policy in [
        format!(r#"path "{mount}/metadata/*" {{ capabilities = ["list", "read"] }}"#),
        format!(r#"path "sys/mounts/{mount}/tune" {{ capabilities = ["read"] }}"#),
    ] {
        let store = store_under(bao, &mount, &policy);
        let error = load_with(&store, &[7]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("does not allow {mount}/data/1")),
            "{error}"
        );
        let rule = format!("add to the policy: path \"{mount}/data/*\" {{ capabilities = [\"read\"] }}");
        assert_eq!(error.hint(), rule);
        let held = ring(&self::store(bao, &mount).load().unwrap());
        let error = store
            .change_source()
            .unwrap()
            .refresh(&held, &BTreeSet::from([7]))
            .map(|changes| texts(&changes.warnings));
        match error {
            Err(error) => assert!(error.to_string().contains("does not allow"), "{error}"),
            // The list shows that nothing is new.
            Ok(warnings) => assert!(warnings.is_empty(), "{warnings:?}"),
        }
    }
}

#[test]
fn a_rotation_without_the_list_is_of_the_keys_that_the_server_has() {
    let bao = Bao::shared();
    let mount = bao.kv();
    for id in [1, 2, 7, 8] {
        bao.put(&mount, id, KEY);
    }
    let store = store_under(bao, &mount, &writing(&mount));
    let held = ring(&load_with(&store, &[7]).unwrap());
    let rotated = store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, Some(&held))
        .unwrap();
    assert_eq!(rotated.new, [1, 2, 7].map(|id| KeyName { id, version: 3 }));
    assert_eq!(names(&rotated.keys).len(), 9);
    let one = store
        .rotate_keys(Rotate::Key(8), NewVersions::DEFAULT, None)
        .unwrap();
    assert_eq!(one.new, [KeyName { id: 8, version: 3 }]);
    let error = store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap_err();
    assert!(
        matches!(error, StoreError::VaultKv(KvError::NotListed { .. })),
        "{error}"
    );
}

#[test]
fn a_rotation_that_cannot_see_how_many_versions_are_kept_takes_it_for_ten() {
    let bao = Bao::shared();
    let mount = bao.kv();
    keep_versions(bao, &mount, 1, 1000);
    (0..9).for_each(|_| bao.put(&mount, 1, KEY));
    let store = store_under(bao, &mount, &writing(&mount));
    let rotate = |store: &VaultKv| store.rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, None);
    let error = rotate(&store).unwrap_err();
    assert!(
        error.to_string().contains("would remove version 1 of key 1"),
        "{error}"
    );
    let hint = error.hint();
    let rule = hint.split("add to the policy: ").nth(1).unwrap();
    let wider = format!("{}{}", writing(&mount), rule.replace("MOUNT", &mount));
    assert_eq!(
        rotate(&store_under(bao, &mount, &wider)).unwrap().new,
        [KeyName { id: 1, version: 11 }]
    );
}
