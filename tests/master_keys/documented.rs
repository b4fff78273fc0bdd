//! What `docs/master-keys.md` shows and states of the file is what keyroll reads.

use std::process::Command;

use keyroll::master_key::{MasterKeyError, Wrapped, open};
use test_support::documented::rows;
use test_support::master_keys::{KEYSTORE, Place, new_key, refused, wrap};

const PAGE: &str = include_str!("../../docs/master-keys.md");
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

fn of(text: &[u8]) -> Place {
    let mut place = Place::empty();
    let path = place.write("master", text, 0o600);
    place.uri = format!("file:{}", path.display());
    place
}

#[test]
fn the_example_of_a_master_key_file_opens_as_it_stands() {
    let (_, section) = PAGE.split_once("\n## file:/PATH\n").unwrap();
    let (_, example) = section.split_once("```\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    assert_eq!(example.lines().count(), 3, "{example}");
    let place = of(example.as_bytes());
    let (key, wrapped) = wrap(&*place.open());
    assert_eq!(wrapped.key_version, "2");
    let unwrapped = place.open().unwrap(&wrapped, KEYSTORE).unwrap();
    assert_eq!(unwrapped.expose(), key.expose());
}

#[test]
fn each_text_of_the_table_is_read_or_refused_as_it_says() {
    let mut read = 0;
    let rows = rows(
        "master-keys.md",
        "| text of the master key file | keyroll |",
        KEY,
        OTHER,
    );
    for row in &rows {
        let place = of(&row.text);
        let shown = row.text.escape_ascii();
        match row.says.strip_prefix("version ") {
            Some(says) => {
                let version = says.strip_suffix(" wraps").unwrap();
                assert_eq!(wrap(&*place.open()).1.key_version, version, "{shown}");
                read += 1;
            }
            None => {
                let error = refused(place.open().wrap(&new_key(), KEYSTORE)).to_string();
                let directory = format!("{}/master:", place.directory.path().display());
                assert_eq!(error.replace(&directory, ""), row.says, "{shown}");
            }
        }
    }
    assert!(read > 8 && rows.len() - read > 12, "{read} of {}", rows.len());
}

#[test]
fn a_file_may_have_1_mib_and_no_byte_more() {
    let line = format!("1;{KEY}\n");
    for (length, fits) in [(1_048_576, true), (1_048_577, false)] {
        let comment = "#".repeat(length - line.len() - 1) + "\n";
        let wrapped = of((comment + &line).as_bytes()).open().wrap(&new_key(), KEYSTORE);
        assert_eq!(wrapped.is_ok(), fits, "{length}");
    }
}

#[test]
fn the_version_that_key_version_names_unwraps_and_no_other() {
    let (key, first) = wrap(&*of(format!("1;{KEY}\n").as_bytes()).open());
    let place = of(format!("0001;{KEY}\n2;{OTHER}\n3;{KEY}\n").as_bytes());
    let unwrap = |key_version: &str| {
        let key_version = key_version.to_owned();
        let wrapped = Wrapped {
            key_version,
            ..first.clone()
        };
        place.open().unwrap(&wrapped, KEYSTORE)
    };
    assert_eq!(unwrap("1").unwrap().expose(), key.expose());
    for (key_version, why) in [
        ("", "with a version '', and here versions are numbers"),
        ("01", "with a version '01'"),
        ("+1", "with a version '+1'"),
        ("1 ", "with a version '1 '"),
        ("one", "with a version 'one'"),
        ("0", "it has no version 0"),
        ("4", "it has no version 4"),
        ("4294967296", "with a version '4294967296'"),
        ("2", "its version 2 does not open"),
        // The same key under another version: the version is in the additional data.
        ("3", "its version 3 does not open"),
    ] {
        let error = refused(unwrap(key_version));
        assert!(matches!(error, MasterKeyError::WrongKey { .. }), "{error}");
        assert!(error.to_string().contains(why), "{key_version}: {error}");
    }
}

#[test]
fn a_credential_is_one_key_with_white_space_around_it_or_lines() {
    for text in [
        format!("\n \t{KEY}\r\n\n"),
        KEY.to_owned(),
        format!("# a comment\n1;{KEY}"),
    ] {
        assert_eq!(
            wrap(&*Place::credential_of(text.as_bytes()).open()).1.key_version,
            "1",
            "{text:?}"
        );
    }
    for text in [
        format!("# a comment\n{KEY}\n"),
        format!("{KEY}\n{OTHER}\n"),
        format!("{KEY} x"),
    ] {
        refused(
            Place::credential_of(text.as_bytes())
                .open()
                .wrap(&new_key(), KEYSTORE),
        );
    }
}

#[test]
fn the_command_that_makes_a_key_makes_a_credential() {
    let made = "openssl rand -hex 32";
    assert!(PAGE.contains(&format!("\n{made} | systemd-creds encrypt ")));
    let words: Vec<&str> = made.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert_eq!(
        wrap(&*Place::credential_of(&output.stdout).open()).1.key_version,
        "1"
    );
}

#[test]
fn the_uris_of_the_option_files_are_understood() {
    let uris: Vec<&str> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("keyroll_master_key = "))
        .collect();
    assert!(!uris.is_empty());
    for uri in uris {
        let place = Place::empty();
        assert!(open(uri, &place.options).is_ok(), "{uri}");
    }
}
