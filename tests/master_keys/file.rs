//! The master key file: its format, who may read it, and its rotation.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

use keyroll::master_key::file::MasterKeyFile;
use keyroll::master_key::{MasterKeyError, Wrapped};

use test_support::master_keys::{KEYSTORE, Place, new_key, refused, wrap};

const ONE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const TWO: &str = "FFEEDDCCBBAA99887766554433221100ffeeddccbbaa99887766554433221100";

fn of(text: &str) -> Place {
    let mut place = Place::empty();
    let path = place.write("master", text.as_bytes(), 0o600);
    place.uri = format!("file:{}", path.display());
    place
}

/// The error without the directory's name.
fn error_of(place: &Place) -> (String, MasterKeyError) {
    let error = refused(place.open().wrap(&new_key(), KEYSTORE));
    let directory = format!("{}/", place.directory.path().display());
    (error.to_string().replace(&directory, ""), error)
}

#[test]
fn the_highest_version_wraps_wherever_it_stands() {
    let place = of(&format!("# two keys\r\n\r\n  7;{TWO}  \r\n\t2;{ONE}\r\n# end"));
    assert_eq!(wrap(&*place.open()).1.key_version, "7");
}

#[test]
fn a_new_file_is_its_owners_alone_and_has_version_1() {
    let place = Place::file();
    let meta = fs::metadata(place.path("master")).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o600);
    assert_eq!(wrap(&*place.open()).1.key_version, "1");
    assert!(place.read("master").lines().last().unwrap().starts_with("1;"));
}

#[test]
fn a_new_file_never_takes_the_place_of_another() {
    let place = of("mine");
    let error = refused(MasterKeyFile::create(&place.path("master"), None));
    assert!(error.to_string().ends_with("exists already"), "{error}");
    assert_eq!(place.read("master"), "mine");
}

#[test]
fn a_new_file_can_be_given_to_another_owner_by_root() {
    if !nix::unistd::geteuid().is_root() {
        let place = Place::empty();
        let error = refused(MasterKeyFile::create(&place.path("master"), Some((1, 1))));
        assert!(error.hint().contains("root"), "{}", error.hint());
        assert!(!place.path("master").exists());
        return;
    }
    let place = Place::empty();
    MasterKeyFile::create(&place.path("master"), Some((1, 1))).unwrap();
    let meta = fs::metadata(place.path("master")).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (1, 1, 0o600));
}

#[test]
fn what_is_wrong_is_told_with_file_line_and_column_and_without_a_digit_of_a_key() {
    for (text, message) in [
        ("", "master:1:1: there is no master key in it"),
        ("# nothing\n\n", "master:1:1: there is no master key in it"),
        ("x;1", "master:1:1: syntax error"),
        ("#\n 1:KEY", "master:2:3: syntax error"),
        (
            "KEY",
            "master:1:1: the master key stands there without its version",
        ),
        (
            "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=\n",
            "master:1:1: the master key is in base64, and not in hexadecimal digits",
        ),
        (
            "01234567890123456789012345678901",
            "master:1:33: the master key is there as 32 bytes, and not in hexadecimal digits",
        ),
        (
            "\u{feff}1;KEY",
            "master:1:1: the text begins with a byte order mark, which editors do not show",
        ),
        (
            "1;KEY\0",
            "master:1:67: the text has a zero byte there, which editors do not show",
        ),
        (
            "1;KEY\r2;OTHER\r",
            "master:1:68: the text has carriage returns alone (CR) as line ends, which are none here",
        ),
        ("0;KEY", "master:1:1: invalid version of the master key"),
        (
            "\n\n4294967296;KEY",
            "master:3:1: invalid version of the master key",
        ),
        ("1;", "master:1:3: invalid master key"),
        ("1;0011", "master:1:7: invalid master key"),
        ("1;KEY0", "master:1:67: invalid master key"),
        ("1;KEY0011", "master:1:67: invalid master key"),
        ("1;0g", "master:1:4: invalid master key"),
        ("1;KEY x", "master:1:68: something stands behind the master key"),
        ("1;KEY # x", "master:1:68: something stands behind the master key"),
        (
            "1;KEY\n2;OTHER\n# x\n1;OTHER",
            "master:4:1: another key for version 1 than in line 1",
        ),
    ] {
        let place = of(&text.replace("KEY", ONE).replace("OTHER", TWO));
        let (shown, error) = error_of(&place);
        assert_eq!(shown, message, "{text}");
        assert!(!error.hint().is_empty() && !error.is_wrong_key());
        for said in [shown, error.hint(), format!("{error:?}")] {
            assert!(
                !said.contains("0011") && !said.contains("ABEi") && !said.contains("FFEE"),
                "{said}"
            );
        }
    }
}

#[test]
fn the_same_version_twice_with_one_key_is_no_fault() {
    let place = of(&format!("1;{TWO}\n1;{}\n", TWO.to_lowercase()));
    wrap(&*place.open());
}

#[test]
fn any_mode_but_0600_or_stricter_is_refused_and_the_chmod_mends_it() {
    for mode in [0o640, 0o604, 0o644, 0o660, 0o666, 0o700, 0o610, 0o601] {
        let place = of(&format!("1;{ONE}\n"));
        let path = place.path("master");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let master = place.open();
        for error in [
            refused(master.wrap(&new_key(), KEYSTORE)),
            refused(master.rotate()),
        ] {
            assert!(error.to_string().contains(&format!("{mode:04o}")), "{error}");
            let mend = format!("run `chmod 0600 {}`", path.display());
            assert!(error.hint().starts_with(&mend), "{}", error.hint());
        }
        let mended = std::process::Command::new("chmod")
            .arg("0600")
            .arg(&path)
            .status();
        assert!(mended.unwrap().success());
        wrap(&*master);
    }
}

#[test]
fn a_rotation_appends_a_line_and_leaves_every_other_byte() {
    for text in [
        format!("# mine\n3;{ONE}\n\n# end"),
        format!("3;{ONE}\n"),
        format!("# mine\r\n3;{ONE}\r\n"),
        format!("3;{ONE}"),
    ] {
        let place = of(&text);
        place.open().rotate().unwrap();
        let now = place.read("master");
        let added = now.strip_prefix(&text).unwrap();
        assert_eq!(added.trim().len(), "4;".len() + 64, "{added:?}");
        assert!(added.trim_start().starts_with("4;") && added.ends_with('\n'));
        assert_eq!(added.contains("\r\n"), text.contains("\r\n"));
        assert_eq!(wrap(&*place.open()).1.key_version, "4");
        let meta = fs::metadata(place.path("master")).unwrap();
        assert_eq!(meta.mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(place.directory.path()).unwrap().count(), 1);
    }
}

#[test]
fn rotations_at_once_all_leave_their_version() {
    let place = of(&format!("1;{ONE}\n"));
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| place.open().rotate().unwrap());
        }
    });
    let versions: Vec<String> = place
        .read("master")
        .lines()
        .map(|line| line.split_once(';').unwrap().0.to_owned())
        .collect();
    let expected: Vec<String> = (1..=21).map(|version| version.to_string()).collect();
    assert_eq!(versions, expected);
}

#[test]
fn a_rotation_of_a_symbolic_link_replaces_what_it_names() {
    let mut place = of(&format!("1;{ONE}\n"));
    let link = place.path("link");
    symlink("master", &link).unwrap();
    place.uri = format!("file:{}", link.display());
    place.open().rotate().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(place.read("master").contains("\n2;"));
}

#[test]
fn a_rotation_waits_for_the_lock_no_longer_than_the_request_timeout() {
    let place = of(&format!("1;{ONE}\n")).with_timeout(Duration::from_millis(100));
    let held = fs::File::open(place.path("master")).unwrap();
    held.lock().unwrap();
    let error = refused(place.open().rotate());
    assert!(error.to_string().contains("locked"), "{error}");
    drop(held);
    place.open().rotate().unwrap();
}

#[test]
fn the_last_version_is_the_last() {
    let place = of(&format!("4294967295;{ONE}\n"));
    let error = refused(place.open().rotate());
    assert!(error.hint().contains("--to"), "{}", error.hint());
    assert_eq!(place.read("master"), format!("4294967295;{ONE}\n"));
}

#[test]
fn a_missing_file_a_directory_and_a_huge_file_are_told_apart() {
    let mut place = Place::empty();
    place.uri = format!("file:{}", place.path("none").display());
    let (message, error) = error_of(&place);
    assert!(message.contains("'none' not found"), "{message}");
    assert!(!error.is_wrong_key() && !error.is_retryable());

    place.uri = format!("file:{}", place.directory.path().display());
    assert!(
        refused(place.open().rotate())
            .to_string()
            .contains("failed, errno 21")
    );

    let place = of(&"# comment\n".repeat(200_000));
    assert!(error_of(&place).0.contains("larger than the 1048576 bytes"));
}

#[test]
fn a_missing_version_is_named_with_those_that_there_are() {
    let place = of(&format!("1;{ONE}\n2;{TWO}\n"));
    let (_, wrapped) = wrap(&*place.open());
    place.write("master", format!("1;{ONE}\n3;{ONE}\n").as_bytes(), 0o600);
    let error = refused(place.open().unwrap(&wrapped, KEYSTORE));
    assert!(error.is_wrong_key());
    assert!(
        error.to_string().ends_with(
            "it has no version 2, with which the keystore was wrapped, but 2 versions from 1 to 3"
        ),
        "{error}"
    );
}

/// The layout and the context that docs/master-keys.md states, made with nothing of ours.
#[test]
fn what_another_implementation_wraps_as_documented_unwraps() {
    use aes_gcm::aead::{Aead, KeyInit, Payload};
    let place = of(&format!("1;{TWO}\n2;{ONE}\n"));
    let (key, nonce) = ([0x5A; 32], [7; 12]);
    let aad = format!("keyroll master key\0{KEYSTORE}\0{}", 2);
    let cipher = aes_gcm::Aes256Gcm::new_from_slice(&hex::decode(ONE).unwrap()).unwrap();
    let payload = Payload {
        msg: &key,
        aad: aad.as_bytes(),
    };
    let sealed = cipher.encrypt(&nonce.into(), payload).unwrap();
    let wrapped = Wrapped {
        bytes: [&nonce[..], &sealed].concat(),
        key_version: "2".into(),
    };
    assert_eq!(place.open().unwrap(&wrapped, KEYSTORE).unwrap().expose(), &key);
}
