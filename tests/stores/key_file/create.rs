//! New key files.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use super::support::{PASSWORD, Place, TEXT, config, is_root};
use keyroll::durable::FileError;
use keyroll::store::StoreError;
use keyroll::store::key_file::{KeyFile, NewFileKey};
use test_support::programs::plain_keys;

const KEYS: &[NewFileKey] = &[
    NewFileKey { id: 1, bits: 256 },
    NewFileKey { id: 2, bits: 128 },
    NewFileKey { id: 100, bits: 192 },
];

fn empty_place(filekey: &'static str) -> Place {
    let place = Place::of(b"", filekey);
    fs::remove_file(&place.path).unwrap();
    place
}

#[test]
fn a_new_file_is_private_and_readable_by_file_key_management_too() {
    let place = empty_place("");
    let keys = KeyFile::create(config(&place.path, ""), KEYS, None).unwrap();
    assert_eq!(plain_keys(&keys), place.keys());
    let lengths: Vec<_> = place
        .keys()
        .iter()
        .map(|(name, key)| (*name, key.len()))
        .collect();
    assert_eq!(lengths, [((1, 1), 32), ((2, 1), 16), ((100, 1), 24)]);
    assert_eq!(fs::metadata(&place.path).unwrap().mode() & 0o7777, 0o600);
    let text = String::from_utf8(place.bytes()).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let wanted: Vec<String> = place
        .keys()
        .iter()
        .map(|((id, _), key)| format!("{id};{}", hex::encode(key)))
        .collect();
    assert_eq!(
        lines, wanted,
        "no versions, which the server's own plugin does not know"
    );
    assert!(text.starts_with('#'));
    place.assert_nothing_left_behind();
}

#[test]
fn with_a_filekey_the_new_file_is_encrypted() {
    let place = empty_place(PASSWORD);
    let keys = KeyFile::create(config(&place.path, PASSWORD), KEYS, None).unwrap();
    assert!(place.bytes().starts_with(b"Salted__"));
    assert_eq!(plain_keys(&keys), place.keys());
}

#[test]
fn a_new_file_never_takes_the_place_of_anything() {
    let place = Place::plain();
    let dangling = place.directory.path().join("link");
    symlink("nowhere", &dangling).unwrap();
    for path in [&place.path, &dangling, &place.directory.path().to_path_buf()] {
        let error = KeyFile::create(config(path, ""), KEYS, None).unwrap_err();
        assert_eq!(error.to_string(), format!("{} exists already", path.display()));
    }
    assert_eq!(place.bytes(), TEXT.as_bytes());
    assert_eq!(place.names(), ["keys", "link"]);
}

#[test]
fn keys_that_cannot_be_are_refused() {
    let place = empty_place("");
    let key = |id, bits| NewFileKey { id, bits };
    for (keys, reason) in [
        (
            vec![key(0, 128)],
            "cannot make key 0: a key id is a number from 1 to 4294967295",
        ),
        (
            vec![key(1, 129)],
            "cannot make key 1: a key has 128, 192 or 256 bits",
        ),
        (
            vec![key(1, 0)],
            "cannot make key 1: a key has 128, 192 or 256 bits",
        ),
        (
            vec![key(1, 128), key(1, 256)],
            "cannot make key 1: it is named twice",
        ),
        (
            vec![key(2, 128)],
            "cannot make a key file without key 1, which encrypts the server's own data",
        ),
        (
            vec![],
            "cannot make a key file without key 1, which encrypts the server's own data",
        ),
    ] {
        let error = KeyFile::create(config(&place.path, ""), &keys, None).unwrap_err();
        assert_eq!(error.to_string(), reason);
    }
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn a_new_file_belongs_to_the_owner_that_is_asked_for_or_is_not_made() {
    let place = empty_place("");
    let made = KeyFile::create(config(&place.path, ""), KEYS, Some((65533, 65532)));
    if is_root() {
        made.unwrap();
        let meta = fs::metadata(&place.path).unwrap();
        assert_eq!(
            (meta.uid(), meta.gid(), meta.mode() & 0o7777),
            (65533, 65532, 0o600)
        );
    } else {
        let error = made.unwrap_err();
        assert!(error.to_string().contains("Cannot set the owner of "), "{error}");
        assert_eq!(place.names(), [""; 0]);
    }
}

#[test]
fn a_missing_directory_is_named_as_the_reason() {
    let place = empty_place("");
    let path = place.directory.path().join("no/keys");
    let error = KeyFile::create(config(&path, ""), KEYS, None).unwrap_err();
    assert!(matches!(error, StoreError::File(FileError::NotWritten { .. })));
    let wanted = format!(
        "Cannot examine {}/no: No such file or directory (os error 2); no key file was made",
        place.directory.path().display()
    );
    assert_eq!(error.to_string(), wanted);
}

#[test]
fn of_several_that_make_the_same_file_at_once_one_wins_and_the_file_is_its() {
    let place = empty_place("");
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| KeyFile::create(config(&place.path, ""), KEYS, None)))
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap().ok())
            .collect()
    });
    assert_eq!(made.len(), 1);
    assert_eq!(plain_keys(&made[0]), place.keys());
    place.assert_nothing_left_behind();
}
