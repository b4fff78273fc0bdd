//! Locks as NFS has them, tried with a library that does what flock(2) says of it: there is no NFS server here.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use test_support::programs::stderr;

const NOBODY: u32 = 65534;

/// A folder that everyone may enter, with the library and a copy of the command.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/durable/flock_of_nfs.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(place.path().join("flock.so"))
        .arg(source)
        .status();
    assert!(compiled.unwrap().success());
    // By another process: a descriptor of ours that writes to a program could be inherited by another test's.
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_keyroll"))
        .arg(place.path())
        .status();
    assert!(copied.unwrap().success());
    place
}

/// Runs the command as on NFS.
fn keyroll(place: &TempDir, arguments: &[&str]) -> Output {
    Command::new(place.path().join("keyroll"))
        .args(arguments)
        .arg("--no-defaults")
        .env("LD_PRELOAD", place.path().join("flock.so"))
        .output()
        .unwrap()
}

fn path(place: &TempDir, name: &str) -> (PathBuf, String) {
    let path = place.path().join(name);
    let text = path.to_str().unwrap().into();
    (path, text)
}

#[test]
fn on_nfs_every_kind_of_file_is_made_read_and_replaced() {
    let place = place();
    let ((_, keystore), (_, keys), (_, password)) = (
        path(&place, "keystore"),
        path(&place, "keys"),
        path(&place, "password"),
    );
    let master = format!("file:{}", path(&place, "master").1);
    let filekey = format!("FILE:{password}");
    let stores: [&[&str]; 2] = [
        &["--keystore", &keystore, "--master-key", &master],
        &["--filename", &keys, "--filekey", &filekey],
    ];
    for store in stores {
        for action in [
            &["init"][..],
            &["list"],
            &["rotate", "--all"],
            &["rotate", "--key=1"],
            &["list"],
        ] {
            let output = keyroll(&place, &[action, store].concat());
            assert!(output.status.success(), "{action:?}: {}", stderr(&output));
        }
    }
    let output = keyroll(&place, &[&["rotate-master-key"], stores[0]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn on_nfs_a_file_that_may_not_be_written_is_not_replaced_and_the_reason_is_told() {
    assert!(nix::unistd::geteuid().is_root(), "only root can be another user");
    let place = place();
    let (file, keys) = path(&place, "keys");
    assert!(keyroll(&place, &["init", "--filename", &keys]).status.success());
    for path in [&file, place.path()] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
    let before = fs::read(&file).unwrap();
    let rotate = |preload: &Path| {
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(place.path().join("keyroll"))
            .args(["rotate", "--no-defaults", "--all", "--filename", &keys])
            .env("LD_PRELOAD", preload)
            .output()
            .unwrap()
    };
    let output = rotate(&place.path().join("flock.so"));
    let said = stderr(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("Cannot lock") && said.contains("on NFS"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), before);
    // Elsewhere it is enough to read the file and to write in its folder.
    let output = rotate(Path::new(""));
    assert!(output.status.success(), "{}", stderr(&output));
}
