//! Requests that go by a proxy of SOCKS, beside the real curl in the same environment.

use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use keyroll::cancel;
use keyroll::net::{NetError, NetFailure, ProxyRefusal};

use super::proxies::{CREDENTIALS, client, plain_client, url, words};
use super::support::*;
use test_support::certificates::{Certificates, IN_FORCE};
use test_support::forward_proxy::{ForwardProxy, Manner};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn refusal(error: &NetError) -> ProxyRefusal {
    match error.failure() {
        Some(NetFailure::ProxyRefuses(refusal)) => *refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_in_tls_goes_through_one_connection_and_the_server_is_verified() {
    let certificates = Certificates::new();
    let server = tls_server(&certificates.of("vault.test", IN_FORCE), None);
    let hosts = [("vault.test:8200", server.port), ("other.test:443", server.port)];
    let proxy = ForwardProxy::socks(Manner::Wants(CREDENTIALS), &hosts);
    let client = client(
        &certificates,
        &format!("socks5h://user:s3cr3t@127.0.0.1:{}", proxy.port),
    );
    for _ in 0..3 {
        let answer = get(&client, url("https://vault.test:8200/v1/x"), LONG).unwrap();
        assert_eq!(answer.body(), b"ok");
    }
    assert_eq!(proxy.asked(), ["SOCKS 5 vault.test:8200 by user:s3cr3t"]);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    // What the proxy leads to is another host.
    let error = get(&client, url("https://other.test/"), LONG).unwrap_err();
    assert!(matches!(error.failure(), Some(NetFailure::Tls(_))), "{error:?}");
    let words = words(&error);
    assert!(
        words.contains("is not for other.test: it is for vault.test") && words.contains("of https_proxy"),
        "{words}"
    );
}

#[test]
fn a_proxy_of_socks_is_asked_what_curl_asks_it() {
    let server = Server::start(answer_once(OK));
    let hosts = [
        ("vault.test:80", server.port),
        ("vault.test:8200", server.port),
        ("192.0.2.7:80", server.port),
        ("[2001:db8::7]:8200", server.port),
        ("2001:db8::7:8200", server.port),
    ];
    let mut led = 0;
    for scheme in ["socks", "socks4", "socks4a", "socks5", "socks5h", "SOCKS5H"] {
        for (login, wanted) in [
            ("", None),
            ("user:s3cr3t@", Some(CREDENTIALS)),
            ("user:s3cr3t@", None),
            ("us%65r:s3cr%33t@", Some(CREDENTIALS)),
            ("user@", Some("dXNlcjo=")),
            ("user:other@", Some(CREDENTIALS)),
            ("", Some(CREDENTIALS)),
        ] {
            for target in [
                "http://vault.test/",
                "http://vault.test:8200/v1/x",
                "http://192.0.2.7/",
                "http://[2001:db8::7]:8200/",
                "http://other.test/",
            ] {
                let manner = wanted.map_or(Manner::Leads, Manner::Wants);
                let proxy = ForwardProxy::socks(manner, &hosts);
                let variable = format!("{scheme}://{login}127.0.0.1:{}", proxy.port);
                let ours = get(&plain_client(&variable), url(target), LONG);
                let we_asked = proxy.asked();
                let mut curl = Command::new("curl");
                curl.args(["-sS", "--max-time", "20", target]).env_clear();
                let theirs = curl.env("http_proxy", &variable).output().unwrap();
                let case = format!("{variable} {target}: {ours:?} {theirs:?}");
                assert_eq!(proxy.asked()[we_asked.len()..], we_asked, "{case}");
                assert_eq!(ours.is_ok(), theirs.status.success(), "{case}");
                match ours {
                    Ok(answer) => {
                        led += 1;
                        assert_eq!((answer.body(), &theirs.stdout[..]), (&b"ok"[..], &b"ok"[..]));
                    }
                    Err(error) => {
                        words(&error);
                        assert!(error.had_no_effect(), "{case}");
                    }
                }
            }
        }
    }
    assert!(led > 60, "{led}");
}

#[test]
fn a_proxy_of_socks_that_does_not_lead_on_is_told_with_its_reason() {
    let certificates = Certificates::new();
    for (manner, scheme, login, expected, is_retryable, hint) in [
        (
            Manner::Wants(CREDENTIALS),
            "socks5h",
            "",
            ProxyRefusal::WantsLogin,
            false,
            "USER:PASSWORD@",
        ),
        (
            Manner::Wants("bm9ib2R5"),
            "socks5h",
            "user:s3cr3t@",
            ProxyRefusal::LoginRefused,
            false,
            "check them",
        ),
        (
            Manner::Leads,
            "socks5h",
            "",
            ProxyRefusal::Socks5(4),
            true,
            "no_proxy",
        ),
        (
            Manner::Leads,
            "socks4a",
            "",
            ProxyRefusal::Socks4(91),
            true,
            "no_proxy",
        ),
        (
            Manner::Leads,
            "socks5",
            "",
            ProxyRefusal::CannotName("this machine knows no such host"),
            true,
            "socks5h://",
        ),
        (
            Manner::Answers("HTTP/1.1 400 s3cr3t"),
            "socks5h",
            "",
            ProxyRefusal::OtherProtocol("SOCKS 5"),
            false,
            "socks5://",
        ),
        (
            Manner::Answers("HTTP/1.1 400 s3cr3t"),
            "socks4a",
            "",
            ProxyRefusal::OtherProtocol("SOCKS 4"),
            false,
            "socks5://",
        ),
    ] {
        let proxy = ForwardProxy::socks(manner, &[]);
        let client = client(
            &certificates,
            &format!("{scheme}://{login}127.0.0.1:{}", proxy.port),
        );
        let error = get(&client, url("https://vault.test:8200/"), LONG).unwrap_err();
        assert_eq!(refusal(&error), expected);
        assert_eq!(
            (error.is_retryable(), error.had_no_effect()),
            (is_retryable, true),
            "{error}"
        );
        let words = words(&error);
        let named = format!(
            "the proxy 127.0.0.1:{} of https_proxy does not lead to vault.test:8200: ",
            proxy.port
        );
        assert!(words.starts_with(&named) && words.contains(hint), "{words}");
    }
    let proxy = ForwardProxy::socks(Manner::Answers("\u{5}"), &[]);
    let client = client(&certificates, &format!("socks5h://127.0.0.1:{}", proxy.port));
    let error = get(&client, url("https://vault.test/"), LONG).unwrap_err();
    assert_eq!(error.failure(), Some(&NetFailure::CutOff));
}

#[test]
fn what_the_hints_say_of_a_proxy_of_socks_helps() {
    let certificates = Certificates::new();
    let server = tls_server(&certificates.of("vault.test", IN_FORCE), None);
    let target = url("https://vault.test/");
    let hosts = [("vault.test:443", server.port)];
    let closed = ForwardProxy::socks(Manner::Wants(CREDENTIALS), &hosts);
    let open = ForwardProxy::socks(Manner::Leads, &hosts);
    for (proxy, wrong, right) in [
        (&closed, "socks5h://", "socks5h://user:s3cr3t@"),
        (&open, "socks5://", "socks5h://"),
        (&open, "socks4://", "socks5h://"),
        (&open, "http://", "socks5h://"),
    ] {
        let at = |before: &str| client(&certificates, &format!("{before}127.0.0.1:{}", proxy.port));
        get(&at(wrong), target.clone(), SHORT).unwrap_err();
        assert_eq!(get(&at(right), target.clone(), LONG).unwrap().body(), b"ok");
    }
}

#[test]
fn a_proxy_of_socks_that_hangs_is_left_at_the_deadline_or_when_nobody_waits() {
    let certificates = Certificates::new();
    let proxy = ForwardProxy::socks(Manner::Hangs, &[]);
    for scheme in ["socks4a", "socks5h"] {
        let client = client(&certificates, &format!("{scheme}://127.0.0.1:{}", proxy.port));
        let start = Instant::now();
        let error = get(&client, url("https://vault.test/"), SHORT).unwrap_err();
        assert!(start.elapsed() < SHORT + Duration::from_millis(250));
        assert_eq!(error.failure(), Some(&NetFailure::TimedOut(SHORT)));
        assert!(words(&error).contains("of https_proxy"));
        let start = Instant::now();
        let error = cancel::while_wanted(
            move || start.elapsed() > SHORT,
            || get(&client, url("https://vault.test/"), LONG).unwrap_err(),
        );
        assert!(start.elapsed() < SHORT + Duration::from_millis(500));
        assert_eq!(error.failure(), Some(&NetFailure::Cancelled));
    }
}
