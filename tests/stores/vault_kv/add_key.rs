//! Keys that are added to Vault KV.

use keyroll::keys::{KeyName, KeySpec};
use keyroll::store::vault_kv::KvError;
use keyroll::store::{KeyStore, StoreError};
use serde_json::json;

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
