//! Small files that do not do what their owners expect, in the folder `cases`: what file_key_management makes of each, and what
//! is said of it. All hold keys 1 and 2; the password is `correct horse`.

use std::fs;
use std::path::Path;

use keyroll::store::key_file::KeyFile;
use keyroll::store::{KeyStore, Loaded, StoreError};
use test_support::programs::plain_keys;

use super::support::{Place, config};

/// What comes of a key file.
enum Outcome {
    /// These keys, and no warning.
    Loads(&'static [u32]),
    /// These keys, and a warning with these words.
    Warns(&'static [u32], &'static str),
    /// This message, where FILE stands for the path, and a hint with these words.
    Refused(&'static str, &'static str),
}
use Outcome::{Loads, Refused, Warns};

const WRONG_KEY: &str = "Cannot decrypt FILE. Wrong key?";
const NOT_ENCRYPTED: &str = "Cannot decrypt FILE. Not encrypted";
const BOTH: &[u32] = &[1, 2];

/// A key file, the password's file or none, and what comes of them.
const CASES: &[(&str, &str, Outcome)] = &[
    ("keys_plain", "", Loads(BOTH)),
    (
        "keys_plain",
        "password",
        Refused(NOT_ENCRYPTED, "unset ‹filekey›"),
    ),
    (
        "keys_plain",
        "password_empty",
        Refused(NOT_ENCRYPTED, "unset ‹filekey›"),
    ),
    ("keys_nul_at_end", "", Loads(BOTH)),
    ("keys_nul_padding", "", Loads(BOTH)),
    (
        "keys_bom",
        "",
        Refused(
            "Syntax error at FILE line 1, column 1",
            "begins with a byte order mark",
        ),
    ),
    (
        "keys_utf16",
        "",
        Refused(
            "Syntax error at FILE line 1, column 1",
            "is UTF-16, as PowerShell",
        ),
    ),
    (
        "keys_ctrl_z",
        "",
        Refused("Syntax error at FILE line 3, column 1", "has a Ctrl-Z there"),
    ),
    (
        "keys_cr_only",
        "",
        Warns(
            &[1],
            "line 1, column 68: there it is a remark; the text has carriage returns alone",
        ),
    ),
    (
        "keys_two_on_a_line",
        "",
        Warns(
            &[1],
            "line 1, column 68: there it is a remark; if it is meant to be a key, write it on a line of its own",
        ),
    ),
    ("keys.enc", "password", Loads(BOTH)),
    ("keys.enc", "password_crlf", Loads(BOTH)),
    ("keys.enc", "password_nul_end", Loads(BOTH)),
    ("keys.enc", "password_nul_inside", Loads(BOTH)),
    (
        "keys.enc",
        "password_utf16",
        Refused(WRONG_KEY, "password is UTF-16, as PowerShell"),
    ),
    (
        "keys.enc",
        "password_two_lines",
        Refused(WRONG_KEY, "password has more than one line"),
    ),
    (
        "keys.enc",
        "password_empty",
        Refused(WRONG_KEY, "there is no password in "),
    ),
    ("keys.enc", "", Refused(WRONG_KEY, "set ‹filekey›")),
    (
        "keys_base64.enc",
        "password",
        Refused(NOT_ENCRYPTED, "is encrypted, and in base64"),
    ),
    (
        "keys_base64.enc",
        "",
        Refused(
            "Syntax error at FILE line 1, column 1",
            "is encrypted, and in base64",
        ),
    ),
    (
        "keys_md5.enc",
        "password",
        Refused(
            WRONG_KEY,
            "If that was md5, as with OpenSSL before 1.1.0, no setting fits",
        ),
    ),
    (
        "keys_cut.enc",
        "password",
        Refused(
            WRONG_KEY,
            "no password opens it: its length is no multiple of 16 bytes",
        ),
    ),
    (
        "keys_newline_more.enc",
        "password",
        Refused(
            WRONG_KEY,
            "no password opens it while a line end stands behind it",
        ),
    ),
    (
        "keys_header_cut.enc",
        "password",
        Refused(NOT_ENCRYPTED, "it ends where an encrypted file begins"),
    ),
    (
        "keys_header_cut.enc",
        "",
        Refused("Syntax error at FILE line 1, column 1", "a line is `id;key`"),
    ),
];

fn bytes(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/key_file/cases");
    fs::read(folder.join(name)).unwrap()
}

fn load(keys: &Place, password: &Place, is_given: bool) -> Result<Loaded, StoreError> {
    let filekey = match is_given {
        true => format!("FILE:{}", password.directory.path().join("password").display()),
        false => String::new(),
    };
    KeyFile::new(config(&keys.path, &filekey)).unwrap().load()
}

#[test]
fn each_case_is_read_as_the_peer_reads_it_and_told_by_its_cause() {
    let real = plain_keys(&{
        let keys = Place::of(&bytes("keys_plain"), "");
        KeyFile::new(config(&keys.path, "")).unwrap().load().unwrap().keys
    });
    for (keys_name, password_name, outcome) in CASES {
        let what = format!("{keys_name} {password_name}");
        let keys = Place::of(&bytes(keys_name), "");
        let password = Place::of(b"", "");
        let password_path = password.directory.path().join("password");
        let content = match *password_name {
            "" => Vec::new(),
            name => bytes(name),
        };
        fs::rename(&password.path, &password_path).unwrap();
        fs::write(&password_path, content).unwrap();
        let loaded = load(&keys, &password, !password_name.is_empty());
        match (outcome, loaded) {
            (Loads(ids) | Warns(ids, _), Ok(loaded)) => {
                let found = plain_keys(&loaded.keys);
                assert_eq!(loaded.keys.ids(), *ids, "{what}");
                assert!(
                    found.iter().all(|(name, key)| real.get(name) == Some(key)),
                    "{what}"
                );
                let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
                match outcome {
                    Warns(_, words) => {
                        assert!(warnings.len() == 1 && warnings[0].contains(words), "{warnings:?}")
                    }
                    _ => assert!(warnings.is_empty(), "{what}: {warnings:?}"),
                }
            }
            (Refused(message, words), Err(error)) => {
                let wanted = message.replace("FILE", keys.path.to_str().unwrap());
                assert_eq!(error.to_string(), wanted, "{what}");
                let hint = error.hint();
                assert!(hint.contains(words), "{what}: {hint}");
                for secret in ["correct", "horse", "a4c123", "2aabfe"] {
                    assert!(!format!("{error} {hint} {error:?}").contains(secret), "{what}");
                }
            }
            (_, Ok(loaded)) => panic!("{what}: loads {:?}", loaded.keys.ids()),
            (_, Err(error)) => panic!("{what}: {error}"),
        }
    }
}

#[test]
fn no_hint_about_a_file_at_a_path_of_usual_length_is_cut_by_the_server() {
    const ROOM: usize = 511 - "keyroll: hint: ".len();
    for (keys_name, password_name, _) in CASES {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("etc/mysql/encryption.d");
        fs::create_dir_all(&folder).unwrap();
        let (keys, password) = (folder.join("keyfile.enc"), folder.join("password"));
        fs::write(&keys, bytes(keys_name)).unwrap();
        let mut filekey = String::new();
        if !password_name.is_empty() {
            fs::write(&password, bytes(password_name)).unwrap();
            filekey = format!("FILE:{}", password.display());
        }
        if let Err(error) = KeyFile::new(config(&keys, &filekey)).unwrap().load() {
            let hint = keyroll::settings::as_variables(&error.hint()).into_owned();
            assert!(hint.len() <= ROOM, "{} bytes: {hint}", hint.len());
        }
    }
}

#[test]
fn a_password_that_looks_like_a_path_is_told_where_it_does_not_open() {
    let keys = Place::of(&bytes("keys.enc"), "");
    for filekey in [
        "/run/secrets/password",
        "file:/run/secrets/password",
        "./password",
    ] {
        let error = KeyFile::new(config(&keys.path, filekey))
            .unwrap()
            .load()
            .unwrap_err();
        let hint = error.hint();
        assert!(
            hint.contains("write FILE: before the path, in capitals"),
            "{hint}"
        );
        assert!(
            !format!("{error} {hint} {error:?}").contains(filekey),
            "{error:?}"
        );
    }
}

#[test]
fn a_directory_in_the_place_of_a_file_is_named_as_one() {
    let keys = Place::of(&bytes("keys.enc"), "");
    let folder = keys.directory.path().display().to_string();
    let error = KeyFile::new(config(&keys.path, &format!("FILE:{folder}")))
        .unwrap()
        .load();
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), format!("Read from {folder} failed, errno 21"));
    assert_eq!(
        error.hint(),
        format!("{folder} is a directory: name a file in it")
    );
    let error = KeyFile::new(config(&keys.path, "FILE:"))
        .unwrap()
        .load()
        .unwrap_err();
    assert!(error.hint().contains("behind FILE:"), "{}", error.hint());
}
