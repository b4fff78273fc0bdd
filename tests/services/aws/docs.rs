//! What docs/aws-kms.md says is true: its commands run, in their order, and its statement gives the rights that are needed.

use std::process::Command;

use keyroll::settings::variables;
use serde_json::{Value, json};

use super::support::{PATIENT, opened, works};
use test_support::aws::{REGION, Server, installed};
use test_support::blocks;

const PAGE: &str = include_str!("../../../docs/aws-kms.md");

#[test]
fn every_command_of_the_page_runs() {
    let moto = Server::moto(&[]);
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    // The sign of a data directory, where this keystore may lie: `check` has no warning for it.
    std::fs::write(directory.path().join("ibdata1"), "").unwrap();
    let blocks = blocks(PAGE, "sh");
    assert_eq!(blocks.len(), 5);
    // The last one makes a keystore anew, of key files of the peer.
    let peer = r#"rm "$DATA"/keyroll.keystore*
        aws kms generate-data-key-without-plaintext --key-id alias/mariadb --key-spec AES_128 \
            --query CiphertextBlob --output text | base64 -d > "$DATA/aws-kms-key.1.1""#;
    let script = [&blocks[..4], &[peer], &blocks[4..]].concat().join("\n");
    let programs = installed("aws").parent().unwrap().display().to_string();
    let command = env!("CARGO_BIN_EXE_keyroll").strip_suffix("/keyroll").unwrap();
    let ran = Command::new("sh")
        .args(["-euxc", &script.replace("/var/lib/mysql", data)])
        .env_clear()
        .envs(moto.environment())
        .env("AWS_DEFAULT_REGION", REGION)
        .env("HOME", data)
        .env("DATA", data)
        .env("PATH", format!("{command}:{programs}:/usr/bin:/bin"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("imported the keys of aws_key_management"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn every_setting_of_the_page_is_a_variable() {
    let known: Vec<&str> = variables().iter().map(|variable| variable.name).collect();
    let settings: Vec<&str> = blocks(PAGE, "ini")
        .into_iter()
        .flat_map(str::lines)
        .filter(|line| line.starts_with("keyroll_"))
        .collect();
    assert_eq!(settings.len(), 5);
    for line in settings {
        let name = line.split('=').next().unwrap().trim();
        assert!(known.contains(&name), "{line}");
    }
}

#[test]
fn the_statement_of_the_page_gives_the_rights_that_are_needed() {
    let moto = Server::moto(&[("INITIAL_NO_AUTH_ACTION_COUNT", "4")]);
    let key = moto.create_key();
    let [statement] = blocks(PAGE, "json")[..] else {
        panic!("there is one statement");
    };
    let mut policy: Value = serde_json::from_str(statement).unwrap();
    assert_eq!(
        policy["Statement"][0]["Action"],
        json!(["kms:Encrypt", "kms:Decrypt"])
    );
    policy["Statement"][0]["Resource"] = "*".into();
    works(&*opened(&key, &moto.environment_of_user(&policy), PATIENT));
}
