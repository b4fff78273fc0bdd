//! The command on keystores and beside a server's files: what depends on modes, places and times.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use tempfile::TempDir;

const KEY: &str = "c0ffee01c0ffee01c0ffee01c0ffee01c0ffee01c0ffee01c0ffee01c0ffee01";
const KEYSTORE: [&str; 4] = [
    "--keystore",
    "store/keystore",
    "--master-key",
    "file:apart/master",
];

/// A folder with two others in it that are their owner's alone.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in ["store", "apart"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        set_mode(&folder, name, 0o700);
    }
    folder
}

fn set_mode(folder: &TempDir, name: &str, mode: u32) {
    fs::set_permissions(folder.path().join(name), Permissions::from_mode(mode)).unwrap();
}

fn run(folder: &TempDir, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keyroll"))
        .args(args)
        .current_dir(folder.path())
        .env_remove("KEYROLL_FILEKEY")
        .output()
        .unwrap()
}

fn run_well(folder: &TempDir, args: &[&str]) -> String {
    let output = run(folder, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What `check` of the keystore says and with which exit code.
fn check(folder: &TempDir) -> (Option<i32>, String) {
    let output = run(folder, &[&["check", "--user", "root"], &KEYSTORE[..]].concat());
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn json(folder: &TempDir, args: &[&str]) -> serde_json::Value {
    let listed: serde_json::Value =
        serde_json::from_str(&run_well(folder, &[args, &["--json"]].concat())).unwrap();
    listed["keys"].clone()
}

#[test]
fn check_finds_no_fault_with_a_new_keystore_and_its_master_key_elsewhere() {
    let folder = folder();
    run_well(&folder, &[&["init"], &KEYSTORE[..]].concat());
    let (code, said) = check(&folder);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn check_warns_of_modes_and_places_that_give_keys_away() {
    let folder = folder();
    run_well(&folder, &[&["init"], &KEYSTORE[..]].concat());
    let warns = |of: &str| {
        let (code, said) = check(&folder);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(of), "{of} is not in {said}");
    };
    set_mode(&folder, "store/keystore", 0o644);
    warns("others may read or change store/keystore");
    set_mode(&folder, "store/keystore", 0o600);
    set_mode(&folder, "apart", 0o777);
    warns("others may replace files in the directory");
    set_mode(&folder, "apart", 0o700);
    fs::write(folder.path().join("store/ibdata1"), "").unwrap();
    warns("the keystore lies in the data directory");
    fs::remove_file(folder.path().join("store/ibdata1")).unwrap();
    fs::write(folder.path().join("store/.keystore.keyroll-new"), "").unwrap();
    warns("a change was interrupted and left");
    fs::remove_file(folder.path().join("store/.keystore.keyroll-new")).unwrap();
    assert_eq!(check(&folder).0, Some(0));

    set_mode(&folder, "apart/master", 0o640);
    let (code, said) = check(&folder);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("chmod 0600"), "{said}");
}

#[test]
fn check_refuses_a_keystore_of_which_one_bit_is_flipped() {
    let folder = folder();
    run_well(&folder, &[&["init"], &KEYSTORE[..]].concat());
    let path = folder.path().join("store/keystore");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (code, said) = check(&folder);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the plugin refuses it"), "{said}");
}

#[test]
fn a_key_file_goes_through_a_keystore_and_comes_back_as_it_was() {
    let folder = folder();
    let text = format!("1;{KEY}\n1;3;{}\n7;{}\n", &KEY[..32], &KEY[..48]);
    fs::write(folder.path().join("keys"), &text).unwrap();
    set_mode(&folder, "keys", 0o600);
    let from = [
        "--from-filename",
        "keys",
        "--from-encryption-algorithm",
        "aes_ctr",
    ];
    run_well(&folder, &[&["import"], &KEYSTORE[..], &from].concat());
    let to = ["--insecure-plaintext", "--to", "back"];
    run_well(&folder, &[&["export"], &KEYSTORE[..], &to].concat());
    let back = fs::read_to_string(folder.path().join("back")).unwrap();
    let lines: Vec<&str> = back.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, text.lines().collect::<Vec<_>>());
    let mode = fs::metadata(folder.path().join("back"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn import_takes_the_key_file_that_the_servers_option_files_name() {
    let folder = folder();
    fs::write(folder.path().join("keys"), format!("1;{KEY}\n")).unwrap();
    set_mode(&folder, "keys", 0o600);
    let my_cnf = "[mysqld]\nloose_file_key_management_filename=keys\n\
                  file-key-management-encryption-algorithm=AES_CTR\n";
    fs::write(folder.path().join("my.cnf"), my_cnf).unwrap();
    run_well(
        &folder,
        &[&["import", "--defaults-file", "my.cnf"], &KEYSTORE[..]].concat(),
    );
    let listed = json(&folder, &[&["list"], &KEYSTORE[..]].concat());
    assert_eq!(listed[0]["algorithm"], "aes_ctr");
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[test]
fn what_config_prints_makes_the_command_find_the_same_store() {
    let folder = folder();
    let init = [
        &["init"],
        &KEYSTORE[..],
        &["--key-algorithm", "aes_ctr", "--key-spec", "AES_128"],
    ]
    .concat();
    let lines = run_well(&folder, &init);
    fs::write(folder.path().join("my.cnf"), lines).unwrap();
    let elsewhere = TempDir::new().unwrap();
    let my_cnf = folder.path().join("my.cnf");
    let from = ["--defaults-file", my_cnf.to_str().unwrap()];
    run_well(&elsewhere, &[&["rotate", "--key", "2"], &from[..]].concat());
    let listed = json(&elsewhere, &[&["list"], &from[..]].concat());
    let rotated = &listed[2];
    assert_eq!((&rotated["id"], &rotated["version"]), (&2.into(), &3.into()));
    assert_eq!(
        (&rotated["algorithm"], &rotated["bits"]),
        (&"aes_ctr".into(), &128.into())
    );
    assert_eq!(
        run_well(&elsewhere, &[&["config"], &from[..]].concat()),
        fs::read_to_string(&my_cnf).unwrap()
    );
}

#[test]
fn a_keystore_moves_to_another_master_key_and_the_old_one_opens_it_no_more() {
    let folder = folder();
    run_well(&folder, &[&["init"], &KEYSTORE[..]].concat());
    let before = json(&folder, &[&["list"], &KEYSTORE[..]].concat());
    let sql = run_well(
        &folder,
        &[&["rotate-master-key"], &KEYSTORE[..], &["--to", "file:apart/new"]].concat(),
    );
    let statements: Vec<&str> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    let new = folder.path().canonicalize().unwrap().join("apart/new");
    assert_eq!(
        statements,
        [
            format!("SET GLOBAL keyroll_master_key = 'file:{}';", new.display()).as_str(),
            "SET GLOBAL keyroll_reload_keys = 1;"
        ]
    );
    assert_eq!(
        run(&folder, &[&["list"], &KEYSTORE[..]].concat()).status.code(),
        Some(65)
    );
    let moved = ["--keystore", "store/keystore", "--master-key", "file:apart/new"];
    assert_eq!(json(&folder, &[&["list"], &moved[..]].concat()), before);
}

#[test]
fn nothing_is_made_where_the_store_cannot_be() {
    let folder = folder();
    let impossible = ["--key-algorithm", "aes_256_xts", "--id", "3:192"];
    let output = run(&folder, &[&["init"], &KEYSTORE[..], &impossible].concat());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let empty = |name: &str| fs::read_dir(folder.path().join(name)).unwrap().next().is_none();
    assert!(empty("store") && empty("apart"));
}

#[test]
fn no_subcommand_prints_bytes_of_data_keys_or_master_keys() {
    let folder = folder();
    fs::write(folder.path().join("keys"), format!("1;{KEY}\n")).unwrap();
    set_mode(&folder, "keys", 0o600);
    let calls: [&[&str]; 9] = [
        &["import", "--from-filename", "keys"],
        &["list"],
        &["list", "--json"],
        &["check", "--user", "root"],
        &["check", "--user", "root", "--json"],
        &["rotate", "--all"],
        &["rotate-master-key"],
        &["config"],
        &["export", "--insecure-plaintext", "--to", "exported"],
    ];
    let mut said = String::new();
    for call in calls {
        let output = run(&folder, &[call, &KEYSTORE[..]].concat());
        assert!(output.status.success(), "{call:?}: {output:?}");
        said += &String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    }
    let mut secrets = 0;
    for file in ["exported", "apart/master"] {
        let text = fs::read_to_string(folder.path().join(file)).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let key = line.rsplit(';').next().unwrap();
            assert_eq!(key.len(), 64, "{file}");
            secrets += 1;
            for piece in key.as_bytes().windows(8) {
                let piece = str::from_utf8(piece).unwrap();
                assert!(!said.contains(piece), "{piece} of {file} is in {said}");
            }
        }
    }
    assert_eq!(secrets, 4, "two versions of key 1 and of the master key");
}

#[test]
fn twenty_thousand_keys_move_into_a_keystore_and_out_again_and_are_listed() {
    let folder = folder();
    let text: String = (1..=20_000).map(|id| format!("{id};{id:064x}\n")).collect();
    fs::write(folder.path().join("many"), &text).unwrap();
    set_mode(&folder, "many", 0o600);
    let import = ["import", "--from-filename", "many"];
    run_well(&folder, &[&import[..], &KEYSTORE[..]].concat());
    let export = ["export", "--insecure-plaintext", "--to", "out"];
    let output = run(&folder, &[&export[..], &KEYSTORE[..]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.contains("warning: the file has more than 1 MiB"),
        "{said}"
    );
    let out = fs::read_to_string(folder.path().join("out")).unwrap();
    assert!(out.ends_with(&text), "ids, versions and bytes are the same");
    let listed = run_well(&folder, &["list", "--filename", "out"]);
    assert_eq!(listed.lines().count(), 20_001);
}
