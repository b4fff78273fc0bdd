//! The command as scripts use it: exit codes, files and their modes, pipes, and no secret in any output.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use keyroll::keys::Fingerprint;
use tempfile::TempDir;

const KEY: &str = "c0ffee01c0ffee01c0ffee01c0ffee01";
const OTHER_KEY: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const PASSWORD: &str = "sesame-opens-4711";

/// The command, in this folder and without the password of the one who runs the test.
fn keyroll(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
    command
        .args(args)
        .current_dir(folder)
        .env_remove("KEYROLL_FILEKEY");
    command
}

fn run(folder: &TempDir, args: &[&str]) -> Output {
    keyroll(folder.path(), args).output().unwrap()
}

/// Like [`run`], of a command that has to work; what it prints.
fn run_well(folder: &TempDir, args: &[&str]) -> String {
    let output = run(folder, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>, mode: u32) {
    let path = folder.path().join(name);
    let parent = path.parent().unwrap();
    fs::create_dir_all(parent).unwrap();
    fs::set_permissions(parent, Permissions::from_mode(0o700)).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn openssl_enc(folder: &TempDir, plain: &str, encrypted: &str, args: &[&str]) {
    let done = Command::new("openssl")
        .args(["enc", "-aes-256-cbc", "-in", plain, "-out", encrypted])
        .args(args)
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success());
    fs::set_permissions(folder.path().join(encrypted), Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn check_tells_good_files_from_bad_ones_by_its_exit_code() {
    let folder = TempDir::new().unwrap();
    let good = format!("1;{KEY}\n2;{OTHER_KEY}\n");
    let (id_0, version_0) = (format!("1;{KEY}\n0;{KEY}\n"), format!("1;0;{KEY}\n"));
    let plain_files: &[(&str, &str, u32, i32)] = &[
        ("good", &good, 0o600, 0),
        ("good_for_its_group", &good, 0o640, 0),
        ("versions", &format!("1;1;{KEY}\n1;3;{OTHER_KEY}\n"), 0o600, 0),
        (
            "comments_and_blanks",
            &format!("# keys\n\n  1;{KEY} # system\n"),
            0o600,
            0,
        ),
        ("same_version_twice", &format!("1;{KEY}\n1;{KEY}\n"), 0o600, 0),
        ("highest_id", &format!("1;{KEY}\n4294967295;{KEY}\n"), 0o600, 0),
        ("others_read", &good, 0o644, 1),
        ("others_write", &good, 0o602, 1),
        ("empty", "", 0o600, 2),
        ("no_key_1", &format!("2;{KEY}\n"), 0o600, 2),
        ("id_0", &id_0, 0o600, 2),
        ("id_too_high", &format!("1;{KEY}\n4294967296;{KEY}\n"), 0o600, 2),
        ("version_0", &version_0, 0o600, 2),
        ("short_key", "1;c0ffee\n", 0o600, 2),
        ("no_semicolon", &format!("1 {KEY}\n"), 0o600, 2),
        (
            "same_version_other_bytes",
            &format!("1;{KEY}\n1;{OTHER_KEY}\n"),
            0o600,
            2,
        ),
        (
            "too_large",
            &format!("{good}#{}\n", "x".repeat(32 << 20)),
            0o600,
            2,
        ),
    ];
    for &(name, content, mode, expected) in plain_files {
        write(&folder, name, content, mode);
        let output = run(&folder, &["check", "--user", "root", "--filename", name]);
        assert_eq!(output.status.code(), Some(expected), "{name}: {output:?}");
        let strict = run(
            &folder,
            &[
                "check",
                "--user",
                "root",
                "--filename",
                name,
                "--strict-permissions",
            ],
        );
        let expected = if expected == 1 { 2 } else { expected };
        assert_eq!(
            strict.status.code(),
            Some(expected),
            "{name}, strictly: {strict:?}"
        );
    }

    write(&folder, "apart/password", format!("{PASSWORD}\n"), 0o600);
    write(&folder, "apart/wrong", "another\n", 0o600);
    write(&folder, "apart/long", "p".repeat(257), 0o600);
    openssl_enc(
        &folder,
        "good",
        "good.enc",
        &["-md", "sha1", "-kfile", "apart/password"],
    );
    openssl_enc(
        &folder,
        "no_key_1",
        "no_key_1.enc",
        &["-md", "sha1", "-kfile", "apart/password"],
    );
    openssl_enc(
        &folder,
        "good",
        "good.pbkdf2",
        &[
            "-md",
            "sha512",
            "-pbkdf2",
            "-iter",
            "99",
            "-kfile",
            "apart/password",
        ],
    );
    let cut = fs::read(folder.path().join("good.enc")).unwrap();
    write(&folder, "cut.enc", &cut[..cut.len() - 1], 0o600);
    let pbkdf2 = ["--digest", "sha512", "--use-pbkdf2", "99"];
    let encrypted_files: &[(&str, &str, &[&str], i32)] = &[
        ("good.enc", "password", &[], 0),
        ("good.enc", "wrong", &[], 2),
        ("good.enc", "long", &[], 2),
        ("good.enc", "nowhere", &[], 2),
        ("good.enc", "password", &["--digest", "sha256"], 2),
        ("no_key_1.enc", "password", &[], 2),
        ("cut.enc", "password", &[], 2),
        ("good.pbkdf2", "password", &pbkdf2, 0),
        ("good.pbkdf2", "password", &[], 2),
        ("good", "password", &[], 2),
    ];
    for &(name, password, how, expected) in encrypted_files {
        let output = run(
            &folder,
            &[
                &[
                    "check",
                    "--user",
                    "root",
                    "--filename",
                    name,
                    "--filekey",
                    &format!("FILE:apart/{password}"),
                ],
                how,
            ]
            .concat(),
        );
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{name}, {password}: {output:?}"
        );
    }
}

#[test]
fn check_warns_of_what_a_killed_rotation_left_until_the_next_one_removes_it() {
    let folder = TempDir::new().unwrap();
    write(&folder, "keys", format!("1;{KEY}\n"), 0o600);
    write(
        &folder,
        ".keys.keyroll-new",
        format!("1;{KEY}\n1;3;{OTHER_KEY}\n"),
        0o600,
    );
    let output = run(&folder, &["check", "--user", "root", "--filename", "keys"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains(".keys.keyroll-new")
    );
    run_well(&folder, &["rotate", "--filename", "keys", "--all"]);
    run_well(&folder, &["check", "--user", "root", "--filename", "keys"]);
}

#[test]
fn no_subcommand_prints_key_bytes_or_passwords() {
    let folder = TempDir::new().unwrap();
    write(&folder, "plain", format!("1;{KEY}\n2;{OTHER_KEY}\n"), 0o600);
    write(&folder, "password", format!("{PASSWORD}\n"), 0o600);
    openssl_enc(
        &folder,
        "plain",
        "encrypted",
        &["-md", "sha1", "-kfile", "password"],
    );
    // Files that are refused because of a place in the middle of a key, or beside one.
    write(
        &folder,
        "bad_digit",
        format!("1;{KEY}\n2;{}g{}\n", &KEY[..9], &KEY[10..]),
        0o600,
    );
    write(
        &folder,
        "bad_length",
        format!("1;{KEY}\n2;{}\n", &KEY[..30]),
        0o600,
    );
    write(&folder, "bad_order", format!("{KEY};1\n"), 0o600);
    write(&folder, "bad_version", format!("1;{KEY};{OTHER_KEY}\n"), 0o600);
    write(&folder, "conflict", format!("1;{KEY}\n1;{OTHER_KEY}\n"), 0o600);

    let mut outputs = vec![];
    let subcommands: &[&[&str]] = &[
        &["list"],
        &["list", "--json"],
        &["rotate", "--all"],
        &["rotate", "--key", "1"],
        &["check", "--user", "root"],
        &["init"],
    ];
    for file in [
        "plain",
        "encrypted",
        "bad_digit",
        "bad_length",
        "bad_order",
        "bad_version",
        "conflict",
        "new",
    ] {
        for subcommand in subcommands {
            let args = [subcommand, &["--filename", file][..]].concat();
            outputs.push(run(&folder, &args));
            outputs.push(run(
                &folder,
                &[&args[..], &["--filekey", "FILE:password"]].concat(),
            ));
            let with_variable = |value| {
                keyroll(folder.path(), &args)
                    .env("KEYROLL_FILEKEY", value)
                    .output()
            };
            outputs.push(with_variable(PASSWORD).unwrap());
            outputs.push(with_variable("FILE:password").unwrap());
        }
    }
    outputs.push(run(
        &folder,
        &["init", "--filename", "newer", "--filekey", "FILE:new-password"],
    ));
    let worked = outputs.iter().filter(|output| output.status.success()).count();
    assert!(worked > 10, "only {worked} of {} calls worked", outputs.len());

    let mut secrets = vec![
        PASSWORD.to_owned(),
        read(&folder, "new-password").trim_end().into(),
    ];
    let made = [read(&folder, "plain"), read(&folder, "new")].concat();
    for line in made.lines().filter(|line| !line.starts_with('#')) {
        let key = line.rsplit(';').next().unwrap();
        assert!(key.len() >= 32, "no key in {line}");
        secrets.push(key.into());
    }
    assert!(
        secrets.len() > 8,
        "the rotated and the new keys are among the secrets"
    );
    for output in outputs {
        let text = String::from_utf8([output.stdout, output.stderr].concat())
            .unwrap()
            .to_lowercase();
        for secret in &secrets {
            for piece in secret.to_lowercase().as_bytes().windows(8) {
                let piece = str::from_utf8(piece).unwrap();
                assert!(!text.contains(piece), "{piece} of a secret is in: {text}");
            }
        }
    }
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

#[test]
fn init_makes_files_that_only_their_owner_reads_and_leaves_nothing_else_behind() {
    let folder = TempDir::new().unwrap();
    run_well(
        &folder,
        &["init", "--filename", "keys", "--filekey", "FILE:password"],
    );
    let mut names = vec![];
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().mode() & 0o7777,
            0o600,
            "{:?}",
            entry.file_name()
        );
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["keys", "password"]);
    assert_eq!(read(&folder, "password").trim_end().len(), 64);
    assert!(
        fs::read(folder.path().join("keys"))
            .unwrap()
            .starts_with(b"Salted__")
    );
}

#[test]
fn init_gives_both_files_to_the_owner_that_it_is_told() {
    let folder = TempDir::new().unwrap();
    let me = nix::unistd::User::from_uid(nix::unistd::Uid::effective())
        .unwrap()
        .unwrap();
    // Root can give files away; others can only give them to themselves.
    let owner = nix::unistd::User::from_name("nobody")
        .unwrap()
        .filter(|_| me.uid.is_root())
        .unwrap_or(me);
    run_well(
        &folder,
        &[
            "init",
            "--filename",
            "keys",
            "--filekey",
            "FILE:password",
            "--owner",
            &owner.name,
        ],
    );
    for name in ["keys", "password"] {
        let metadata = fs::metadata(folder.path().join(name)).unwrap();
        assert_eq!(
            (metadata.uid(), metadata.gid()),
            (owner.uid.as_raw(), owner.gid.as_raw()),
            "{name}"
        );
    }
    run_well(
        &folder,
        &[
            "rotate",
            "--filename",
            "keys",
            "--filekey",
            "FILE:password",
            "--all",
        ],
    );
    assert_eq!(
        fs::metadata(folder.path().join("keys")).unwrap().uid(),
        owner.uid.as_raw()
    );
}

#[test]
fn init_leaves_an_existing_key_file_and_its_password_as_they_are() {
    let folder = TempDir::new().unwrap();
    run_well(
        &folder,
        &["init", "--filename", "keys", "--filekey", "FILE:password"],
    );
    let before = (
        fs::read(folder.path().join("keys")).unwrap(),
        read(&folder, "password"),
    );
    assert_eq!(
        run(
            &folder,
            &["init", "--filename", "keys", "--filekey", "FILE:password"]
        )
        .status
        .code(),
        Some(73)
    );
    assert_eq!(
        run(
            &folder,
            &["init", "--filename", "keys", "--filekey", "FILE:another"]
        )
        .status
        .code(),
        Some(73)
    );
    assert_eq!(
        (
            fs::read(folder.path().join("keys")).unwrap(),
            read(&folder, "password")
        ),
        before
    );
    assert!(!folder.path().join("another").exists());
}

#[test]
fn json_of_list_names_every_version_and_marks_the_latest() {
    let folder = TempDir::new().unwrap();
    write(
        &folder,
        "keys",
        format!("1;1;{KEY}\n1;4;{OTHER_KEY}\n2;{KEY}\n"),
        0o600,
    );
    let json: serde_json::Value =
        serde_json::from_str(&run_well(&folder, &["list", "--filename", "keys", "--json"])).unwrap();
    let of = |key: &str| Fingerprint::of(&hex::decode(key).unwrap()).to_string();
    let (key, other) = (of(KEY), of(OTHER_KEY));
    let expected = serde_json::json!([
        {"id": 1, "version": 1, "latest": false, "bits": 128, "fingerprint": key},
        {"id": 1, "version": 4, "latest": true, "bits": 256, "fingerprint": other},
        {"id": 2, "version": 1, "latest": true, "bits": 128, "fingerprint": key},
    ]);
    assert_eq!((&json["keys"], &json["version"]), (&expected, &1.into()));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = TempDir::new().unwrap();
    let many: String = (1..5000).map(|id| format!("{id};{KEY}\n")).collect();
    write(&folder, "keys", many, 0o600);
    for args in [
        &["list", "--filename", "keys"][..],
        &["list", "--filename", "keys", "--json"],
        &["completions", "zsh"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = keyroll(folder.path(), args)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{args:?}: {output:?}"
        );
    }
}

#[test]
fn a_full_disk_behind_standard_output_is_a_failure() {
    let folder = TempDir::new().unwrap();
    write(&folder, "keys", format!("1;{KEY}\n"), 0o600);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = keyroll(folder.path(), &["list", "--filename", "keys"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn completions_for_bash_are_a_script_that_bash_accepts() {
    let folder = TempDir::new().unwrap();
    let script = run_well(&folder, &["completions", "bash"]);
    assert!(script.contains("--use-pbkdf2"));
    write(&folder, "script", script, 0o600);
    let accepted = Command::new("bash")
        .args(["-n", "script"])
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(accepted.success());
}

/// Every subcommand, as the help lists them.
fn subcommands(folder: &TempDir) -> Vec<String> {
    let help = run_well(folder, &["-h"]);
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let names: Vec<String> = list
        .lines()
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line[2..].split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .map(String::from)
        .collect();
    assert_eq!(names.len(), 12, "{names:?}");
    names
}

#[test]
fn completions_know_every_subcommand() {
    let folder = TempDir::new().unwrap();
    let script = |shell| run_well(&folder, &["completions", shell]);
    let (bash, zsh, fish) = (script("bash"), script("zsh"), script("fish"));
    assert!(zsh.starts_with("#compdef keyroll"));
    for subcommand in subcommands(&folder) {
        assert!(bash.contains(&format!("keyroll,{subcommand})")), "{subcommand}");
        assert!(zsh.contains(&format!("'{subcommand}:")), "{subcommand}");
        assert!(fish.contains(&format!("-a \"{subcommand}\"")), "{subcommand}");
    }
}

#[test]
fn there_is_a_manual_page_for_every_subcommand_and_man_formats_it() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("man")).unwrap();
    run_well(&folder, &["man", "--dir", "man"]);
    let mut expected: Vec<String> = subcommands(&folder)
        .iter()
        .map(|name| format!("keyroll-{name}.1"))
        .collect();
    expected.push("keyroll.1".into());
    expected.sort();
    let mut found: Vec<String> = fs::read_dir(folder.path().join("man"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, expected);
    for page in &found {
        let text = read(&folder, &format!("man/{page}"));
        let name = page.trim_end_matches(".1");
        assert!(
            text.contains(&format!(".TH {} 1", name.to_uppercase())),
            "{page}: {text}"
        );
        let said = name.replace('-', "\\-");
        assert!(text.contains(&format!(".SH NAME\n{said} \\- ")), "{page}: {text}");
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
        let printed = match name.strip_prefix("keyroll-") {
            Some(subcommand) => run_well(&folder, &["man", subcommand]),
            None => run_well(&folder, &["man"]),
        };
        assert_eq!(printed, text, "{page}");
    }
}

#[test]
fn no_option_takes_a_password() {
    let folder = TempDir::new().unwrap();
    for subcommand in ["init", "list", "rotate --all", "check", "config"] {
        let words: Vec<&str> = subcommand.split(' ').collect();
        let with = |more: &[&str]| {
            let output = run(&folder, &[&words[..], &["--filename", "keys"], more].concat());
            assert_eq!(output.status.code(), Some(64), "{subcommand} {more:?}");
            String::from_utf8(output.stderr).unwrap()
        };
        let why = with(&["--password", PASSWORD]);
        assert!(
            why.contains("unexpected argument '--password'"),
            "{subcommand}: {why}"
        );
        let why = with(&["--filekey", PASSWORD]);
        assert!(why.contains("never a password"), "{subcommand}: {why}");
        assert!(!why.contains(PASSWORD), "{subcommand}: {why}");
    }
}

#[test]
fn a_password_in_the_environment_is_read_only_where_no_file_is_named() {
    let folder = TempDir::new().unwrap();
    write(&folder, "password", "right\n", 0o600);
    run_well(
        &folder,
        &["init", "--filename", "keys", "--filekey", "FILE:password"],
    );
    let with_variable = |args: &[&str], value| {
        keyroll(folder.path(), args)
            .env("KEYROLL_FILEKEY", value)
            .status()
            .unwrap()
            .code()
    };
    assert_eq!(with_variable(&["list", "--filename", "keys"], "right"), Some(0));
    assert_eq!(
        with_variable(&["list", "--filename", "keys"], "FILE:password"),
        Some(0)
    );
    assert_eq!(with_variable(&["list", "--filename", "keys"], "wrong"), Some(65));
    assert_eq!(
        with_variable(
            &["list", "--filename", "keys", "--filekey", "FILE:password"],
            "wrong"
        ),
        Some(0)
    );
}
