//! A file that others can read: what the command advises leaves it readable for who reads it, here a user without rights.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

const NOBODY: u32 = 65534;

/// A folder that everyone may enter, with a copy of the command that everyone may run.
struct Place {
    directory: TempDir,
    command: PathBuf,
}

impl Place {
    fn new() -> Place {
        assert!(nix::unistd::geteuid().is_root(), "only root can be another user");
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let command = directory.path().join("keyroll");
        // By another process: a descriptor of ours that writes to a program could be inherited by another test's.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_keyroll"))
            .arg(&command)
            .status();
        assert!(copied.unwrap().success());
        Place { directory, command }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().into()
    }

    fn init(&self, arguments: &[&str]) {
        let made = Command::new(&self.command)
            .args(["init", "--no-defaults"])
            .args(arguments)
            .output();
        let made = made.unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    /// Lists the store as a user without rights.
    fn list(&self, arguments: &[&str]) -> (Output, String) {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&self.command)
            .args(["list", "--no-defaults"])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        (output, said)
    }
}

fn give(path: &str, group: u32, mode: u32) {
    chown(path, Some(0), Some(group)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Does what the first command in backquotes says.
fn mend(said: &str) -> String {
    let command = said.split('`').nth(1).unwrap().to_owned();
    let mended = Command::new("sh").args(["-c", &command]).status();
    assert!(mended.unwrap().success(), "{command}");
    command
}

#[test]
fn a_key_file_that_is_mended_can_still_be_read_by_who_read_it_before() {
    let place = Place::new();
    let keys = place.path("keys");
    place.init(&["--filename", &keys]);
    for (group, mode, needs_chown) in [
        (0, 0o644, true),
        (0, 0o604, true),
        (1, 0o664, true),
        (NOBODY, 0o644, false),
    ] {
        give(&keys, group, mode);
        let arguments = ["--filename", keys.as_str()];
        let (output, said) = place.list(&arguments);
        assert!(
            output.status.success() && said.contains("others may read"),
            "{said}"
        );
        let command = mend(&said);
        assert_eq!(command.contains("chown"), needs_chown, "{command}");
        let (output, said) = place.list(&arguments);
        assert!(output.status.success() && said.is_empty(), "{mode:04o}: {said}");
    }
}

/// As Kubernetes mounts a secret for a server's group.
#[test]
fn a_master_key_file_of_root_for_a_group_is_given_to_its_reader_or_named_as_a_credential() {
    let place = Place::new();
    let (keystore, master) = (place.path("keystore"), place.path("master"));
    let uri = format!("file:{master}");
    place.init(&["--keystore", &keystore, "--master-key", &uri]);
    give(&keystore, NOBODY, 0o640);
    give(&master, NOBODY, 0o440);
    let arguments = ["--keystore", keystore.as_str(), "--master-key", &uri];
    let (output, said) = place.list(&arguments);
    assert!(
        !output.status.success() && said.contains("its owner's alone"),
        "{said}"
    );
    assert!(said.contains("credential:NAME"), "{said}");
    let command = said.split('`').nth(1).unwrap();
    assert_eq!(command, format!("chown {NOBODY} {master} && chmod 0600 {master}"));
    mend(&said);
    assert!(place.list(&arguments).0.status.success());

    give(&master, NOBODY, 0o440);
    let listed = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&place.command)
        .args([
            "list",
            "--no-defaults",
            "--keystore",
            &keystore,
            "--master-key",
            "credential:master",
        ])
        .env("CREDENTIALS_DIRECTORY", place.directory.path())
        .output()
        .unwrap();
    assert!(listed.status.success(), "{listed:?}");
}
