//! The hints of keys in Vault, each carried out as it stands there: commands by a shell, with the client that OpenBao brings under
//! Vault's name.

use std::time::{Duration, Instant};

use keyroll::keys::{HighestVersions, KeyName, NewVersions, VersionStep};
use keyroll::store::vault_kv::{KvError, VaultKv, parse_url};
use keyroll::store::{KeyStore, KeysAdded, Rotate, StoreError};
use serde_json::json;

use test_support::openbao::Bao;
use test_support::vault_kv::*;

fn rotate(store: &VaultKv, seen: &HighestVersions) -> Result<KeysAdded, StoreError> {
    let new = NewVersions {
        seen,
        ..NewVersions::DEFAULT
    };
    store.rotate_keys(Rotate::Key(1), new, None)
}

fn of_key_1(version: u32) -> HighestVersions {
    let mut seen = HighestVersions::default();
    seen.raise(KeyName { id: 1, version });
    seen
}

fn is(error: &StoreError, of: fn(&KvError) -> bool) -> bool {
    matches!(error, StoreError::VaultKv(error) if of(error))
}

#[test]
fn a_url_is_as_the_hint_shows_it() {
    for url in [
        "https://vault:8200/keys",
        "https:///v1/keys",
        "https://vault:8200/v1/",
    ] {
        let Err(error) = parse_url(url) else {
            panic!("{url} is accepted")
        };
        let hint = error.hint();
        let shown = hint.split_once(" to ").unwrap().1;
        let url = shown
            .replace("HOST", "vault")
            .replace("PORT", "8200")
            .replace("MOUNT", "keys");
        parse_url(&url).unwrap();
    }
}

#[test]
fn what_follows_a_question_mark_is_left_out() {
    let url = "https://vault:8200/v1/keys?version=1";
    let Err(error @ KvError::Query { .. }) = parse_url(url) else {
        panic!("{url} is accepted")
    };
    assert!(
        error.hint().starts_with("leave the ? and what follows it out"),
        "{}",
        error.hint()
    );
    parse_url(url.split('?').next().unwrap()).unwrap();
}

#[test]
fn an_engine_of_version_1_becomes_one_of_version_2() {
    let bao = Bao::shared();
    let mount = bao.mount(&json!({"type": "kv", "options": {"version": "1"}}));
    bao.must("POST", &format!("{mount}/1"), &json!({"data": KEY}));
    let error = store(bao, &mount).load().unwrap_err();
    assert!(is(&error, |e| matches!(e, KvError::KvVersion1 { .. })), "{error}");
    bao.run_hint(&error.hint(), 0, &[]);
    // The upgrade runs in the background.
    let begun = Instant::now();
    let keys = loop {
        match store(bao, &mount).load() {
            Ok(loaded) => break loaded.keys,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(20), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(names(&keys), [(1, 1)]);
}

#[test]
fn the_first_key_is_made_as_the_hint_says() {
    let bao = Bao::shared();
    let mount = bao.kv();
    let error = store(bao, &mount).load().unwrap_err();
    assert!(is(&error, |e| matches!(e, KvError::NoKeys { .. })), "{error}");
    // Something is there, though no key.
    bao.put(&mount, "other", "no key");
    bao.run_hint(&error.hint(), 0, &[("MOUNT", &mount)]);
    bao.run_hint(&error.hint(), 1, &[("MOUNT", &mount)]);
    assert_eq!(names(&store(bao, &mount).load().unwrap().keys), [(1, 1)]);
}

#[test]
fn the_first_key_is_made_where_keys_may_not_be_listed() {
    let bao = Bao::shared();
    let mount = bao.kv();
    let store = store_under(bao, &mount, &least(&mount));
    let error = load_with(&store, &[7]).unwrap_err();
    assert!(
        error.to_string().contains("gives no version of keys 1, 2 and 7"),
        "{error}"
    );
    bao.run_hint(&error.hint(), 1, &[("MOUNT", &mount)]);
    assert_eq!(names(&load_with(&store, &[7]).unwrap().keys), [(1, 1)]);
    bao.must("POST", &format!("{mount}/delete/1"), &json!({"versions": [1]}));
    let error = load_with(&store, &[7]).unwrap_err();
    let words = [("MOUNT", mount.as_str()), ("VERSION", "1"), ("ID", "1")];
    bao.run_hint(&error.hint(), 0, &words);
    assert_eq!(names(&load_with(&store, &[7]).unwrap().keys), [(1, 1)]);
}

#[test]
fn one_key_is_rotated_where_they_may_not_be_listed() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let writing = format!(r#"path "{mount}/data/*" {{ capabilities = ["read", "create", "update"] }}"#);
    let rotate =
        |policy: &str, which| store_under(bao, &mount, policy).rotate_keys(which, NewVersions::DEFAULT, None);
    let error = rotate(&writing, Rotate::All).unwrap_err();
    assert!(is(&error, |e| matches!(e, KvError::NotListed { .. })), "{error}");
    rotate(&writing, Rotate::Key(1)).unwrap();
    let hint = error.hint();
    let rule = hint.split("add to the policy: ").nth(1).unwrap();
    rotate(
        &format!("{writing}{}", rule.replace("MOUNT", &mount)),
        Rotate::All,
    )
    .unwrap();
}

#[test]
fn a_secret_that_may_not_be_read_is_read_under_the_rule_that_is_named() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    bao.put(&mount, 7, KEY);
    let of_key_1 = format!(
        r#"path "{mount}/metadata/*" {{ capabilities = ["list", "read"] }} path "{mount}/data/1" {{ capabilities = ["read"] }}"#
    );
    let warnings = store_under(bao, &mount, &of_key_1).load().unwrap().warnings;
    let text = warnings[0].to_string();
    let rule = text.split("add to the policy: ").nth(1).unwrap();
    let keys = store_under(bao, &mount, &format!("{of_key_1}{rule}"))
        .load()
        .unwrap()
        .keys;
    assert_eq!(names(&keys), [(1, 1), (7, 1)]);
}

#[test]
fn a_secret_that_is_no_key_is_mended() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, "no key");
    let error = store(bao, &mount).load().unwrap_err();
    assert!(is(&error, |e| matches!(e, KvError::NotAKey { .. })), "{error}");
    assert!(
        error.hint().contains("32, 48 or 64 hex digits"),
        "{}",
        error.hint()
    );
    for digits in [32, 48, 64] {
        bao.put(&mount, 1, &"a".repeat(digits));
    }
    // The version that is none is still among them, until it is deleted.
    for warnings in [1, 1] {
        let loaded = store(bao, &mount).load().unwrap();
        assert_eq!(names(&loaded.keys), [(1, 2), (1, 3), (1, 4)]);
        assert_eq!(loaded.warnings.len(), warnings, "{:?}", loaded.warnings);
        bao.must("POST", &format!("{mount}/delete/1"), &json!({"versions": [1]}));
    }
}

#[test]
fn what_was_deleted_is_brought_back() {
    let bao = Bao::shared();
    let mount = bao.kv();
    for key in [KEY, LONG_KEY] {
        bao.put(&mount, 1, key);
    }
    let before = store(bao, &mount).load().unwrap().keys;
    bao.must("POST", &format!("{mount}/delete/1"), &json!({"versions": [1, 2]}));
    let error = store(bao, &mount).load().unwrap_err();
    assert!(
        is(&error, |e| matches!(e, KvError::NothingLeft { .. })),
        "{error}"
    );
    for version in ["1", "2"] {
        let words = [("MOUNT", mount.as_str()), ("VERSION", version), ("ID", "1")];
        bao.run_hint(&error.hint(), 0, &words);
    }
    let now = store(bao, &mount).load().unwrap();
    assert!(now.warnings.is_empty(), "{:?}", now.warnings);
    let bytes = |keys: &keyroll::keys::KeySet| -> Vec<Vec<u8>> {
        keys.iter().map(|(_, key)| key.expose().to_vec()).collect()
    };
    assert_eq!(bytes(&now.keys), bytes(&before));
}

#[test]
fn room_for_more_versions_is_made_and_none_is_lost() {
    let bao = Bao::shared();
    // Also where there is more room than the hint would make by itself.
    for kept in [2, 3] {
        let mount = bao.kv();
        bao.must(
            "POST",
            &format!("{mount}/metadata/1"),
            &json!({"max_versions": kept, "custom_metadata": {"of": "the DBA"}}),
        );
        (0..kept).for_each(|_| bao.put(&mount, 1, KEY));
        let error = rotate(&store(bao, &mount), HighestVersions::NONE).unwrap_err();
        assert!(is(&error, |e| matches!(e, KvError::WouldLose { .. })), "{error}");
        bao.run_hint(&error.hint(), 0, &[("MOUNT", &mount)]);
        let rotated = rotate(&store(bao, &mount), HighestVersions::NONE).unwrap();
        let all: Vec<_> = (1..=kept + 2).map(|version| (1, version)).collect();
        assert_eq!(names(&rotated.keys), all);
        let metadata = bao.must("GET", &format!("{mount}/metadata/1"), &json!(null));
        assert_eq!(metadata["data"]["custom_metadata"]["of"], "the DBA");
    }
}

#[test]
fn the_room_that_a_hint_makes_is_never_less_than_there_was() {
    let lost = KeyName { id: 7, version: 1 };
    let store = String::new();
    let error = KvError::WouldLose {
        store,
        kept: 5000,
        new: 2,
        lost,
        is_hidden: false,
    };
    assert!(
        error.hint().contains("-max-versions=6002 MOUNT/7`"),
        "{}",
        error.hint()
    );
}

#[test]
fn a_smaller_step_writes_no_secrets_in_masses() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let store = store(bao, &mount);
    let with_step = |step| {
        let step = VersionStep::new(step).unwrap();
        store.rotate_keys(
            Rotate::All,
            NewVersions {
                step,
                ..NewVersions::DEFAULT
            },
            None,
        )
    };
    let error = with_step(1000).unwrap_err();
    assert!(
        is(&error, |e| matches!(e, KvError::StepTooLarge { .. })),
        "{error}"
    );
    assert_eq!(names(&with_step(1).unwrap().keys), [(1, 1), (1, 2)]);
}

#[test]
fn numbers_that_are_taken_are_passed_over() {
    let bao = Bao::shared();
    let mount = bao.kv();
    // A restored snapshot: the data has seen version 25, and Vault holds three, of which it drops none.
    (0..3).for_each(|_| bao.put(&mount, 1, KEY));
    let seen = of_key_1(25);
    let error = rotate(&store(bao, &mount), &seen).unwrap_err();
    assert!(
        is(&error, |e| matches!(e, KvError::NumbersTaken { .. })),
        "{error}"
    );
    let hint = error.hint();
    assert!(hint.contains("then write 22 versions"), "{hint}");
    bao.run_hint(&hint, 0, &[("MOUNT", &mount)]);
    for _ in 0..22 {
        bao.run_hint(&hint, 1, &[("MOUNT", &mount)]);
    }
    let rotated = rotate(&store(bao, &mount), &seen).unwrap();
    assert_eq!(rotated.new, [KeyName { id: 1, version: 27 }]);
    let all: Vec<_> = (1..=27).map(|version| (1, version)).collect();
    assert_eq!(names(&rotated.keys), all);
}
