//! The command on two stores: which of them belongs to the data, and what its own hints do.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use keyroll::crypto::Algorithm;
use keyroll::keys::{Fingerprint, KeyName, KeySet, Ring};
use keyroll::secret::DataKey;
use keyroll::store::MarkFile;
use tempfile::TempDir;

const FIRST: [&str; 4] = ["--keystore", "store/first", "--master-key", "file:apart/first"];
const SECOND: [&str; 4] = [
    "--against",
    "store/the second",
    "--against-master-key",
    "file:apart/second",
];

/// Two keystores under master keys of their own, made of key files with these lines.
fn folder(first: &str, second: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in ["store", "apart", "data"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::set_permissions(folder.path().join(name), Permissions::from_mode(0o700)).unwrap();
    }
    for (store, master_key, lines) in [
        ("store/first", "file:apart/first", first),
        ("store/the second", "file:apart/second", second),
    ] {
        let keys = folder.path().join("keys");
        fs::write(&keys, lines).unwrap();
        fs::set_permissions(&keys, Permissions::from_mode(0o600)).unwrap();
        let import = ["import", "--keystore", store, "--master-key", master_key];
        let output = run(&folder, &[&import[..], &["--from-filename", "keys"]].concat());
        assert!(output.status.success(), "{output:?}");
    }
    folder
}

fn run(folder: &TempDir, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keyroll"))
        .args(args)
        .current_dir(folder.path())
        .env_remove("KEYROLL_FILEKEY")
        .output()
        .unwrap()
}

/// What `check` of the first keystore against the second one says, and its exit code.
fn check(folder: &TempDir, more: &[&str]) -> (Option<i32>, String) {
    let output = run(
        folder,
        &[
            &["check", "--user", "root", "--quiet"],
            &FIRST[..],
            &SECOND[..],
            more,
        ]
        .concat(),
    );
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// A line of a key file.
fn line(id: u32, version: u32, byte: u8) -> String {
    format!("{id};{version};{}\n", hex::encode([byte; 32]))
}

/// The mark of a server that worked with these keys.
fn mark(data: &Path, versions: &[(u32, u32, u8)]) {
    let mut keys = KeySet::default();
    for &(id, version, byte) in versions {
        keys.insert(KeyName { id, version }, DataKey::new(&[byte; 32]).unwrap());
    }
    let ring = Ring::new(&keys, Algorithm::AesCbc).unwrap();
    let mut file = MarkFile::read(data).unwrap();
    file.change(|mark| mark.learn(ring.each_key())).unwrap();
}

/// What stands between the first two backticks.
fn command_in(said: &str) -> &str {
    said.split('`').nth(1).unwrap()
}

#[test]
fn the_command_that_check_names_brings_what_the_store_lacks() {
    let both = line(1, 1, 1);
    let folder = folder(
        &format!("{both}{}", line(1, 3, 2)),
        &format!("{both}{}{}", line(1, 2, 3), line(7, 4, 4)),
    );
    let (code, said) = check(&folder, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("keystore store/first lacks version 2 of key 1, version 4 of key 7"),
        "{said}"
    );
    // As a user runs it: by a shell, which finds the command.
    let bin = Path::new(env!("CARGO_BIN_EXE_keyroll")).parent().unwrap();
    let output = Command::new("sh")
        .args(["-c", command_in(&said)])
        .current_dir(folder.path())
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let sql = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        sql.lines().collect::<Vec<_>>(),
        [
            "-- key 1: version 2 was added, for aes_cbc",
            "-- key 7: version 4 was added and is the latest now, for aes_cbc",
            "SET GLOBAL keyroll_reload_keys = 1;"
        ]
    );
    let (code, said) = check(&folder, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(!said.contains("store/first lacks"), "{said}");
    assert!(
        said.contains("the second lacks version 3 of key 1, which keystore store/first holds"),
        "{said}"
    );
}

#[test]
fn check_says_which_of_two_stores_belongs_to_the_data_as_far_as_the_mark_knows() {
    let folder = folder(
        &format!("{}{}", line(1, 1, 1), line(2, 1, 2)),
        &format!("{}{}", line(1, 1, 1), line(2, 1, 9)),
    );
    let data = folder.path().join("data");
    let says = |of: &str| {
        let (code, said) = check(&folder, &["--datadir", "data"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(of), "{of} is not in {said}");
        said
    };
    let said = says("the data tells which one it needs");
    let [first, second] = [2, 9].map(|byte| Fingerprint::of(&[byte; 32]));
    let named = format!("version 1 of key 2 (fingerprints {first} and {second})");
    assert!(said.contains(&named), "{said}");
    // A mark that knows nothing of what differs.
    mark(&data, &[(1, 1, 1)]);
    says("the data tells which one it needs");
    mark(&data, &[(2, 1, 2)]);
    says("keystore store/first belongs to the data");
    let of = |versions: &[(u32, u32, u8)]| {
        fs::remove_file(data.join("keyroll.mark")).unwrap();
        mark(&data, versions);
    };
    of(&[(1, 1, 1), (2, 1, 9)]);
    says("keystore store/the second belongs to the data");
    of(&[(1, 1, 1), (2, 1, 5)]);
    says("neither belongs to the data alone");
}

#[test]
fn check_refuses_a_mark_of_a_newer_format_and_warns_of_a_damaged_one() {
    let folder = folder(&line(1, 1, 1), &line(1, 1, 1));
    let path = folder.path().join("data/keyroll.mark");
    mark(&folder.path().join("data"), &[(1, 1, 1)]);
    let newer = fs::read_to_string(&path)
        .unwrap()
        .replace("\"version\":1,", "\"version\":2,");
    // As a start does: what is damaged is set aside, what is whole is not passed over.
    for (text, code, says) in [
        ("garbage", 1, "it is damaged or no mark"),
        (newer.as_str(), 2, "it has version 2 of the format"),
    ] {
        fs::write(&path, text).unwrap();
        let output = run(&folder, &[&["check", "--datadir", "data"], &FIRST[..]].concat());
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn keys_that_the_data_knows_with_other_bytes_are_not_added() {
    let folder = folder(
        &line(1, 1, 1),
        &format!("{}{}{}", line(1, 1, 1), line(2, 1, 9), line(7, 1, 7)),
    );
    mark(&folder.path().join("data"), &[(1, 1, 1), (2, 1, 2)]);
    let store = folder.path().join("store/first");
    let before = fs::read(&store).unwrap();
    let add = |more: &[&str]| {
        let from = [
            "--from-keystore",
            "store/the second",
            "--from-master-key",
            "file:apart/second",
        ];
        run(
            &folder,
            &[
                &["import", "--add"],
                &FIRST[..],
                &from,
                &["--datadir", "data"],
                more,
            ]
            .concat(),
        )
    };
    let refused = add(&[]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("the second holds other bytes than this data knows for version 1 of key 2"),
        "{said}"
    );
    assert_eq!(fs::read(&store).unwrap(), before);
    let added = add(&["--from-id", "7"]);
    assert!(added.status.success(), "{added:?}");
}

#[test]
fn no_key_byte_is_printed_where_stores_differ() {
    let folder = folder(
        &format!("{}{}", line(1, 1, 0xa7), line(2, 1, 0xb8)),
        &format!("{}{}", line(1, 1, 0xa7), line(2, 1, 0xc9)),
    );
    let add = [
        "import",
        "--add",
        "--from-keystore",
        "store/the second",
        "--from-master-key",
        "file:apart/second",
    ];
    let outputs = [
        run(
            &folder,
            &[&["check", "--user", "root"], &FIRST[..], &SECOND[..]].concat(),
        ),
        run(
            &folder,
            &[&["check", "--user", "root", "--json"], &FIRST[..], &SECOND[..]].concat(),
        ),
        run(&folder, &[&add[..], &FIRST[..]].concat()),
    ];
    for output in outputs {
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        for byte in ["a7a7a7", "b8b8b8", "c9c9c9"] {
            assert!(!said.contains(byte), "{said}");
        }
    }
}
