//! Whom the client trusts.

use keyroll::net::{ClientCertificate, HttpClient, HttpOptions, NetFailure, TlsOptions, Url};

use super::support::*;
use test_support::certificates::{Certificates, IN_FORCE, Identity};

fn https(server: &Server, host: &str) -> Url {
    Url::parse(&format!("https://{host}:{}/", server.port)).unwrap()
}

#[test]
fn a_server_with_a_certificate_of_the_authority_is_trusted() {
    let certificates = Certificates::new();
    let client = trusting(&certificates.path("ca.pem"));
    for host in ["127.0.0.1", "localhost"] {
        let server = tls_server(&certificates.of(host, IN_FORCE), None);
        assert_eq!(get(&client, https(&server, host), LONG).unwrap().body(), b"ok");
        assert_eq!(get(&client, https(&server, host), LONG).unwrap().body(), b"ok");
        assert_eq!(server.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    }
}

#[test]
fn every_other_certificate_is_refused_and_the_reason_is_told() {
    let certificates = Certificates::new();
    let stranger = Identity::new("Test Authority", None, IN_FORCE);
    let client = trusting(&certificates.path("ca.pem"));
    for (identity, reason) in [
        (certificates.of("127.0.0.1", -10..-1), "expired"),
        (certificates.of("127.0.0.1", 1..10), "not valid yet"),
        (certificates.of("vault.example", IN_FORCE), "not valid for name"),
        (
            Identity::new("127.0.0.1", Some(&stranger), IN_FORCE),
            "invalid peer certificate",
        ),
        (
            Identity::new("127.0.0.1", None, IN_FORCE),
            "certificate of an authority (CA:TRUE) as its own",
        ),
    ] {
        let server = tls_server(&identity, None);
        let error = get(&client, https(&server, "127.0.0.1"), LONG).unwrap_err();
        assert!(
            matches!(error.failure(), Some(NetFailure::Tls(_))) && !error.is_retryable(),
            "{error:?}"
        );
        assert!(error.to_string().contains(reason), "{reason}: {error}");
    }
}

#[test]
fn the_authorities_of_the_system_do_not_vouch_for_a_stranger() {
    let server = tls_server(&Identity::new("127.0.0.1", None, IN_FORCE), None);
    let client = HttpClient::new(HttpOptions::default()).unwrap();
    let error = get(&client, https(&server, "127.0.0.1"), LONG).unwrap_err();
    assert!(matches!(error.failure(), Some(NetFailure::Tls(_))), "{error:?}");
}

#[test]
fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let certificates = Certificates::new();
    let authority = &certificates.authority;
    let identity = certificates.of("127.0.0.1", IN_FORCE);
    let server = tls_server(&identity, Some(authority));
    let (certificate, key) = certificates
        .of("mariadb", IN_FORCE)
        .write(certificates.directory.path(), "client");
    let client = HttpClient::new(HttpOptions {
        tls: TlsOptions {
            ca: Some(certificates.path("ca.pem")),
            client_certificate: Some(ClientCertificate { certificate, key }),
        },
        ..HttpOptions::default()
    })
    .unwrap();
    assert_eq!(
        get(&client, https(&server, "127.0.0.1"), LONG).unwrap().body(),
        b"ok"
    );
    let nobody = trusting(&certificates.path("ca.pem"));
    get(&nobody, https(&server, "127.0.0.1"), LONG).unwrap_err();
}

#[test]
fn files_that_are_no_certificates_are_refused_by_their_names() {
    let certificates = Certificates::new();
    let directory = certificates.directory.path();
    std::fs::write(certificates.path("empty"), "").unwrap();
    std::fs::write(certificates.path("text"), "no certificate").unwrap();
    std::fs::write(
        certificates.path("broken"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    nix::unistd::mkfifo(&certificates.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for name in ["missing", "empty", "text", "broken", "ca.key", "pipe"] {
        let tls = TlsOptions {
            ca: Some(certificates.path(name)),
            client_certificate: None,
        };
        let error = HttpClient::new(HttpOptions {
            tls,
            ..HttpOptions::default()
        })
        .unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    let (certificate, _) = certificates.of("a", IN_FORCE).write(directory, "a");
    let (_, key_of_another) = certificates.of("b", IN_FORCE).write(directory, "b");
    let tls = TlsOptions {
        ca: None,
        client_certificate: Some(ClientCertificate {
            certificate,
            key: key_of_another,
        }),
    };
    let error = HttpClient::new(HttpOptions {
        tls,
        ..HttpOptions::default()
    })
    .unwrap_err();
    assert!(error.to_string().contains("b.key"), "{error}");
}

#[test]
fn a_server_without_tls_is_no_secure_connection() {
    let certificates = Certificates::new();
    let server = Server::start(|mut stream| {
        std::io::Write::write_all(
            &mut stream,
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        )
        .unwrap();
    });
    let client = trusting(&certificates.path("ca.pem"));
    let error = get(&client, https(&server, "127.0.0.1"), LONG).unwrap_err();
    assert!(
        matches!(error.failure(), Some(NetFailure::Tls(_) | NetFailure::CutOff)),
        "{error:?}"
    );
}
