//! What is particular to a master key in Vault transit.

use keyroll::master_key::{MasterKeyError, open};
use serde_json::json;

use test_support::master_keys::{KEYSTORE, Place, refused, wrap};
use test_support::openbao::Bao;

/// Mount and key of a place.
fn name(place: &Place) -> String {
    let bao = Bao::shared();
    place
        .uri
        .trim_start_matches("vault-transit:")
        .trim_start_matches(&bao.url(""))
        .to_owned()
}

#[test]
fn the_version_of_the_key_is_recorded() {
    let place = Place::vault_transit();
    assert_eq!(wrap(&*place.open()).1.key_version, "1");
    place.open().rotate().unwrap();
    let (key, wrapped) = wrap(&*place.open());
    assert_eq!(wrapped.key_version, "2");
    assert_eq!(
        place.open().unwrap(&wrapped, KEYSTORE).unwrap().expose(),
        key.expose()
    );
}

#[test]
fn a_version_that_vault_no_longer_decrypts_with_is_told() {
    let (bao, place) = (Bao::shared(), Place::vault_transit());
    let (_, wrapped) = wrap(&*place.open());
    place.open().rotate().unwrap();
    let (mount, key) = name(&place)
        .split_once('/')
        .map(|(m, k)| (m.to_owned(), k.to_owned()))
        .unwrap();
    bao.must(
        "POST",
        &format!("{mount}/keys/{key}/config"),
        &json!({"min_decryption_version": 2}),
    );
    let error = refused(place.open().unwrap(&wrapped, KEYSTORE));
    assert!(error.to_string().contains("min_decryption_version"), "{error}");
}

#[test]
fn the_least_rights_are_enough_and_each_missing_one_is_named() {
    let (bao, mut place) = (Bao::shared(), Place::vault_transit());
    let (mount, key) = name(&place)
        .split_once('/')
        .map(|(m, k)| (m.to_owned(), k.to_owned()))
        .unwrap();
    let rules = |verbs: &[&str]| {
        let rule = |verb: &&str| format!("path \"{mount}/{verb}/{key}\" {{ capabilities = [\"update\"] }}\n");
        verbs.iter().map(rule).collect::<String>()
    };
    let token = bao.token(&rules(&["encrypt", "decrypt"]), &json!({}));
    place.set("VAULT_TOKEN", std::path::Path::new(&token));
    let (_, wrapped) = wrap(&*place.open());
    place.open().unwrap(&wrapped, KEYSTORE).unwrap();
    let error = place.open().rotate().unwrap_err();
    assert!(
        matches!(
            error,
            MasterKeyError::Service {
                operation: "rotate",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        error
            .hint()
            .contains(&format!("path \"{mount}/keys/{key}/rotate\"")),
        "{error}"
    );
    let token = bao.token(&rules(&["encrypt"]), &json!({}));
    place.set("VAULT_TOKEN", std::path::Path::new(&token));
    let error = refused(place.open().unwrap(&wrapped, KEYSTORE));
    assert!(
        error.hint().contains(&format!("path \"{mount}/decrypt/{key}\"")),
        "{error}"
    );
    assert!(!error.is_wrong_key());
}

#[test]
fn a_key_that_derives_others_and_one_without_associated_data_serve_too() {
    let (bao, mut place) = (Bao::shared(), Place::vault_transit());
    let (mount, _) = name(&place)
        .split_once('/')
        .map(|(m, k)| (m.to_owned(), k.to_owned()))
        .unwrap();
    bao.must(
        "POST",
        &format!("{mount}/keys/derived"),
        &json!({"derived": true, "type": "chacha20-poly1305"}),
    );
    place.uri = format!("vault-transit:{}", bao.url(&format!("v1/{mount}/derived")));
    let (key, wrapped) = wrap(&*place.open());
    assert_eq!(
        place.open().unwrap(&wrapped, KEYSTORE).unwrap().expose(),
        key.expose()
    );
    assert!(refused(place.open().unwrap(&wrapped, "another")).is_wrong_key());
}

#[test]
fn a_uri_without_a_key_is_refused() {
    let place = Place::empty();
    for uri in [
        "vault-transit:",
        "vault-transit:https://vault:8200",
        "vault-transit:https://vault:8200/transit",
        "vault-transit:https://vault:8200/v1/transit",
        "vault-transit:https://vault:8200/transit/key?x=1",
        "vault-transit:vault:8200/transit/key",
    ] {
        assert!(
            matches!(open(uri, &place.options), Err(MasterKeyError::BadUri { .. })),
            "{uri}"
        );
    }
}
