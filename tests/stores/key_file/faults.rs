//! A rotation that is killed, or whose system calls fail, one by one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use super::support::{Place, driver, is_root};
use keyroll::keys::NewVersions;
use keyroll::store::{KeyStore, Rotate};
use test_support::programs::{Keys, holds_all, run, stderr};

/// The system calls that work on files: the ones that a disk makes fail.
const FILE_CALLS: &[&str] = &[
    "close",
    "fchmod",
    "fchown",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fsetxattr",
    "fsync",
    "getcwd",
    "getrandom",
    "openat",
    "read",
    "readlink",
    "rename",
    "statx",
    "unlink",
    "write",
];

/// The nth call (from 1) of one kind.
type Call = (String, usize);

fn strace(extra: &[String], place: &Place, action: &[&str]) -> Output {
    let words: Vec<String> = ["strace".to_owned()]
        .into_iter()
        .chain(extra.iter().cloned())
        .chain(place.driver(action))
        .collect();
    run(&words)
}

fn inject(call: &str, what: &str) -> Vec<String> {
    // Into a file of its own: standard error is the driver's.
    vec![
        "-f".into(),
        "-o".into(),
        "/dev/null".into(),
        "-e".into(),
        format!("inject={call}:{what}"),
    ]
}

/// Every system call that the driver makes from the first one on that names the file's directory.
fn calls_of(place: &Place, action: &[&str]) -> Vec<Call> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let output = strace(
        &["-f".into(), "-o".into(), log.path().to_str().unwrap().into()],
        place,
        action,
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let directory = place.directory.path().to_str().unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut calls = Vec::new();
    let mut begun = false;
    for line in fs::read_to_string(log.path()).unwrap().lines() {
        let Some((head, arguments)) = line.split_once('(') else {
            continue;
        };
        let Some((_, name)) = head.trim_end().rsplit_once(' ') else {
            continue;
        };
        let count = counts.entry(name.to_owned()).or_default();
        *count += 1;
        begun |= arguments.contains(directory) && name != "execve";
        if begun {
            calls.push((name.to_owned(), *count));
        }
    }
    let done: Vec<&str> = calls.iter().map(|(name, _)| name.as_str()).collect();
    for wanted in [
        "openat", "flock", "read", "write", "fchmod", "fsync", "close", "unlink",
    ] {
        assert!(
            done.contains(&wanted) || (wanted == "unlink" && done.contains(&"rename")),
            "{wanted}: {done:?}"
        );
    }
    calls
}

/// A file that has everything a rotation keeps: another owner (where we may give it one) and an attribute.
fn with_belongings(place: Place) -> Place {
    if is_root() {
        std::os::unix::fs::chown(&place.path, Some(65534), Some(65534)).unwrap();
    }
    xattr::set(&place.path, "user.note", b"kept").unwrap();
    place
}

fn plain() -> Place {
    with_belongings(Place::plain())
}

fn encrypted() -> Place {
    with_belongings(Place::encrypted())
}

/// No key stands anywhere in the directory as text.
fn assert_no_clear_text(directory: &Path, keys: &Keys) {
    for entry in fs::read_dir(directory).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for key in keys.values() {
            let digits = hex::encode(key);
            assert!(
                !bytes
                    .windows(digits.len())
                    .any(|window| window == digits.as_bytes())
            );
            assert!(!bytes.windows(key.len()).any(|window| window == key));
        }
    }
}

fn kill_at_every_call(make: fn() -> Place) {
    let calls = calls_of(&make(), &["rotate", "all"]);
    let (mut untouched, mut rotated) = (0, 0);
    for (call, nth) in calls {
        let place = make();
        let before = place.keys();
        let output = strace(
            &inject(&call, &format!("signal=KILL:when={nth}")),
            &place,
            &["rotate", "all"],
        );
        let at = format!("killed at {call} {nth}: {}", stderr(&output));
        assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{at}");

        let after = place.keys();
        assert!(holds_all(&after, &before), "{at}");
        if after == before {
            untouched += 1;
        } else {
            let names: Vec<_> = after.keys().copied().collect();
            assert_eq!(names, [(1, 1), (1, 3), (1, 5), (2, 1), (2, 3)], "{at}");
            assert_eq!((after[&(1, 5)].len(), after[&(2, 3)].len()), (32, 24), "{at}");
            rotated += 1;
        }
        if !place.filekey.is_empty() {
            assert_no_clear_text(place.directory.path(), &after);
        }

        let next = place
            .store()
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .expect(&at);
        assert_eq!(next.new.len(), 2, "{at}");
        assert!(holds_all(&place.keys(), &after), "{at}");
        place.assert_nothing_left_behind();
        assert_eq!(
            xattr::get(&place.path, "user.note").unwrap().as_deref(),
            Some(&b"kept"[..]),
            "{at}"
        );
    }
    assert!(untouched > 10 && rotated > 5, "{untouched} {rotated}");
}

#[test]
fn a_plain_file_survives_a_kill_at_every_system_call() {
    kill_at_every_call(plain);
}

#[test]
fn an_encrypted_file_survives_a_kill_at_every_system_call() {
    kill_at_every_call(encrypted);
}

#[test]
fn a_new_file_is_there_as_a_whole_or_not_at_all_after_a_kill_at_any_system_call() {
    let make = || {
        let place = Place::plain();
        fs::remove_file(&place.path).unwrap();
        place
    };
    let (mut made, mut not_made) = (0, 0);
    for (call, nth) in calls_of(&make(), &["create"]) {
        let place = make();
        let output = strace(
            &inject(&call, &format!("signal=KILL:when={nth}")),
            &place,
            &["create"],
        );
        assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{call} {nth}");
        if place.path.exists() {
            made += 1;
        } else {
            not_made += 1;
            let again = run(&place.driver(&["create"]));
            assert!(
                again.status.success(),
                "killed at {call} {nth}: {}",
                stderr(&again)
            );
        }
        assert_eq!(
            place.keys().keys().copied().collect::<Vec<_>>(),
            [(1, 1), (2, 1)],
            "{call} {nth}"
        );
        place
            .store()
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .unwrap();
        place.assert_nothing_left_behind();
    }
    assert!(made > 5 && not_made > 5, "{made} {not_made}");
}

#[test]
fn a_file_that_someone_else_makes_at_the_last_moment_is_not_replaced_by_a_new_one() {
    let place = Place::plain();
    fs::remove_file(&place.path).unwrap();
    let late = inject("linkat", "delay_enter=500000");
    driver();
    std::thread::scope(|scope| {
        let creation = scope.spawn(|| strace(&late, &place, &["create"]));
        let begun = Instant::now();
        while !place.directory.path().join(".keys.keyroll-new").exists() {
            assert!(begun.elapsed() < Duration::from_secs(10), "no temporary file");
            std::thread::sleep(Duration::from_millis(2));
        }
        fs::write(&place.path, "theirs").unwrap();
        let output = creation.join().unwrap();
        assert!(stderr(&output).contains("exists already"), "{}", stderr(&output));
    });
    assert_eq!(place.bytes(), b"theirs");
    place.assert_nothing_left_behind();
}

/// What a rotation under a fault did.
#[derive(Debug, PartialEq)]
enum Did {
    Rotated,
    Failed,
    FailedAndMayHoldUnused,
}

fn rotate_under(fault: &[String], make: fn() -> Place, can_unlink: bool) -> Did {
    let place = make();
    let (before, bytes) = (place.keys(), place.bytes());
    let output = strace(fault, &place, &["rotate", "all"]);
    let message = stderr(&output);
    let at = format!("{fault:?}: {message}");
    if can_unlink {
        place.assert_nothing_left_behind();
    }
    let after = place.keys();
    assert!(holds_all(&after, &before), "{at}");
    match output.status.code() {
        // 3: it rotated, and only could not print what.
        Some(0 | 3) => {
            assert_eq!(after.len(), before.len() + 2, "{at}");
            Did::Rotated
        }
        Some(2) if message.contains("may still hold") => {
            assert!([before.len(), before.len() + 2].contains(&after.len()), "{at}");
            Did::FailedAndMayHoldUnused
        }
        Some(2) => {
            assert!(message.starts_with("rotate_key_file: "), "{at}");
            assert!(
                !before.values().any(|key| message.contains(&hex::encode(key))),
                "{at}"
            );
            assert_eq!(place.bytes(), bytes, "{at}");
            Did::Failed
        }
        other => panic!("{other:?} {at}"),
    }
}

fn fail_every_call(make: fn() -> Place, errors: &[&str]) {
    let mut failed: BTreeMap<String, usize> = BTreeMap::new();
    for (call, nth) in calls_of(&make(), &["rotate", "all"]) {
        if !FILE_CALLS.contains(&call.as_str()) {
            continue;
        }
        for error in errors {
            let fault = inject(&call, &format!("error={error}:when={nth}"));
            match rotate_under(&fault, make, call != "unlink") {
                Did::Rotated => {}
                Did::Failed => *failed.entry(call.clone()).or_default() += 1,
                Did::FailedAndMayHoldUnused => {
                    panic!("one fault alone leaves the way back open: {call} {nth}")
                }
            }
        }
    }
    for call in [
        "openat",
        "flock",
        "read",
        "write",
        "fsync",
        "rename",
        "fchmod",
        "fsetxattr",
        "getrandom",
    ] {
        assert!(failed.contains_key(call), "{call}: {failed:?}");
    }
    assert!(
        failed["fsync"] >= 2 * errors.len(),
        "of the file and of the directory: {failed:?}"
    );
}

#[test]
fn a_plain_file_is_as_it_was_after_an_error_of_any_system_call() {
    fail_every_call(plain, &["EIO", "ENOSPC"]);
}

#[test]
fn an_encrypted_file_is_as_it_was_after_an_error_of_any_system_call() {
    fail_every_call(encrypted, &["EACCES"]);
}

#[test]
fn when_the_way_back_fails_too_the_message_says_so_and_nothing_is_lost() {
    let calls = calls_of(&plain(), &["rotate", "all"]);
    let last = |wanted: &str| calls.iter().rfind(|(call, _)| call == wanted).unwrap().1;
    // The directory's fsync comes last; the way back repeats the calls that made and renamed the new file.
    let first_fault = format!("fsync:error=EIO:when={}", last("fsync"));
    let way_back = [
        format!("fsync:error=EIO:when={}+", last("fsync")),
        format!("rename:error=EIO:when={}+", last("rename") + 1),
        format!("flock:error=EIO:when={}+", last("flock") + 1),
        format!("fchmod:error=EPERM:when={}+", last("fchmod") + 1),
        format!("fsetxattr:error=ENOSPC:when={}+", last("fsetxattr") + 1),
        // Before the new version is named on standard output, and then the failure on standard error.
        format!("write:error=ENOSPC:when={}", last("write")),
    ];
    for second_fault in way_back {
        let fault: Vec<String> = ["-f", "-o", "/dev/null", "-e", &format!("inject={first_fault}")]
            .into_iter()
            .chain(["-e", &format!("inject={second_fault}")])
            .map(str::to_owned)
            .collect();
        assert_eq!(
            rotate_under(&fault, plain, true),
            Did::FailedAndMayHoldUnused,
            "{second_fault}"
        );
    }
}

#[test]
fn a_call_that_fails_from_some_moment_on_loses_nothing() {
    for (call, nth) in calls_of(&plain(), &["rotate", "all"]) {
        // Not `write`: then nothing could be said of the failure.
        if [
            "fsync",
            "openat",
            "rename",
            "flock",
            "read",
            "fchmod",
            "getrandom",
        ]
        .contains(&call.as_str())
        {
            rotate_under(&inject(&call, &format!("error=EIO:when={nth}+")), plain, true);
        }
    }
}

/// Rotates under a fault and acts as soon as the new file is there. Answers what the rotation said.
fn rotate_and_meet_the_new_file(place: &Place, fault: &[String], act: impl FnOnce()) -> String {
    let inode = || fs::metadata(&place.path).unwrap().ino();
    let old = inode();
    driver();
    std::thread::scope(|scope| {
        let rotation = scope.spawn(|| strace(fault, place, &["rotate", "all"]));
        let begun = Instant::now();
        while inode() == old {
            assert!(begun.elapsed() < Duration::from_secs(10), "no rename");
            std::thread::sleep(Duration::from_millis(2));
        }
        act();
        stderr(&rotation.join().unwrap())
    })
}

/// Which fsync is the one of the directory: the last.
fn directory_fsync() -> usize {
    let calls = calls_of(&plain(), &["rotate", "all"]);
    calls.iter().rfind(|(call, _)| call == "fsync").unwrap().1
}

#[test]
fn a_reader_does_not_see_a_version_that_is_taken_back() {
    let place = plain();
    let before = place.keys();
    let fault = inject(
        "fsync",
        &format!("error=EIO:when={}:delay_enter=500000", directory_fsync()),
    );
    let message = rotate_and_meet_the_new_file(&place, &fault, || {
        assert!(
            fs::read_to_string(&place.path).unwrap().contains("1;5;"),
            "it is there to be read"
        );
        assert_eq!(place.keys(), before);
    });
    assert!(message.contains("was put back as it was"), "{message}");
    assert_eq!(place.keys(), before);
}

#[test]
fn a_file_that_does_not_read_back_as_written_is_taken_back() {
    let place = plain();
    let bytes = place.bytes();
    let late = inject("fsync", &format!("delay_exit=500000:when={}", directory_fsync()));
    let message = rotate_and_meet_the_new_file(&place, &late, || {
        // All keys are there, one byte of a comment is not what was written.
        let other = fs::read_to_string(&place.path)
            .unwrap()
            .replace("# aria", "# arib");
        fs::write(&place.path, other).unwrap();
    });
    assert!(message.contains("was put back as it was"), "{message}");
    assert!(message.contains("does not hold what was written"), "{message}");
    assert_eq!(place.bytes(), bytes);
    place.assert_nothing_left_behind();
}

#[test]
fn what_a_file_system_lacks_stops_nothing_and_what_it_fails_at_is_an_error() {
    let attribute = |name: &'static str| {
        move || {
            let place = Place::plain();
            xattr::set(&place.path, name, b"kept").unwrap();
            place
        }
    };
    // A default access control list gives the new file one that the old file has not.
    let in_folder_with_list = || {
        let place = Place::plain();
        let folder = place.directory.path().to_str().unwrap().to_owned();
        let made = run(&["setfacl", "-d", "-m", "u:65534:r", &folder].map(String::from));
        assert!(made.status.success(), "{}", stderr(&made));
        place
    };
    let rotate: &[&str] = &["rotate", "all"];
    type Case<'a> = (&'a dyn Fn() -> Place, &'a [&'a str], &'a str, bool);
    let cases: [Case<'_>; 10] = [
        (&Place::plain, &["load"], "flock:error=EOPNOTSUPP", true),
        (&Place::plain, &["load"], "flock:error=ENOLCK", false),
        (&Place::plain, &["load"], "flock:error=EIO", false),
        (&Place::plain, rotate, "flock:error=ENOLCK", false),
        (&Place::plain, rotate, "flistxattr:error=EOPNOTSUPP", true),
        (&Place::plain, rotate, "flistxattr:error=EIO", false),
        // Labels are the system's to give.
        (&attribute("security.note"), rotate, "fsetxattr:error=EPERM", true),
        (&attribute("user.note"), rotate, "fsetxattr:error=EPERM", false),
        (
            &in_folder_with_list,
            rotate,
            "fremovexattr:error=EIO:when=99",
            true,
        ),
        (&in_folder_with_list, rotate, "fremovexattr:error=EIO", false),
    ];
    for (make, action, injected, works) in cases {
        if injected == "fsetxattr:error=EPERM" && works && !is_root() {
            continue;
        }
        let place = make();
        let before = place.keys();
        let (call, what) = injected.split_once(':').unwrap();
        let output = strace(&inject(call, what), &place, action);
        let at = format!("{action:?} with {injected}: {}", stderr(&output));
        assert_eq!(output.status.success(), works, "{at}");
        let after = place.keys();
        assert!(holds_all(&after, &before), "{at}");
        assert_eq!(after.len() > before.len(), works && action == rotate, "{at}");
    }
}
