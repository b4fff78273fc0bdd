//! What holds for every key store. A new kind is a line at the end and a function in `places`.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use keyroll::cancel;
use keyroll::crypto::Algorithm;
use keyroll::keys::KeysError;
use keyroll::keys::{KeyName, KeySet, KeySpec, NewVersions, Ring, VersionStep};
use keyroll::secret::DataKey;
use keyroll::store::{Rotate, StoreError};

use super::places::{FilePlace, Place};
use test_support::programs::{holds_all, plain_keys, run, set_mode, stderr};

/// All tests for one kind of store, in a module with the name of the function in `places` that makes one: those for every store,
/// and, for one that is a file, those for files.
macro_rules! suite {
    ($place:ident) => {
        suite!($place:);
    };
    ($place:ident is a file) => {
        suite!($place:
            a_store_that_lacks_a_known_version_is_not_written,
            a_rotation_that_is_killed_at_any_look_has_changed_nothing,
            a_symbolic_link_to_the_store_stays_one,
            many_rotators_lose_nothing,
            a_reader_sees_the_keys_before_or_after_each_rotation_and_nothing_else,
            a_full_disk_leaves_the_store_as_it_was,
            a_read_only_file_system_is_named_as_the_reason,
            a_directory_without_write_permission_is_named_as_the_reason,
            a_directory_that_may_not_be_read_is_refused_before_anything_changes,
            a_directory_that_vanished_is_told_and_not_made,
        );
    };
    ($place:ident: $($more:ident,)*) => {
        mod $place {
            suite!(@ $place:
                a_loaded_store_holds_the_keys_that_were_put_in,
                a_rotation_of_one_key_makes_one_version_and_keeps_the_rest,
                a_rotation_of_all_keys_makes_one_version_of_each,
                a_rotation_of_an_unknown_key_names_the_known_ones,
                a_key_is_added_once_and_beside_all_others,
                a_store_that_has_other_bytes_for_a_known_version_is_not_written,
                the_store_in_use_can_be_rotated_again_and_again,
                $($more,)*
            );
        }
    };
    (@ $place:ident: $($test:ident,)+) => {
        $(
            #[test]
            fn $test() {
                super::$test(&crate::places::$place());
            }
        )+
    };
}

fn a_loaded_store_holds_the_keys_that_were_put_in(place: &dyn Place) {
    let loaded = place.store().load().unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.keys.ids(), [1, 2]);
    assert!(
        loaded
            .keys
            .iter()
            .all(|(name, key)| name.version == 1 && key.len() == 32)
    );
    assert_eq!(place.keys(), plain_keys(&loaded.keys));
    let described = place.store().describe();
    assert_eq!(described, place.description());
}

fn a_rotation_of_one_key_makes_one_version_and_keeps_the_rest(place: &dyn Place) {
    let before = place.keys();
    let rotated = place
        .store()
        .rotate_keys(Rotate::Key(2), NewVersions::DEFAULT, None)
        .unwrap();
    assert_eq!(rotated.new, [KeyName { id: 2, version: 3 }]);
    let after = plain_keys(&rotated.keys);
    assert!(holds_all(&after, &before));
    assert_eq!((after.len(), after[&(2, 3)].len()), (2 + place.written(2), 32));
    assert_ne!(after[&(2, 3)], after[&(2, 1)]);
    assert_eq!(place.keys(), after);
    assert_eq!(place.names(), place.kept());
}

fn a_rotation_of_all_keys_makes_one_version_of_each(place: &dyn Place) {
    let before = place.keys();
    let step_of_5 = NewVersions {
        step: VersionStep::new(5).unwrap(),
        ..NewVersions::DEFAULT
    };
    let rotated = place.store().rotate_keys(Rotate::All, step_of_5, None).unwrap();
    assert_eq!(rotated.new, [1, 2].map(|id| KeyName { id, version: 6 }));
    assert!(holds_all(&place.keys(), &before));
    assert_eq!(place.keys().len(), 2 + 2 * place.written(5));
}

fn a_rotation_of_an_unknown_key_names_the_known_ones(place: &dyn Place) {
    let before = place.bytes();
    let error = place
        .store()
        .rotate_keys(Rotate::Key(7), NewVersions::DEFAULT, None)
        .unwrap_err();
    let wanted = format!(
        "there is no key 7 in {}, which holds keys 1 and 2",
        place.description()
    );
    assert_eq!(error.to_string(), wanted);
    assert_eq!(place.bytes(), before);
    assert_eq!(place.names(), place.untouched());
}

fn a_key_is_added_once_and_beside_all_others(place: &dyn Place) {
    let before = place.keys();
    let store = place.store();
    let of_128_bits = KeySpec {
        algorithm: Algorithm::AesCtr,
        bits: 128,
    };
    let added = store.add_key(7, of_128_bits, None).unwrap();
    assert_eq!(added.new, [KeyName { id: 7, version: 1 }]);
    let after = plain_keys(&added.keys);
    assert!(holds_all(&after, &before));
    assert_eq!((after.len(), after[&(7, 1)].len()), (3, 16));
    assert_eq!(place.keys(), after);
    let held = place.bytes();
    for id in [1, 7] {
        let error = store.add_key(id, KeySpec::DEFAULT, None).unwrap_err();
        assert!(
            matches!(error, StoreError::KeyExists { id: there, .. } if there == id),
            "{error}"
        );
    }
    assert_eq!((place.bytes(), place.keys()), (held, after));
    // It is rotated as any other.
    let rotated = place
        .store()
        .rotate_keys(Rotate::Key(7), NewVersions::DEFAULT, None);
    assert_eq!(rotated.unwrap().new, [KeyName { id: 7, version: 3 }]);
}

/// A ring of what the store holds and one version more.
fn ring_with(place: &dyn Place, name: KeyName, byte: u8) -> Ring {
    let mut known = KeySet::default();
    known.insert_for(name, DataKey::new(&[byte; 32]).unwrap(), Algorithm::Aes256Xts);
    let held = place.store().load().unwrap().keys;
    for (name, key) in held.iter() {
        known.insert_for(name, DataKey::new(key.expose()).unwrap(), Algorithm::Aes256Xts);
    }
    Ring::new(&known, Algorithm::Aes256Xts).unwrap()
}

fn a_store_that_lacks_a_known_version_is_not_written(place: &FilePlace) {
    let lost = KeyName { id: 1, version: 9 };
    let ring = ring_with(place, lost, 7);
    let before = place.bytes();
    let error = place
        .store()
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, Some(&ring))
        .unwrap_err();
    assert!(
        matches!(error, StoreError::Keys(KeysError::KnownVersionMissing { name }) if name == lost),
        "{error}"
    );
    assert_eq!(place.bytes(), before);
    assert_eq!(place.names(), place.untouched());
}

fn a_store_that_has_other_bytes_for_a_known_version_is_not_written(place: &dyn Place) {
    let changed = KeyName { id: 2, version: 1 };
    let ring = ring_with(place, changed, 7);
    let before = place.bytes();
    let error = place
        .store()
        .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, Some(&ring))
        .unwrap_err();
    assert!(
        matches!(error, StoreError::Keys(KeysError::KnownVersionDiffers { name }) if name == changed),
        "{error}"
    );
    assert_eq!(place.bytes(), before);
    assert_eq!(place.names(), place.untouched());
}

fn the_store_in_use_can_be_rotated_again_and_again(place: &dyn Place) {
    let store = place.store();
    let mut ring = Ring::new(&store.load().unwrap().keys, Algorithm::Aes256Xts).unwrap();
    for round in 1..=10 {
        let rotated = store
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, Some(&ring))
            .unwrap();
        let additions = ring.additions(&rotated.keys).unwrap();
        ring = ring.add(&additions).unwrap_or(ring);
        assert_eq!(ring.latest(1), Some(1 + 2 * round));
    }
    assert_eq!(place.keys().len(), 2 + 10 * 2 * place.written(2));
    assert_eq!(place.names(), place.kept());
}

fn a_rotation_that_is_killed_at_any_look_has_changed_nothing(place: &FilePlace) {
    let before = place.bytes();
    for looks in 0_usize.. {
        let left = Cell::new(looks);
        let is_killed = move || left.replace(left.get().saturating_sub(1)) == 0;
        let rotate = || place.store().rotate_keys(Rotate::All, NewVersions::DEFAULT, None);
        match cancel::while_wanted(is_killed, rotate) {
            Ok(rotated) => {
                assert!(looks >= 2, "it looks after its waits and before it writes");
                assert_eq!(place.keys(), plain_keys(&rotated.keys));
                return;
            }
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("the statement was killed"), "{text}");
                assert_eq!(place.bytes(), before);
                assert_eq!(place.names(), place.untouched());
            }
        }
    }
}

fn a_symbolic_link_to_the_store_stays_one(place: &FilePlace) {
    let real = place.directory.path().join("real");
    std::fs::rename(&place.path, &real).unwrap();
    std::os::unix::fs::symlink("real", &place.path).unwrap();
    place
        .store()
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    assert!(place.path.is_symlink());
    assert_eq!(place.keys().len(), 4);
    assert!(!real.is_symlink());
}

fn many_rotators_lose_nothing(place: &FilePlace) {
    const PROCESSES: usize = 4;
    const TIMES: usize = 5;
    let words = place.driver(&["rotate", "all", &TIMES.to_string()]);
    let before = place.keys();
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut made = BTreeSet::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let (id, version) = line.split_once(';').unwrap();
            let name = (id.parse::<u32>().unwrap(), version.parse::<u32>().unwrap());
            assert!(made.insert(name), "{line} twice");
        }
    }
    assert_eq!(made.len(), 2 * PROCESSES * TIMES);
    let after = place.keys();
    assert!(holds_all(&after, &before) && made.iter().all(|name| after.contains_key(name)));
    assert_eq!(after.len(), 2 + made.len());
    let different: BTreeSet<&Vec<u8>> = after.values().collect();
    assert_eq!(different.len(), after.len(), "no key was made twice");
    assert_eq!(place.names(), place.kept());
}

fn a_reader_sees_the_keys_before_or_after_each_rotation_and_nothing_else(place: &FilePlace) {
    let words = place.driver(&["rotate", "all"]);
    let seen_enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let rotations = scope.spawn(|| {
            let mut count = 0;
            while !seen_enough.load(Ordering::Relaxed) {
                let output = run(&words);
                assert!(output.status.success(), "{}", stderr(&output));
                count += 1;
            }
            count
        });
        let mut last = place.keys();
        let mut changes = 0;
        while changes < 5 {
            let now = place.keys();
            assert!(holds_all(&now, &last));
            let latest = |id| now.keys().filter(|name| name.0 == id).max().unwrap().1;
            assert_eq!(latest(1), latest(2), "half a rotation");
            changes += usize::from(now.len() > last.len());
            last = now;
        }
        seen_enough.store(true, Ordering::Relaxed);
        assert!(rotations.join().unwrap() >= 5);
    });
}

/// Runs a shell script in a mount namespace of its own, where `$DIR` is the store's directory, `rotate` rotates all keys and
/// `load` loads them.
fn in_namespace(place: &FilePlace, script: &str) -> Output {
    let before = place.bytes();
    let mut command = Command::new("unshare");
    // A normal user is root in a user namespace of its own.
    if !nix::unistd::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let script = format!("{}{script}", place.functions_for_shell());
    let output = command.args(["--mount", "sh", "-c", &script]).output().unwrap();
    assert_eq!(place.bytes(), before, "the file outside of the namespace");
    output
}

fn a_full_disk_leaves_the_store_as_it_was(place: &FilePlace) {
    let output = in_namespace(
        place,
        "cp -p $DIR/keys /dev/shm/keys.$$; mount -t tmpfs -o size=32k tmpfs $DIR; \
         cp -p /dev/shm/keys.$$ $DIR/keys; rm /dev/shm/keys.$$; cp $DIR/keys $DIR/before; \
         dd if=/dev/zero of=$DIR/filler bs=1k 2>/dev/null || true; \
         rotate && exit 9; \
         cmp $DIR/before $DIR/keys; ls -A $DIR; rm $DIR/filler; rotate",
    );
    let message = stderr(&output);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("No space left on device"), "{message}");
    let wanted = format!("the {} is as it was (free space in ", place.kind);
    assert!(message.contains(&wanted), "{message}");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed, "before\nfiller\nkeys\n1;3\n2;3\n");
}

fn a_read_only_file_system_is_named_as_the_reason(place: &FilePlace) {
    let output = in_namespace(
        place,
        "mount --bind $DIR $DIR; mount -o remount,ro,bind $DIR; load; rotate || echo refused; ls -A $DIR",
    );
    let message = stderr(&output);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed, "1;1\n2;1\nrefused\nkeys\n", "{message}");
    assert!(message.contains("is on a read-only file system"), "{message}");
}

/// Runs the driver as a user without rights: root gives them up, a normal user has none.
fn as_normal_user(program: &PathBuf, place: &FilePlace, action: &[&str]) -> Output {
    const NOBODY: u32 = 65534;
    place.give_secret_to(NOBODY);
    let mut command = if nix::unistd::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command
            .args([
                format!("--reuid={NOBODY}"),
                format!("--regid={NOBODY}"),
                "--clear-groups".into(),
            ])
            .arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(&place.driver(action)[1..]).output().unwrap()
}

fn a_directory_without_write_permission_is_named_as_the_reason(place: &FilePlace) {
    let before = place.bytes();
    let (program, _tools) = place.reachable(0o555, 0o644);
    let loaded = as_normal_user(&program, place, &["load"]);
    assert!(loaded.status.success(), "{}", stderr(&loaded));
    let output = as_normal_user(&program, place, &["rotate", "all"]);
    set_mode(place.directory.path(), 0o700);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains("Cannot create ") && message.contains(": Permission denied"),
        "{message}"
    );
    assert!(
        message.contains("run `keyroll rotate --key ID`") && message.contains("whichever failed, as root"),
        "{message}"
    );
    assert_eq!(place.bytes(), before);
    assert_eq!(place.names(), place.untouched());
}

fn a_directory_that_may_not_be_read_is_refused_before_anything_changes(place: &FilePlace) {
    let before = place.bytes();
    let (program, _tools) = place.reachable(0o333, 0o644);
    if !nix::unistd::geteuid().is_root() {
        set_mode(place.directory.path(), 0o300);
    }
    let output = as_normal_user(&program, place, &["rotate", "all"]);
    set_mode(place.directory.path(), 0o700);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains("Permission denied") && message.contains("is as it was"),
        "{message}"
    );
    assert_eq!(place.bytes(), before);
    assert_eq!(place.names(), place.untouched());
}

fn a_directory_that_vanished_is_told_and_not_made(place: &FilePlace) {
    let store = place.store();
    let ring = Ring::new(&store.load().unwrap().keys, Algorithm::Aes256Xts).unwrap();
    let moved = place.directory.path().with_extension("moved");
    std::fs::rename(place.directory.path(), &moved).unwrap();
    let errors = [
        store.load().unwrap_err(),
        store
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, Some(&ring))
            .unwrap_err(),
    ];
    assert!(!place.directory.path().exists());
    std::fs::rename(&moved, place.directory.path()).unwrap();
    for error in errors {
        assert!(
            error.to_string().contains(place.path.to_str().unwrap()),
            "{error}"
        );
        assert!(!error.hint().is_empty());
    }
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, Some(&ring))
        .unwrap();
    assert_eq!(place.keys().len(), 4);
}

suite!(plain_key_file is a file);
suite!(encrypted_key_file is a file);
suite!(keystore is a file);
suite!(vault_kv);
