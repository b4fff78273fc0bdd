//! From a new keystore over rotations of both kinds to another master key.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use keyroll::clock;
use keyroll::crypto::Algorithm;
use keyroll::keys::{KeyName, KeySet, KeySpec, NewVersions, VersionStep};
use keyroll::secret::DataKey;
use keyroll::store::keystore::format::Document;
use keyroll::store::keystore::{KeystoreError, NewKey};
use keyroll::store::{KeyStore, Rotate, StoreError};

use super::faults;
use super::support::{CTR_128, Handle, Place, TestMasterKey, XTS, options, plain_keys};

fn new_versions(spec: KeySpec) -> NewVersions<'static> {
    NewVersions {
        step: VersionStep::DEFAULT,
        spec,
        ..NewVersions::DEFAULT
    }
}

#[test]
fn a_new_keystore_opens_with_one_call_to_the_provider_and_holds_what_was_asked_for() {
    let place = Place::new();
    let (unwraps, ..) = place.master_key.calls();
    let keys = place.keys();
    assert_eq!(place.master_key.calls().0, unwraps + 1);
    assert_eq!(keys.keys().copied().collect::<Vec<_>>(), [(1, 1), (2, 1)]);
    let (bytes, algorithm) = &keys[&(1, 1)];
    assert_eq!((bytes.len(), *algorithm), (32, Some(Algorithm::Aes256Xts)));
    let (bytes, algorithm) = &keys[&(2, 1)];
    assert_eq!((bytes.len(), *algorithm), (16, Some(Algorithm::AesCtr)));
    assert_eq!(place.names(), ["keystore"]);
    let mode = fs::metadata(&place.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn rotations_and_new_keys_ask_no_provider() {
    let place = Place::new();
    let store = place.store();
    let before = plain_keys(&store.load().unwrap().keys);
    place.master_key.away.store(true, Ordering::Relaxed);
    let calls = place.master_key.calls();

    let rotated = store
        .rotate_keys(Rotate::All, new_versions(CTR_128), None)
        .unwrap();
    assert_eq!(
        rotated.new.iter().map(|n| (n.id, n.version)).collect::<Vec<_>>(),
        [(1, 3), (2, 3)]
    );
    let made = store.create_key(7, XTS, None).unwrap();
    assert_eq!(made.new.len(), 1);
    let after = plain_keys(&made.keys);
    assert!(before.iter().all(|(name, key)| after.get(name) == Some(key)));
    assert_eq!(after.len(), 5);
    assert_eq!(plain_keys(&store.load().unwrap().keys), after);
    assert_eq!(place.master_key.calls(), calls);
    assert_eq!(place.names(), ["keystore", "keystore.previous"]);

    place.master_key.away.store(false, Ordering::Relaxed);
    assert_eq!(place.keys(), after);
}

#[test]
fn a_key_that_someone_else_has_made_is_taken_up() {
    let place = Place::new();
    let (one, two) = (place.store(), place.store());
    one.load().unwrap();
    two.load().unwrap();
    let made = one.create_key(9, XTS, None).unwrap();
    let taken_up = two.create_key(9, CTR_128, None).unwrap();
    assert!(taken_up.new.is_empty());
    assert_eq!(plain_keys(&taken_up.keys), plain_keys(&made.keys));
}

#[test]
fn a_rotated_master_key_changes_everything_but_the_keys() {
    let place = Place::new();
    let store = place.store();
    let before = plain_keys(&store.load().unwrap().keys);
    let (document, text) = (store.document().unwrap(), place.text());
    let rotated = store.rotate_master_key(None).unwrap();
    assert_eq!(plain_keys(&rotated.keys), before);
    assert_eq!(rotated.master_key, "version 2 of test master key one");
    assert_eq!(store.master_key(), Some(rotated.master_key));
    let after = Document::read(&place.path).unwrap();
    assert_eq!(
        (after.generation, after.master_key.wrapped.key_version.as_str()),
        (document.generation + 1, "2")
    );
    let versions = |document: &Document| -> Vec<_> {
        let keys = document.keys.iter();
        keys.map(|key| (key.name, key.spec, key.created.clone()))
            .collect()
    };
    assert_eq!(versions(&after), versions(&document));
    let old_lines: Vec<&str> = text.lines().filter(|line| line.contains("nonce")).collect();
    assert_eq!(old_lines.len(), 2);
    assert!(
        old_lines.iter().all(|line| !place.text().contains(line)),
        "every key is sealed anew"
    );
    let calls = place.master_key.calls();
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    store.load().unwrap();
    assert_eq!(place.master_key.calls(), calls, "the new keystore key is held");
    assert_eq!(place.keys().len(), 4);
}

#[test]
fn a_keystore_moves_to_another_master_key_and_then_opens_with_that_alone() {
    let place = Place::new();
    let other = TestMasterKey::new("other");
    let before = place.keys();
    let store = place.store();
    let moved = store.move_to(&Handle(other.clone()), None).unwrap();
    assert_eq!(moved.master_key, "version 1 of test master key other");
    assert_eq!(plain_keys(&moved.keys), before);
    assert_eq!(plain_keys(&place.store_with(&other).load().unwrap().keys), before);
    assert!(
        place
            .refused()
            .to_string()
            .contains("was wrapped by another master key")
    );
    // Who moved it goes on without asking anyone.
    assert_eq!(
        store
            .rotate_keys(Rotate::Key(2), NewVersions::DEFAULT, None)
            .unwrap()
            .new
            .len(),
        1
    );
}

#[test]
fn imported_keys_keep_ids_versions_and_bytes() {
    let from = Place::new();
    let store = from.store();
    store
        .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, None)
        .unwrap();
    let keys = store.load().unwrap().keys;
    let to = Place::empty();
    to.store().import(&keys, Algorithm::AesCbc, None).unwrap();
    assert_eq!(to.keys(), plain_keys(&keys));
    let refused = to.store().import(&keys, Algorithm::AesCbc, None).unwrap_err();
    assert!(refused.to_string().ends_with("exists already"), "{refused}");
    let refused = to
        .store()
        .create(&[NewKey { id: 1, spec: XTS }], None)
        .unwrap_err();
    assert!(refused.to_string().ends_with("exists already"), "{refused}");
}

#[test]
fn keys_keep_the_time_at_which_they_were_made_and_have_none_where_none_is_known() {
    let name = |id, version| KeyName { id, version };
    let made = clock::of_rfc3339("2020-02-29T23:59:59Z");
    let mut keys = KeySet::default();
    for version in [1, 3] {
        keys.insert(name(1, version), DataKey::new(&[version as u8; 32]).unwrap());
    }
    keys.set_created(name(1, 3), made);
    let place = Place::empty();
    let store = place.store();
    store.import(&keys, Algorithm::Aes256Xts, None).unwrap();
    let second = name(2, 1);
    keys.insert(second, DataKey::new(&[2; 32]).unwrap());
    keys.set_created(second, made);
    store.add_all("another", &keys, Algorithm::Aes256Xts).unwrap();
    let before = SystemTime::now() - Duration::from_secs(1);
    store
        .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, None)
        .unwrap();
    store.rotate_master_key(None).unwrap();
    let wrapped_at = store.wrapped_at().unwrap();
    let saved = place.directory.path().join("saved");
    store.save(&store.load().unwrap().keys, &saved).unwrap();
    fs::rename(saved, &place.path).unwrap();

    let opened = place.store();
    let keys = opened.load().unwrap().keys;
    assert_eq!(keys.created(name(1, 1)), None);
    assert_eq!([keys.created(name(1, 3)), keys.created(second)], [made, made]);
    let rotated = keys.created(name(1, 5)).unwrap();
    assert!(rotated >= before && rotated <= SystemTime::now());
    assert!(wrapped_at >= before && opened.wrapped_at() == Some(wrapped_at));
}

#[test]
fn a_server_goes_on_with_the_master_key_that_the_keystore_was_moved_to() {
    let place = Place::new();
    let file = place.directory.path().join("master");
    fs::write(&file, format!("1;{}\n", "5a".repeat(32))).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let uri = format!("file:{}", file.display());
    let server = place.store();
    let before = plain_keys(&server.load().unwrap().keys);
    let adopted = server.with_master_key(&uri).unwrap();
    assert!(adopted.load().is_err(), "it is not wrapped by that one yet");

    let other = keyroll::master_key::open(&uri, &options()).unwrap();
    place.store().move_to(other.as_ref(), None).unwrap();
    // One keystore key, wrapped anew by someone else: the old provider can no longer open it.
    assert!(server.load().is_err());
    let adopted = server.with_master_key(&uri).unwrap();
    assert_eq!(plain_keys(&adopted.load().unwrap().keys), before);
    adopted.rotate_master_key(None).unwrap();
    assert_eq!(
        adopted.master_key(),
        Some(format!("version 2 of master key file {}", file.display()))
    );

    let Err(refused) = server.with_master_key("vault:x") else {
        panic!("there is no such provider");
    };
    assert!(
        refused.to_string().contains("there is no scheme 'vault'"),
        "{refused}"
    );
}

#[test]
fn a_store_that_is_given_another_master_key_goes_on_knowing_what_it_has_seen() {
    let place = faults::Place::new();
    let path = place.path("keystore");
    let server = place.store("master");
    server.load().unwrap();
    let old = fs::read(&path).unwrap();
    server
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    fs::write(&path, &old).unwrap();
    fs::remove_file(place.path("keystore.previous")).unwrap();
    let error = server
        .with_master_key(&place.uri("master"))
        .unwrap()
        .load()
        .unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Keystore(KeystoreError::Older { in_memory: true, .. })
        ),
        "{error}"
    );
    // One that begins with it has seen nothing.
    place.store("master").load().unwrap();
}

#[test]
fn a_copy_that_cannot_be_removed_is_told_and_the_change_stands() {
    let place = Place::new();
    let (told, store) = place.telling_store();
    store.rotate_master_key(None).unwrap();
    assert!(told.lock().unwrap().is_empty(), "there was none");
    fs::create_dir(place.directory.path().join("keystore.previous")).unwrap();
    store.rotate_master_key(None).unwrap();
    let path = place.path.display();
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with(&format!("Cannot remove {path}.previous: "))
            && told[0].contains("the keystore itself is written. Hint: "),
        "{told:?}"
    );
    assert_eq!(
        place.store().document().unwrap().master_key.wrapped.key_version,
        "3"
    );
}

#[test]
fn a_copy_under_an_older_master_key_is_removed_by_whatever_comes_next() {
    let place = Place::new();
    let store = place.store();
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    let previous = place.directory.path().join("keystore.previous");
    let under_the_older = fs::read(&previous).unwrap();
    store.rotate_master_key(None).unwrap();
    assert!(!previous.exists());
    // As a rotation of the master key leaves it that was killed before its last step.
    fs::write(&previous, under_the_older).unwrap();
    assert!(
        store.create_key(1, XTS, None).unwrap().new.is_empty(),
        "nothing is written"
    );
    assert!(!previous.exists());
}
