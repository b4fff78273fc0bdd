//! What is said of a Vault that is asked wrongly: the cause, and the setting that says it. Each remedy is tried.

use std::process::Command;
use std::time::Duration;

use keyroll::net::ClientCertificate;
use keyroll::settings::as_variables;
use keyroll::store::vault_kv::{VaultKv, VaultKvConfig};
use keyroll::store::{KeyStore, StoreError};
use serde_json::json;

use test_support::openbao::Bao;
use test_support::vault_kv::*;

/// Message and hint as a server shows them, which hold no token.
fn said(bao: &Bao, config: VaultKvConfig) -> (String, String) {
    let error: StoreError = match VaultKv::new(config) {
        Ok(store) => load_with(&store, &[]).unwrap_err(),
        Err(error) => error,
    };
    let (text, hint) = (error.to_string(), as_variables(&error.hint()).into_owned());
    assert!(
        !format!("{text} {hint} {error:?}").contains(&bao.root_token),
        "{error:?}"
    );
    assert!(text.len() < 480 && hint.len() < 480, "{text} {hint}");
    (text, hint)
}

fn as_root(bao: &Bao, path: &str) -> VaultKvConfig {
    config(
        &bao.url(&format!("v1/{path}")),
        access(bao, token(&bao.root_token)),
    )
}

#[test]
fn a_namespace_that_is_not_there_or_another_one_is_named() {
    let bao = Bao::shared();
    bao.must("POST", "sys/namespaces/right", &json!({}));
    bao.must("POST", "sys/namespaces/other", &json!({}));
    let kv = json!({"type": "kv", "options": {"version": "2"}});
    bao.must("POST", "right/sys/mounts/keys", &kv);
    std::thread::sleep(Duration::from_secs(1));
    bao.put("right/keys", 1, KEY);
    let of_right = bao.token(&reading("keys"), &json!({}));
    for (login, namespace) in [
        (&bao.root_token, "nowhere"),
        (&bao.root_token, "other"),
        (&of_right, "nowhere"),
        (&of_right, "other"),
    ] {
        let mut wrong = config(&bao.url("v1/keys"), access(bao, token(login)));
        wrong.vault.access.namespace = namespace.into();
        let (text, hint) = said(bao, wrong);
        assert!(text.contains(&format!("namespace {namespace}")), "{text}");
        assert!(hint.contains("keyroll_vault_namespace"), "{text}: {hint}");
    }
    let mut right = config(&bao.url("v1/keys"), access(bao, token(&bao.root_token)));
    right.vault.access.namespace = "right".into();
    assert_eq!(
        names(&VaultKv::new(right).unwrap().load().unwrap().keys),
        [(1, 1)]
    );
}

#[test]
fn a_part_of_requests_in_the_url_is_told_and_left_out() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    bao.put(&mount, "folder/1", KEY);
    for (path, left) in [
        (format!("{mount}/data"), mount.clone()),
        (format!("{mount}/metadata"), mount.clone()),
        (format!("{mount}/data/folder"), format!("{mount}/folder")),
    ] {
        for login in [bao.root_token.clone(), bao.token(&reading(&mount), &json!({}))] {
            let wrong = config(&bao.url(&format!("v1/{path}")), access(bao, token(&login)));
            let (text, hint) = said(bao, wrong);
            assert!(text.contains("there is no key in Vault KV"), "{text}");
            let part = hint.split("leave ").nth(1).unwrap().split(' ').next().unwrap();
            assert!(hint.contains("out of keyroll_vault_url"), "{hint}");
            assert_eq!(path.replacen(part, "", 1), left);
        }
        assert_eq!(names(&store(bao, &left).load().unwrap().keys), [(1, 1)]);
    }
}

#[test]
fn where_there_is_no_key_the_place_is_doubted_before_one_is_made() {
    let bao = Bao::shared();
    let empty = bao.kv();
    let (_, hint) = said(bao, as_root(bao, &empty));
    let (look, make) = (
        hint.find("keyroll_vault_url").unwrap(),
        hint.find("vault kv put").unwrap(),
    );
    assert!(
        look < make && hint.contains("Only where no data was ever encrypted"),
        "{hint}"
    );
}

#[test]
fn http_to_a_port_of_tls_and_the_reverse_are_told_with_the_setting() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let at = |scheme: &str, port: u16| {
        config(
            &format!("{scheme}://127.0.0.1:{port}/v1/{mount}"),
            access(bao, token(&bao.root_token)),
        )
    };
    let (text, hint) = said(bao, at("http", bao.port));
    assert!(text.ends_with("was asked with http and wants TLS"), "{text}");
    assert!(
        hint.contains("https://") && hint.contains("keyroll_vault_url"),
        "{hint}"
    );
    let (text, hint) = said(bao, at("https", bao.plain_port));
    assert!(
        text.ends_with("was asked with https and does not speak TLS"),
        "{text}"
    );
    assert!(
        hint.contains("port") && hint.contains("keyroll_vault_url"),
        "{hint}"
    );
    for right in [at("https", bao.port), at("http", bao.plain_port)] {
        VaultKv::new(right).unwrap().load().unwrap();
    }
}

#[test]
fn a_client_certificate_that_is_wanted_is_named_with_its_settings() {
    let bao = Bao::start_wanting_certificates();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let (text, hint) = said(&bao, as_root(&bao, &mount));
    assert!(text.contains("wants a client certificate"), "{text}");
    let settings = ["keyroll_vault_client_cert", "keyroll_vault_client_key"];
    assert!(settings.iter().all(|name| hint.contains(name)), "{hint}");
    let shown = |name: &str| {
        let mut config = as_root(&bao, &mount);
        config.vault.access.tls.client_certificate = Some(ClientCertificate {
            certificate: bao.path(&format!("{name}.pem")),
            key: bao.path(&format!("{name}.key")),
        });
        config
    };
    // One of an authority that the server does not trust.
    let (text, _) = said(&bao, shown("other"));
    assert!(text.contains("client certificate"), "{text}");
    assert_eq!(
        names(&VaultKv::new(shown("client")).unwrap().load().unwrap().keys),
        [(1, 1)]
    );
}

#[test]
fn a_file_that_is_no_pem_is_named_with_its_setting() {
    let bao = Bao::shared();
    let text_file = secret_file(bao, "no.pem", "s3cr3t");
    let mut ca = as_root(bao, "keys");
    ca.vault.access.tls.ca = Some(text_file.clone());
    let with = |certificate, key| {
        let mut config = as_root(bao, "keys");
        config.vault.access.tls.client_certificate = Some(ClientCertificate { certificate, key });
        config
    };
    for (wrong, setting) in [
        (ca, "keyroll_vault_ca"),
        (
            with(text_file.clone(), bao.path("client.key")),
            "keyroll_vault_client_cert",
        ),
        (
            with(bao.path("client.pem"), text_file),
            "keyroll_vault_client_key",
        ),
    ] {
        let (text, hint) = said(bao, wrong);
        assert!(
            text.contains("no.pem cannot be used as") && !text.contains("s3cr3t"),
            "{text}"
        );
        assert!(hint.contains(setting), "{hint}");
    }
}

#[test]
fn a_certificate_of_another_authority_is_told_with_the_setting() {
    let bao = Bao::shared();
    let mut wrong = as_root(bao, "keys");
    wrong.vault.access.tls.ca = Some(bao.path("other.pem"));
    let (text, hint) = said(bao, wrong);
    assert!(
        text.contains("no authority that is trusted here has signed"),
        "{text}"
    );
    assert!(hint.ends_with("keyroll_vault_ca names its file"), "{hint}");
    // The command shows what the server shows.
    let command = hint
        .split('`')
        .nth(1)
        .unwrap()
        .replace("-CAfile CA", "-CAfile ca.pem");
    let output = Command::new("sh")
        .args(["-c", &format!("{command} </dev/null")])
        .current_dir(bao.directory.path())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.contains("Verify return code: 0 (ok)"), "{output}");
}
