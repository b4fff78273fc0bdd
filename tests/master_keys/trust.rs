//! Another user who tries to have a program of his run in the command's place.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use keyroll::master_key::MasterKeyError;

use test_support::master_keys::{KEYSTORE, Place, new_key, refused, wrap};

const NOBODY: u32 = 65534;

/// As often as the command is called while the other user is at work.
const CALLS: usize = 300;

/// `outer/folder/command`, which answers, and `outer/foreign/command`, which another user has written and which tells that it
/// was run; while this lives, that user gives each folder the other's name, as fast as he can.
struct Race {
    place: Place,
    mallory: Child,
}

impl Race {
    fn new(mode_of_outer: u32) -> Race {
        assert!(nix::unistd::geteuid().is_root(), "only root can be another user");
        let mut place = Place::script("");
        fs::set_permissions(place.directory.path(), Permissions::from_mode(0o755)).unwrap();
        let outer = place.path("outer");
        let command = outer.join("folder/command");
        for folder in [&outer, &outer.join("folder"), &outer.join("foreign")] {
            fs::create_dir(folder).unwrap();
        }
        let answer = r#"#!/bin/sh
echo '{"ciphertext":"AQIDBA==","key_version":"3"}'
"#;
        place.write("outer/folder/command", answer.as_bytes(), 0o755);
        let tells = b"#!/bin/sh\ntouch $KEYROLL_EXEC_DIRECTORY/outer/foreign-was-run\n";
        let foreign = place.write("outer/foreign/command", tells, 0o755);
        for path in [&foreign, &outer.join("foreign")] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(&outer, Permissions::from_mode(mode_of_outer)).unwrap();
        place.uri = format!("exec:{}", command.display());
        let renames = r#"chdir shift or die; $| = 1; print "\n";
for (;;) { rename "folder", "aside"; rename "foreign", "folder"; rename "folder", "foreign"; rename "aside", "folder" }"#;
        let mut mallory = Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "perl",
                "-e",
                renames,
            ])
            .arg(&outer)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Read::read_exact(mallory.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        Race { place, mallory }
    }

    fn assert_foreign_was_not_run(&self) {
        assert!(!self.place.path("outer/foreign-was-run").exists());
    }
}

impl Drop for Race {
    fn drop(&mut self) {
        let _ = self.mallory.kill();
        let _ = self.mallory.wait();
    }
}

#[test]
fn a_command_below_a_folder_that_another_user_may_rename_in_is_never_run() {
    for mode in [0o777, 0o757] {
        let race = Race::new(mode);
        let master = race.place.open();
        for _ in 0..CALLS {
            let error = refused(master.wrap(&new_key(), KEYSTORE));
            assert!(matches!(error, MasterKeyError::Untrusted { .. }), "{error}");
            assert!(error.hint().contains("chmod go-w"), "{}", error.hint());
        }
        race.assert_foreign_was_not_run();
    }
}

#[test]
fn where_the_sticky_bit_keeps_another_user_from_renaming_the_command_is_run() {
    let race = Race::new(0o1777);
    let master = race.place.open();
    for _ in 0..CALLS / 10 {
        wrap(&*master);
    }
    race.assert_foreign_was_not_run();
}

#[test]
fn a_command_below_another_users_folder_is_not_run() {
    let place = Place::script("touch $KEYROLL_EXEC_DIRECTORY/ran");
    chown(place.directory.path(), Some(NOBODY), None).unwrap();
    let error = refused(place.open().wrap(&new_key(), KEYSTORE));
    let named = format!("chown root {}", place.directory.path().display());
    assert!(error.hint().contains(&named), "{}", error.hint());
    assert!(!place.path("ran").exists());
}

#[test]
fn a_binary_that_was_judged_is_run_with_its_own_name_as_its_first_argument() {
    let mut place = Place::empty();
    place.uri = "exec:/bin/cat".into();
    let error = refused(place.open().wrap(&new_key(), KEYSTORE));
    // It gives the request back.
    assert!(error.to_string().contains("a member is missing"), "{error}");

    let copy = place.path("sh");
    fs::copy("/bin/sh", &copy).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    place.uri = format!("exec:{}", copy.display());
    let master = place.open();
    // The shell takes the request for a command that is not there.
    refused(master.wrap(&new_key(), KEYSTORE));
    let said = place.told().join("\n");
    assert!(
        said.contains(&format!("{}: 1: ", Path::new(&copy).display())),
        "{said}"
    );
}
