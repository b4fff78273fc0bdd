//! Whom the client trusts.

use std::path::Path;
use std::process::Command;

use keyroll::net::{
    ClientCertificate, Deadline, HttpClient, HttpOptions, Method, NetError, NetFailure, Pem, PemFault,
    Request, TlsOptions, Url,
};
use keyroll::secret::SecretBytes;

use super::support::*;
use test_support::certificates::{Certificates, IN_FORCE, Identity};
use test_support::front::{self, Front};

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
        (
            certificates.of("vault.example", IN_FORCE),
            "is not for 127.0.0.1: it is for vault.example",
        ),
        (
            Identity::new("127.0.0.1", Some(&stranger), IN_FORCE),
            "an authority of the same name has another key",
        ),
        (
            Identity::new("127.0.0.1", None, IN_FORCE),
            "certificate of an authority (CA:TRUE) as its own",
        ),
    ] {
        let server = tls_server(&identity, None);
        let error = get(&client, https(&server, "127.0.0.1"), LONG).unwrap_err();
        assert!(
            matches!(
                error.failure(),
                Some(NetFailure::Tls(_) | NetFailure::UnfitCertificate(_))
            ) && !error.is_retryable(),
            "{error:?}"
        );
        assert!(error.to_string().contains(reason), "{reason}: {error}");
    }
}

#[test]
fn the_authorities_of_the_system_do_not_vouch_for_a_stranger() {
    let certificates = Certificates::new();
    let server = tls_server(&certificates.of("127.0.0.1", IN_FORCE), None);
    let client = HttpClient::new(HttpOptions::default()).unwrap();
    let error = get(&client, https(&server, "127.0.0.1"), LONG).unwrap_err();
    assert!(matches!(error.failure(), Some(NetFailure::Tls(_))), "{error:?}");
    assert!(
        error.to_string().contains("no authority that is trusted here"),
        "{error}"
    );
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
    // Of some servers the refusal comes while the request is still being written.
    let nobody = trusting(&certificates.path("ca.pem"));
    for _ in 0..20 {
        let body = SecretBytes::new(vec![b'x'; 1 << 20]);
        let request = Request::new(Method::POST, https(&server, "127.0.0.1")).body(body);
        let error = nobody.send(request, Deadline::after(LONG)).unwrap_err();
        assert!(
            matches!(error.failure(), Some(NetFailure::ClientCertificate(_))),
            "{error:?}"
        );
        assert!(
            error
                .to_string()
                .contains("wants a client certificate, and none was shown"),
            "{error}"
        );
    }
}

/// The error of a client with these files.
fn refused(ca: Option<&str>, client: Option<(&str, &str)>, at: &Certificates) -> NetError {
    let tls = TlsOptions {
        ca: ca.map(|name| at.path(name)),
        client_certificate: client.map(|(certificate, key)| ClientCertificate {
            certificate: at.path(certificate),
            key: at.path(key),
        }),
    };
    HttpClient::new(HttpOptions {
        tls,
        ..HttpOptions::default()
    })
    .unwrap_err()
}

#[test]
fn files_that_are_no_certificates_are_refused_by_their_names_and_not_quoted() {
    let certificates = Certificates::new();
    let write = |name, text: &str| std::fs::write(certificates.path(name), text).unwrap();
    let body = "czNjcjN0\n";
    write("empty", "");
    write("text", "s3cr3t");
    write(
        "broken",
        &format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"),
    );
    write("cut", &format!("-----BEGIN CERTIFICATE-----\n{body}"));
    write("begin", &format!("-----BEGIN s3cr3t---\n{body}"));
    write(
        "base64",
        "-----BEGIN CERTIFICATE-----\ns3cr3t!\n-----END CERTIFICATE-----\n",
    );
    nix::unistd::mkfifo(&certificates.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (name, reason) in [
        ("missing", "No such file"),
        ("empty", "there is no certificate in it"),
        ("text", "there is no certificate in it"),
        ("broken", "a certificate in it cannot be read"),
        ("cut", "-----END ...----- is missing"),
        ("begin", "-----BEGIN ...----- of it is broken"),
        ("base64", "its base64 is broken"),
        ("ca.key", "there is no certificate in it"),
        ("pipe", "not a regular file"),
    ] {
        let error = refused(Some(name), None, &certificates);
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(reason), "{text}");
        assert!(
            !format!("{text} {error:?} {}", error.hint()).contains("s3cr3t"),
            "{error:?}"
        );
    }
    let directory = certificates.directory.path();
    certificates.of("a", IN_FORCE).write(directory, "a");
    certificates.of("b", IN_FORCE).write(directory, "b");
    for (certificate, key, file, reason) in [
        (
            "a.pem",
            "b.key",
            "b.key",
            "does not belong to the client's certificate",
        ),
        ("a.pem", "a.pem", "a.pem", "there is no private key in it"),
        ("a.key", "a.key", "a.key", "there is no certificate in it"),
    ] {
        let text = refused(None, Some((certificate, key)), &certificates).to_string();
        assert!(text.contains(file) && text.contains(reason), "{text}");
    }
}

/// Runs commands of a shell in this directory.
fn run_in(directory: &Path, commands: &str) {
    let mut shell = Command::new("sh");
    let done = shell.args(["-ec", commands]).current_dir(directory).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{commands}: {done:?}");
}

#[test]
fn a_file_in_another_form_becomes_pem_as_the_hint_says() {
    let certificates = Certificates::new();
    let directory = certificates.directory.path();
    certificates.of("a", IN_FORCE).write(directory, "a");
    let run = |command: &str| run_in(directory, command);
    run("openssl x509 -in ca.pem -outform DER -out ca.der
         openssl x509 -in a.pem -outform DER -out a.der
         openssl pkey -in a.key -outform DER -out key.der
         openssl pkey -in a.key -aes256 -passout pass:x -out locked.key
         openssl ec -in a.key -aes256 -passout pass:x -out old.key");
    for (ca, client, pem, fault, mended) in [
        (
            Some("ca.der"),
            None,
            Pem::Authorities,
            PemFault::Der,
            (Some("new"), None),
        ),
        (
            None,
            Some(("a.der", "a.key")),
            Pem::Certificate,
            PemFault::Der,
            (None, Some(("new", "a.key"))),
        ),
        (
            None,
            Some(("a.pem", "key.der")),
            Pem::Key,
            PemFault::Der,
            (None, Some(("a.pem", "new"))),
        ),
        (
            None,
            Some(("a.pem", "locked.key")),
            Pem::Key,
            PemFault::Encrypted,
            (None, Some(("a.pem", "new"))),
        ),
        (
            None,
            Some(("a.pem", "old.key")),
            Pem::Key,
            PemFault::Encrypted,
            (None, Some(("a.pem", "new"))),
        ),
    ] {
        let error = refused(ca, client, &certificates);
        let NetError::BadPem {
            pem: found,
            fault: why,
            ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!((*found, *why), (pem, fault), "{error}");
        let hint = error.hint();
        let command = hint.split('`').nth(1).unwrap().replace("NEW", "new");
        // The password would be typed.
        let password = if fault == PemFault::Encrypted {
            " -passin pass:x"
        } else {
            ""
        };
        run(&format!("{command}{password}"));
        let (ca, client): (Option<&str>, Option<(&str, &str)>) = mended;
        let tls = TlsOptions {
            ca: ca.map(|name| certificates.path(name)),
            client_certificate: client.map(|(certificate, key)| ClientCertificate {
                certificate: certificates.path(certificate),
                key: certificates.path(key),
            }),
        };
        HttpClient::new(HttpOptions {
            tls,
            ..HttpOptions::default()
        })
        .unwrap();
    }
}

#[test]
fn a_server_whose_certificate_does_not_do_gets_one_as_the_hint_says() {
    let certificates = Certificates::new();
    let directory = certificates.directory.path();
    let openssl = |command: &str| run_in(directory, command);
    // An authority's own, one without names, and one of version 1, as openssl makes them where nothing is said.
    openssl(
        "openssl req -x509 -newkey rsa:2048 -noenc -keyout own.key -subj /CN=localhost -out own.pem
         openssl req -x509 -newkey rsa:2048 -noenc -keyout nameless.key -subj /CN=localhost -out nameless.pem \
             -addext basicConstraints=critical,CA:FALSE
         openssl req -newkey rsa:2048 -noenc -keyout old.key -subj /CN=localhost -out old.csr
         openssl x509 -req -in old.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out old.pem",
    );
    for (name, ca, reason) in [
        (
            "own",
            "own.pem",
            "certificate of an authority (CA:TRUE) as its own",
        ),
        ("nameless", "nameless.pem", "names no host"),
        ("old", "ca.pem", "names no host"),
    ] {
        let shown = |name: &str| {
            Front::tls(0, &certificates.path(&format!("{name}.pem")), |_, _| {
                Some(front::empty("200 OK", ""))
            })
        };
        for host in ["localhost", "127.0.0.1"] {
            let server = shown(name);
            let asked = Url::parse(&format!("https://{host}:{}/", server.port)).unwrap();
            let error = get(&trusting(&certificates.path(ca)), asked, LONG).unwrap_err();
            assert!(
                matches!(error.failure(), Some(NetFailure::UnfitCertificate(_))),
                "{name}: {error:?}"
            );
            assert!(error.to_string().contains(reason), "{name}: {error}");
            let hint = error.hint();
            let command = hint.split('`').nth(1).unwrap();
            openssl(
                &command
                    .replace("KEY", "made.key")
                    .replace("CERTIFICATE", "made.pem"),
            );
            let server = shown("made");
            let asked = Url::parse(&format!("https://{host}:{}/", server.port)).unwrap();
            let answer = get(&trusting(&certificates.path("made.pem")), asked, LONG);
            assert_eq!(answer.unwrap().status, 200);
        }
    }
}

#[test]
fn a_server_without_tls_is_told_from_one_with_a_bad_certificate() {
    let certificates = Certificates::new();
    let server = Server::start(|mut stream| {
        let _ = std::io::Write::write_all(
            &mut stream,
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        );
        // Until the client has gone.
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
    });
    let client = trusting(&certificates.path("ca.pem"));
    let error = get(&client, https(&server, "127.0.0.1"), LONG).unwrap_err();
    assert_eq!(error.failure(), Some(&NetFailure::SpeaksNoTls), "{error:?}");
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
}

#[test]
fn a_server_that_wants_tls_is_told_whether_it_says_so_in_http_or_in_tls() {
    let answer = |text: &str| {
        let length = text.len();
        format!("HTTP/1.0 400 Bad Request\r\nContent-Length: {length}\r\n\r\n{text}").into_bytes()
    };
    for bytes in [
        answer("Client sent an HTTP request to an HTTPS server.\n"),
        answer("<center>The plain HTTP request was sent to HTTPS port</center>"),
        vec![0x15, 3, 1, 0, 2, 2, 22],
        vec![0x15, 3, 3, 0, 2, 2, 70],
    ] {
        let server = Server::start(answer_once(bytes));
        let error = get(&plain(), server.url(), LONG).unwrap_err();
        assert_eq!(error.failure(), Some(&NetFailure::SpeaksTls), "{error:?}");
        assert!(
            error.to_string().ends_with("was asked with http and wants TLS"),
            "{error}"
        );
    }
    // A body of other things may begin like that.
    let answered = Server::start(answer_once(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\x15\x03\x01".to_vec(),
    ));
    assert_eq!(get(&plain(), answered.url(), LONG).unwrap().body(), [0x15, 3, 1]);
}
