//! `keyroll import --from-aws`: what it says of files of aws_key_management that are missing or damaged.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use test_support::aws::{REGION, Server, shared_moto};

/// A data directory of aws_key_management with these versions of key 1.
fn data_directory(moto: &Server, versions: &[u32]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let key = moto.create_key();
    for version in versions {
        let made = moto.kms(
            "GenerateDataKeyWithoutPlaintext",
            &json!({ "KeyId": key, "KeySpec": "AES_128" }),
        );
        let bytes = BASE64_STANDARD
            .decode(made["CiphertextBlob"].as_str().unwrap())
            .unwrap();
        fs::write(directory.path().join(format!("aws-kms-key.1.{version}")), bytes).unwrap();
    }
    directory
}

fn import(moto: &Server, directory: &Path, more: &[&str]) -> Output {
    let keystore = directory.join("keystore");
    let master = format!("file:{}", directory.join("master").display());
    Command::new(env!("CARGO_BIN_EXE_keyroll"))
        .args(["import", "--no-defaults", "--master-key", &master])
        .arg("--keystore")
        .arg(&keystore)
        .arg("--from-aws")
        .arg(directory)
        .args(more)
        .env_clear()
        .envs(moto.environment())
        .output()
        .unwrap()
}

#[test]
fn a_damaged_file_is_called_damaged_whatever_the_damage() {
    let moto = shared_moto();
    for (damage, words) in [
        (Damage::Empty, " is damaged: it is empty"),
        (
            Damage::Long,
            " is damaged: it is longer than any ciphertext of AWS KMS",
        ),
        (Damage::Changed, " is damaged"),
        (Damage::CutOff, " is damaged"),
        (
            Damage::OtherLength,
            " is damaged: what AWS KMS decrypts of it has not 16, 24 or 32 bytes",
        ),
    ] {
        let directory = data_directory(moto, &[1, 2]);
        let file = directory.path().join("aws-kms-key.1.2");
        let good = fs::read(&file).unwrap();
        let bytes = damage.of(moto, &good);
        fs::write(&file, &bytes).unwrap();
        let refused = import(moto, directory.path(), &[]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("{}{words}", file.display())), "{said}");
        assert!(said.contains("a backup of that data directory"), "{said}");
        assert!(
            !said.contains("‹") && !said.contains("wrapped this keystore"),
            "{said}"
        );
        assert!(!directory.path().join("keystore").exists());
        assert_eq!(fs::read(&file).unwrap(), bytes, "what is imported is only read");

        fs::write(&file, good).unwrap();
        let done = import(moto, directory.path(), &[]);
        assert!(done.status.success(), "{done:?}");
    }
}

enum Damage {
    Empty,
    Long,
    Changed,
    CutOff,
    OtherLength,
}

impl Damage {
    fn of(&self, moto: &Server, good: &[u8]) -> Vec<u8> {
        match self {
            Damage::Empty => Vec::new(),
            Damage::Long => vec![1; 6145],
            Damage::Changed => {
                let mut changed = good.to_vec();
                *changed.last_mut().unwrap() ^= 1;
                changed
            }
            Damage::CutOff => good[..good.len() / 2].to_vec(),
            Damage::OtherLength => {
                let plaintext = BASE64_STANDARD.encode([7; 20]);
                let made = moto.kms(
                    "Encrypt",
                    &json!({ "KeyId": moto.create_key(), "Plaintext": plaintext }),
                );
                BASE64_STANDARD
                    .decode(made["CiphertextBlob"].as_str().unwrap())
                    .unwrap()
            }
        }
    }
}

#[test]
fn a_gap_or_a_missing_key_1_is_refused_unless_told_to_go_on() {
    let moto = shared_moto();
    for (remove, told) in [
        (1, "those of version 1 of key 1"),
        (2, "those of version 2 of key 1"),
    ] {
        let directory = data_directory(moto, &[1, 2, 3]);
        fs::remove_file(directory.path().join(format!("aws-kms-key.1.{remove}"))).unwrap();
        let refused = import(moto, directory.path(), &[]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains(told) && said.contains("--allow-missing"), "{said}");
        assert!(!directory.path().join("keystore").exists());
        let done = import(moto, directory.path(), &["--allow-missing"]);
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(
            done.status.success() && said.contains("warning: ") && said.contains(told),
            "{said}"
        );
        assert!(said.contains("keys: 1, versions: 2"), "{said}");
    }
    let directory = data_directory(moto, &[1]);
    fs::rename(
        directory.path().join("aws-kms-key.1.1"),
        directory.path().join("aws-kms-key.2.1"),
    )
    .unwrap();
    let said = String::from_utf8(import(moto, directory.path(), &[]).stderr).unwrap();
    assert!(said.contains("those of key 1"), "{said}");
    assert!(
        import(moto, directory.path(), &["--allow-missing"])
            .status
            .success()
    );
}

#[test]
fn the_region_comes_from_the_option_files_before_and_after_their_prefix_is_changed() {
    let moto = shared_moto();
    for prefix in ["aws_key_management", "keyroll"] {
        let directory = data_directory(moto, &[1]);
        let data = directory.path().to_str().unwrap();
        let of_kms = format!(
            "{prefix}_region = {REGION}\n{prefix}-endpoint-url = {}\n",
            moto.url()
        );
        fs::write(directory.path().join("my.cnf"), format!("[mysqld]\n{of_kms}")).unwrap();
        let (keystore, master_key) = (
            format!("{data}/keystore"),
            format!("aws-kms:{}", moto.create_key()),
        );
        let run = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
            command
                .args(args)
                .args(["--keystore", &keystore, "--master-key", &master_key])
                .env_clear()
                .envs(moto.environment())
                .env_remove("AWS_REGION")
                .env_remove("AWS_ENDPOINT_URL")
                .env("MYSQL_HOME", data);
            let output = command.output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            (
                output.status.success(),
                said,
                String::from_utf8(output.stdout).unwrap(),
            )
        };
        let (is_there, said, _) = run(&["check"]);
        assert!(!is_there);
        // `check` prints to standard output, `list` does not.
        let (is_there, listed, _) = run(&["list"]);
        assert!(
            !is_there && listed.contains(&format!("import --from-aws {data}")),
            "{listed}{said}"
        );
        let (is_done, said, lines) = run(&["import", "--from-aws", data]);
        assert!(is_done, "{said}");
        assert!(lines.contains(&format!("keyroll_region = {REGION}\n")), "{lines}");
        let (is_read, said, _) = run(&["list"]);
        assert_eq!(is_read, prefix == "keyroll", "{said}");
    }
}
