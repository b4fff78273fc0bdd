//! What loading a key file answers, and the server's own words when it cannot.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::support::{PASSWORD, Place, TEXT, config};
use keyroll::keys::NewVersions;
use keyroll::store::key_file::{FILE_SIZE_LIMIT, KeyFile, KeyFileConfig, NewFileKey};
use keyroll::store::{KeyStore, Loaded, Rotate, StoreError, Warning};

fn load(place: &Place, filekey: &str) -> Result<Loaded, StoreError> {
    KeyFile::new(config(&place.path, filekey)).unwrap().load()
}

fn message(place: &Place, filekey: &str) -> String {
    load(place, filekey).unwrap_err().to_string()
}

/// One wrong password in 256 opens the file all the same, and gives noise.
fn is_wrong_password(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::WrongKey { .. }
            | StoreError::KeyFileSyntax {
                decrypted: Some(_),
                ..
            }
    )
}

#[test]
fn a_private_file_loads_without_warnings() {
    for place in [Place::plain(), Place::encrypted()] {
        let loaded = load(&place, place.filekey).unwrap();
        assert_eq!(loaded.keys.len(), 3);
        assert_eq!(loaded.warnings, []);
        assert_eq!(
            place.store().describe(),
            format!("key file {}", place.path.display())
        );
    }
}

#[test]
fn no_filename_is_said_in_the_words_of_the_server() {
    let error = KeyFile::new(config("".as_ref(), "")).unwrap_err();
    assert_eq!(error.to_string(), "keyroll-filename is not set");
}

#[test]
fn failures_are_said_in_the_words_of_the_server() {
    let plain = Place::plain();
    let encrypted = Place::encrypted();
    let path = |place: &Place| place.path.display().to_string();
    assert_eq!(
        message(&plain, "x"),
        format!("Cannot decrypt {}. Not encrypted", path(&plain))
    );
    let damaged = Place::of(&encrypted.bytes()[..40], PASSWORD);
    assert_eq!(
        message(&damaged, PASSWORD),
        format!("Cannot decrypt {}. Wrong key?", path(&damaged))
    );
    // What the peer says: it was asked.
    for length in 8..=18 {
        let cut = Place::of(&b"Salted__1234567890"[..length], PASSWORD);
        let is_magic_alone = length == 8;
        let why = if is_magic_alone {
            "Not encrypted"
        } else {
            "Wrong key?"
        };
        assert_eq!(
            message(&cut, PASSWORD),
            format!("Cannot decrypt {}. {why}", path(&cut))
        );
        let without = match is_magic_alone {
            true => format!("Syntax error at {} line 1, column 1", path(&cut)),
            false => format!("Cannot decrypt {}. Wrong key?", path(&cut)),
        };
        assert_eq!(message(&cut, ""), without);
    }
    let without = load(&encrypted, "").unwrap_err();
    assert_eq!(
        without.to_string(),
        format!("Cannot decrypt {}. Wrong key?", path(&encrypted))
    );
    assert_eq!(without.hint(), "the file is encrypted: set ‹filekey›");

    fs::remove_file(&plain.path).unwrap();
    assert_eq!(
        message(&plain, ""),
        format!(
            "File '{}' not found (Errcode: 2 \"No such file or directory\")",
            path(&plain)
        )
    );
    fs::create_dir(&plain.path).unwrap();
    assert_eq!(
        message(&plain, ""),
        format!("Read from {} failed, errno 21", path(&plain))
    );
}

#[test]
fn a_named_pipe_is_refused_without_waiting_for_a_writer() {
    let place = Place::plain();
    fs::remove_file(&place.path).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(&place.path)
            .status()
            .unwrap()
            .success()
    );
    let error = load(&place, "").unwrap_err();
    assert!(
        error.hint().contains("not a regular file"),
        "{error} {}",
        error.hint()
    );
}

#[test]
fn a_wrong_password_is_told_apart_or_the_hint_says_that_it_may_be_wrong() {
    let place = Place::encrypted();
    let (mut noise, mut refused) = (0, 0);
    for n in 0..5000 {
        match load(&place, &format!("wrong {n}")).unwrap_err() {
            StoreError::WrongKey { .. } => refused += 1,
            error @ StoreError::KeyFileSyntax { .. } => {
                assert!(error.hint().contains("a wrong filekey"), "{}", error.hint());
                noise += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(noise > 0 && refused > 4800, "{noise} {refused}");
}

#[test]
fn a_file_above_the_limit_is_refused() {
    let fill = |size: u64| {
        let mut text = TEXT.as_bytes().to_vec();
        text.resize(size as usize, b'\n');
        Place::of(&text, "")
    };
    assert_eq!(load(&fill(FILE_SIZE_LIMIT), "").unwrap().keys.len(), 3);
    let large = fill(FILE_SIZE_LIMIT + 1);
    let wanted = format!(
        "{} is larger than the 33554432 bytes a key file may have",
        large.path.display()
    );
    assert_eq!(message(&large, ""), wanted);
}

#[test]
fn the_password_may_be_in_a_file_with_a_line_end() {
    let place = Place::encrypted();
    let password = Place::of(b"", "");
    let setting = format!("FILE:{}", password.path.display());
    let with = |bytes: &[u8]| {
        fs::write(&password.path, bytes).unwrap();
        load(&place, &setting)
    };
    for line_end in ["", "\n", "\r\n", "\n\r\n\n"] {
        assert_eq!(
            with(format!("{PASSWORD}{line_end}").as_bytes())
                .unwrap()
                .keys
                .len(),
            3
        );
    }
    assert!(is_wrong_password(
        &with(format!("{PASSWORD} ").as_bytes()).unwrap_err()
    ));
    let path = password.path.display();
    for empty in [&b""[..], b"\n", b"\r\n"] {
        let error = with(empty).unwrap_err();
        let wanted = format!("Cannot decrypt {}. Wrong key?", place.path.display());
        assert_eq!(error.to_string(), wanted);
        let hint = error.hint();
        assert!(
            hint.starts_with(&format!("there is no password in {path}: ")),
            "{hint}"
        );
    }
    assert!(is_wrong_password(&with(&[b'x'; 256]).unwrap_err()));
    assert!(is_wrong_password(
        &with(&[&[b'x'; 256][..], b"\r\n"].concat()).unwrap_err()
    ));
    for long in [
        vec![b'x'; 257],
        vec![b'x'; 5000],
        [&[b'x'; 256][..], b"\n\n\n"].concat(),
        [&[b'x'; 9][..], &[b'\n'; 400], b"x"].concat(),
    ] {
        let wanted = format!("Cannot read {path}, the filekey is too long, max secret size is 256B ");
        assert_eq!(with(&long).unwrap_err().to_string(), wanted);
    }
    fs::remove_file(&password.path).unwrap();
    assert_eq!(
        message(&place, &setting),
        format!("File '{path}' not found (Errcode: 2 \"No such file or directory\")")
    );
}

#[test]
fn an_empty_password_opens_a_plain_file_and_one_that_was_encrypted_with_it_and_makes_none() {
    let nothing = Place::of(b"\n", "");
    let setting = format!("FILE:{}", nothing.path.display());
    for place in [Place::plain(), Place::encrypted_with("")] {
        let is_encrypted = place.bytes().starts_with(b"Salted__");
        assert_eq!(load(&place, &setting).unwrap().keys.len(), 3);
        let store = KeyFile::new(config(&place.path, &setting)).unwrap();
        store
            .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, None)
            .unwrap();
        assert_eq!(place.bytes().starts_with(b"Salted__"), is_encrypted);
        assert_eq!(load(&place, &setting).unwrap().keys.len(), 4);

        fs::remove_file(&place.path).unwrap();
        let new = [NewFileKey { id: 1, bits: 256 }];
        for nothing_in_it in [&b""[..], b"\r\n", b"\0secret"] {
            fs::write(&nothing.path, nothing_in_it).unwrap();
            let error = KeyFile::create(config(&place.path, &setting), &new, None).unwrap_err();
            assert!(error.hint().contains("there is no password in it"), "{error}");
            assert!(!place.path.exists());
        }
    }
}

#[test]
fn files_that_others_may_read_or_change_are_warned_about_at_every_load_or_refused() {
    let place = Place::encrypted().with_mode(0o664);
    let password = Place::of(PASSWORD.as_bytes(), "").with_mode(0o604);
    let setting = format!("FILE:{}", password.path.display());
    for _ in 0..2 {
        let warnings = load(&place, &setting).unwrap().warnings;
        let said: Vec<String> = warnings.iter().map(Warning::to_string).collect();
        let (keys, secret) = (place.path.display(), password.path.display());
        let expected = [
            format!("others may read or change {secret}: its mode is 0604; run `chmod o-rwx {secret}`"),
            format!("others may read or change {keys}: its mode is 0664; run `chmod g-w,o-rwx {keys}`"),
        ];
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said.iter()
                .zip(&expected)
                .all(|(said, start)| said.starts_with(start)),
            "{said:?}"
        );
    }
    let strict = |filekey: &str| {
        let config = KeyFileConfig {
            strict_permissions: true,
            ..config(&place.path, filekey)
        };
        KeyFile::new(config).unwrap().load()
    };
    let error = strict(&setting).unwrap_err();
    assert!(error.to_string().contains("its mode is 0604"), "{error}");
    fs::set_permissions(&password.path, Permissions::from_mode(0o600)).unwrap();
    let error = strict(&setting).unwrap_err();
    let mend = format!("run `chmod g-w,o-rwx {}`", place.path.display());
    assert!(error.hint().starts_with(&mend), "{}", error.hint());
    fs::set_permissions(&place.path, Permissions::from_mode(0o640)).unwrap();
    assert_eq!(strict(&setting).unwrap().keys.len(), 3);
}

#[test]
fn a_key_file_has_no_master_key() {
    let place = Place::plain();
    let store = place.store();
    store.load().unwrap();
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    assert_eq!(store.master_key(), None);
}
