//! `init` as scripts use it: run twice, into an option file, and what its exit codes tell.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use keyroll::keys::{KeyName, KeySet};
use keyroll::secret::DataKey;
use keyroll::store::MarkFile;
use serde_json::Value;
use tempfile::TempDir;

const STORE: [&str; 4] = ["--keystore", "keystore", "--master-key", "file:apart/master"];
const EXISTS: Option<i32> = Some(73);
const WRONG_KEY: Option<i32> = Some(65);
const UNREACHABLE: Option<i32> = Some(75);

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("apart")).unwrap();
    folder
}

fn write(folder: &TempDir, name: &str, text: &str, mode: u32) {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

fn run(folder: &TempDir, args: &[&[&str]]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keyroll"))
        .args(args.concat())
        .current_dir(folder.path())
        .env_remove("KEYROLL_FILEKEY")
        .output()
        .unwrap()
}

/// The same, of a command that has to work.
fn run_well(folder: &TempDir, args: &[&[&str]]) -> Output {
    let output = run(folder, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    output
}

fn code(folder: &TempDir, args: &[&[&str]]) -> Option<i32> {
    run(folder, args).status.code()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn init_that_is_appended_to_a_file_twice_leaves_one_block() {
    let folder = folder();
    let twice = |more: &str| {
        let line = format!(
            "'{}' init {} {more} >> my.cnf",
            env!("CARGO_BIN_EXE_keyroll"),
            STORE.join(" ")
        );
        let ran = Command::new("sh")
            .args(["-c", &line])
            .current_dir(folder.path())
            .output();
        ran.unwrap().status.code()
    };
    assert_eq!(twice(""), Some(0));
    let once = read(&folder, "my.cnf");
    assert_eq!(once.matches("keyroll_keystore").count(), 1);
    assert_eq!(twice(""), EXISTS);
    assert_eq!(twice("--if-missing"), Some(0));
    assert_eq!(read(&folder, "my.cnf"), once);
}

#[test]
fn init_of_what_is_there_succeeds_only_if_it_opens_and_is_whole() {
    let folder = folder();
    let again: &[&[&str]] = &[&["init", "--if-missing"], &STORE];
    run_well(&folder, again);
    let before = read(&folder, "keystore");
    let there = run_well(&folder, again);
    let said = String::from_utf8(there.stderr).unwrap();
    assert!(
        said.contains("keystore is there, opens with version 1 of master key file"),
        "{said}"
    );
    assert!(
        said.contains("and is whole; keys: 2, versions: 2") && !said.contains("Next"),
        "{said}"
    );
    assert_eq!(code(&folder, &[&["init"], &STORE]), EXISTS);

    run_well(
        &folder,
        &[&["init", "--keystore", "other", "--master-key", "file:apart/other"]],
    );
    let wrong: &[&[&str]] = &[&["init", "--if-missing"], &STORE[..3], &["file:apart/other"]];
    assert_eq!(code(&folder, wrong), WRONG_KEY);
    assert_eq!(read(&folder, "keystore"), before);

    let mut damaged = before.clone().into_bytes();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(folder.path().join("keystore"), &damaged).unwrap();
    assert_eq!(code(&folder, again), Some(2));
    assert_eq!(fs::read(folder.path().join("keystore")).unwrap(), damaged);
}

#[test]
fn a_wrong_key_and_a_key_service_that_is_away_have_codes_of_their_own() {
    let folder = folder();
    let file = ["--filename", "keys", "--filekey"];
    run_well(&folder, &[&["init"], &file, &["FILE:password"]]);
    write(&folder, "wrong", "another\n", 0o600);
    assert_eq!(code(&folder, &[&["list"], &file, &["FILE:wrong"]]), WRONG_KEY);

    // A port that nobody listens at any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let away = format!("vault-transit:https://127.0.0.1:{port}/transit/mariadb");
    write(
        &folder,
        "my.cnf",
        "[mysqld]\nkeyroll_token = x\nkeyroll_request_timeout = 2000\nkeyroll_max_retries = 0\n",
        0o600,
    );
    let refused = Command::new(env!("CARGO_BIN_EXE_keyroll"))
        .args(["init", "--json", "--keystore", "keystore", "--master-key", &away])
        .current_dir(folder.path())
        .env("MYSQL_HOME", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), UNREACHABLE, "{said}");
    assert!(
        said.contains("no keystore keystore was made") && !said.contains("whole"),
        "{said}"
    );
    let told = json(&refused);
    assert_eq!(
        (&told["version"], &told["code"]),
        (&1.into(), &"unreachable".into())
    );
    assert!(said.contains(told["error"].as_str().unwrap()) && said.contains(told["hint"].as_str().unwrap()));
    assert!(!folder.path().join("keystore").exists());
}

#[test]
fn an_option_file_gets_the_lines_once_and_keeps_what_it_has() {
    let folder = folder();
    let into = |cnf: &'static str| [&["init", "--if-missing", "--cnf", cnf][..], &STORE].concat();
    let made = run_well(&folder, &[&into("new.cnf")]);
    assert!(made.stdout.is_empty(), "{made:?}");
    let lines = read(&folder, "new.cnf");
    assert!(
        lines.contains("keyroll_keystore = /") && lines.contains("innodb_encrypt_tables = ON"),
        "{lines}"
    );
    let mode = |name: &str| {
        fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(mode("new.cnf"), 0o644, "the server's user reads it");
    run_well(&folder, &[&into("new.cnf")]);
    assert_eq!(read(&folder, "new.cnf"), lines);

    // The lines of a store that is there, into a file without them.
    write(&folder, "old.cnf", "[mysqld]\nport = 3307", 0o640);
    std::os::unix::fs::symlink("old.cnf", folder.path().join("link.cnf")).unwrap();
    run_well(&folder, &[&into("link.cnf")]);
    assert_eq!(read(&folder, "old.cnf"), format!("[mysqld]\nport = 3307{lines}"));
    assert_eq!(mode("old.cnf"), 0o640);
    assert!(folder.path().join("link.cnf").is_symlink());
    run_well(&folder, &[&["list", "--defaults-file", "old.cnf"]]);
}

#[test]
fn an_option_file_that_names_another_store_is_refused_before_anything_is_made() {
    let folder = folder();
    let other = "[mysqld]\nloose-keyroll-filename = /etc/mysql/keys\n";
    write(&folder, "my.cnf", other, 0o644);
    let refused = run(&folder, &[&["init", "--cnf", "my.cnf"], &STORE]);
    assert_eq!(refused.status.code(), EXISTS);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("my.cnf:2 names another key store already"),
        "{said}"
    );
    assert_eq!(
        code(&folder, &[&["init", "--cnf", "nowhere/my.cnf"], &STORE]),
        Some(2)
    );
    assert_eq!(read(&folder, "my.cnf"), other);
    for name in ["keystore", "apart/master"] {
        assert!(!folder.path().join(name).exists(), "{name}");
    }
}

/// The keystore and its master key are taken away; the refusal of the next call, which
/// made nothing.
fn refused_as_away(folder: &TempDir, again: &[&[&str]]) -> String {
    let path = |name: &str| folder.path().join(name);
    fs::rename(path("keystore"), path("away")).unwrap();
    fs::rename(path("apart/master"), path("master-away")).unwrap();
    let refused = run(folder, again);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    for name in ["keystore", "apart/master"] {
        assert!(!path(name).exists(), "{name}");
    }
    assert!(said.contains("mount it, or restore it from the backup"), "{said}");
    said
}

/// They are put back, and the same call succeeds.
fn put_back(folder: &TempDir, again: &[&[&str]]) {
    let path = |name: &str| folder.path().join(name);
    fs::rename(path("away"), path("keystore")).unwrap();
    fs::rename(path("master-away"), path("apart/master")).unwrap();
    run_well(folder, again);
}

#[test]
fn a_store_that_the_option_file_names_and_is_only_away_is_not_made_anew() {
    let folder = folder();
    let again: &[&[&str]] = &[&["init", "--if-missing", "--cnf", "my.cnf"], &STORE];
    run_well(&folder, again);
    let lines = read(&folder, "my.cnf");
    let said = refused_as_away(&folder, again);
    assert!(said.contains("my.cnf names it"), "{said}");
    put_back(&folder, again);
    assert_eq!(read(&folder, "my.cnf"), lines);
}

#[test]
fn a_store_whose_keys_the_data_knows_and_that_is_only_away_is_not_made_anew() {
    let folder = folder();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::create_dir(folder.path().join("other")).unwrap();
    let given: &[&[&str]] = &[&["init", "--if-missing", "--datadir", "data"], &STORE];
    run_well(&folder, given);
    let mut known = KeySet::default();
    known.insert(KeyName { id: 1, version: 1 }, DataKey::new(&[7; 32]).unwrap());
    let mut mark = MarkFile::read(&folder.path().join("data")).unwrap();
    mark.change(|mark| mark.learn(known.iter().map(|(name, key)| (name, key.bytes()))))
        .unwrap();
    let datadir = format!("[mysqld]\ndatadir = {}\n", folder.path().join("data").display());
    write(&folder, "server.cnf", &datadir, 0o644);
    let of_server = ["init", "--if-missing", "--defaults-extra-file", "server.cnf"];
    for again in [given, &[&of_server, &STORE]] {
        let said = refused_as_away(&folder, again);
        assert!(said.contains("data knows key versions"), "{said}");
        put_back(&folder, again);
    }
    refused_as_away(&folder, given);
    // The data of another server, which has none yet.
    let of_other: &[&[&str]] = &[&of_server, &["--datadir", "other"], &STORE];
    run_well(&folder, of_other);
}

#[test]
fn lines_that_could_not_be_written_are_written_by_the_next_call() {
    let folder = folder();
    let cnf = folder.path().join("my.cnf");
    // Another name of the file, which a replacement would part from it.
    write(&folder, "other.cnf", "[mysqld]\n", 0o644);
    fs::hard_link(folder.path().join("other.cnf"), &cnf).unwrap();
    let refused = run(&folder, &[&["init", "--cnf", "my.cnf"], &STORE]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.contains("the key store is made, but its lines are not in my.cnf: "),
        "{said}"
    );
    assert!(said.contains("run this once more with --if-missing"), "{said}");
    fs::remove_file(folder.path().join("other.cnf")).unwrap();
    run_well(&folder, &[&["init", "--if-missing", "--cnf", "my.cnf"], &STORE]);
    assert!(fs::read_to_string(cnf).unwrap().contains("keyroll_keystore"));
}

#[test]
fn what_scripts_read_is_one_object_with_a_version_and_a_code() {
    let folder = folder();
    let made = json(&run_well(
        &folder,
        &[&["init", "--json", "--id", "7:aes_ctr"], &STORE],
    ));
    assert_eq!((&made["version"], &made["code"]), (&1.into(), &"made".into()));
    assert_eq!(made["store"], "keystore keystore");
    let key = serde_json::json!({ "id": 7, "version": 1, "algorithm": "aes_ctr" });
    assert_eq!(
        (made["keys"].as_array().unwrap().len(), &made["keys"][1]),
        (2, &key)
    );
    assert!(
        made["my_cnf"]
            .as_str()
            .unwrap()
            .contains("plugin_load_add = keyroll")
    );
    let there = json(&run_well(&folder, &[&["init", "--json", "--if-missing"], &STORE]));
    assert_eq!(
        (&there["code"], &there["keys"]),
        (&"present".into(), &made["keys"])
    );
    let rotated = json(&run_well(&folder, &[&["rotate", "--json", "--key", "7"], &STORE]));
    assert_eq!(
        (&rotated["version"], &rotated["code"]),
        (&1.into(), &"rotated".into())
    );
    let new = serde_json::json!([{ "id": 7, "version": 3, "algorithm": "aes_256_xts" }]);
    assert_eq!(rotated["new"], new);
    assert_eq!(rotated["sql"], "SET GLOBAL keyroll_reload_keys = 1;");
    let checked = json(&run(&folder, &[&["check", "--json"], &STORE]));
    assert_eq!(checked["version"], 1);
    let refused = run(&folder, &[&["init", "--json"], &STORE]);
    assert_eq!(
        (refused.status.code(), &json(&refused)["code"]),
        (EXISTS, &"exists".into())
    );
}
