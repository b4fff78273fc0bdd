//! The commands and settings of docs/vault.md, run as they stand there: only places and the host are others.

use std::fs;
use std::path::Path;
use std::process::Command;

use keyroll::durable::SecretSource;
use keyroll::keys::NewVersions;
use keyroll::service::vault::Login;
use keyroll::settings::variables;
use keyroll::store::{KeyStore, Rotate};

use test_support::blocks;
use test_support::openbao::Bao;
use test_support::vault_kv::*;

const PAGE: &str = include_str!("../../../docs/vault.md");

/// Runs a block in the directory that stands for /etc/mysql.
fn run(bao: &Bao, directory: &Path, block: &str) {
    let place = directory.display().to_string();
    let script = block
        .replace("/etc/mysql/mariadb.conf.d", &place)
        .replace("/etc/mysql", &place)
        .replace("vault.example:8200", &format!("127.0.0.1:{}", bao.port))
        .replace("VAULT_TOKEN=...", &format!("VAULT_TOKEN={}", bao.root_token))
        // There need not be such a user here.
        .replace("chown mysql", "test -f");
    let commands = [
        Path::new(env!("CARGO_BIN_EXE_keyroll")),
        &test_support::openbao::program(),
    ]
    .map(|program| program.parent().unwrap().to_owned());
    let path = format!(
        "{}:{}:{}",
        commands[0].display(),
        commands[1].display(),
        std::env::var("PATH").unwrap()
    );
    let output = Command::new("sh")
        .args(["-e", "-c", &script])
        .current_dir(directory)
        .env("PATH", path)
        .env("BAO_ADDR", bao.url(""))
        .env("BAO_TOKEN", &bao.root_token)
        .env("BAO_CACERT", bao.path("ca.pem"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}\n{output:?}");
}

#[test]
fn every_command_of_the_page_works_in_its_order() {
    let bao = Bao::start();
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    fs::copy(bao.path("ca.pem"), directory.join("vault-ca.pem")).unwrap();
    let peer = "[mariadbd]\nplugin-load-add = hashicorp_key_management\nhashicorp-key-management-token = FILE:x\n\
                hashicorp_key_management_cache_version_timeout = 1\n";
    fs::write(directory.join("hashicorp_key_management.cnf"), peer).unwrap();
    fs::write(directory.join("policy.hcl"), blocks(PAGE, "hcl")[0]).unwrap();

    let commands = blocks(PAGE, "sh");
    assert_eq!(commands.len(), 5);
    for block in &commands {
        run(&bao, directory, block);
    }
    let moved = fs::read_to_string(directory.join("hashicorp_key_management.cnf")).unwrap();
    assert_eq!(
        moved,
        "[mariadbd]\nplugin-load-add = keyroll\nkeyroll-token = FILE:x\nkeyroll_cache_version_timeout = 1\n"
    );
    assert!(directory.join("keystore").exists());

    // The token that it made may do all that the page says.
    let login = Login::Token(SecretSource::File(directory.join("vault-token")));
    let store = store_with(&bao, "keys", Some(login));
    let before = ring(&store.load().unwrap());
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, Some(&before))
        .unwrap();
    assert_eq!(
        names(&look(&store, &before).unwrap().keys),
        [(1, 2), (1, 3), (2, 2), (2, 3)]
    );
    // And one with the rights for transit may rotate the master key, and wrap the keystore that the page made anew.
    bao.must(
        "PUT",
        "sys/policies/acl/transit",
        &serde_json::json!({"policy": blocks(PAGE, "hcl")[1]}),
    );
    let rotate = "export VAULT_TOKEN=$(bao token create -policy=transit -field=token) VAULT_CACERT=/etc/mysql/vault-ca.pem
        keyroll rotate-master-key --no-defaults --keystore /etc/mysql/keystore \
            --master-key vault-transit:https://vault.example:8200/transit/mariadb";
    run(&bao, directory, rotate);
    let keystore = fs::read_to_string(directory.join("keystore")).unwrap();
    assert!(keystore.contains(r#""key_version":"2""#), "{keystore}");
}

#[test]
fn every_setting_of_the_page_is_a_variable() {
    let known: Vec<&str> = variables().iter().map(|variable| variable.name).collect();
    for block in blocks(PAGE, "ini") {
        for line in block.lines().filter(|line| line.starts_with("keyroll")) {
            let name = line.split('=').next().unwrap().trim().replace('-', "_");
            assert!(known.contains(&name.as_str()), "{line}");
        }
    }
}
