//! `keyroll scan` over a small data directory. What real servers write it is tried on in the
//! suites.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const PAGE: usize = 16_384;

/// A tablespace in the form full_crc32 with a page of each of these versions; the last one is free.
fn tablespace(key_id: u32, versions: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0; PAGE * (versions.len() + 1)];
    bytes[57] = 0x15;
    bytes[10_428..10_436].copy_from_slice(b"s\x0e\x0cREt\x01\x10");
    bytes[10_456..10_460].copy_from_slice(&key_id.to_be_bytes());
    bytes[173] = 4;
    bytes[174 + versions.len() * 2 / 8] = 1 << (versions.len() * 2 % 8);
    for (number, version) in (1..).zip(versions) {
        let page = &mut bytes[PAGE * number..PAGE * (number + 1)];
        page[..4].copy_from_slice(&version.to_be_bytes());
        page[7] = number as u8;
    }
    bytes
}

/// A data directory with two keys of InnoDB, and what is not encrypted.
fn site() -> TempDir {
    let site = tempfile::tempdir().unwrap();
    let plain = {
        let mut bytes = tablespace(1, &[0]);
        bytes[10_434] = 0;
        bytes
    };
    for (name, bytes) in [
        ("data/ibdata1", tablespace(1, &[3, 3])),
        ("data/shop/orders.ibd", tablespace(1, &[1, 3, 3, 1])),
        ("data/shop/a@002db.ibd", tablespace(7, &[2])),
        ("data/shop/plain.ibd", plain),
        ("data/shop/notes.MYD", vec![1]),
        ("data/shop/orders.frm", vec![1]),
        ("data/aria_log.00000001", vec![1]),
        (
            "keys",
            b"1;00112233445566778899aabbccddeeff\n1;3;ffeeddccbbaa99887766554433221100\n".to_vec(),
        ),
    ] {
        let path = site.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    site
}

fn scan(site: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keyroll"))
        .arg("scan")
        .args(arguments)
        .current_dir(site)
        .output()
        .unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_person_sees_versions_what_is_in_clear_and_the_steps() {
    let site = site();
    let output = scan(site.path(), &["data", "--no-defaults", "--filename", "keys"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = "\
data

key id  version           pages  free  files
     1        1  older        2     1      1
     1        3  latest       4     1      2
     7        2  missing      1     1      1

Not encrypted:
  tablespaces of InnoDB: 1: shop/plain.ibd
  files that no server encrypts: 2: aria_log.00000001, shop/notes.MYD
  definitions of tables: 1 .frm files

To free version 1 of key 1:
  1. let InnoDB encrypt the pages that are in use anew (1): SET GLOBAL innodb_encryption_threads = 4; it is done when SELECT COUNT(*) FROM \
information_schema.INNODB_TABLESPACES_ENCRYPTION WHERE current_key_id = 1 AND min_key_version < 3 AND encryption_scheme = 1 is 0
  2. free pages (1) still hold what once was there; the server reads them no more, and needs no key for them. If their \
contents matter, rebuild: ALTER TABLE `shop`.`orders` FORCE
  3. what cannot be seen from here: backups, replicas, other nodes of a cluster, exported tablespaces

To read version 2 of key 7:
  1. the store lacks this version: put the newest copy of the key store back, and change nothing before
";
    assert_eq!(text, expected);
}

#[test]
fn of_a_key_whose_versions_an_older_copy_of_the_store_lacks_nothing_is_to_be_rebuilt() {
    let site = site();
    let key = "ffeeddccbbaa99887766554433221100";
    fs::write(site.path().join("data/shop/new.ibd"), tablespace(1, &[2, 2])).unwrap();
    let steps = |keys: String| {
        fs::write(site.path().join("keys"), keys).unwrap();
        let output = scan(
            site.path(),
            &["data", "--no-defaults", "--filename", "keys", "--json"],
        );
        json_of(&output)["steps"].clone()
    };
    let missing = |key_id: u32, version: u32| {
        let step = "the store lacks this version: put the newest copy of the key store back, and change nothing before";
        json!({"key_id": key_id, "version": version, "steps": [step]})
    };
    let older_copy = format!("1;{key}\n1;2;{}\n7;2;{key}\n", key.replace('f', "0"));
    assert_eq!(steps(older_copy), json!([missing(1, 3)]));
    let cut = format!("1;3;{key}\n7;{key}\n");
    assert_eq!(steps(cut), json!([missing(1, 1), missing(1, 2), missing(7, 2)]));
}

#[test]
fn a_script_gets_the_same_and_each_file_if_it_wants() {
    let site = site();
    let output = scan(site.path(), &["data", "--no-defaults", "--json", "--tables"]);
    assert!(output.status.success(), "{output:?}");
    let scan = json_of(&output);
    assert_eq!((&scan["version"], &scan["code"]), (&json!(1), &json!("scanned")));
    assert_eq!(scan["running"], false);
    assert_eq!(
        scan["versions"][0],
        json!({
            "key_id": 1, "version": 1, "state": null, "pages": 2, "free_pages": 1, "files": 1, "aria_pages": 0,
            "aria_tables": 0, "redo_log": false, "binary_logs": 0,
        })
    );
    assert_eq!(
        scan["not_encrypted"]["tablespaces"],
        json!(["data/shop/plain.ibd"])
    );
    assert_eq!(
        scan["tables"][2],
        json!({"path": "data/shop/orders.ibd", "key_id": 1, "version": 1, "pages": 2, "free": 1})
    );
    // Without the store the highest version that was found is the latest.
    assert_eq!(scan["steps"].as_array().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_read_is_named_and_seen_by_scripts() {
    let site = site();
    fs::create_dir(site.path().join("data/shop/t.ibd")).unwrap();
    symlink("/nowhere", site.path().join("data/shop/gone.ibd")).unwrap();
    fs::write(site.path().join("data/shop/noise.ibd"), "noise").unwrap();
    fs::write(site.path().join("data/shop/noise.MAI"), "noise").unwrap();
    let output = scan(site.path(), &["data", "--no-defaults", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let scanned = json_of(&output);
    let unread = scanned["unread"].as_array().unwrap();
    let paths: Vec<_> = unread
        .iter()
        .map(|unread| unread["path"].as_str().unwrap())
        .collect();
    let expected = ["shop/gone.ibd", "shop/noise.ibd", "shop/t.ibd", "shop/noise.MAI"];
    assert_eq!(paths, expected.map(|path| format!("data/{path}")));
    let output = scan(site.path(), &["data", "--no-defaults"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("cannot read data/shop/gone.ibd: ")
    );
}

#[test]
fn a_directory_that_cannot_be_read_is_named_with_what_helps() {
    let site = site();
    let output = scan(site.path(), &["nowhere", "--no-defaults"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("cannot read nowhere: ") && text.contains("hint: "),
        "{text}"
    );
}

#[test]
fn a_store_that_does_not_open_is_told_and_hinders_nothing() {
    let site = site();
    let output = scan(site.path(), &["data", "--no-defaults", "--filename", "nothing"]);
    assert!(output.status.success(), "{output:?}");
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("what the key store has is not told: ")
    );
}

#[test]
fn the_server_s_own_settings_say_where_its_files_are_and_nothing_of_another_directory() {
    let site = site();
    let elsewhere: PathBuf = site.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("system"), tablespace(5, &[9])).unwrap();
    let data = site.path().join("data");
    let options = format!(
        "[mariadbd]\ndatadir={}\ninnodb_data_home_dir={}\ninnodb_data_file_path=system:12M:autoextend\n",
        data.display(),
        elsewhere.display()
    );
    fs::write(site.path().join("my.cnf"), options).unwrap();
    let versions = |arguments: &[&str]| {
        let scan = json_of(&scan(
            site.path(),
            &[arguments, &["--json", "--defaults-file=my.cnf"]].concat(),
        ));
        scan["versions"].to_string().contains("\"key_id\":5")
    };
    assert!(versions(&[]));
    fs::create_dir(site.path().join("backup")).unwrap();
    assert!(!versions(&["backup"]));
}
