//! `check --backup`: a backup that is as new as the store, older, newer, or another store's.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

const KEYSTORE: [&str; 4] = [
    "--keystore",
    "store/keystore",
    "--master-key",
    "file:apart/master",
];
const KEY: &str = "c0ffee01c0ffee01c0ffee01c0ffee01c0ffee01c0ffee01c0ffee01c0ffee01";

struct Host(TempDir);

impl Host {
    fn new() -> Host {
        let host = Host(TempDir::new().unwrap());
        for name in ["store", "apart", "backup"] {
            fs::create_dir(host.0.path().join(name)).unwrap();
            fs::set_permissions(host.0.path().join(name), Permissions::from_mode(0o700)).unwrap();
        }
        host
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_keyroll"))
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("KEYROLL_FILEKEY")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    fn shell(&self, command: &str) {
        let done = Command::new("sh")
            .args(["-ec", command])
            .current_dir(self.0.path())
            .status();
        assert!(done.unwrap().success(), "{command}");
    }

    /// What is not as it should be with the backup of this store.
    fn check(&self, store: &[&str], backup: &str) -> (Option<i32>, String) {
        let check = ["check", "--user", "root", "--quiet", "--backup", backup];
        self.run(&[&check[..], store].concat())
    }

    /// Tells of a fault with these words, and is content when what it advises is done.
    fn must_be_mended(&self, store: &[&str], words: &str) {
        let (code, said) = self.check(store, "backup/copy");
        assert!(code == Some(1) && said.contains(words), "{said}");
        self.shell(said.split('`').nth(1).unwrap());
        assert_eq!(self.check(store, "backup/copy"), (Some(0), String::new()));
    }
}

#[test]
fn a_keystores_backup_is_older_after_each_change_until_it_is_made_anew() {
    let host = Host::new();
    host.run(&[&["init"], &KEYSTORE[..]].concat());
    host.shell("cp -p store/keystore backup/copy");
    assert_eq!(host.check(&KEYSTORE, "backup/copy"), (Some(0), String::new()));
    host.run(&[&["rotate", "--key", "1"], &KEYSTORE[..]].concat());
    host.shell("cp -p backup/copy backup/first");
    host.must_be_mended(&KEYSTORE, "it lacks version 3 of key 1");
    host.run(&[&["rotate-master-key"], &KEYSTORE[..]].concat());
    host.must_be_mended(&KEYSTORE, "it lacks no key version");

    // No master key is needed that the backup was wrapped under.
    host.shell("cp -p backup/first store/keystore");
    let (code, said) = host.check(&KEYSTORE, "backup/copy");
    assert!(
        code == Some(1) && said.contains("the backup backup/copy is newer than the keystore"),
        "{said}"
    );
    assert!(
        said.contains("the keystore: it lacks version 3 of key 1"),
        "{said}"
    );
}

#[test]
fn a_backup_of_another_keystore_and_one_that_is_damaged_are_none() {
    let host = Host::new();
    let other = ["--keystore", "store/other", "--master-key", "file:apart/other"];
    for store in [&KEYSTORE, &other] {
        host.run(&[&["init"], &store[..]].concat());
    }
    let (code, said) = host.check(&KEYSTORE, "store/other");
    assert!(
        code == Some(1) && said.contains("one of another keystore"),
        "{said}"
    );
    host.shell("head -c 200 store/keystore > backup/cut");
    for backup in ["backup/cut", "backup/none"] {
        let (code, said) = host.check(&KEYSTORE, backup);
        assert!(
            code == Some(2) && said.contains("the backup cannot be compared"),
            "{said}"
        );
    }
}

#[test]
fn a_key_files_backup_is_the_same_or_not() {
    let host = Host::new();
    let store = ["--filename", "store/keys"];
    fs::write(host.0.path().join("store/keys"), format!("1;{KEY}\n")).unwrap();
    host.shell("chmod 0600 store/keys; cp -p store/keys backup/copy; touch -d '1 hour ago' backup/copy");
    assert_eq!(host.check(&store, "backup/copy"), (Some(0), String::new()));
    host.run(&[&["rotate", "--all"], &store[..]].concat());
    host.must_be_mended(&store, "is older than the key file and not the same");
}
