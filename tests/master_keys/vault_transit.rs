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

/// Mount and key of a place, apart.
fn mount_and_key(place: &Place) -> (String, String) {
    let name = name(place);
    let (mount, key) = name.split_once('/').unwrap();
    (mount.to_owned(), key.to_owned())
}

#[test]
fn a_version_that_vault_no_longer_decrypts_with_is_told_and_comes_back() {
    let (bao, place) = (Bao::shared(), Place::vault_transit());
    let (key, wrapped) = wrap(&*place.open());
    place.open().rotate().unwrap();
    let (mount, name) = mount_and_key(&place);
    let config = json!({"min_decryption_version": 2});
    bao.must("POST", &format!("{mount}/keys/{name}/config"), &config);
    let error = refused(place.open().unwrap(&wrapped, KEYSTORE));
    assert!(error.to_string().contains("min_decryption_version"), "{error}");
    assert!(!error.is_wrong_key() && !error.is_retryable(), "{error:?}");
    bao.run_hint(&error.hint(), 0, &[]);
    let again = place.open().unwrap(&wrapped, KEYSTORE).unwrap();
    assert_eq!(again.expose(), key.expose());
}

#[test]
fn a_key_that_is_not_there_or_was_deleted_is_told_from_a_wrong_one() {
    let (bao, mut place) = (Bao::shared(), Place::vault_transit());
    let (_, wrapped) = wrap(&*place.open());
    let (mount, key) = mount_and_key(&place);
    let config = json!({"deletion_allowed": true});
    bao.must("POST", &format!("{mount}/keys/{key}/config"), &config);
    bao.must("DELETE", &format!("{mount}/keys/{key}"), &json!({}));
    // With the least rights no key is made by the way.
    let rule = |verb| format!("path \"{mount}/{verb}\" {{ capabilities = [\"update\"] }}\n");
    let rules = ["encrypt/*", "decrypt/*", "keys/*"].map(rule).concat();
    let token = bao.token(&rules, &json!({}));
    place.set("VAULT_TOKEN", std::path::Path::new(&token));
    for error in [
        refused(place.open().unwrap(&wrapped, KEYSTORE)),
        refused(place.open().rotate()),
    ] {
        assert!(error.to_string().contains("has no key at"), "{error}");
        assert!(!error.is_wrong_key() && !error.is_retryable(), "{error:?}");
        let hint = error.hint();
        assert!(
            hint.contains("‹master_key›") && hint.contains("snapshot"),
            "{hint}"
        );
        let other = Place::vault_transit();
        let listed = bao.run_hint(&hint, 0, &[]);
        assert!(listed.contains(&mount_and_key(&other).1), "{listed}");
    }
    let new = keyroll::secret::KeystoreKey::random().unwrap();
    let error = refused(place.open().wrap(&new, KEYSTORE));
    let hint = error.hint();
    assert!(
        hint.contains("if that is there, the key is not: check ‹master_key›"),
        "{hint}"
    );
}

#[test]
fn a_key_of_a_type_that_cannot_wrap_is_told_and_another_one_made() {
    let (bao, mut place) = (Bao::shared(), Place::vault_transit());
    let (mount, _) = mount_and_key(&place);
    let (_, wrapped) = wrap(&*place.open());
    for kind in ["rsa-2048", "ed25519", "ecdsa-p256", "hmac"] {
        let properties = match kind {
            "hmac" => json!({"type": kind, "key_size": 32}),
            _ => json!({ "type": kind }),
        };
        bao.must("POST", &format!("{mount}/keys/of-{kind}"), &properties);
        place.uri = format!("vault-transit:{}", bao.url(&format!("{mount}/of-{kind}")));
        let key = keyroll::secret::KeystoreKey::random().unwrap();
        for error in [
            refused(place.open().wrap(&key, KEYSTORE)),
            refused(place.open().unwrap(&wrapped, KEYSTORE)),
        ] {
            assert!(
                error.to_string().contains("of a type that cannot wrap"),
                "{kind}: {error}"
            );
            assert!(!error.is_retryable(), "{error:?}");
            let hint = error.hint();
            assert!(hint.contains("‹master_key›"), "{hint}");
            let new = format!("made-{kind}");
            bao.run_hint(&hint, 0, &[("NAME", &new)]);
            place.uri = format!("vault-transit:{}", bao.url(&format!("{mount}/{new}")));
            wrap(&*place.open());
            place.uri = format!("vault-transit:{}", bao.url(&format!("{mount}/of-{kind}")));
        }
    }
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
fn a_key_that_derives_others_and_one_that_wraps_alike_serve_too() {
    let (bao, mut place) = (Bao::shared(), Place::vault_transit());
    let (mount, _) = name(&place)
        .split_once('/')
        .map(|(m, k)| (m.to_owned(), k.to_owned()))
        .unwrap();
    for (name, properties) in [
        ("derived", json!({"derived": true, "type": "chacha20-poly1305"})),
        (
            "convergent",
            json!({"derived": true, "convergent_encryption": true}),
        ),
    ] {
        bao.must("POST", &format!("{mount}/keys/{name}"), &properties);
        place.uri = format!("vault-transit:{}", bao.url(&format!("v1/{mount}/{name}")));
        let (key, wrapped) = wrap(&*place.open());
        assert_eq!(
            place.open().unwrap(&wrapped, KEYSTORE).unwrap().expose(),
            key.expose()
        );
        assert!(refused(place.open().unwrap(&wrapped, "another")).is_wrong_key());
    }
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
