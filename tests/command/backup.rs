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

    /// Tells of a fault with these words; what it advises makes a backup beside this one, with which
    /// it is content.
    fn must_be_made_anew(&self, store: &[&str], backup: &str, words: &str) -> String {
        let before = fs::read(self.0.path().join(backup)).unwrap();
        let (code, said) = self.check(store, backup);
        assert!(code == Some(1) && said.contains(words), "{said}");
        let command = said.split('`').nth(1).unwrap();
        self.shell(command);
        assert!(
            fs::read(self.0.path().join(backup)).unwrap() == before,
            "{command}"
        );
        let new = command.rsplit(' ').next().unwrap();
        assert_eq!(self.check(store, new), (Some(0), String::new()));
        new.into()
    }

    /// Tells that the backup has what the store lacks, and advises to copy nothing.
    fn must_be_kept(&self, store: &[&str], words: &str) {
        let (code, said) = self.check(store, "backup/copy");
        assert!(code == Some(1) && said.contains(words), "{said}");
        assert!(
            said.contains("hint: keep both, and see by `keyroll check "),
            "{said}"
        );
        assert!(!said.contains("cp ") && !said.contains("mv "), "{said}");
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
    let second = host.must_be_made_anew(&KEYSTORE, "backup/copy", "it lacks version 3 of key 1");
    assert_eq!(second, "backup/copy.1");
    host.run(&[&["rotate-master-key"], &KEYSTORE[..]].concat());
    let third = host.must_be_made_anew(&KEYSTORE, &second, "it lacks no key version");
    let another = host.must_be_made_anew(&KEYSTORE, "backup/copy", "it lacks version 3 of key 1");
    assert_eq!(another, "backup/copy.2", "the name of no other backup");

    // No master key is needed that the backup was wrapped under.
    host.shell("cp -p backup/first store/keystore");
    let (code, said) = host.check(&KEYSTORE, &third);
    assert!(
        code == Some(1) && said.contains("the backup backup/copy.1.1 is newer than the keystore"),
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
    host.must_be_made_anew(
        &store,
        "backup/copy",
        "not the same as the key file: the backup lacks version 3 of key 1",
    );
    host.shell("cp -p store/keys backup/copy; echo '# moved' >> store/keys");
    host.must_be_made_anew(&store, "backup/copy", "they hold the same keys");
}

#[test]
fn a_backup_of_a_key_file_that_has_lost_a_key_is_kept() {
    let host = Host::new();
    let store = ["--filename", "store/keys"];
    let write = |name: &str, text: String| fs::write(host.0.path().join(name), text).unwrap();
    write("store/keys", format!("1;{KEY}\n2;{KEY}\n"));
    host.shell("chmod 0600 store/keys; cp -p store/keys backup/copy; touch -d '1 hour ago' backup/copy");
    // The file that was edited is the newer one.
    write("store/keys", format!("1;{KEY}\n"));
    host.must_be_kept(&store, "the key file lacks version 1 of key 2");
    write("store/keys", format!("1;{KEY}\n3;{KEY}\n"));
    host.must_be_kept(
        &store,
        "the key file lacks version 1 of key 2; the backup lacks version 1 of key 3",
    );
    write("store/keys", format!("1;{KEY}\n2;{}\n", KEY.replace('f', "e")));
    host.must_be_kept(&store, "version 1 of key 2");
}

#[test]
fn a_backup_of_an_encrypted_key_file_is_kept_whatever_its_time_is() {
    let host = Host::new();
    fs::write(host.0.path().join("apart/password"), "secret").unwrap();
    host.shell("chmod 0600 apart/password");
    let store = ["--filename", "store/keys", "--filekey", "FILE:apart/password"];
    host.run(&[&["init"], &store[..]].concat());
    host.shell("cp -p store/keys backup/copy; touch -d '1 hour ago' backup/copy");
    host.run(&[&["rotate", "--all"], &store[..]].concat());
    host.must_be_kept(&store, "the backup backup/copy is not the same as the key file");
}

#[test]
fn a_backup_of_a_keystore_that_has_grown_apart_is_kept_though_it_was_written_less_often() {
    let host = Host::new();
    host.run(&[&["init"], &KEYSTORE[..]].concat());
    host.shell("cp -p store/keystore backup/first");
    let rotate = |id: &str| host.run(&[&["rotate", "--key", id], &KEYSTORE[..]].concat());
    for (of_copy, of_store, words) in [
        ("2", "1", "the keystore: it lacks version 3 of key 2"),
        // Both have the version, and not one that was made at one time.
        (
            "1",
            "1",
            "was written less often than the keystore, with something else",
        ),
    ] {
        host.shell("rm -f store/keystore.previous; cp -p backup/first store/keystore");
        rotate(of_copy);
        host.shell("mv store/keystore backup/copy; rm store/keystore.previous; cp -p backup/first store/keystore; sleep 1.1");
        rotate(of_store);
        rotate(of_store);
        host.must_be_kept(&KEYSTORE, words);
    }
}
