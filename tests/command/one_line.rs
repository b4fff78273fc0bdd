//! What comes from outside and has line feeds or control characters in it forges no line of what the command prints.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A name that ends the line, erases it and goes on with another one.
const NAME: &str = "a\n\r\x1b[2KFORGED line";

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().into()
    }

    fn script(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        format!("exec:{path}")
    }

    /// Runs the command; sees that what it prints tells of the forger, and not in a line of his own.
    fn run(&self, arguments: &[&str]) {
        self.run_with(&[], arguments);
    }

    fn run_with(&self, environment: &[(&str, &str)], arguments: &[&str]) {
        let output = Command::new(env!("CARGO_BIN_EXE_keyroll"))
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("FORGED line"), "{arguments:?}: {said}");
        for line in said.lines() {
            assert!(
                !line.starts_with("FORGED") && !line.contains(|c: char| c.is_control()),
                "{arguments:?}: {said}"
            );
        }
    }

    fn must(&self, arguments: &[&str]) {
        let output = Command::new(env!("CARGO_BIN_EXE_keyroll"))
            .args(arguments)
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// A keystore of this name, and its arguments.
    fn keystore(&self, name: &str) -> [String; 5] {
        let (keystore, master) = (self.path(name), format!("file:{}", self.path("master")));
        let place = ["--no-defaults", "--keystore", &keystore, "--master-key", &master];
        self.must(&[&["init"], &place[..]].concat());
        place.map(String::from)
    }
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn a_path_forges_no_line() {
    let place = Place::new();
    let (none, master) = (place.path(NAME), format!("file:{}", place.path("master")));
    let uri = format!("file:{none}");
    for subcommand in ["list", "check"] {
        place.run(&[subcommand, "--no-defaults", "--filename", &none]);
        place.run(&[
            subcommand,
            "--no-defaults",
            "--keystore",
            &none,
            "--master-key",
            &master,
        ]);
        place.run(&[
            subcommand,
            "--no-defaults",
            "--keystore",
            &none,
            "--master-key",
            &uri,
        ]);
    }
    place.run(&["list", "--defaults-file", &none]);
    place.run(&[
        "import",
        "--no-defaults",
        "--from-aws",
        &none,
        "--keystore",
        &none,
        "--master-key",
        &master,
    ]);
    // Those that are there are told as well, with what should be mended.
    let store = place.keystore(NAME);
    fs::set_permissions(&store[2], Permissions::from_mode(0o644)).unwrap();
    place.run(&[&["list"], &words(&store)[..]].concat());
    place.run(&[&["check"], &words(&store)[..]].concat());
    place.run(&[&["init"], &words(&store)[..]].concat());
    place.run(
        &[
            &[
                "rotate-master-key",
                "--to",
                &format!("file:{}", place.path(NAME) + "2"),
            ],
            &words(&store)[..],
        ]
        .concat(),
    );
}

#[test]
fn a_user_name_a_uri_and_an_option_forge_no_line() {
    let place = Place::new();
    let (keys, master) = (place.path("keys"), format!("file:{}", place.path("master")));
    place.run(&["init", "--no-defaults", "--filename", &keys, "--owner", NAME]);
    let store = place.keystore("keystore");
    for uri in [
        NAME.to_owned(),
        format!("file:{NAME}"),
        format!("vault-transit:https://{NAME}"),
    ] {
        place.run(&[
            "list",
            "--no-defaults",
            "--keystore",
            &store[2],
            "--master-key",
            &uri,
        ]);
        place.run(&[&["rotate-master-key", "--to", &uri], &words(&store)[..]].concat());
    }
    let option_file = PathBuf::from(place.path("my.cnf"));
    let value = NAME.replace('\n', "\\n").replace('\r', "\\r");
    for option in ["keyroll_filename", "keyroll_filekey"] {
        fs::write(
            &option_file,
            format!("[mysqld]\nkeyroll_filename = /none\n{option} = \"FILE:/{value}\"\n"),
        )
        .unwrap();
        place.run(&["list", "--defaults-file", option_file.to_str().unwrap()]);
    }
    place.run(&[
        "init",
        "--no-defaults",
        "--keystore",
        &keys,
        "--master-key",
        &master,
        "--owner",
        NAME,
    ]);
}

#[test]
fn what_a_provider_says_forges_no_line() {
    let place = Place::new();
    let store = place.keystore("keystore");
    let says = r"printf 'a\n\r\033[2KFORGED line\n' >&2; exit 1";
    let to = place.script(NAME, says);
    place.run(&[&["rotate-master-key", "--to", &to], &words(&store)[..]].concat());
}

#[test]
fn what_a_service_answers_and_where_it_is_forges_no_line() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let answering = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 8192]);
            let body = r#"{"__type":"x#AccessDeniedException","message":"a\n\r\u001b[2KFORGED line"}"#;
            let head = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n";
            let _ = write!(client, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    let place = Place::new();
    let store = place.keystore("keystore");
    let endpoint = format!("http://{NAME}");
    let arguments = [
        &["rotate-master-key", "--to", "aws-kms:alias/x"],
        &words(&store)[..],
    ]
    .concat();
    for (region, endpoint) in [
        (NAME, &*answering),
        ("eu-west-1", &*endpoint),
        ("eu-west-1", &*answering),
    ] {
        let environment = [
            ("AWS_ACCESS_KEY_ID", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_REGION", region),
            ("AWS_ENDPOINT_URL", endpoint),
        ];
        place.run_with(&environment, &arguments);
    }
}

#[test]
fn what_stands_in_a_key_file_forges_no_line() {
    let place = Place::new();
    let keys = place.path("keys");
    for line in ["1;\rFORGED line", "\x1b[2KFORGED line;00", "FORGED line"] {
        fs::write(&keys, line).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_keyroll"))
            .args(["list", "--no-defaults", "--filename", &keys])
            .output()
            .unwrap();
        // It is not quoted at all: it may be half a key.
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains("FORGED") && said.lines().count() <= 3, "{said}");
    }
}
