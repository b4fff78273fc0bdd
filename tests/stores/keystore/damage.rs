//! Chance: files that are cut, flipped, old, or not the right one. And what a DBA is told then.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keyroll::keys::NewVersions;
use keyroll::master_key::ProviderOptions;
use keyroll::store::keystore::format::FormatError;
use keyroll::store::keystore::{KeystoreConfig, KeystoreError, KeystoreFile};
use keyroll::store::{KeyStore, Rotate, StoreError};
use serde_json::json;

use super::support::{Place, TestMasterKey, XTS, plain_keys};
use test_support::forgery::Forgery;

fn unreadable(error: StoreError) -> FormatError {
    match error {
        StoreError::Keystore(KeystoreError::Unreadable { source, .. }) => source,
        other => panic!("{other}"),
    }
}

#[test]
fn a_file_with_any_bit_flipped_is_refused_before_the_provider_is_asked() {
    let place = Place::new();
    let store = place.store();
    store
        .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, None)
        .unwrap();
    let good = fs::read(&place.path).unwrap();
    let calls = place.master_key.calls();
    // In place: some file systems sync what is truncated and written anew.
    let file = File::options().write(true).open(&place.path).unwrap();
    for bit in 0..good.len() * 8 {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        file.write_all_at(&flipped[bit / 8..=bit / 8], bit as u64 / 8)
            .unwrap();
        unreadable(place.refused());
        if bit % 97 == 0 {
            unreadable(store.load().unwrap_err());
            unreadable(
                store
                    .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
                    .unwrap_err(),
            );
            assert_eq!(fs::read(&place.path).unwrap(), flipped, "it is left alone");
        }
        file.write_all_at(&good[bit / 8..=bit / 8], bit as u64 / 8)
            .unwrap();
    }
    assert!(good.len() * 8 > 8_000);
    assert_eq!(place.master_key.calls(), calls);
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_refused_before_the_provider_is_asked() {
    let place = Place::new();
    let good = fs::read(&place.path).unwrap();
    let calls = place.master_key.calls();
    let file = File::options().write(true).open(&place.path).unwrap();
    for length in (0..good.len()).rev() {
        file.set_len(length as u64).unwrap();
        assert_eq!(
            unreadable(place.refused()),
            FormatError::Truncated,
            "{length} bytes"
        );
    }
    let more: [&[u8]; 3] = [b"\n", b" ", b"\0"];
    for more in more {
        fs::write(&place.path, [&good, more].concat()).unwrap();
        unreadable(place.refused());
    }
    assert_eq!(place.master_key.calls(), calls);
}

#[test]
fn damage_a_wrong_master_key_and_a_provider_that_is_away_are_told_apart() {
    let place = Place::new();
    let path = place.path.display().to_string();
    let good = fs::read(&place.path).unwrap();

    let (text, _) = place
        .text()
        .rsplit_once("checksum ")
        .map(|(text, digits)| (text.to_owned(), digits.to_owned()))
        .unwrap();
    fs::write(&place.path, format!("{text}checksum {}\n", "00".repeat(32))).unwrap();
    let error = place.refused();
    assert_eq!(
        error.to_string(),
        format!("keystore {path} is damaged: the checksum does not match")
    );
    assert_eq!(
        error.hint(),
        format!(
            "the master key is not the cause; put the newest backup in its place. If there is none, `mv --backup=numbered {path}.previous {path}`: \
             it lacks what the last change made, and `keyroll check` tells whether the data needs that. A server that still \
             runs saves its keys by SET GLOBAL ‹save_keys›"
        )
    );
    assert!(matches!(unreadable(error), FormatError::Damaged));
    fs::write(&place.path, good).unwrap();

    let error = place.store_with(&TestMasterKey::new("wrong")).load().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "keystore {path} was wrapped by another master key (version 1 of test master key one): test master key wrong \
             is not the master key of this keystore: no version of it opens what is wrapped"
        )
    );
    assert!(
        error
            .hint()
            .starts_with("the keystore is whole, as its checksum shows; "),
        "{}",
        error.hint()
    );
    assert!(error.hint().contains("‹master_key›"), "{}", error.hint());
    assert!(matches!(
        &error,
        StoreError::Keystore(KeystoreError::WrongMasterKey { .. })
    ));

    place.master_key.away.store(true, Ordering::Relaxed);
    let error = place.refused();
    assert_eq!(
        error.to_string(),
        format!(
            "the master key for keystore {path} is not to be had: test master key one cannot be reached: it was taken away"
        )
    );
    assert!(
        error
            .hint()
            .starts_with("the keystore is whole, as its checksum shows; "),
        "{}",
        error.hint()
    );
    assert!(matches!(
        &error,
        StoreError::Keystore(KeystoreError::NoMasterKey { .. })
    ));
}

#[test]
fn a_missing_keystore_is_never_made_by_itself() {
    let place = Place::empty();
    let error = place.refused();
    let path = place.path.display();
    assert_eq!(error.to_string(), format!("there is no keystore {path}"));
    assert!(
        error
            .hint()
            .contains(&format!("`keyroll init --keystore {path} --master-key URI`")),
        "{}",
        error.hint()
    );
    assert!(place.store().create_key(1, XTS, None).is_err());
    assert!(place.names().is_empty());
    assert_eq!(place.master_key.calls(), (0, 0, 0));

    let place = Place::new();
    place
        .store()
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    fs::remove_file(&place.path).unwrap();
    let hint = place.refused().hint();
    assert!(
        hint.contains("find out what took the keystore away; put the newest backup"),
        "{hint}"
    );
}

#[test]
fn what_is_no_keystore_or_a_newer_one_is_told_as_such() {
    let place = Place::new();
    // A version that is not known may have anything behind its first line.
    fs::write(&place.path, "keyroll keystore 2\n\0").unwrap();
    let error = place.refused();
    assert!(
        error.to_string().ends_with(
            "was made by another version of keyroll: it has version 2 of the format, and only version 1 is known here"
        ),
        "{error}"
    );
    assert_eq!(
        error.hint(),
        "install a keyroll that knows it; this one knows keyroll keystore version 1"
    );

    fs::write(&place.path, include_str!("vectors/unreleased_keystore")).unwrap();
    let error = place.refused();
    assert!(error.to_string().contains("before the first release"), "{error}");
    assert!(matches!(unreadable(error), FormatError::Unreleased));

    for other in [
        "{\"a\": 1}\n",
        "1;00112233445566778899aabbccddeeff\n",
        "Salted__\u{1}",
    ] {
        fs::write(&place.path, other).unwrap();
        let error = place.refused();
        assert!(error.to_string().contains(" is no keystore: "), "{error}");
        assert!(error.hint().contains("‹filename›"), "{}", error.hint());
    }
    fs::write(&place.path, "").unwrap();
    assert_eq!(unreadable(place.refused()), FormatError::Truncated);
}

#[test]
fn an_older_copy_in_the_place_of_the_newer_is_noticed() {
    let place = Place::new();
    let server = place.store();
    server.load().unwrap();
    let old = fs::read(&place.path).unwrap();
    server
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    server
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    let new = fs::read(&place.path).unwrap();

    fs::write(&place.path, &old).unwrap();
    let path = place.path.display();
    let error = server.load().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("keystore {path} is an older copy: it was written 1 times, the one in use 3 times")
    );
    // A server that starts has the kept copy alone to tell.
    let error = place.refused();
    assert_eq!(
        error.to_string(),
        format!("keystore {path} is an older copy: it was written 1 times, {path}.previous 2 times")
    );
    assert!(
        error
            .hint()
            .contains(&format!("`mv --backup=numbered {path}.previous {path}`")),
        "{}",
        error.hint()
    );
    assert!(
        place
            .store()
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .is_err()
    );
    assert_eq!(fs::read(&place.path).unwrap(), old, "nothing is made of it");

    // As the hints say.
    fs::write(&place.path, &new).unwrap();
    assert_eq!(place.keys().len(), 6);
    fs::write(&place.path, &old).unwrap();
    fs::remove_file(place.directory.path().join("keystore.previous")).unwrap();
    assert_eq!(place.keys().len(), 2);
}

#[test]
fn a_copy_from_just_before_the_last_change_is_noticed_until_the_kept_copy_is_moved_into_its_place() {
    let place = Place::new();
    place
        .store()
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    let previous = place.directory.path().join("keystore.previous");
    fs::copy(&previous, &place.path).unwrap();
    let (path, error) = (place.path.display(), place.refused());
    assert_eq!(
        error.to_string(),
        format!(
            "keystore {path} is an older copy: it was written 1 times, as was {path}.previous, which the keystore is always \
             newer than"
        )
    );
    fs::rename(&previous, &place.path).unwrap();
    assert_eq!(place.keys().len(), 2);
}

#[test]
fn two_copies_that_grew_apart_are_told_apart_by_whoever_saw_one() {
    let place = Place::new();
    let before = fs::read(&place.path).unwrap();
    let server = place.store();
    server
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    let one = fs::read(&place.path).unwrap();
    fs::remove_file(place.directory.path().join("keystore.previous")).unwrap();
    fs::write(&place.path, before).unwrap();
    place
        .store()
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    let error = server.load().unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("both were written 2 times, and differ"),
        "{error}"
    );
    assert!(
        server
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .is_err()
    );
    fs::write(&place.path, one).unwrap();
    server.load().unwrap();
}

#[test]
fn no_copy_that_the_master_key_of_before_opens_is_left() {
    let place = Place::new();
    let store = place.store();
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    let previous = place.directory.path().join("keystore.previous");
    let old = fs::read(&previous).unwrap();
    store.rotate_master_key(None).unwrap();
    assert_eq!(place.names(), ["keystore"]);

    // Killed before it was removed: told at each load, and removed by the next change.
    fs::write(&previous, &old).unwrap();
    let warnings = place.store().load().unwrap().warnings;
    assert!(
        warnings[0].to_string().contains("opens with an older master key"),
        "{warnings:?}"
    );
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    assert_ne!(fs::read(&previous).unwrap(), old);
    assert!(place.store().load().unwrap().warnings.is_empty());
}

#[test]
fn an_older_copy_is_noticed_behind_a_symbolic_link_too() {
    let place = Place::new();
    let real = place.directory.path().join("real");
    let old = fs::read(&place.path).unwrap();
    fs::rename(&place.path, &real).unwrap();
    std::os::unix::fs::symlink("real", &place.path).unwrap();
    for _ in 0..2 {
        place
            .store()
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .unwrap();
    }
    assert_eq!(place.names(), ["keystore", "real", "real.previous"]);
    fs::write(&real, old).unwrap();
    let error = place.refused();
    assert!(
        matches!(error, StoreError::Keystore(KeystoreError::Older { .. })),
        "{error}"
    );
}

#[test]
fn a_kept_copy_that_is_broken_or_of_another_keystore_does_not_stand_in_the_way() {
    let place = Place::new();
    let previous = place.directory.path().join("keystore.previous");
    let other = Place::new();
    for _ in 0..3 {
        other
            .store()
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .unwrap();
    }
    for bytes in [&b""[..], b"{", &fs::read(&other.path).unwrap()] {
        fs::write(&previous, bytes).unwrap();
        assert_eq!(place.keys().len(), 2);
    }
    fs::remove_file(&previous).unwrap();
    fs::create_dir(&previous).unwrap();
    assert_eq!(place.keys().len(), 2);
}

#[test]
fn another_keystore_in_the_place_of_the_one_in_use_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    let server = place.store();
    server.load().unwrap();
    fs::copy(&other.path, &place.path).unwrap();
    let error = server.load().unwrap_err();
    assert!(
        matches!(error, StoreError::Keystore(KeystoreError::Foreign { .. })),
        "{error}"
    );
    assert!(
        error.to_string().contains(" is another keystore: its UUID is "),
        "{error}"
    );
    assert!(
        server
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .is_err()
    );
    assert!(server.rotate_master_key(None).is_err());
    assert_eq!(place.master_key.calls().2, 0, "no master key is made for it");
    // A server that starts knows no other.
    assert_eq!(place.keys(), other.keys());
}

#[test]
fn nothing_depends_on_a_clock_that_goes_forward() {
    let place = Place::new();
    let mut future = Forgery::of(&place.path);
    for path in [&["created"][..], &["master_key", "wrapped_at"]] {
        *future.at(path) = json!("9999-12-31T23:59:59Z");
    }
    place.put_signed(&future);
    let store = place.store();
    let before = plain_keys(&store.load().unwrap().keys);
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    store.rotate_master_key(None).unwrap();
    let after = place.keys();
    assert_eq!(after.len(), 4);
    assert!(before.iter().all(|(name, key)| after.get(name) == Some(key)));
    let document = store.document().unwrap();
    assert_eq!(document.created, "9999-12-31T23:59:59Z");
    assert!(document.master_key.wrapped_at.as_str() < "9999");
}

#[test]
fn a_keystore_that_others_may_read_is_warned_about_or_refused() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = place.store().load().unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].to_string().contains("run `chmod o-rwx "),
        "{}",
        warnings[0]
    );
    let error = place.strict_store().load().unwrap_err();
    assert!(error.hint().starts_with("run `chmod o-rwx "), "{}", error.hint());
    assert!(
        place
            .strict_store()
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .is_err()
    );
}

#[test]
fn a_secret_to_reach_the_master_key_with_that_others_may_read_is_refused_before_anyone_is_asked() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let secret = place.path.with_file_name("secret");
    let mut setting = OsString::from("FILE:");
    setting.push(&secret);
    let options = ProviderOptions::new(
        Duration::from_secs(5),
        BTreeMap::from([
            ("VAULT_TOKEN".into(), setting),
            ("AWS_SHARED_CREDENTIALS_FILE".into(), secret.clone().into()),
            ("AWS_REGION".into(), "eu-west-1".into()),
            ("AWS_ENDPOINT_URL".into(), "http://127.0.0.1:1".into()),
        ]),
    );
    let refused = format!("others may read or change {}", secret.display());
    let error_of = |nobody_there: &str, mode, strict_permissions| {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        let config = KeystoreConfig {
            path: place.path.clone(),
            master_key: nobody_there.into(),
            options: options.clone(),
            strict_permissions,
        };
        KeystoreFile::new(config).unwrap().load().unwrap_err().to_string()
    };
    let keys = "[default]\naws_access_key_id = x\naws_secret_access_key = x\n";
    for (text, nobody_there) in [
        ("hvs.x", "vault-transit:https://127.0.0.1:1/transit/key"),
        (keys, "aws-kms:alias/x"),
    ] {
        fs::write(&secret, text).unwrap();
        let error = error_of(nobody_there, 0o644, true);
        assert!(error.starts_with(&refused), "{error}");
        for (mode, strict) in [(0o600, true), (0o644, false)] {
            let error = error_of(nobody_there, mode, strict);
            assert!(!error.contains("others may read"), "{error}");
        }
    }
}
