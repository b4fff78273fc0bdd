//! Disks and users that get in the way.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use super::support::{Place, TEXT, driver, is_root};
use test_support::programs::stderr;

/// Runs a shell script in a mount namespace of its own, where `$DIR` is a new directory with the key file
/// `keys` in it, `rotate` rotates that and `load` loads it.
fn in_namespace(script: &str) -> Output {
    let place = Place::plain();
    let driver = driver();
    let driver = driver.display();
    let directory = place.directory.path().display();
    let prelude = format!(
        "set -e; DIR={directory}; rotate() {{ {driver} $DIR/keys '' 2000 rotate all; }}; \
         load() {{ {driver} $DIR/keys '' 2000 load; }}; "
    );
    let mut command = Command::new("unshare");
    // A normal user is root in a user namespace of its own.
    if !is_root() {
        command.arg("--map-root-user");
    }
    let output = command
        .args(["--mount", "sh", "-c", &format!("{prelude}{script}")])
        .output()
        .unwrap();
    assert_eq!(
        place.bytes(),
        TEXT.as_bytes(),
        "the file outside of the namespace"
    );
    output
}

#[test]
fn a_full_disk_leaves_the_file_as_it_was() {
    let output = in_namespace(
        "cp $DIR/keys /dev/shm/keys.$$; mount -t tmpfs -o size=16k tmpfs $DIR; \
         cp /dev/shm/keys.$$ $DIR/keys; rm /dev/shm/keys.$$; chmod 600 $DIR/keys; cp $DIR/keys $DIR/before; \
         dd if=/dev/zero of=$DIR/filler bs=1k 2>/dev/null || true; \
         rotate && exit 9; \
         cmp $DIR/before $DIR/keys; ls -A $DIR; rm $DIR/filler; rotate",
    );
    let message = stderr(&output);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("No space left on device"), "{message}");
    assert!(
        message.contains("the key file is as it was (free space in "),
        "{message}"
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "before\nfiller\nkeys\n1;5\n2;3\n"
    );
}

#[test]
fn a_read_only_file_system_is_named_as_the_reason() {
    let output = in_namespace(
        "mount --bind $DIR $DIR; mount -o remount,ro,bind $DIR; cd $DIR; load; rotate || echo refused; ls -A",
    );
    let message = stderr(&output);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "1;1\n1;3\n2;1\nrefused\nkeys\n",
        "{message}"
    );
    assert!(
        message.contains("Cannot create ") && message.contains("Read-only file system"),
        "{message}"
    );
    assert!(message.contains("is on a read-only file system"), "{message}");
}

#[test]
fn a_bind_mounted_file_gets_a_hint_to_mount_its_directory() {
    let output = in_namespace(
        "cp $DIR/keys $DIR/source; mount --bind $DIR/source $DIR/keys; load; rotate || echo refused; \
         ls -A $DIR; cmp $DIR/source $DIR/keys; umount $DIR/keys",
    );
    let message = stderr(&output);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "1;1\n1;3\n2;1\nrefused\nkeys\nsource\n",
        "{message}"
    );
    assert!(
        message.contains("Cannot replace ") && message.contains("mount its directory instead"),
        "{message}"
    );
}

/// A place that another user can reach, and a copy of the driver there.
fn reachable(directory_mode: u32, file_mode: u32) -> (Place, PathBuf, tempfile::TempDir) {
    let place = Place::plain().with_mode(file_mode);
    fs::set_permissions(place.directory.path(), Permissions::from_mode(directory_mode)).unwrap();
    let tools = tempfile::tempdir().unwrap();
    fs::set_permissions(tools.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = tools.path().join("rotate_key_file");
    // By another process: a descriptor of ours that writes to a program would be inherited by what other tests start at
    // this moment, and the program could not be run ("text file busy").
    let copied = Command::new("cp").arg(driver()).arg(&copy).status();
    assert!(copied.unwrap().success());
    (place, copy, tools)
}

/// Runs the driver as a user without rights: root gives them up, a normal user has none.
fn as_normal_user(driver: &PathBuf, place: &Place, action: &[&str]) -> Output {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(driver);
        command
    } else {
        Command::new(driver)
    };
    command
        .arg(&place.path)
        .args(["", "2000"])
        .args(action)
        .output()
        .unwrap()
}

#[test]
fn a_directory_without_write_permission_is_named_as_the_reason() {
    let (place, driver, _tools) = reachable(0o555, 0o644);
    let output = as_normal_user(&driver, &place, &["rotate", "all"]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    let directory = place.directory.path().display();
    assert!(
        message.contains(&format!(
            "Cannot create {directory}/.keys.keyroll-new: Permission denied"
        )),
        "{message}"
    );
    assert!(
        message.contains("whichever failed, as root, then `SET GLOBAL ‹reload_keys› = 1`"),
        "{message}"
    );
    assert_eq!(place.bytes(), TEXT.as_bytes());
    place.assert_nothing_left_behind();
}

#[test]
fn a_directory_that_may_not_be_read_is_refused_before_anything_changes() {
    let (place, driver, _tools) = reachable(0o333, 0o644);
    if !is_root() {
        fs::set_permissions(place.directory.path(), Permissions::from_mode(0o300)).unwrap();
    }
    let output = as_normal_user(&driver, &place, &["rotate", "all"]);
    let message = stderr(&output);
    fs::set_permissions(place.directory.path(), Permissions::from_mode(0o700)).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains("Permission denied") && message.contains("is as it was"),
        "{message}"
    );
    assert_eq!(place.bytes(), TEXT.as_bytes());
    place.assert_nothing_left_behind();
}

#[test]
fn an_unreadable_file_is_reported_as_the_server_does() {
    let (place, driver, _tools) = reachable(0o777, 0o000);
    for action in [&["load"][..], &["rotate", "1"]] {
        let output = as_normal_user(&driver, &place, action);
        let message = stderr(&output);
        let wanted = format!(
            "File '{}' not found (Errcode: 13 \"Permission denied\")",
            place.path.display()
        );
        assert!(message.contains(&wanted), "{message}");
        assert_eq!(output.status.code(), Some(2));
    }
    place.assert_nothing_left_behind();
}

/// Only root can make a file that belongs to someone else, so a normal user sees the rotation succeed here.
#[test]
fn an_owner_that_cannot_be_kept_is_an_error_with_the_remedy() {
    let (place, driver, _tools) = reachable(0o777, 0o644);
    let output = as_normal_user(&driver, &place, &["rotate", "all"]);
    let message = stderr(&output);
    place.assert_nothing_left_behind();
    if !is_root() {
        assert!(output.status.success(), "{message}");
        return;
    }
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains("Cannot set the owner of ") && message.contains("is as it was"),
        "{message}"
    );
    assert!(
        message.contains(
            "run `keyroll rotate --key ID` or `keyroll add-key --key ID`, whichever failed, as root"
        ),
        "{message}"
    );
    assert_eq!(place.bytes(), TEXT.as_bytes());
}
