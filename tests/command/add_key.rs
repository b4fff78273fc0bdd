//! `add-key`: a key that there is not, beside all others, and never one that data needs.

use std::fs;
use std::process::{Command, Output};

use keyroll::keys::{KeyName, KeySet};
use keyroll::secret::DataKey;
use keyroll::store::MarkFile;
use serde_json::{Value, json};
use tempfile::TempDir;

const KEYSTORE: [&str; 4] = ["--keystore", "keystore", "--master-key", "file:apart/master"];
const KEY_FILE: [&str; 2] = ["--filename", "keys"];

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in ["apart", "data"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    for store in [&KEYSTORE[..], &KEY_FILE] {
        let made = run(&folder, &[&["init"], store]);
        assert!(made.status.success(), "{made:?}");
    }
    folder
}

fn run(folder: &TempDir, args: &[&[&str]]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keyroll"))
        .args(args.concat())
        .current_dir(folder.path())
        .env_remove("KEYROLL_FILEKEY")
        .output()
        .unwrap()
}

fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_key_is_added_to_a_keystore_and_to_a_key_file() {
    let folder = folder();
    let (code, out, err) = said(run(&folder, &[&["add-key", "--key", "20"], &KEYSTORE]));
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(
        out,
        "-- key 20: version 1 was added, for aes_256_xts\nSET GLOBAL keyroll_reload_keys = 1;\n"
    );
    let spec = ["--key-algorithm", "aes_ctr", "--key-spec", "AES_128", "--json"];
    let (_, out, err) = said(run(&folder, &[&["add-key", "--key", "21"], &spec, &KEYSTORE]));
    let added: Value = serde_json::from_str(&out).expect(&err);
    assert_eq!((&added["version"], &added["code"]), (&1.into(), &"added".into()));
    assert_eq!(
        added["new"],
        json!([{ "id": 21, "version": 1, "algorithm": "aes_ctr" }])
    );

    let (code, out, err) = said(run(&folder, &[&["add-key", "--key", "20"], &KEY_FILE]));
    assert_eq!(
        (code, out.lines().next()),
        (Some(0), Some("-- key 20: version 1 was added")),
        "{err}"
    );
    assert!(
        err.contains("warning: whether data is encrypted with another key 20 was not looked at: the data directory is not known"),
        "{err}"
    );
    // As file_key_management reads it.
    let text = fs::read_to_string(folder.path().join("keys")).unwrap();
    let line = text.lines().last().unwrap();
    assert!(
        line.starts_with("20;") && line.len() == 3 + 64,
        "the line of key 20 has another form"
    );
    for store in [&KEYSTORE[..], &KEY_FILE] {
        let (code, _, err) = said(run(&folder, &[&["add-key", "--key", "20"], store]));
        assert_eq!(code, Some(73), "{err}");
        assert!(
            err.contains("there is a key 20 in ") && err.contains("`keyroll rotate --key 20`"),
            "{err}"
        );
    }
}

#[test]
fn no_key_is_added_where_data_needs_another_one_of_its_id() {
    let folder = folder();
    let name = KeyName { id: 9, version: 1 };
    let mut mark = MarkFile::read(&folder.path().join("data")).unwrap();
    let mut known = KeySet::default();
    known.insert(name, DataKey::new(&[7; 32]).unwrap());
    mark.change(|mark| mark.learn(known.iter().map(|(name, key)| (name, key.bytes()))))
        .unwrap();
    let before = fs::read(folder.path().join("keys")).unwrap();
    let (code, _, err) = said(run(
        &folder,
        &[&["add-key", "--key", "9", "--datadir", "data"], &KEY_FILE],
    ));
    assert_eq!(code, Some(2), "{err}");
    assert!(
        err.contains("the data in data needs another key 9, which the key store lacks"),
        "{err}"
    );
    assert!(
        err.contains("put the right store back, or choose another id"),
        "{err}"
    );
    assert_eq!(fs::read(folder.path().join("keys")).unwrap(), before);
    let (code, _, err) = said(run(
        &folder,
        &[&["add-key", "--key", "10", "--datadir", "data"], &KEY_FILE],
    ));
    assert_eq!((code, err.as_str()), (Some(0), ""));
}

#[test]
fn no_key_1_is_added_beside_system_data_which_need_not_name_it() {
    let folder = folder();
    // A key file without key 1.
    let text = format!("2;{}\n", "0123456789abcdef".repeat(4));
    fs::write(folder.path().join("keys"), &text).unwrap();
    fs::write(folder.path().join("data/ibdata1"), "").unwrap();
    let add = |store: &[&str]| {
        said(run(
            &folder,
            &[&["add-key", "--key", "1", "--datadir", "data"], store],
        ))
    };
    let (code, _, err) = add(&KEY_FILE);
    assert_eq!(code, Some(2), "{err}");
    assert!(
        err.contains("the system data in data (redo log, binary logs) may need another key 1")
            && err.contains("put the right store back"),
        "{err}"
    );
    assert_eq!(fs::read_to_string(folder.path().join("keys")).unwrap(), text);
    let (code, _, err) = add(&KEYSTORE);
    assert_eq!(code, Some(73), "{err}");
    assert!(err.contains("there is a key 1 in "), "{err}");
}

#[test]
fn a_data_directory_of_option_files_that_is_not_there_is_warned_of() {
    let folder = folder();
    let lines = "[mysqld]\ndatadir=none\nkeyroll_filename=keys\n";
    fs::write(folder.path().join("my.cnf"), lines).unwrap();
    let (code, out, err) = said(run(
        &folder,
        &[&["add-key", "--defaults-file=my.cnf", "--key", "9"]],
    ));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("-- key 9: version 1 was added"), "{out}");
    assert!(
        err.contains("was not looked at: there is no data directory none; --datadir DIR names it"),
        "{err}"
    );
}
