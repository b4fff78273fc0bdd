//! Intent: files changed by someone who lacks the master key, with a checksum that is right.

use std::fs;

use keyroll::keys::NewVersions;
use keyroll::store::keystore::KeystoreError;
use keyroll::store::keystore::format::{Document, FormatError};
use keyroll::store::keystore::json::{Object, Value};
use keyroll::store::{KeyStore, Rotate, StoreError};

use super::support::{Forgery, Place, base64};

type Change = Box<dyn Fn(&mut Forgery)>;

fn three_keys() -> Place {
    let place = Place::new();
    place
        .store()
        .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, None)
        .unwrap();
    place
}

fn set(path: &'static [&'static str], value: Value) -> Change {
    Box::new(move |file| *file.at(path) = value.clone())
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

/// Everything of `what` that two key versions have changes places.
fn swap(one: &'static str, other: &'static str, what: &'static [&'static str]) -> Change {
    Box::new(move |file| {
        for name in what {
            let first = file.at(&["keys", one, name]).clone();
            let second = std::mem::replace(file.at(&["keys", other, name]), first);
            *file.at(&["keys", one, name]) = second;
        }
    })
}

#[test]
fn whatever_someone_without_the_key_changes_is_refused_by_the_mac() {
    let other = three_keys();
    let of_other = move |index: usize| Forgery::of(&other).keys()[index].clone();
    let changes: Vec<(&str, Change)> = vec![
        ("reordered", Box::new(|file| file.keys().swap(0, 1))),
        ("reversed", Box::new(|file| file.keys().reverse())),
        ("the last removed", Box::new(|file| drop(file.keys().pop()))),
        ("the first removed", Box::new(|file| drop(file.keys().remove(0)))),
        ("all removed", Box::new(|file| file.keys().clear())),
        (
            "from another file",
            Box::new(move |file| file.keys()[0] = of_other(0)),
        ),
        ("ids swapped", swap("0", "1", &["id"])),
        ("versions swapped", swap("0", "2", &["version"])),
        ("keys swapped", swap("0", "2", &["nonce", "wrapped"])),
        ("nonces swapped", swap("0", "2", &["nonce"])),
        ("ciphertexts swapped", swap("0", "2", &["wrapped"])),
        ("another id", set(&["keys", "0", "id"], Value::Integer(3))),
        (
            "another version",
            set(&["keys", "0", "version"], Value::Integer(7)),
        ),
        (
            "another algorithm",
            set(&["keys", "0", "algorithm"], text("aes_cbc")),
        ),
        (
            "another time",
            set(&["keys", "0", "created"], text("2020-01-01T00:00:00Z")),
        ),
        (
            "a zero nonce",
            set(&["keys", "0", "nonce"], text(&base64(&[0; 12]))),
        ),
        ("another generation", set(&["generation"], Value::Integer(99))),
        (
            "another birthday",
            set(&["created"], text("2020-01-01T00:00:00Z")),
        ),
        (
            "another provider",
            set(&["master_key", "provider"], text("exec /tmp/evil")),
        ),
        (
            "another key version",
            set(&["master_key", "key_version"], text("9")),
        ),
        (
            "another time of wrapping",
            set(&["master_key", "wrapped_at"], text("2020-01-01T00:00:00Z")),
        ),
        ("another MAC", set(&["mac"], text(&base64(&[0; 32])))),
        ("a member added", Box::new(|file| file.0.set("x", Value::Null))),
        (
            "a member added below",
            Box::new(|file| match file.at(&["keys", "1"]) {
                Value::Object(object) => object.set("x", Value::Bool(true)),
                other => panic!("{other:?}"),
            }),
        ),
    ];
    for (what, change) in changes {
        let place = three_keys();
        let server = place.store();
        server.load().unwrap();
        let mut forgery = Forgery::of(&place);
        change(&mut forgery);
        forgery.put(&place);
        let error = place.refused();
        assert!(
            matches!(error, StoreError::Keystore(KeystoreError::Changed { .. })),
            "{what}: {error}"
        );
        assert!(error.hint().starts_with("find out who can write "), "{what}");
        let error = server.load().unwrap_err();
        assert!(
            matches!(error, StoreError::Keystore(KeystoreError::Changed { .. })),
            "{what}: {error}"
        );
        assert!(
            server
                .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
                .is_err(),
            "{what}"
        );
        assert!(server.rotate_master_key(None).is_err(), "{what}");
    }
}

#[test]
fn a_forger_who_touches_what_the_master_key_wraps_gets_no_further_than_the_master_key() {
    let other = Forgery::of(&three_keys()).at(&["master_key"]).clone();
    let other_uuid = Forgery::of(&three_keys()).at(&["uuid"]).clone();
    let changes: Vec<(&str, Change)> = vec![
        (
            "another key check",
            set(&["master_key", "key_check"], text(&base64(&[0; 8]))),
        ),
        (
            "another wrapped key",
            set(&["master_key", "wrapped"], text(&base64(&[0; 60]))),
        ),
        ("wrapped for another keystore", set(&["master_key"], other)),
        ("another uuid", set(&["uuid"], other_uuid)),
    ];
    for (what, change) in changes {
        let place = three_keys();
        let mut forgery = Forgery::of(&place);
        change(&mut forgery);
        forgery.put(&place);
        let error = place.refused();
        assert!(
            matches!(error, StoreError::Keystore(KeystoreError::WrongMasterKey { .. })),
            "{what}: {error}"
        );
    }
}

#[test]
fn whoever_signs_a_file_still_cannot_move_a_data_key_to_another_name() {
    for change in [
        swap("0", "2", &["nonce", "wrapped"]),
        swap("0", "2", &["wrapped"]),
        swap("0", "2", &["nonce"]),
        set(&["keys", "0", "id"], Value::Integer(3)),
        set(&["keys", "0", "version"], Value::Integer(2)),
        set(&["keys", "0", "algorithm"], text("aes_cbc")),
        set(&["keys", "0", "created"], text("2020-01-01T00:00:00Z")),
    ] {
        let place = three_keys();
        let mut forgery = Forgery::of(&place);
        change(&mut forgery);
        forgery.put_signed(&place);
        let error = place.refused();
        assert!(
            matches!(error, StoreError::Keystore(KeystoreError::DataKey { .. })),
            "{error}"
        );
    }
}

#[test]
fn impossible_members_are_refused_and_named() {
    let long = "x".repeat(5000);
    let cases: Vec<(&'static [&'static str], Value, &str)> = vec![
        (
            &["keys", "0", "id"],
            Value::Integer(0),
            "keys[0].id is 0, not a number from 1 to 4294967295",
        ),
        (
            &["keys", "0", "id"],
            Value::Integer(1 << 32),
            "keys[0].id is 4294967296, not a number from 1 to 4294967295",
        ),
        (&["keys", "0", "id"], text("1"), "keys[0].id is not a number"),
        (
            &["keys", "1", "version"],
            Value::Integer(0),
            "keys[1].version is 0, not a number from 1 to 4294967294",
        ),
        (
            &["keys", "1", "version"],
            Value::Integer(4_294_967_295),
            "keys[1].version is 4294967295, not a number from 1 to 4294967294",
        ),
        (
            &["keys", "2", "version"],
            Value::Integer(1),
            "keys[2].version names version 1 of key 1 a second time",
        ),
        (
            &["keys", "0", "algorithm"],
            text("aes_512"),
            "keys[0].algorithm is \"aes_512\", which is not known here",
        ),
        (
            &["keys", "0", "bits"],
            Value::Integer(128),
            "keys[0].bits is 128, which cannot be with aes_256_xts",
        ),
        (
            &["keys", "1", "bits"],
            Value::Integer(129),
            "keys[1].bits is 129, which cannot be with aes_ctr",
        ),
        (
            &["keys", "1", "bits"],
            Value::Integer(-1),
            "keys[1].bits is -1, not a number from 128 to 256",
        ),
        (
            &["keys", "1", "bits"],
            Value::Integer(192),
            "keys[1].wrapped holds 32 bytes instead of 40",
        ),
        (
            &["keys", "0", "nonce"],
            text(&base64(&[0; 11])),
            "keys[0].nonce holds 11 bytes instead of 12",
        ),
        (
            &["keys", "0", "nonce"],
            text("AAAAAAAAAAAAAAA"),
            "keys[0].nonce is not base64: Invalid padding",
        ),
        (
            &["keys", "1", "wrapped"],
            text("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB="),
            "keys[1].wrapped is not base64: Invalid last symbol 66, offset 42.",
        ),
        (
            &["keys", "0", "wrapped"],
            Value::Null,
            "keys[0].wrapped is not a string",
        ),
        (
            &["keys", "0", "created"],
            text("yesterday"),
            "keys[0].created is not a time as 2026-01-31T23:59:59Z",
        ),
        (&["keys", "0"], Value::Null, "keys[0] is not an object"),
        (&["keys"], Value::Object(Object::default()), "keys is not a list"),
        (
            &["master_key"],
            Value::List(vec![]),
            "master_key is not an object",
        ),
        (
            &["master_key"],
            Value::Object(Object::default()),
            "master_key.provider is missing",
        ),
        (
            &["master_key", "wrapped"],
            text(""),
            "master_key.wrapped holds 0 bytes instead of 1 to 16384",
        ),
        (
            &["master_key", "key_check"],
            text("AAAA"),
            "master_key.key_check holds 3 bytes instead of 8",
        ),
        (
            &["master_key", "key_version"],
            text("\u{1b}[2J"),
            "master_key.key_version holds a control character",
        ),
        (
            &["master_key", "provider"],
            text(&long),
            "master_key.provider has more than 4096 bytes",
        ),
        (
            &["uuid"],
            text("0190A5C3-1F2E-4D3C-8B4A-5F6E7D8C9B0A"),
            "uuid is not a UUID in lower case",
        ),
        (
            &["generation"],
            Value::Integer(0),
            "generation is 0, not a number from 1 to 9007199254740991",
        ),
        (
            &["generation"],
            Value::Integer(1 << 53),
            "generation is 9007199254740992, not a number from 1 to 9007199254740991",
        ),
        (&["mac"], text("AAAA"), "mac holds 3 bytes instead of 32"),
    ];
    let place = three_keys();
    for (path, value, wanted) in cases {
        let mut forgery = Forgery::of(&place);
        *forgery.at(path) = value;
        let error = Document::parse(&forgery.text()).unwrap_err();
        assert_eq!(error.to_string(), wanted);
    }
    let mut forgery = Forgery::of(&place);
    *forgery.at(&["version"]) = text("1");
    assert_eq!(
        Document::parse(&forgery.text()).unwrap_err().to_string(),
        "version is not a number"
    );
    let whole = place.text();
    for (from, to, wanted) in [
        (
            "\"id\": 1, \"version\": 1,",
            "\"id\": 1, \"id\": 1, \"version\": 1,",
            "keys[0].id: the member stands twice",
        ),
        (
            "\"bits\": 256",
            "\"bits\": 256.0",
            "keys[0].bits: a number must be whole",
        ),
        (
            "\"uuid\"",
            "\"version\": 1, \"uuid\"",
            "version: the member stands twice",
        ),
    ] {
        let error = Document::parse(whole.replacen(from, to, 1).as_bytes()).unwrap_err();
        let FormatError::Json(error) = error else {
            panic!("{error}");
        };
        assert!(error.problem.starts_with(wanted) && error.line > 1, "{error}");
    }
}

#[test]
fn every_known_member_must_be_there() {
    let place = three_keys();
    let top = [
        "format",
        "version",
        "uuid",
        "generation",
        "created",
        "master_key",
        "keys",
        "mac",
        "checksum",
    ];
    let below = [
        (
            "master_key",
            &["provider", "key_version", "wrapped", "wrapped_at", "key_check"][..],
        ),
        (
            "keys[0]",
            &[
                "id",
                "version",
                "algorithm",
                "bits",
                "created",
                "nonce",
                "wrapped",
            ],
        ),
    ];
    // Renamed members are missing, and unknown ones are there instead.
    let without = |object: &Object, name: &str| {
        let mut copy = Object::default();
        for (known, value) in object.iter() {
            copy.set(if known == name { "renamed" } else { known }, value.clone());
        }
        copy
    };
    for name in top.into_iter().filter(|name| *name != "checksum") {
        let forgery = Forgery(without(&Forgery::of(&place).0, name));
        let error = Document::parse(&forgery.text()).unwrap_err();
        let wanted = match name {
            "format" => FormatError::OtherFormat.to_string(),
            _ => format!("{name} is missing"),
        };
        assert_eq!(error.to_string(), wanted);
    }
    for (parent, names) in below {
        for name in names {
            let mut forgery = Forgery::of(&place);
            let path: &[&str] = if parent == "keys[0]" {
                &["keys", "0"]
            } else {
                &[parent]
            };
            let Value::Object(object) = forgery.at(path) else {
                panic!("{parent}");
            };
            *object = without(object, name);
            let error = Document::parse(&forgery.text()).unwrap_err();
            assert_eq!(error.to_string(), format!("{parent}.{name} is missing"));
        }
    }
}

#[test]
fn unknown_members_stay_in_their_places_through_every_write() {
    let place = three_keys();
    let with_unknown = place
        .text()
        .replacen(
            "\"uuid\"",
            "\"note\": {\"b\": [1, {\"a\": null}], \"a\": \"\\u00e9\\n\"}, \"uuid\"",
            1,
        )
        .replacen("\"provider\"", "\"region\": \"eu\", \"provider\"", 1)
        .replacen("\"bits\"", "\"owner\": true, \"bits\"", 1);
    fs::write(&place.path, &with_unknown).unwrap();
    Forgery::of(&place).put_signed(&place);
    // Signing put it into canonical order; from here on, order is kept.
    let order = |place: &Place| -> Vec<String> {
        let file = Forgery::of(place);
        file.0.iter().map(|(name, _)| name.to_owned()).collect()
    };
    let before = order(&place);
    assert!(before.contains(&"note".to_owned()));

    let store = place.store();
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    store.rotate_master_key(None).unwrap();
    assert_eq!(place.keys().len(), 5);
    assert_eq!(order(&place), before);
    let mut after = Forgery::of(&place);
    assert_eq!(after.at(&["note", "b", "1", "a"]), &Value::Null);
    assert_eq!(after.at(&["note", "a"]), &text("é\n"));
    assert_eq!(after.at(&["master_key", "region"]), &text("eu"));
    assert_eq!(after.at(&["keys", "0", "owner"]), &Value::Bool(true));
    assert!(place.text().contains("\"note\": {\n"), "{}", place.text());
}
