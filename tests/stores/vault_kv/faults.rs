//! What is particular to Vault KV in trouble; tests/outage has what all key services have in common.

use std::time::{Duration, Instant};

use keyroll::keys::NewVersions;
use keyroll::store::vault_kv::VaultKv;
use keyroll::store::{KeyStore, Rotate, StoreError};

use test_support::fault_proxy::{Fault, Proxy};
use test_support::openbao::Bao;
use test_support::vault_kv::*;

const SHORT: Duration = Duration::from_millis(400);

fn hasty(bao: &Bao, url: &str) -> VaultKv {
    let mut access = access(bao, token(&bao.root_token));
    access.timeout = SHORT;
    VaultKv::new(config(url, access)).unwrap()
}

/// The message of a failure, which must not hold the token.
fn words(bao: &Bao, error: &StoreError) -> String {
    let all = format!("{error} {} {error:?}", error.hint());
    assert!(!all.contains(&bao.root_token), "{all}");
    error.to_string()
}

#[test]
fn a_sealed_vault_is_told_and_comes_back() {
    let bao = Bao::start();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let store = store(&bao, &mount);
    let before = ring(&store.load().unwrap());
    bao.seal();
    for error in [
        store.load().unwrap_err(),
        look(&store, &before).unwrap_err(),
        store
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, Some(&before))
            .unwrap_err(),
    ] {
        assert!(words(&bao, &error).ends_with("is sealed"), "{error}");
    }
    bao.unseal();
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, Some(&before))
        .unwrap();
    assert_eq!(names(&look(&store, &before).unwrap().keys), [(1, 2), (1, 3)]);
}

#[test]
fn a_look_that_hangs_ends_at_once_when_told() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let proxy = Proxy::plain(bao.plain_port);
    let url = format!("{}/v1/{mount}", proxy.url());
    let patient = VaultKv::new(config(&url, access(bao, token(&bao.root_token)))).unwrap();
    let before = ring(&patient.load().unwrap());
    proxy.makes(Fault::Hanging);
    let mut source = patient.change_source().unwrap();
    let interrupt = source.interrupter();
    let looking = std::thread::spawn(move || source.refresh(&before, &Default::default()).unwrap_err());
    std::thread::sleep(SHORT);
    let start = Instant::now();
    interrupt();
    looking.join().unwrap();
    assert!(
        start.elapsed() < Duration::from_millis(100),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_connection_that_is_cut_anywhere_in_several_answers_is_an_error_and_no_key() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let proxy = Proxy::plain(bao.plain_port);
    let url = format!("{}/v1/{mount}", proxy.url());
    let mut once = access(bao, token(&bao.root_token));
    once.max_retries = 0;
    let load = || VaultKv::new(config(&url, once.clone())).unwrap().load();
    let mut cut = 0;
    loop {
        proxy.makes(Fault::CutAfter(cut));
        match load() {
            Ok(loaded) => break assert_eq!(names(&loaded.keys), [(1, 1)]),
            Err(error) => assert!(
                words(bao, &error).contains("in the middle of an answer"),
                "{cut}: {error}"
            ),
        }
        cut += 70;
    }
    // Five answers.
    assert!(cut > 1500, "{cut}");
}

#[test]
fn answers_that_are_none_are_refused() {
    let bao = Bao::shared();
    let proxy = Proxy::plain(bao.plain_port);
    for (status, body, expected) in [
        ("502 Bad Gateway", "s3cr3t", "fails (status 502)"),
        ("418 I'm a teapot", "s3cr3t", "(status 418)"),
        ("200 OK", "s3cr3t", "that is not Vault's"),
        ("200 OK", "{\"data\": \"s3cr3t\"}", "that is not Vault's"),
        ("302 Found", "s3cr3t", "(status 302)"),
    ] {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        proxy.makes(Fault::Answer(answer.leak()));
        let store = hasty(bao, &format!("{}/v1/secret", proxy.url()));
        let error = store.load().unwrap_err();
        let text = words(bao, &error);
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(
            !format!("{text} {error:?} {}", error.hint()).contains("s3cr3t"),
            "{text}"
        );
    }
}

#[test]
fn a_vault_elsewhere_is_not_asked_without_tls() {
    let bao = Bao::shared();
    let plain = access(bao, token(&bao.root_token));
    let error = VaultKv::new(config("http://192.0.2.1/v1/secret", plain)).unwrap_err();
    assert!(error.to_string().contains("without TLS"), "{error}");
}
