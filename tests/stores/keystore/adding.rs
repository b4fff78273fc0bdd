//! The versions of another store, added to a keystore.

use std::fs;
use std::sync::atomic::Ordering;

use keyroll::crypto::Algorithm;
use keyroll::keys::{Differing, KeyName, KeySet, NewVersions, Ring};
use keyroll::secret::DataKey;
use keyroll::store::keystore::KeystoreError;
use keyroll::store::{KeyStore, Rotate, StoreError};

use super::support::{Keys, Place, plain_keys};

const ALGORITHMS: [Algorithm; 4] = Algorithm::ALL;

fn name(id: u32, version: u32) -> KeyName {
    KeyName { id, version }
}

/// Versions of keys 7 and up, in every algorithm and length.
fn others() -> KeySet {
    let mut keys = KeySet::default();
    let mut byte = 0;
    for (id, algorithm) in (7..).zip(ALGORITHMS) {
        for (version, length) in [(1, 16), (2, 24), (9, 32)] {
            byte += 1;
            if !algorithm.derives_keys() || length == 32 {
                let key = DataKey::new(&vec![byte; length]).unwrap();
                keys.insert_for(name(id, version), key, algorithm);
            }
        }
    }
    keys
}

/// These keys and all that the keystore holds.
fn with_those_of(place: &Place, mut keys: KeySet) -> KeySet {
    let held = place.store().load().unwrap().keys;
    for (name, key) in held.iter() {
        let copy = DataKey::new(key.expose()).unwrap();
        keys.insert_for(name, copy, held.algorithm(name).unwrap());
    }
    keys
}

fn differing(error: &StoreError) -> &[Differing] {
    match error {
        StoreError::Keystore(KeystoreError::OthersUnderOneName { differing, .. }) => differing,
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_added_keeps_number_bytes_and_algorithm_and_nothing_else_changes() {
    let place = Place::new();
    let before = place.keys();
    let others = with_those_of(&place, others());
    let store = place.store();
    let added = store.add_all("another", &others, Algorithm::AesCbc).unwrap();
    let expected: Keys = plain_keys(&others);
    assert_eq!(plain_keys(&added.keys), expected);
    assert_eq!(added.new.len(), expected.len() - before.len());
    assert_eq!(place.keys(), expected);
    // A server that held what was there takes it up.
    let held = Ring::new(&place.store().load().unwrap().keys, Algorithm::AesCbc).unwrap();
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, Some(&held))
        .unwrap();
    assert_eq!(place.names(), ["keystore", "keystore.previous"]);
}

#[test]
fn adding_asks_no_provider_whose_key_is_held() {
    let place = Place::new();
    let store = place.store();
    store.load().unwrap();
    place.master_key.away.store(true, Ordering::Relaxed);
    store.add_all("another", &others(), Algorithm::AesCbc).unwrap();
    place.master_key.away.store(false, Ordering::Relaxed);
    assert_eq!(place.keys().len(), 2 + others().len());
}

#[test]
fn a_store_without_algorithms_gets_the_one_that_is_named() {
    let place = Place::new();
    let mut keys = KeySet::default();
    keys.insert(name(9, 4), DataKey::new(&[4; 24]).unwrap());
    place
        .store()
        .add_all("another", &keys, Algorithm::AesCtr)
        .unwrap();
    assert_eq!(place.keys()[&(9, 4)], (vec![4; 24], Some(Algorithm::AesCtr)));
    let too_short = place.store().add_all("another", &keys, Algorithm::Aes256Xts);
    assert!(matches!(
        too_short,
        Err(StoreError::Keys(keyroll::keys::KeysError::KeyTooShort { .. }))
    ));
}

#[test]
fn what_is_there_already_is_not_written_again() {
    let place = Place::new();
    let held = place.store().load().unwrap().keys;
    let text = place.text();
    let added = place
        .store()
        .add_all("another", &held, Algorithm::AesCbc)
        .unwrap();
    assert!(added.new.is_empty());
    assert_eq!(place.text(), text);
}

#[test]
fn other_bytes_or_another_algorithm_under_one_name_change_nothing_and_are_named() {
    let place = Place::new();
    let text = place.text();
    let held = place.store().load().unwrap().keys;
    let mut keys = others();
    let other_bytes = DataKey::new(&[9; 32]).unwrap();
    keys.insert_for(name(1, 1), other_bytes, Algorithm::Aes256Xts);
    let same = DataKey::new(held.get(name(2, 1)).unwrap().expose()).unwrap();
    keys.insert_for(name(2, 1), same, Algorithm::AesCbc);
    let error = place
        .store()
        .add_all("another", &keys, Algorithm::AesCbc)
        .unwrap_err();
    let found: Vec<_> = differing(&error)
        .iter()
        .map(|d| (d.name, d.has_other_bytes()))
        .collect();
    assert_eq!(found, [(name(1, 1), true), (name(2, 1), false)]);
    assert_eq!(place.text(), text);
    assert_eq!(place.names(), ["keystore"]);
    let said = error.to_string();
    for (differing, shown) in differing(&error)
        .iter()
        .zip(["fingerprints ", "aes_ctr and aes_cbc"])
    {
        assert!(
            said.contains(&differing.to_string()) && said.contains(shown),
            "{said}"
        );
    }
}

#[test]
fn a_keystore_that_is_not_there_is_not_made() {
    let place = Place::new();
    fs::remove_file(&place.path).unwrap();
    place
        .store()
        .add_all("another", &others(), Algorithm::AesCbc)
        .unwrap_err();
    assert_eq!(place.names(), [""; 0]);
}
