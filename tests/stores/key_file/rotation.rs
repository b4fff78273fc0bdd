//! What a rotation does to the file, what it keeps and what it refuses.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::time::Duration;

use super::support::{PASSWORD, Place, TEXT, config, is_root};
use keyroll::crypto::Algorithm;
use keyroll::durable::FileError;
use keyroll::keys::{KeyName, NewVersions, Ring, VersionStep};
use keyroll::secret::SecretBytes;
use keyroll::store::key_file::format::KeyText;
use keyroll::store::key_file::{Digest, FILE_SIZE_LIMIT, KeyFile, KeyFileConfig};
use keyroll::store::{KeyStore, Rotate, StoreError};
use test_support::programs::{holds_all, plain_keys};

fn rotate(place: &Place, which: Rotate) -> Result<Vec<(u32, u32)>, StoreError> {
    let rotated = place.store().rotate_keys(which, NewVersions::DEFAULT, None)?;
    assert_eq!(
        plain_keys(&rotated.keys),
        place.keys(),
        "what it answers is what is on disk"
    );
    Ok(rotated.new.iter().map(|name| (name.id, name.version)).collect())
}

#[test]
fn new_versions_are_random_as_long_as_the_latest_and_stand_after_the_last_line_of_their_key() {
    let place = Place::plain();
    assert_eq!(rotate(&place, Rotate::All).unwrap(), [(1, 5), (2, 3)]);
    let keys = place.keys();
    assert_eq!((keys[&(1, 5)].len(), keys[&(2, 3)].len()), (32, 24));
    let lines: Vec<&str> = TEXT.lines().collect();
    let (first, second) = (hex::encode(&keys[&(1, 5)]), hex::encode(&keys[&(2, 3)]));
    let wanted = format!(
        "{}\n{}\n{}\n1;5;{first}\n{}\n2;3;{second}\n",
        lines[0], lines[1], lines[2], lines[3]
    );
    assert_eq!(String::from_utf8(place.bytes()).unwrap(), wanted);
    assert_eq!(rotate(&place, Rotate::Key(2)).unwrap(), [(2, 5)]);
    assert!(holds_all(&place.keys(), &keys));
}

#[test]
fn the_step_is_obeyed_and_never_passes_the_last_version() {
    let place = Place::of(b"1;4294967290;00112233445566778899aabbccddeeff\n", "");
    let bytes = place.bytes();
    let by = |step| {
        place.store().rotate_keys(
            Rotate::Key(1),
            NewVersions {
                step: VersionStep::new(step).unwrap(),
                ..NewVersions::DEFAULT
            },
            None,
        )
    };
    let error = by(5).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no version is left 5 above version 4294967290 of key 1: the last possible one is 4294967294"
    );
    assert_eq!(place.bytes(), bytes);
    assert_eq!(
        by(4).unwrap().new,
        [KeyName {
            id: 1,
            version: 4_294_967_294
        }]
    );
    assert!(matches!(by(1), Err(StoreError::VersionsUsedUp { step: 1, .. })));
}

#[test]
fn an_unknown_key_is_refused_with_the_ones_that_there_are() {
    let place = Place::plain();
    let error = rotate(&place, Rotate::Key(7)).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "there is no key 7 in key file {}, which holds keys 1 and 2",
            place.path.display()
        )
    );
    assert_eq!(place.bytes(), TEXT.as_bytes());
}

#[test]
fn a_version_that_the_server_knows_must_still_be_in_the_file() {
    let place = Place::plain();
    let ring = Ring::new(&place.store().load().unwrap().keys, Algorithm::AesCbc).unwrap();
    let rotate = || {
        place
            .store()
            .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, Some(&ring))
    };
    for (changed, message) in [
        (
            TEXT.replace("1;3;", "1;2;"),
            "version 3 of key 1 is in use, but the key store no longer holds it",
        ),
        (
            TEXT.replace("1;3;ff", "1;3;fe"),
            "version 3 of key 1 is in use, but the key store now holds other bytes for it",
        ),
    ] {
        fs::write(&place.path, &changed).unwrap();
        assert_eq!(rotate().unwrap_err().to_string(), message);
        assert_eq!(place.bytes(), changed.as_bytes());
        place.assert_nothing_left_behind();
    }
    // What was added meanwhile does no harm, and is counted.
    fs::write(&place.path, format!("{TEXT}1;8;{}\n", "ab".repeat(16))).unwrap();
    assert_eq!(rotate().unwrap().new, [KeyName { id: 1, version: 10 }]);
}

#[test]
fn a_rotation_that_would_pass_the_size_limit_is_refused() {
    let room = FILE_SIZE_LIMIT as usize - TEXT.len();
    let line = "1;5;".len() + 64 + 1;
    for (spare, fits) in [(line, true), (line - 1, false)] {
        let comment = format!("#{}\n", "x".repeat(room - spare - 2));
        let place = Place::of(format!("{TEXT}{comment}").as_bytes(), "");
        let bytes = place.bytes();
        match rotate(&place, Rotate::Key(1)) {
            Ok(_) => assert!(fits && place.bytes().len() as u64 == FILE_SIZE_LIMIT),
            Err(error) => {
                assert!(
                    !fits && error.to_string().contains("is larger than the 33554432 bytes"),
                    "{error}"
                );
                assert_eq!(place.bytes(), bytes);
            }
        }
        place.assert_nothing_left_behind();
    }
}

#[test]
fn an_encrypted_file_gets_a_fresh_salt_and_stays_one_that_openssl_reads() {
    for (digest, rounds) in [
        (Digest::Sha1, 0),
        (Digest::Sha256, 0),
        (Digest::Sha512, 1000),
        (Digest::Sha224, 7),
    ] {
        let place = Place::plain();
        let name = format!("{digest:?}").to_lowercase();
        let iterations = rounds.to_string();
        let openssl = |extra: &[&str]| {
            let mut command = Command::new("openssl");
            command
                .args([
                    "enc",
                    "-aes-256-cbc",
                    "-md",
                    &name,
                    "-pass",
                    &format!("pass:{PASSWORD}"),
                ])
                .args(extra);
            if rounds > 0 {
                command.args(["-pbkdf2", "-iter", &iterations]);
            }
            let output = command.output().unwrap();
            assert!(
                output.status.success(),
                "{digest:?} {rounds}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            output.stdout
        };
        let path = place.path.to_str().unwrap();
        let sealed = openssl(&["-in", path]);
        fs::write(path, &sealed).unwrap();

        let config = KeyFileConfig {
            digest,
            pbkdf2_rounds: rounds,
            ..config(&place.path, PASSWORD)
        };
        let store = KeyFile::new(config).unwrap();
        let rotated = store
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .unwrap();
        assert_eq!(rotated.keys.len(), 5);
        assert_eq!(&place.bytes()[..8], b"Salted__");
        assert_ne!(place.bytes()[8..16], sealed[8..16], "the salt");
        let text = openssl(&["-d", "-in", path]);
        let text = KeyText::parse(SecretBytes::new(text)).unwrap();
        assert_eq!(plain_keys(&text.keys), plain_keys(&rotated.keys));
        place.assert_nothing_left_behind();
    }
}

#[test]
fn a_wrong_password_rotates_nothing() {
    let place = Place::encrypted();
    let bytes = place.bytes();
    for n in 0..300 {
        let store = KeyFile::new(config(&place.path, &format!("wrong {n}"))).unwrap();
        let error = store
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::WrongKey { .. }
                    | StoreError::KeyFileSyntax {
                        decrypted: Some(_),
                        ..
                    }
            ),
            "{error}"
        );
    }
    assert_eq!(place.bytes(), bytes);
}

#[test]
fn a_symbolic_link_stays_and_its_target_is_rotated() {
    let place = Place::plain();
    let elsewhere = tempfile::tempdir().unwrap();
    let (one, two) = (elsewhere.path().join("one"), elsewhere.path().join("two"));
    symlink(&place.path, &one).unwrap();
    symlink("one", &two).unwrap();
    let store = KeyFile::new(config(&two, "")).unwrap();
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    assert_eq!(fs::read_link(&one).unwrap(), place.path);
    assert_eq!(fs::read_link(&two).unwrap().to_str(), Some("one"));
    assert_eq!(place.keys().len(), 5);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 2);
    place.assert_nothing_left_behind();
}

#[test]
fn mode_and_owner_stay() {
    for mode in [0o400, 0o600, 0o640, 0o644, 0o666] {
        let place = Place::plain().with_mode(mode);
        if is_root() {
            std::os::unix::fs::chown(&place.path, Some(65533), Some(65532)).unwrap();
        }
        let before = fs::metadata(&place.path).unwrap();
        rotate(&place, Rotate::All).unwrap();
        let after = fs::metadata(&place.path).unwrap();
        assert_eq!(
            (after.mode(), after.uid(), after.gid()),
            (before.mode(), before.uid(), before.gid())
        );
        assert_ne!(after.ino(), before.ino(), "a new file took its place");
    }
}

const ACCESS_LIST: &str = "system.posix_acl_access";
const DEFAULT_LIST: &str = "system.posix_acl_default";

/// A POSIX access control list as the kernel stores it (linux/posix_acl_xattr.h): version 2, then tag,
/// permissions and id of each entry. It lets user 65534 read.
fn one_more_reader() -> Vec<u8> {
    let (user_obj, user, group_obj, mask, other, nobody) = (1u16, 2u16, 4u16, 16u16, 32u16, u32::MAX);
    let entries = [
        (user_obj, 6u16, nobody),
        (user, 4, 65534),
        (group_obj, 0, nobody),
        (mask, 4, nobody),
        (other, 0, nobody),
    ];
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

#[test]
fn access_control_lists_and_other_attributes_stay() {
    let place = Place::plain();
    xattr::set(&place.path, ACCESS_LIST, &one_more_reader()).unwrap();
    xattr::set(&place.path, "user.ticket", b"4711").unwrap();
    let mode = fs::metadata(&place.path).unwrap().mode();
    rotate(&place, Rotate::All).unwrap();
    assert_eq!(
        xattr::get(&place.path, ACCESS_LIST).unwrap(),
        Some(one_more_reader())
    );
    assert_eq!(
        xattr::get(&place.path, "user.ticket").unwrap().as_deref(),
        Some(&b"4711"[..])
    );
    assert_eq!(fs::metadata(&place.path).unwrap().mode(), mode);
}

#[test]
fn a_file_without_an_access_control_list_does_not_get_that_of_its_directory() {
    let place = Place::plain().with_mode(0o640);
    xattr::set(place.directory.path(), DEFAULT_LIST, &one_more_reader()).unwrap();
    rotate(&place, Rotate::All).unwrap();
    assert_eq!(xattr::get(&place.path, ACCESS_LIST).unwrap(), None);
    assert_eq!(fs::metadata(&place.path).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn a_file_with_two_hard_links_is_refused() {
    let place = Place::plain();
    let other = place.directory.path().join("other");
    fs::hard_link(&place.path, &other).unwrap();
    let error = rotate(&place, Rotate::All).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} has 2 hard links; to replace it would split them",
            place.path.display()
        )
    );
    assert_eq!(place.bytes(), TEXT.as_bytes());
    fs::remove_file(other).unwrap();
    rotate(&place, Rotate::All).unwrap();
    place.assert_nothing_left_behind();
}

#[test]
fn a_stale_temporary_file_is_cleaned_away_whatever_it_is() {
    let place = Place::plain();
    let stale = place.directory.path().join(".keys.keyroll-new");
    let innocent = tempfile::NamedTempFile::new().unwrap();
    for n in 0..3 {
        match n {
            0 => fs::write(&stale, "1;half a li").unwrap(),
            1 => symlink(innocent.path(), &stale).unwrap(),
            _ => fs::hard_link(&place.path, &stale).unwrap(),
        }
        rotate(&place, Rotate::All).unwrap();
        place.assert_nothing_left_behind();
    }
    assert_eq!(
        fs::read(innocent.path()).unwrap(),
        b"",
        "what a planted link names is not written to"
    );
}

#[test]
fn a_stuck_lock_holder_ends_the_rotation_and_the_load() {
    let place = Place::plain();
    let holder = File::open(&place.path).unwrap();
    holder.lock().unwrap();
    let store = place.store().with_lock_timeout(Duration::from_millis(100));
    let error = store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap_err();
    let path = place.path.display();
    assert_eq!(
        error.to_string(),
        format!("{path} is locked by another process, for more than 0.1 s")
    );
    assert_eq!(
        error.hint(),
        format!("see who holds it with `fuser -v {path}`, then try again")
    );
    // What a writer may yet take back must not be taken up.
    assert!(matches!(
        store.load(),
        Err(StoreError::File(FileError::Locked { .. }))
    ));
    assert_eq!(place.bytes(), TEXT.as_bytes());
    drop(holder);
    assert_eq!(store.load().unwrap().keys.len(), 3);
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
}

#[test]
fn a_file_that_is_replaced_while_the_rotation_waits_is_the_one_that_gets_rotated() {
    let place = Place::plain();
    let holder = File::open(&place.path).unwrap();
    holder.lock().unwrap();
    std::thread::scope(|scope| {
        let rotation = scope.spawn(|| rotate(&place, Rotate::Key(1)));
        std::thread::sleep(Duration::from_millis(100));
        let other = place.directory.path().join("other");
        fs::write(&other, format!("{TEXT}1;7;{}\n", "cd".repeat(32))).unwrap();
        fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
        fs::rename(&other, &place.path).unwrap();
        drop(holder);
        assert_eq!(rotation.join().unwrap().unwrap(), [(1, 9)]);
    });
    assert_eq!(place.keys().len(), 5);
    place.assert_nothing_left_behind();
}

#[test]
fn a_file_with_an_empty_password_is_read_without_a_filekey_and_stays_encrypted() {
    let place = Place::encrypted_with("");
    let before = place.keys();
    rotate(&place, Rotate::All).unwrap();
    assert!(place.bytes().starts_with(b"Salted__"));
    assert_eq!(place.keys().len(), before.len() + 2);
}

#[test]
fn a_short_key_that_came_into_the_file_is_refused_under_the_lock_before_anything_is_written() {
    let long = "00112233445566778899aabbccddeeff".repeat(2);
    let place = Place::of(format!("1;{long}\n").as_bytes(), "");
    let ring = Ring::new(&place.store().load().unwrap().keys, Algorithm::Aes256Xts).unwrap();
    fs::write(&place.path, format!("1;{long}\n2;{}\n", &long[..32])).unwrap();
    let before = place.bytes();
    let refused = place
        .store()
        .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, Some(&ring));
    assert!(
        matches!(
            refused,
            Err(StoreError::Keys(keyroll::keys::KeysError::KeyTooShort { .. }))
        ),
        "{refused:?}"
    );
    assert_eq!(place.bytes(), before);
    place.assert_nothing_left_behind();
}
