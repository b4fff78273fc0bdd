//! Vault that is away, in each way; the words for each are its own.

use std::time::{Duration, Instant};

use keyroll::keystore::vault_kv::VaultKv;
use keyroll::keystore::{KeyStore, KeyStoreError, NewVersions, Rotate};

use crate::openbao::Bao;
use crate::support::*;

const SHORT: Duration = Duration::from_millis(400);

fn hasty(bao: &Bao, url: &str) -> VaultKv {
    let mut access = access(bao, token(&bao.root_token));
    access.timeout = SHORT;
    VaultKv::new(config(url, access)).unwrap()
}

/// The message of a failure, which must not hold the token.
fn words(bao: &Bao, error: &KeyStoreError) -> String {
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
            .rotate(Rotate::All, NewVersions::DEFAULT, Some(&before))
            .unwrap_err(),
    ] {
        assert!(words(&bao, &error).ends_with("is sealed"), "{error}");
    }
    bao.unseal();
    store
        .rotate(Rotate::All, NewVersions::DEFAULT, Some(&before))
        .unwrap();
    assert_eq!(names(&look(&store, &before).unwrap().keys), [(1, 2), (1, 3)]);
}

#[test]
fn a_vault_that_hangs_is_left_in_time_and_at_once_when_told() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let proxy = Proxy::to(bao.port);
    let url = format!("https://127.0.0.1:{}/v1/{mount}", proxy.port);
    let store = hasty(bao, &url);
    let before = ring(&store.load().unwrap());
    proxy.set(Mode::Hang);
    let start = Instant::now();
    let error = look(&store, &before).unwrap_err();
    assert!(words(bao, &error).contains("gave no answer within"), "{error}");
    assert!(start.elapsed() < 3 * SHORT, "{:?}", start.elapsed());
    proxy.set(Mode::Forward);
    look(&store, &before).unwrap();

    let patient = VaultKv::new(config(&url, access(bao, token(&bao.root_token)))).unwrap();
    patient.load().unwrap();
    proxy.set(Mode::Hang);
    let mut watch = patient.watch().unwrap();
    let interrupt = watch.interrupter();
    let looking = std::thread::spawn(move || watch.refresh(&before, &Default::default()).unwrap_err());
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
fn a_connection_that_is_cut_anywhere_is_an_error_and_no_key() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let proxy = Proxy::to(bao.plain_port);
    let url = format!("http://127.0.0.1:{}/v1/{mount}", proxy.port);
    let whole = hasty(bao, &url);
    whole.load().unwrap();
    let mut once = access(bao, token(&bao.root_token));
    once.max_retries = 0;
    for cut in (0..1500).step_by(70) {
        proxy.set(Mode::CutAfter(cut));
        let error = VaultKv::new(config(&url, once.clone()))
            .unwrap()
            .load()
            .unwrap_err();
        let text = words(bao, &error);
        assert!(
            text.contains("in the middle of an answer") || text.contains("HTTP") || text.contains("closed"),
            "{cut}: {text}"
        );
    }
}

#[test]
fn answers_that_are_none_are_refused_in_bounded_memory() {
    let bao = Bao::shared();
    let answer = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    let flood = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n{}",
        "x".repeat(1 << 20)
    )
    .into_bytes();
    for (bytes, expected) in [
        (
            answer("500 Internal Server Error", "s3cr3t"),
            "fails (status 500)",
        ),
        (answer("502 Bad Gateway", "s3cr3t"), "fails (status 502)"),
        (
            answer("429 Too Many Requests", "s3cr3t"),
            "too often (status 429)",
        ),
        (answer("418 I'm a teapot", "s3cr3t"), "(status 418)"),
        (answer("200 OK", "s3cr3t"), "that is not Vault's"),
        (answer("200 OK", "{\"data\": \"s3cr3t\"}"), "that is not Vault's"),
        (answer("302 Found", "s3cr3t"), "(status 302)"),
        (b"s3cr3t\r\n\r\n".to_vec(), "does not answer in HTTP"),
        (flood, "more than 1048576 bytes"),
    ] {
        let port = answering(bytes);
        let store = hasty(bao, &format!("http://127.0.0.1:{port}/v1/secret"));
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
fn a_certificate_that_does_not_vouch_for_the_host_is_refused() {
    let bao = Bao::shared();
    let mount = bao.kv();
    let url = bao.url(&format!("v1/{mount}"));
    let mut strange = access(bao, token(&bao.root_token));
    strange.tls.ca = Some(bao.path("other.pem"));
    let error = VaultKv::new(config(&url, strange)).unwrap().load().unwrap_err();
    assert!(words(bao, &error).contains("no secure connection"), "{error}");
    assert!(error.hint().contains("keyroll_vault_ca"), "{}", error.hint());
    let elsewhere = url.replace("127.0.0.1", "127.0.0.2");
    // OpenBao listens on the one address alone; the name in the certificate is what counts behind a proxy.
    VaultKv::new(config(&elsewhere, access(bao, token(&bao.root_token))))
        .unwrap()
        .load()
        .unwrap_err();
    let plain = access(bao, token(&bao.root_token));
    let error = VaultKv::new(config("http://192.0.2.1/v1/secret", plain)).unwrap_err();
    assert!(error.to_string().contains("without TLS"), "{error}");
}
