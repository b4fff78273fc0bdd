//! What a reader makes durable before anyone uses it, and what it does where that, or a lock, is not to be had.

use std::os::unix::fs::chown;
use std::process::Command;

use super::traced::Traced;
use test_support::programs::{holds_all, set_mode, stderr};

const LIST: &[&str] = &["list"];

/// Which fsync of a reader, counted from 1.
fn fsyncs(traced: &Traced) -> Vec<usize> {
    let mut calls = traced.calls("fsync", LIST);
    calls.retain(|call| call.contains("fsync("));
    let of = |name: &str| {
        calls
            .iter()
            .filter(|call| call.contains(&format!("{name}>")))
            .count()
    };
    // The keystore, its master key, and their folders.
    assert_eq!(
        (of("/keystore"), of("/master"), calls.len()),
        (1, 1, 4),
        "{calls:?}"
    );
    (1..=4).collect()
}

#[test]
fn a_disk_that_does_not_take_what_was_read_refuses_the_keystore_until_it_does() {
    let traced = Traced::keystore();
    let before = traced.keys();
    for nth in fsyncs(&traced) {
        // EROFS: the file system was made read-only after an error, and shows what it has not stored.
        for error in ["EIO", "EROFS", "ENOSPC"] {
            let refused = traced.under(&[&format!("fsync:error={error}:when={nth}")], LIST);
            let said = stderr(&refused);
            assert_eq!(refused.status.code(), Some(2), "{error} {nth}: {said}");
            assert!(refused.stdout.is_empty(), "{error} {nth}");
            assert!(
                said.contains("Read from ") && said.contains(" failed, errno "),
                "{said}"
            );
            let hint = match error {
                "EROFS" => "then unmount and mount what ",
                _ => "check the disk and the system log",
            };
            assert!(said.contains(hint), "{error} {nth}: {said}");
        }
        assert_eq!(traced.keys(), before);
    }
}

#[test]
fn a_file_system_without_fsync_keeps_no_server_from_its_keys() {
    let traced = Traced::keystore();
    fsyncs(&traced);
    for error in ["EINVAL", "ENOSYS", "EOPNOTSUPP"] {
        let listed = traced.under(&[&format!("fsync:error={error}")], LIST);
        assert!(listed.status.success(), "{error}: {}", stderr(&listed));
    }
}

#[test]
fn a_name_in_a_folder_that_the_reader_may_not_open_is_made_durable_all_the_same() {
    let traced = Traced::keystore();
    let is_root = nix::unistd::geteuid().is_root();
    let program = traced.apart.path().join("keyroll");
    // By another process: a descriptor of ours would be inherited by what other tests start at this moment.
    let copied = Command::new("cp")
        .args([env!("CARGO_BIN_EXE_keyroll").as_ref(), program.as_os_str()])
        .status();
    assert!(copied.unwrap().success());
    // A user without rights: root gives them up, a normal user has none.
    let words: &[&str] = match is_root {
        true => &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
        false => &["env"],
    };
    if is_root {
        for path in [traced.path.clone(), traced.apart.path().join("master")] {
            chown(path, Some(65534), Some(65534)).unwrap();
        }
        set_mode(traced.apart.path(), 0o755);
    }
    set_mode(traced.folder.path(), 0o311);
    let list = |faults: &[&str]| {
        Command::new("strace")
            .args(["-f", "-e", "trace=syncfs", "-o", "/dev/null"])
            .args(faults)
            .arg("--")
            .args(words)
            .arg(&program)
            .args(["list", "--no-defaults"])
            .args(&traced.arguments)
            .output()
            .unwrap()
    };
    let listed = list(&[]);
    let refused = list(&["-e", "inject=syncfs:error=EIO"]);
    set_mode(traced.folder.path(), 0o700);
    assert!(listed.status.success(), "{}", stderr(&listed));
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("errno 5"), "{}", stderr(&refused));
}

#[test]
fn without_locks_keys_are_read_and_made_durable_and_nothing_is_changed() {
    let traced = Traced::keystore();
    let before = traced.keys();
    for error in ["EOPNOTSUPP", "ENOSYS", "EINVAL"] {
        let no_locks = format!("flock:error={error}");
        let listed = traced.under(&[&no_locks], LIST);
        assert!(listed.status.success(), "{error}: {}", stderr(&listed));
        // It is settled as ever.
        let refused = traced.under(&[&no_locks, "fsync:error=EIO:when=1"], LIST);
        assert_eq!(refused.status.code(), Some(2), "{error}: {}", stderr(&refused));
        for action in [&["rotate", "--all"][..], &["rotate-master-key"]] {
            let refused = traced.under(&[&no_locks], action);
            let said = stderr(&refused);
            assert_eq!(refused.status.code(), Some(2), "{error}: {said}");
            assert!(said.contains("the file system must support locks"), "{said}");
            assert_eq!(traced.keys(), before);
        }
    }
}

#[test]
fn a_lock_that_cannot_be_had_now_is_not_passed_over() {
    let traced = Traced::keystore();
    let before = traced.keys();
    for error in ["ENOLCK", "EIO"] {
        let refused = traced.under(&[&format!("flock:error={error}")], LIST);
        let said = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2), "{error}: {said}");
        assert!(said.contains("Read from "), "{said}");
    }
    assert!(holds_all(&traced.keys(), &before));
}
