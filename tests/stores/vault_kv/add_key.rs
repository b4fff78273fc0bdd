//! Keys that are added to Vault KV.

use keyroll::keys::{KeyName, KeySpec, KeysError, NewVersions, VersionStep};
use keyroll::store::vault_kv::KvError;
use keyroll::store::{KeyStore, Rotate, StoreError};
use serde_json::{Value, json};

use test_support::openbao::Bao;
use test_support::vault_kv::*;

#[test]
fn the_first_key_of_all_can_be_added() {
    let bao = Bao::shared();
    let mount = bao.kv();
    let added = store(bao, &mount).add_key(1, KeySpec::DEFAULT, None).unwrap();
    assert_eq!(added.new, [KeyName { id: 1, version: 1 }]);
    assert_eq!(added.keys.latest_bits(1), 256);
}

#[test]
fn a_key_that_was_deleted_is_brought_back_and_not_made_anew() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    bao.put(&mount, 7, KEY);
    bao.must("POST", &format!("{mount}/delete/7"), &json!({"versions": [1]}));
    let error = store(bao, &mount).add_key(7, KeySpec::DEFAULT, None).unwrap_err();
    assert!(
        matches!(error, StoreError::VaultKv(KvError::NotFirst { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("version 1 of key 7"), "{error}");
    let words = [("MOUNT", mount.as_str()), ("VERSION", "1")];
    bao.run_hint(&error.hint(), 0, &words);
    let error = store(bao, &mount).add_key(7, KeySpec::DEFAULT, None).unwrap_err();
    assert!(matches!(error, StoreError::KeyExists { id: 7, .. }), "{error}");
}

#[test]
fn a_key_in_use_whose_secret_was_removed_is_not_made_a_second_time() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    bao.put(&mount, 7, KEY);
    let store = store(bao, &mount);
    let known = ring(&store.load().unwrap());
    bao.must("DELETE", &format!("{mount}/metadata/7"), &json!({}));
    let error = store.add_key(7, KeySpec::DEFAULT, Some(&known)).unwrap_err();
    assert!(lacks(&error, 7, 1), "{error}");
    let (status, _) = bao.ask("GET", &format!("{mount}/metadata/7"), &Value::Null);
    assert_eq!(status, 404, "nothing was written");
    // Nor is another key where one in use has other bytes, which could not be published.
    bao.put(&mount, 7, LONG_KEY);
    let error = store.add_key(8, KeySpec::DEFAULT, Some(&known)).unwrap_err();
    assert!(
        matches!(error, StoreError::Keys(KeysError::KnownVersionDiffers { .. })),
        "{error}"
    );
    assert_eq!(names(&store.load().unwrap().keys), [(1, 1), (7, 1)]);
}

#[test]
fn a_rotation_gives_no_number_in_use_to_other_bytes_where_vault_is_an_older_copy() {
    let bao = Bao::shared();
    let mount = bao.kv();
    (0..3).for_each(|_| bao.put(&mount, 7, KEY));
    bao.put(&mount, 1, KEY);
    let store = store(bao, &mount);
    let known = ring(&store.load().unwrap());
    bao.must("DELETE", &format!("{mount}/metadata/7"), &json!({}));
    bao.put(&mount, 7, KEY);
    let new = NewVersions {
        step: VersionStep::new(1).unwrap(),
        ..NewVersions::DEFAULT
    };
    for which in [Rotate::Key(7), Rotate::All] {
        let error = store.rotate_keys(which, new, Some(&known)).unwrap_err();
        assert!(lacks(&error, 7, 3), "{error}");
    }
    assert_eq!(names(&store.load().unwrap().keys), [(1, 1), (7, 1)]);
}

/// Whether the store is told to lack this version, which is in use.
fn lacks(error: &StoreError, id: u32, version: u32) -> bool {
    matches!(error, StoreError::Keys(KeysError::KnownVersionMissing { name }) if *name == KeyName { id, version })
}
