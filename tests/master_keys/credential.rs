//! The credential: what may be in it, and what is said where there is none.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use test_support::master_keys::{KEYSTORE, Place, new_key, refused, wrap};

const KEY: [u8; 32] = *b"\x01\x02\n\xff;#\x00raw bytes of any kind...\x0A";

fn digits() -> String {
    hex::encode(KEY)
}

#[test]
fn one_key_is_understood_in_each_of_its_forms() {
    let forms = [
        KEY.to_vec(),
        digits().into_bytes(),
        format!("{}\n", digits().to_uppercase()).into_bytes(),
        format!("# comment\n1;{}\n", digits()).into_bytes(),
    ];
    let places: Vec<Place> = forms.iter().map(|form| Place::credential_of(form)).collect();
    for wrapping in &places {
        let (key, wrapped) = wrap(&*wrapping.open());
        assert_eq!(wrapped.key_version, "1");
        for unwrapping in &places {
            let unwrapped = unwrapping.open().unwrap(&wrapped, KEYSTORE).unwrap();
            assert_eq!(unwrapped.expose(), key.expose());
        }
    }
}

#[test]
fn a_master_key_file_can_become_a_credential() {
    let file = Place::file();
    file.open().rotate().unwrap();
    let (key, wrapped) = wrap(&*file.open());
    let credential = Place::credential_of(&fs::read(file.path("master")).unwrap());
    assert_eq!(
        credential.open().unwrap(&wrapped, KEYSTORE).unwrap().expose(),
        key.expose()
    );
}

#[test]
fn anything_else_is_refused_with_its_place() {
    for (bytes, at) in [
        (&KEY[..31], ":1:1: "),
        (&[KEY.as_slice(), b"\n"].concat(), ":1:1: "),
        (&digits().as_bytes()[..62], ":1:"),
        (b"", ":1:1: there is no master key"),
    ] {
        let place = Place::credential_of(bytes);
        let error = refused(place.open().wrap(&new_key(), KEYSTORE));
        assert!(
            error.to_string().contains(&format!("keyroll-master{at}")),
            "{error}"
        );
        assert!(!error.to_string().contains(&digits()[..6]), "{error}");
    }
}

#[test]
fn without_the_variable_the_unit_is_told_to_pass_credentials() {
    let mut place = Place::credential();
    for unset in [true, false] {
        place.options.environment.clear();
        if !unset {
            place
                .options
                .environment
                .insert("CREDENTIALS_DIRECTORY".into(), "".into());
        }
        let error = refused(place.open().wrap(&new_key(), KEYSTORE));
        assert!(
            error.to_string().contains("CREDENTIALS_DIRECTORY is not set"),
            "{error}"
        );
        let hint = error.hint();
        assert!(
            hint.contains("LoadCredential=keyroll-master:PATH")
                && hint.contains("LoadCredentialEncrypted=keyroll-master:PATH"),
            "{hint}"
        );
    }
}

#[test]
fn a_credential_that_was_not_passed_is_named_with_the_directory() {
    let mut place = Place::credential();
    place.uri = "credential:other".into();
    let error = refused(place.open().wrap(&new_key(), KEYSTORE));
    let message = error.to_string();
    let directory = place.directory.path().display().to_string();
    assert!(
        message.contains("credential other") && message.contains(&directory),
        "{message}"
    );
    assert!(
        error.hint().contains("LoadCredential=other:PATH"),
        "{}",
        error.hint()
    );
}

#[test]
fn a_rotation_changes_nothing_and_says_what_to_do_instead() {
    let place = Place::credential();
    let before = place.read("keyroll-master");
    let error = refused(place.open().rotate());
    assert!(
        error.hint().contains("rotate-master-key --to"),
        "{}",
        error.hint()
    );
    assert_eq!(place.read("keyroll-master"), before);
}

#[test]
fn the_group_may_read_a_credential_and_others_may_not() {
    let place = Place::credential();
    let path = place.path("keyroll-master");
    let chmod = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    chmod(0o440);
    wrap(&*place.open());
    chmod(0o444);
    let error = refused(place.open().wrap(&new_key(), KEYSTORE));
    assert!(error.hint().contains("chmod o-rwx"), "{}", error.hint());
}
