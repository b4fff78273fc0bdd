//! Intent: files changed by someone who lacks the master key, with a checksum that is right.

use std::fs;

use keyroll::keys::NewVersions;
use keyroll::store::keystore::KeystoreError;
use keyroll::store::keystore::format::Document;
use keyroll::store::{KeyStore, Rotate, StoreError};
use serde_json::{Value, json};

use super::support::{Place, base64};
use test_support::forgery::{Forgery, with_checksum};

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

fn keys_of(file: &mut Forgery) -> &mut Vec<Value> {
    file.at(&["keys"]).as_array_mut().unwrap()
}

#[test]
fn whatever_someone_without_the_key_changes_is_refused_by_the_mac() {
    let other = three_keys();
    let of_other = move |index: usize| keys_of(&mut Forgery::of(&other.path))[index].clone();
    let changes: Vec<(&str, Change)> = vec![
        ("reordered", Box::new(|file| keys_of(file).swap(0, 1))),
        ("reversed", Box::new(|file| keys_of(file).reverse())),
        ("the last removed", Box::new(|file| drop(keys_of(file).pop()))),
        (
            "the first removed",
            Box::new(|file| drop(keys_of(file).remove(0))),
        ),
        ("all removed", Box::new(|file| keys_of(file).clear())),
        (
            "from another file",
            Box::new(move |file| keys_of(file)[0] = of_other(0)),
        ),
        ("ids swapped", swap("0", "1", &["id"])),
        ("versions swapped", swap("0", "2", &["version"])),
        ("keys swapped", swap("0", "2", &["nonce", "wrapped"])),
        ("nonces swapped", swap("0", "2", &["nonce"])),
        ("ciphertexts swapped", swap("0", "2", &["wrapped"])),
        ("another id", set(&["keys", "0", "id"], json!(3))),
        ("another version", set(&["keys", "0", "version"], json!(7))),
        (
            "another algorithm",
            set(&["keys", "0", "algorithm"], json!("aes_cbc")),
        ),
        (
            "another time",
            set(&["keys", "0", "created"], json!("2020-01-01T00:00:00Z")),
        ),
        (
            "a zero nonce",
            set(&["keys", "0", "nonce"], json!(&base64(&[0; 12]))),
        ),
        ("another generation", set(&["generation"], json!(99))),
        (
            "another birthday",
            set(&["created"], json!("2020-01-01T00:00:00Z")),
        ),
        (
            "another provider",
            set(&["master_key", "provider"], json!("exec /tmp/evil")),
        ),
        (
            "another key version",
            set(&["master_key", "key_version"], json!("9")),
        ),
        (
            "another time of wrapping",
            set(&["master_key", "wrapped_at"], json!("2020-01-01T00:00:00Z")),
        ),
        ("another MAC", set(&["mac"], json!("00".repeat(32)))),
    ];
    for (what, change) in changes {
        let place = three_keys();
        let server = place.store();
        server.load().unwrap();
        let mut forgery = Forgery::of(&place.path);
        change(&mut forgery);
        place.put(&forgery);
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
    let other = Forgery::of(&three_keys().path).at(&["master_key"]).clone();
    let other_uuid = Forgery::of(&three_keys().path).at(&["uuid"]).clone();
    let changes: Vec<(&str, Change)> = vec![
        (
            "another key check",
            set(&["master_key", "key_check"], json!(&base64(&[0; 8]))),
        ),
        (
            "another wrapped key",
            set(&["master_key", "wrapped"], json!(&base64(&[0; 60]))),
        ),
        ("wrapped for another keystore", set(&["master_key"], other)),
        ("another uuid", set(&["uuid"], other_uuid)),
    ];
    for (what, change) in changes {
        let place = three_keys();
        let mut forgery = Forgery::of(&place.path);
        change(&mut forgery);
        place.put(&forgery);
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
        set(&["keys", "0", "id"], json!(3)),
        set(&["keys", "0", "version"], json!(2)),
        set(&["keys", "0", "algorithm"], json!("aes_cbc")),
        set(&["keys", "0", "created"], json!("2020-01-01T00:00:00Z")),
    ] {
        let place = three_keys();
        let mut forgery = Forgery::of(&place.path);
        change(&mut forgery);
        place.put_signed(&forgery);
        let error = place.refused();
        assert!(
            matches!(error, StoreError::Keystore(KeystoreError::DataKey { .. })),
            "{error}"
        );
    }
}

#[test]
fn a_text_in_another_layout_is_refused_by_the_mac_as_it_is_signed_as_it_stands() {
    let place = three_keys();
    let whole = place.text();
    let (signed, _) = whole.rsplit_once("checksum ").unwrap();
    for (from, to) in [
        ("{\"id\":1,", "{\"id\": 1,"),
        ("{\"id\":1,\"version\":1,", "{\"version\":1,\"id\":1,"),
        ("\"created\"", "\"\\u0063reated\""),
        ("}\n{\"id\"", "}\r\n{\"id\""),
    ] {
        let changed = signed.replacen(from, to, 1);
        assert_ne!(changed, signed);
        fs::write(&place.path, with_checksum(changed)).unwrap();
        let error = place.refused();
        assert!(
            matches!(error, StoreError::Keystore(KeystoreError::Changed { .. })),
            "{to}: {error}"
        );
    }
}

#[test]
fn impossible_members_are_refused_and_named() {
    let long = "x".repeat(5000);
    let cases: Vec<(&'static [&'static str], Value, &str)> = vec![
        (
            &["keys", "0", "id"],
            json!(0),
            "line 4: id is 0, not a number from 1 to 4294967295",
        ),
        (
            &["keys", "0", "id"],
            json!(1_u64 << 32),
            "line 4: column 16: invalid value: integer `4294967296`, expected u32",
        ),
        (
            &["keys", "0", "id"],
            json!("1"),
            "line 4: column 9: invalid type: string \"1\", expected u32",
        ),
        (
            &["keys", "1", "version"],
            json!(0),
            "line 5: version is 0, not a number from 1 to 4294967294",
        ),
        (
            &["keys", "1", "version"],
            json!(4_294_967_295_u32),
            "line 5: version is 4294967295, not a number from 1 to 4294967294",
        ),
        (
            &["keys", "2", "version"],
            json!(1),
            "line 6: version 1 of key 1 stands there a second time",
        ),
        (
            &["keys", "0", "algorithm"],
            json!("aes_512"),
            "line 4: algorithm is \"aes_512\", which is not known here",
        ),
        (
            &["keys", "0", "bits"],
            json!(128),
            "line 4: bits is 128, which cannot be with aes_256_xts",
        ),
        (
            &["keys", "1", "bits"],
            json!(129),
            "line 5: bits is 129, which cannot be with aes_ctr",
        ),
        (
            &["keys", "1", "bits"],
            json!(-1),
            "line 5: column 51: invalid value: integer `-1`, expected u32",
        ),
        (
            &["keys", "1", "bits"],
            json!(128.0),
            "line 5: column 54: invalid type: floating point `128.0`, expected u32",
        ),
        (
            &["keys", "1", "bits"],
            json!(192),
            "line 5: wrapped holds 32 bytes instead of 40",
        ),
        (
            &["keys", "0", "nonce"],
            json!(base64(&[0; 11])),
            "line 4: nonce holds 11 bytes instead of 12",
        ),
        (
            &["keys", "0", "nonce"],
            json!("AAAAAAAAAAAAAAA"),
            "line 4: column 115: not base64: Invalid padding",
        ),
        (
            &["keys", "1", "wrapped"],
            json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB="),
            "line 5: column 170: not base64: Invalid last symbol 66, offset 42.",
        ),
        (
            &["keys", "0", "wrapped"],
            Value::Null,
            "line 4: column 131: invalid type: null, expected a string",
        ),
        (
            &["keys", "0", "created"],
            json!("yesterday"),
            "line 4: created is not a time as 2026-01-31T23:59:59Z",
        ),
        (&["keys", "0"], Value::Null, "line 4: it does not begin with {"),
        (
            &["keys", "0"],
            json!([1, 1, "aes_256_xts", 256, "2026-01-31T23:59:59Z", "", ""]),
            "line 4: it does not begin with {",
        ),
        (&["keys", "0"], json!({}), "line 4: column 2: missing field `id`"),
        (
            &["master_key", "wrapped"],
            json!(""),
            "line 3: wrapped holds 0 bytes instead of 1 to 16384",
        ),
        (
            &["master_key", "key_check"],
            json!("AAAA"),
            "line 3: key_check holds 3 bytes instead of 8",
        ),
        (
            &["master_key", "key_version"],
            json!("\u{1b}[2J"),
            "line 3: key_version is not at most 512 printable ASCII characters",
        ),
        (
            &["master_key", "provider"],
            json!("\u{1b}[2J"),
            "line 3: provider holds a control character",
        ),
        (
            &["master_key", "provider"],
            json!(&long),
            "line 3: provider has more than 4096 bytes",
        ),
        (
            &["uuid"],
            json!("0190A5C3-1F2E-4D3C-8B4A-5F6E7D8C9B0A"),
            "line 2: uuid is not a UUID in lower case",
        ),
        (
            &["generation"],
            json!(0),
            "line 2: generation is 0, not a number from 1 to 9007199254740991",
        ),
        (
            &["generation"],
            json!(1_u64 << 53),
            "line 2: generation is 9007199254740992, not a number from 1 to 9007199254740991",
        ),
        (&["mac"], json!("AAAA"), "line 7: it is not that of the MAC"),
    ];
    let place = three_keys();
    for (path, value, wanted) in cases {
        let mut forgery = Forgery::of(&place.path);
        *forgery.at(path) = value;
        let error = Document::parse(&forgery.text()).unwrap_err();
        assert_eq!(error.to_string(), wanted);
    }
}

#[test]
fn a_text_of_impossible_lines_is_refused_and_the_line_named() {
    let place = three_keys();
    let whole = place.text();
    let (signed, _) = whole.rsplit_once("checksum ").unwrap();
    let deep = "[".repeat(1_000_000);
    for (from, to, wanted) in [
        (
            "{\"id\":1,",
            "{\"id\":1,\"id\":1,",
            "line 4: column 12: duplicate field `id`",
        ),
        (
            "{\"id\":1,",
            "{\"\u{1b}[2J\u{202e}\":1,",
            "line 4: column 3: control character",
        ),
        (
            "{\"id\":1,",
            "{\"\\u001b[2J\u{202e}\":1,",
            "line 4: column 15: unknown field `\\u{1b}[2J\\u{202e}`, expected one of ",
        ),
        ("\"bits\":256", "\"bits\":2.56e2", "line 4: column "),
        ("\"bits\":256", "\"bits\":0256", "line 4: column "),
        ("\"bits\":256", &format!("\"bits\":{deep}"), "line 4: column "),
        (
            "\"bits\":256",
            &format!("\"bits\":1{}", "0".repeat(1_000_000)),
            "line 4: column ",
        ),
        (
            "{\"id\":1,",
            &format!("{{\"{}\":1,", "x".repeat(1_000_000)),
            "line 4: column ",
        ),
        ("{\"id\":1,", "{\"id\":1,}\n{", "line 4: column 9: trailing comma"),
        ("{\"id\":1,", "\n{\"id\":1,", "line 4: it does not begin with {"),
        ("{\"id\":1,", " {\"id\":1,", "line 4: it does not begin with {"),
        (
            "{\"id\":1,",
            "{}{\"id\":1,",
            "line 4: column 2: missing field `id`",
        ),
        ("mac ", "mac  ", "line 7: it is not that of the MAC"),
        ("mac ", "\nmac ", "line 7: it does not begin with {"),
        ("mac ", "mac a", "line 7: it is not that of the MAC"),
    ] {
        let changed = signed.replacen(from, to, 1);
        assert_ne!(changed, signed);
        let error = Document::parse(&with_checksum(changed)).unwrap_err().to_string();
        assert!(error.starts_with(wanted) && error.len() < 300, "{error}");
    }
    for (text, wanted) in [
        ("", "line 1: it is not that of the MAC"),
        ("mac 00\n", "line 2: it is not that of the MAC"),
        (
            &format!("mac {}\n", "00".repeat(32)),
            "line 2: the MAC stands there instead of a record",
        ),
    ] {
        let text = with_checksum(format!("keyroll keystore 1\n{text}"));
        assert_eq!(Document::parse(&text).unwrap_err().to_string(), wanted);
    }
    for (line, wanted) in [
        ("keyroll keystore\n", "line 1: a number must follow"),
        ("keyroll keystore 01\n", "line 1: a number must follow"),
        ("keyroll keystore 1 \n", "line 1: a number must follow"),
        ("keyroll keystore -1\n", "line 1: a number must follow"),
        ("keyroll keystore 1000000000\n", "line 1: a number must follow"),
        (
            "keyroll keystore 999999999\n",
            "it has version 999999999 of the format",
        ),
        ("keyroll keystore 1\r\n", "its lines end in CR LF"),
        (
            "\u{feff}keyroll keystore 1\n",
            "a byte order mark stands before it",
        ),
        (
            "keyroll keystor\n",
            "it does not call itself a \"keyroll keystore\"",
        ),
        (
            " keyroll keystore 1\n",
            "it does not call itself a \"keyroll keystore\"",
        ),
    ] {
        let text = whole.replacen("keyroll keystore 1\n", line, 1);
        let error = Document::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{line:?}: {error}");
    }
}

#[test]
fn every_known_member_must_be_there_and_no_other() {
    let records: [(&[&str], usize, &[&str]); 3] = [
        (&[], 2, &["uuid", "generation", "created"]),
        (
            &["master_key"],
            3,
            &["provider", "key_version", "wrapped", "wrapped_at", "key_check"],
        ),
        (
            &["keys", "0"],
            4,
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
    for (path, line, names) in records {
        let place = three_keys();
        for name in names {
            let mut forgery = Forgery::of(&place.path);
            forgery.at(path).as_object_mut().unwrap().remove(*name).unwrap();
            let error = Document::parse(&forgery.text()).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("line {line}: column "))
                    && error.ends_with(&format!(": missing field `{name}`")),
                "{error}"
            );
        }
        let mut forgery = Forgery::of(&place.path);
        let record = forgery.at(path).as_object_mut().unwrap();
        record.insert("note".into(), Value::Null);
        place.put(&forgery);
        let error = place.refused().to_string();
        assert!(
            error.contains(&format!("line {line}: column "))
                && error.contains(": unknown field `note`, expected "),
            "{error}"
        );
    }
}
