//! Requests that go by a proxy which is asked in TLS itself. The authorities of the system vouch for it, which are in a file of
//! the test's own here.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Instant;

use keyroll::net::NetFailure;

use super::proxies::{CREDENTIALS, client, plain_client, url, words};
use super::support::*;
use tempfile::TempPath;
use test_support::certificates::{Certificates, IN_FORCE};
use test_support::forward_proxy::{ForwardProxy, Manner};
use test_support::programs::is_alone;

/// Has the system's authorities in an empty file of its own.
const NO_AUTHORITIES: &str = "export SSL_CERT_FILE=$(mktemp)";

/// The file of the system's authorities.
fn system() -> TempPath {
    TempPath::try_from_path(std::env::var_os("SSL_CERT_FILE").unwrap()).unwrap()
}

fn in_tls(proxy: &ForwardProxy, login: &str) -> String {
    format!("https://{login}127.0.0.1:{}", proxy.port)
}

#[test]
fn a_proxy_in_tls_leads_on_and_is_verified_by_the_systems_authorities() {
    if !is_alone(
        "net::tls_proxies::a_proxy_in_tls_leads_on_and_is_verified_by_the_systems_authorities",
        NO_AUTHORITIES,
    ) {
        return;
    }
    let (of_system, of_vault) = (Certificates::new(), Certificates::new());
    let system = system();
    fs::copy(of_system.path("ca.pem"), &system).unwrap();
    let server = tls_server(&of_vault.of("vault.test", IN_FORCE), None);
    let hosts = [("vault.test:8200", server.port)];
    let identity = of_system.of("127.0.0.1", IN_FORCE);
    let proxy = ForwardProxy::tls(&identity, Manner::Wants(CREDENTIALS), &hosts);
    let target = url("https://vault.test:8200/v1/x");
    let in_two = client(&of_vault, &in_tls(&proxy, "user:s3cr3t@"));
    for _ in 0..3 {
        assert_eq!(get(&in_two, target.clone(), LONG).unwrap().body(), b"ok");
    }
    assert_eq!(proxy.asked(), ["CONNECT vault.test:8200 HTTP/1.1"]);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);

    // curl, which is told the two files.
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "20", "--cacert"])
        .arg(of_vault.path("ca.pem"));
    curl.env_clear()
        .env("https_proxy", in_tls(&proxy, "user:s3cr3t@"));
    curl.arg("https://vault.test:8200/v1/x");
    let refused = curl.output().unwrap();
    assert!(
        !refused.status.success(),
        "the authority of the service counts for the proxy, too"
    );
    let theirs = curl.arg("--proxy-cacert").arg(&system).output().unwrap();
    assert_eq!(theirs.stdout, b"ok", "{theirs:?}");
    let line = "CONNECT vault.test:8200 HTTP/1.1";
    assert_eq!(proxy.asked(), [line, line]);

    // Without TLS to the service: the proxy is asked for the whole URL.
    let plain = Server::start(answer_once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let proxy = ForwardProxy::tls(&identity, Manner::Leads, &[("vault.test", plain.port)]);
    let client = plain_client(&in_tls(&proxy, ""));
    for _ in 0..2 {
        let answer = get(&client, url("http://vault.test/v1/x"), LONG).unwrap();
        assert_eq!(answer.body(), b"ok");
    }
    let line = "GET http://vault.test/v1/x HTTP/1.1";
    assert_eq!(proxy.asked(), [line, line]);
}

#[test]
fn a_proxy_that_the_system_does_not_trust_is_told_from_the_service() {
    if !is_alone(
        "net::tls_proxies::a_proxy_that_the_system_does_not_trust_is_told_from_the_service",
        NO_AUTHORITIES,
    ) {
        return;
    }
    let (of_system, of_vault) = (Certificates::new(), Certificates::new());
    let system = system();
    fs::copy(of_system.path("ca.pem"), &system).unwrap();
    let server = tls_server(&of_vault.of("vault.test", IN_FORCE), None);
    let hosts = [("vault.test:443", server.port)];
    let target = url("https://vault.test/");
    // The authority that the settings name vouches for Vault alone.
    let proxy = ForwardProxy::tls(&of_vault.of("127.0.0.1", IN_FORCE), Manner::Leads, &hosts);
    let error = get(
        &client(&of_vault, &in_tls(&proxy, "user:s3cr3t@")),
        target.clone(),
        LONG,
    )
    .unwrap_err();
    let Some(NetFailure::ProxyTls(_)) = error.failure() else {
        panic!("{error:?}")
    };
    let told = words(&error);
    let named = format!(
        "no secure connection to the proxy 127.0.0.1:{} of https_proxy: ",
        proxy.port
    );
    assert!(told.starts_with(&named), "{told}");
    assert!(
        told.contains("update-ca-certificates") && told.contains("have vault.test asked directly: no_proxy"),
        "{told}"
    );
    assert!(!error.is_retryable() && proxy.asked().is_empty());
    // The hint is done.
    let mut authorities = File::options().append(true).open(&system).unwrap();
    authorities
        .write_all(&fs::read(of_vault.path("ca.pem")).unwrap())
        .unwrap();
    let answer = get(&client(&of_vault, &in_tls(&proxy, "")), target.clone(), LONG).unwrap();
    assert_eq!(answer.body(), b"ok");

    // It wants a certificate of the client.
    let strict = tls_server(&of_system.of("127.0.0.1", IN_FORCE), Some(&of_system.authority));
    for (client, target) in [
        (
            client(&of_vault, &format!("https://127.0.0.1:{}", strict.port)),
            target.clone(),
        ),
        (
            plain_client(&format!("https://127.0.0.1:{}", strict.port)),
            url("http://vault.test/"),
        ),
    ] {
        let error = get(&client, target, LONG).unwrap_err();
        let Some(NetFailure::ProxyTls(failure)) = error.failure() else {
            panic!("{error:?}")
        };
        assert!(matches!(**failure, NetFailure::ClientCertificate(_)), "{error:?}");
        assert!(
            words(&error).contains(&format!("the proxy 127.0.0.1:{}", strict.port)),
            "{error}"
        );
    }

    // It speaks no TLS, or hangs.
    let plain = Server::start(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let error = get(
        &client(&of_vault, &format!("https://127.0.0.1:{}", plain.port)),
        target.clone(),
        LONG,
    )
    .unwrap_err();
    let told = words(&error);
    assert!(
        told.contains("was asked with https and does not speak TLS, and vault.test is asked by it"),
        "{told}"
    );
    assert!(told.contains("write http:// in place of https://"), "{told}");
    let mute = ForwardProxy::start(Manner::Leads, &hosts);
    let start = Instant::now();
    let error = get(&client(&of_vault, &in_tls(&mute, "")), target.clone(), SHORT).unwrap_err();
    assert_eq!(error.failure(), Some(&NetFailure::TimedOut(SHORT)));
    assert!(start.elapsed() < SHORT * 2);
    let http = client(&of_vault, &mute.url(""));
    assert_eq!(get(&http, target, LONG).unwrap().body(), b"ok");
}
