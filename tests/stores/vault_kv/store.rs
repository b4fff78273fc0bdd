//! Reading and rotating keys.

use std::thread;

use keyroll::keys::{HighestVersions, KeyName, NewVersions, VersionStep};
use keyroll::store::{KeyStore, Rotate, StoreError};
use serde_json::{Value, json};

use test_support::openbao::Bao;
use test_support::vault_kv::*;

#[test]
fn all_live_versions_of_all_numbered_secrets_are_keys() {
    let bao = Bao::shared();
    let mount = bao.kv();
    for data in [KEY, LONG_KEY, KEY] {
        bao.put(&mount, 1, data);
    }
    bao.put(&mount, 4_294_967_295u32, LONG_KEY);
    for other in ["01", "x", "4294967296", "0", "-1", "folder/7"] {
        bao.put(&mount, other, "no key");
    }
    let loaded = store(bao, &mount).load().unwrap();
    assert_eq!(names(&loaded.keys), [(1, 1), (1, 2), (1, 3), (u32::MAX, 1)]);
    assert_eq!(
        loaded.keys.iter().map(|(_, key)| key.len()).collect::<Vec<_>>(),
        [16, 32, 16, 32]
    );
    assert!(loaded.warnings.is_empty());
    let folder = store(bao, &format!("{mount}/folder"));
    assert!(
        folder
            .load()
            .unwrap_err()
            .to_string()
            .contains("/data/folder/7?version=1"),
        "a folder is part of the URL"
    );
}

#[test]
fn deleted_and_destroyed_versions_are_told_apart_and_left_out() {
    let bao = Bao::shared();
    let mount = bao.kv();
    (0..4).for_each(|_| bao.put(&mount, 1, KEY));
    bao.must("POST", &format!("{mount}/delete/1"), &json!({"versions": [1, 4]}));
    bao.must("PUT", &format!("{mount}/destroy/1"), &json!({"versions": [2]}));
    let loaded = store(bao, &mount).load().unwrap();
    assert_eq!(names(&loaded.keys), [(1, 3)]);
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    for (at, words) in [
        "version 1 of key 1 is deleted",
        "version 2 of key 1 is destroyed",
        "version 4 of key 1 is deleted",
    ]
    .iter()
    .enumerate()
    {
        assert!(warnings[at].contains(words), "{warnings:?}");
    }
    bao.must("POST", &format!("{mount}/delete/1"), &json!({"versions": [3]}));
    let error = store(bao, &mount).load().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no version of any key is left in Vault KV"),
        "{error}"
    );
    assert!(error.hint().contains("undelete"), "{}", error.hint());
}

#[test]
fn a_secret_that_is_no_key_is_told_by_its_name_and_never_quoted() {
    let bao = Bao::shared();
    for (body, words) in [
        (json!({"data": "s3cr3t-s3cr3t"}), "hex digits"),
        (
            json!({"data": "s3cr3t-s3cr3t-s3cr3t-s3cr3t-s3c!"}),
            "other characters",
        ),
        (json!({"data": ["s3cr3t"]}), "no text"),
        (json!({"key": "s3cr3t"}), "no field data"),
        (json!({"data": ""}), "hex digits"),
    ] {
        let mount = bao.kv();
        bao.must("POST", &format!("{mount}/data/7"), &json!({ "data": body }));
        for policy in [reading(&mount), least(&mount)] {
            let store = store_under(bao, &mount, &policy);
            let error = load_with(&store, &[7]).unwrap_err();
            let text = format!("{error} {} {error:?}", error.hint());
            assert!(
                text.contains(words) && text.contains(&format!("{mount}/data/7?version=1")),
                "{text}"
            );
            assert!(!text.contains("s3cr3t"), "{text}");
        }
        bao.put(&mount, 1, KEY);
        let loaded = store(bao, &mount).load().unwrap();
        let warnings = texts(&loaded.warnings);
        assert_eq!((names(&loaded.keys), warnings.len()), (vec![(1, 1)], 1));
        assert!(warnings[0].contains(words), "it hinders no other: {warnings:?}");
        assert!(!format!("{loaded:?}").contains("s3cr3t"));
    }
}

#[test]
fn each_wrong_place_has_its_own_message() {
    let bao = Bao::shared();
    let empty = bao.kv();
    let version_1 = bao.mount(&json!({"type": "kv", "options": {"version": "1"}}));
    bao.must("POST", &format!("{version_1}/1"), &json!({"data": KEY}));
    for (path, words) in [
        (empty.as_str(), "no secret there is named by a number"),
        (
            version_1.as_str(),
            "Key-value storage must be version number 2 or later",
        ),
        ("nowhere", "no secrets engine at nowhere"),
    ] {
        let error = store(bao, path).load().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_rotation_writes_as_many_versions_as_its_step_and_reads_them_back() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    bao.put(&mount, 2, LONG_KEY);
    let store = store(bao, &mount);
    let before = ring(&store.load().unwrap());
    let rotated = store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, Some(&before))
        .unwrap();
    assert_eq!(
        names(&rotated.keys),
        [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    );
    assert_eq!(
        rotated
            .new
            .iter()
            .map(|name| (name.id, name.version))
            .collect::<Vec<_>>(),
        [(1, 3), (2, 3)]
    );
    let mut bytes: Vec<&[u8]> = rotated.keys.iter().map(|(_, key)| key.expose()).collect();
    assert_eq!(
        bytes.iter().map(|key| key.len()).collect::<Vec<_>>(),
        [16, 16, 16, 32, 32, 32]
    );
    bytes.sort_unstable();
    bytes.dedup();
    assert_eq!(bytes.len(), 6, "each version has bytes of its own");
    let error = store
        .rotate_keys(Rotate::Key(9), NewVersions::DEFAULT, None)
        .unwrap_err();
    assert!(error.to_string().contains("there is no key 9"), "{error}");
}

#[test]
fn a_rotation_never_pushes_a_version_out_of_vault() {
    let bao = Bao::shared();
    for (most, config, count) in [(0, 0, 9), (0, 4, 3), (5, 0, 4)] {
        let mount = bao.kv();
        bao.must(
            "POST",
            &format!("{mount}/config"),
            &json!({"max_versions": config}),
        );
        keep_versions(bao, &mount, 1, most);
        (0..count).for_each(|_| bao.put(&mount, 1, KEY));
        let store = store(bao, &mount);
        let error = store
            .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, None)
            .unwrap_err();
        assert!(
            error.to_string().contains("would remove version 1 of key 1"),
            "{error}"
        );
        assert!(error.hint().contains("-max-versions"), "{}", error.hint());
        assert_eq!(store.load().unwrap().keys.len(), count, "nothing was written");
        keep_versions(bao, &mount, 1, 1000);
        store
            .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, None)
            .unwrap();
    }
}

#[test]
fn no_rotation_writes_more_than_16_versions_of_a_key() {
    let bao = Bao::shared();
    let mount = bao.kv();
    keep_versions(bao, &mount, 1, 1000);
    bao.put(&mount, 1, KEY);
    let store = store(bao, &mount);
    let rotate = |version, step| {
        let mut seen = HighestVersions::default();
        seen.raise(KeyName { id: 1, version });
        let new = NewVersions {
            step: VersionStep::new(step).unwrap(),
            seen: &seen,
            ..NewVersions::DEFAULT
        };
        let rotated = store.rotate_keys(Rotate::Key(1), new, None)?;
        Ok::<_, StoreError>(rotated.new[0].version)
    };
    for (seen, step, words) in [
        (1, 17, "a step of 17 would write 17 secrets"),
        (16, 2, "would give its number a second time"),
    ] {
        let error = rotate(seen, step).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(store.load().unwrap().keys.len(), 1, "nothing was written");
    assert_eq!(rotate(15, 2).unwrap(), 17);
    assert_eq!(rotate(1, 16).unwrap(), 33);
    assert_eq!(store.load().unwrap().keys.len(), 33);
}

#[test]
fn rotations_at_one_time_lose_nothing() {
    let bao = Bao::shared();
    let mount = bao.kv();
    keep_versions(bao, &mount, 1, 1000);
    bao.put(&mount, 1, KEY);
    let made: usize = thread::scope(|scope| {
        let rotations: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let store = store(bao, &mount);
                    (0..3)
                        .filter(|_| {
                            store
                                .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, None)
                                .is_ok()
                        })
                        .count()
                })
            })
            .collect();
        rotations
            .into_iter()
            .map(|rotation| rotation.join().unwrap())
            .sum()
    });
    let keys = store(bao, &mount).load().unwrap().keys;
    assert!(
        made >= 3 && keys.len() > 2 * made,
        "{made} rotations, {} versions",
        keys.len()
    );
    let first: Value = bao.must("GET", &format!("{mount}/data/1?version=1"), &Value::Null);
    assert_eq!(first["data"]["data"]["data"], KEY);
}

#[test]
fn a_rotation_without_the_right_to_write_names_the_rule_that_is_missing() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let token_text = bao.token(&reading(&mount), &json!({}));
    let store = store_with(bao, &mount, token(&token_text));
    assert_eq!(store.load().unwrap().keys.len(), 1);
    let error = store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("does not allow {mount}/data/1")),
        "{error}"
    );
    assert!(
        error.hint().contains(&format!("path \"{mount}/data/*\"")),
        "{}",
        error.hint()
    );
    assert_eq!(store.load().unwrap().keys.len(), 1);
}
