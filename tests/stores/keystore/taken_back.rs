//! A rotation whose fsync of the folder hangs and then fails, while others come in between: they wait or fail, and none of them
//! takes up a version that is taken back.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output, Stdio};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use keyroll::durable::FileError;
use keyroll::keys::KeySpec;
use keyroll::store::StoreError;

use super::traced::Traced;
use test_support::programs::{Keys, holds_all, plain_keys, stderr};

/// How long the disk hangs, which is longer than the impatient wait and shorter than the others.
const HANG: Duration = Duration::from_secs(4);
const IMPATIENT: Duration = Duration::from_millis(200);
const PATIENT: Duration = Duration::from_secs(60);

const ROTATE: &[&str] = &["rotate", "--all"];

/// Which fsync of a rotation is the first after the new file has its name.
fn fsync_of_the_folder(make: fn() -> Traced) -> usize {
    let traced = make();
    let calls = traced.calls("fsync,rename", ROTATE);
    let named = calls
        .iter()
        .position(|call| call.contains("rename(") && call.contains("/keystore\")"))
        .unwrap();
    let before = calls[..named]
        .iter()
        .filter(|call| call.contains("fsync("))
        .count();
    let next = &calls[named + 1];
    let folder = traced.folder.path().to_str().unwrap();
    assert!(
        next.contains("fsync(") && next.contains(&format!("{folder}>")),
        "{next}"
    );
    before + 1
}

/// This fsync hangs, then fails.
fn hang(nth: usize) -> String {
    format!("fsync:error=EIO:delay_exit={}:when={nth}", HANG.as_micros())
}

/// What a command printed, and when it ended.
fn started(mut command: Command) -> impl FnOnce() -> (Output, Instant) {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let waiting = spawn(move || (child.wait_with_output().unwrap(), Instant::now()));
    move || waiting.join().unwrap()
}

/// Rotates under the fault, and meets the new file with readers of each kind while the disk hangs. Answers what the rotation said,
/// and what each reader took up.
fn meet(traced: &Traced, faults: &[&str]) -> (String, Vec<Keys>) {
    let running = traced.store(PATIENT);
    running.load().unwrap();
    let inode = || fs::metadata(&traced.path).unwrap().ino();
    let old = inode();
    std::thread::scope(|scope| {
        let rotation = scope.spawn(|| {
            let output = traced.under(faults, ROTATE);
            (output, Instant::now())
        });
        let begun = Instant::now();
        while inode() == old {
            assert!(begun.elapsed() < PATIENT, "no rename");
            sleep(Duration::from_millis(2));
        }
        let met = Instant::now();
        let text = fs::read_to_string(&traced.path).unwrap();
        let new = ["\"id\":1,\"version\":3,", "1;3;"];
        assert!(
            new.iter().any(|version| text.contains(version)),
            "it is there to be read"
        );

        let commands = ["list", "check", "export"].map(|action| {
            let mut command = traced.keyroll(&[action]);
            if action == "export" {
                command
                    .args(["--insecure-plaintext", "--to"])
                    .arg(traced.apart.path().join("exported"));
            }
            if action == "check" {
                command.args(["--user", &nix::unistd::Uid::effective().to_string()]);
            }
            started(command)
        });
        // A server that starts, and one that runs and is told to reload.
        let starting = scope.spawn(|| {
            (
                plain_keys(&traced.store(PATIENT).load().unwrap().keys),
                Instant::now(),
            )
        });
        let reloading = scope.spawn(|| (plain_keys(&running.load().unwrap().keys), Instant::now()));
        let impatient = traced.store(IMPATIENT).load().unwrap_err();
        assert!(
            matches!(impatient, StoreError::File(FileError::Locked { .. })),
            "{impatient}"
        );
        assert!(met.elapsed() < HANG, "the machine is too slow for this test");

        let (rotated, _) = rotation.join().unwrap();
        let hung_until = met + HANG / 2;
        let mut taken = Vec::new();
        for reader in [starting, reloading] {
            let (keys, at) = reader.join().unwrap();
            assert!(at > hung_until, "it waited");
            taken.push(keys);
        }
        for ended in commands {
            let (output, at) = ended();
            assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
            assert!(at > hung_until, "it waited");
            // A change at work is not one that was interrupted.
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(!said.contains("was interrupted"), "{said}");
        }
        let exported = traced.apart.path().join("exported");
        taken.push(of_key_file(&fs::read_to_string(exported).unwrap()));
        assert_eq!(rotated.status.code(), Some(2), "{rotated:?}");
        (stderr(&rotated), taken)
    })
}

fn of_key_file(text: &str) -> Keys {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.split(';').collect::<Vec<_>>();
            if parts.len() == 2 {
                parts.insert(1, "1");
            }
            let name = (parts[0].parse().unwrap(), parts[1].parse().unwrap());
            (name, hex::decode(parts[2]).unwrap())
        })
        .collect()
}

#[test]
fn nobody_takes_up_a_version_that_is_taken_back() {
    for make in [Traced::keystore, Traced::key_file] {
        let nth = fsync_of_the_folder(make);
        let traced = make();
        let before = traced.keys();
        let (said, taken) = meet(&traced, &[&hang(nth)]);
        assert!(said.contains("was put back as it was"), "{said}");
        assert_eq!(traced.keys(), before);
        for keys in taken {
            assert_eq!(keys, before);
        }
    }
}

#[test]
fn where_the_way_back_fails_too_what_a_reader_took_up_is_on_the_disk() {
    for make in [Traced::keystore, Traced::key_file] {
        let nth = fsync_of_the_folder(make);
        let traced = make();
        let before = traced.keys();
        let (said, taken) = meet(&traced, &[&hang(nth), "rename:error=EIO:when=2+"]);
        assert!(said.contains("may still hold"), "{said}");
        let now = traced.keys();
        assert!(
            holds_all(&now, &before) && now.len() == before.len() + 2,
            "{said}"
        );
        for keys in taken {
            assert!(holds_all(&now, &keys));
        }
    }
}

#[test]
fn a_second_server_that_changes_the_keystore_meanwhile_begins_with_what_is_left() {
    let nth = fsync_of_the_folder(Traced::keystore);
    let traced = Traced::keystore();
    let before = traced.keys();
    let second = traced.store(PATIENT);
    second.load().unwrap();
    let old = fs::metadata(&traced.path).unwrap().ino();
    let made = std::thread::scope(|scope| {
        let rotation = scope.spawn(|| traced.under(&[&hang(nth)], ROTATE));
        while fs::metadata(&traced.path).unwrap().ino() == old {
            sleep(Duration::from_millis(2));
        }
        let made = second.create_key(9, KeySpec::DEFAULT, None).unwrap();
        assert_eq!(rotation.join().unwrap().status.code(), Some(2));
        plain_keys(&made.keys)
    });
    assert!(
        holds_all(&made, &before) && made.len() == before.len() + 1,
        "{:?}",
        made.keys()
    );
    assert_eq!(traced.keys(), made);
}
