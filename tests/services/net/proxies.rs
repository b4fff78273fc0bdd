//! Requests that go by a proxy of the environment. Names that end with `.test` are known to the proxy alone.

use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use keyroll::cancel;
use keyroll::net::{
    HttpClient, HttpOptions, NetError, NetFailure, PlainHttp, Proxies, ProxyRefusal, TlsOptions, Url,
};
use keyroll::service::ErrorKind;

use super::support::*;
use test_support::certificates::{Certificates, IN_FORCE};
use test_support::forward_proxy::{ForwardProxy, Manner};

/// `user:s3cr3t` in base64.
pub(super) const CREDENTIALS: &str = "dXNlcjpzM2NyM3Q=";

pub(super) fn proxies(variable: &'static str, url: &str) -> Proxies {
    Proxies::from_environment(|name| (name == variable).then_some(url))
}

pub(super) fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

/// A client that trusts this authority, by the proxy of this URL.
pub(super) fn client(certificates: &Certificates, proxy: &str) -> HttpClient {
    HttpClient::new(HttpOptions {
        tls: TlsOptions {
            ca: Some(certificates.path("ca.pem")),
            client_certificate: None,
        },
        proxies: proxies("https_proxy", proxy),
        ..HttpOptions::default()
    })
    .unwrap()
}

/// A client without TLS, by the proxy of this URL.
pub(super) fn plain_client(proxy: &str) -> HttpClient {
    HttpClient::for_plain_http(HttpOptions {
        plain_http: PlainHttp::Anywhere,
        proxies: proxies("http_proxy", proxy),
        ..HttpOptions::default()
    })
}

/// All that is said of an error, which must not hold a password.
pub(super) fn words(error: &NetError) -> String {
    let all = format!("{error} {} {error:?}", error.hint());
    assert!(!all.contains("s3cr3t") && !all.contains(CREDENTIALS), "{all}");
    format!("{error} {}", error.hint())
}

#[test]
fn a_request_in_tls_goes_through_one_tunnel_and_the_server_is_verified() {
    let certificates = Certificates::new();
    let server = tls_server(&certificates.of("vault.test", IN_FORCE), None);
    let proxy = ForwardProxy::start(
        Manner::Wants(CREDENTIALS),
        &[("vault.test:8200", server.port), ("other.test:443", server.port)],
    );
    let client = client(&certificates, &proxy.url("user:s3cr3t@"));
    for _ in 0..3 {
        assert_eq!(
            get(&client, url("https://vault.test:8200/v1/x"), LONG)
                .unwrap()
                .body(),
            b"ok"
        );
    }
    assert_eq!(proxy.asked(), ["CONNECT vault.test:8200 HTTP/1.1"]);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    // What the proxy leads to is another host.
    let error = get(&client, url("https://other.test/"), LONG).unwrap_err();
    assert!(matches!(error.failure(), Some(NetFailure::Tls(_))), "{error:?}");
    let words = words(&error);
    assert!(
        words.contains("is not for other.test: it is for vault.test"),
        "{words}"
    );
    assert!(words.contains("of https_proxy"), "{words}");
}

#[test]
fn a_request_without_tls_names_the_whole_url_to_the_proxy() {
    let server = Server::start(answer_once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let proxy = ForwardProxy::start(Manner::Wants(CREDENTIALS), &[("vault.test:8200", server.port)]);
    let client = plain_client(&proxy.url("user:s3cr3t@"));
    for _ in 0..2 {
        let answer = get(&client, url("http://vault.test:8200/v1/x?list=true"), LONG).unwrap();
        assert_eq!(answer.body(), b"ok");
    }
    let line = "GET http://vault.test:8200/v1/x?list=true HTTP/1.1";
    assert_eq!(proxy.asked(), [line, line]);
    // This machine itself is asked directly.
    let direct = Server::start(answer_once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    assert_eq!(get(&client, direct.url(), LONG).unwrap().body(), b"ok");
    assert_eq!(proxy.asked().len(), 2);
}

#[test]
fn a_proxy_that_refuses_is_named_with_its_variable_and_without_its_password() {
    let certificates = Certificates::new();
    let answer = |status: &str| -> &'static str {
        format!("HTTP/1.1 {status}\r\nContent-Length: 6\r\n\r\ns3cr3t").leak()
    };
    for (manner, status, is_retryable, hint) in [
        (
            Manner::Wants("bm9ib2R5"),
            407,
            false,
            "before the proxy's host: USER:PASSWORD@",
        ),
        (Manner::Answers(answer("403 Forbidden")), 403, false, "no_proxy"),
        (Manner::Answers(answer("502 Bad Gateway")), 502, true, "no_proxy"),
        (Manner::Leads, 502, true, "no_proxy"),
    ] {
        let proxy = ForwardProxy::start(manner, &[]);
        let credentials = if matches!(manner, Manner::Leads) {
            ""
        } else {
            "user:s3cr3t@"
        };
        let client = client(&certificates, &proxy.url(credentials));
        let error = get(&client, url("https://vault.test:8200/"), LONG).unwrap_err();
        assert_eq!(
            error.failure(),
            Some(&NetFailure::ProxyRefuses(ProxyRefusal::Status(status))),
            "{error:?}"
        );
        let words = words(&error);
        let named = format!(
            "the proxy 127.0.0.1:{} of https_proxy does not lead to vault.test:8200",
            proxy.port
        );
        assert!(words.contains(&named) && words.contains(hint), "{words}");
        assert!(words.contains(&format!("status {status}")), "{words}");
        assert_eq!(
            (error.is_retryable(), error.had_no_effect()),
            (is_retryable, true)
        );
        let kind = if is_retryable {
            ErrorKind::Away
        } else {
            ErrorKind::Other
        };
        assert_eq!(ErrorKind::from(&error), kind);
    }
    // The same without a tunnel.
    let proxy = ForwardProxy::start(Manner::Wants("bm9ib2R5"), &[]);
    let error = get(
        &plain_client(&proxy.url("user:s3cr3t@")),
        url("http://vault.test/"),
        LONG,
    )
    .unwrap_err();
    let refused = NetFailure::ProxyRefuses(ProxyRefusal::Status(407));
    assert_eq!(error.failure(), Some(&refused), "{error:?}");
    words(&error);
}

#[test]
fn the_password_that_a_proxy_wants_is_written_as_the_hint_says() {
    let certificates = Certificates::new();
    let server = tls_server(&certificates.of("vault.test", IN_FORCE), None);
    let proxy = ForwardProxy::start(Manner::Wants(CREDENTIALS), &[("vault.test:443", server.port)]);
    let error = get(
        &client(&certificates, &proxy.url("")),
        url("https://vault.test/"),
        LONG,
    )
    .unwrap_err();
    let hint = error.hint();
    let login = hint.rsplit(' ').next().unwrap();
    let login = login.replace("USER", "user").replace("PASSWORD", "s3cr3t");
    let form = proxy.url(&login);
    assert_eq!(
        get(&client(&certificates, &form), url("https://vault.test/"), LONG)
            .unwrap()
            .body(),
        b"ok"
    );
}

#[test]
fn a_proxy_that_is_away_is_told_from_the_service() {
    let certificates = Certificates::new();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for (place, reason) in [
        (format!("127.0.0.1:{port}"), "refused"),
        ("proxy.invalid:3128".to_owned(), "no such host"),
    ] {
        let client = client(&certificates, &format!("http://user:s3cr3t@{place}"));
        let error = get(&client, url("https://vault.test/"), LONG).unwrap_err();
        assert!(
            matches!(error.failure(), Some(NetFailure::Unreachable(_))),
            "{error:?}"
        );
        let words = words(&error);
        let named =
            format!("the proxy {place} of https_proxy, by which vault.test is asked, cannot be reached: ");
        assert!(words.starts_with(&named) && words.contains(reason), "{words}");
        assert!(error.is_retryable() && error.had_no_effect());
    }
}

#[test]
fn what_a_proxy_says_that_is_no_http_is_refused_and_not_quoted() {
    let certificates = Certificates::new();
    for answer in [
        "SSH-2.0-s3cr3t\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\ns3cr3t",
        "HTTP/1.1 s3cr3t\r\n\r\n",
    ] {
        let proxy = ForwardProxy::start(Manner::Answers(answer), &[]);
        let error = get(
            &client(&certificates, &proxy.url("")),
            url("https://vault.test/"),
            LONG,
        )
        .unwrap_err();
        assert!(
            matches!(
                error.failure(),
                Some(NetFailure::ProxyRefuses(ProxyRefusal::OtherProtocol("HTTP")))
            ),
            "{error:?}"
        );
        assert!(words(&error).contains("of https_proxy"), "{error}");
    }
    let proxy = ForwardProxy::start(Manner::Answers("HTTP/1.1 20"), &[]);
    let error = get(
        &client(&certificates, &proxy.url("")),
        url("https://vault.test/"),
        LONG,
    )
    .unwrap_err();
    assert_eq!(error.failure(), Some(&NetFailure::CutOff));
}

#[test]
fn a_proxy_that_hangs_is_left_at_the_deadline_and_named() {
    let certificates = Certificates::new();
    let proxy = ForwardProxy::start(Manner::Hangs, &[]);
    for (client, target) in [
        (client(&certificates, &proxy.url("")), "https://vault.test/"),
        (plain_client(&proxy.url("")), "http://vault.test/"),
    ] {
        let start = Instant::now();
        let error = get(&client, url(target), SHORT).unwrap_err();
        assert!(
            start.elapsed() < SHORT + Duration::from_millis(250),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(error.failure(), Some(&NetFailure::TimedOut(SHORT)));
        assert!(
            words(&error).contains(&format!("(by the proxy 127.0.0.1:{} of http", proxy.port)),
            "{error}"
        );
        assert_eq!(
            ErrorKind::from(&error),
            ErrorKind::Away,
            "its message names the proxy"
        );
    }
}

#[test]
fn a_request_by_a_proxy_ends_when_it_is_interrupted_or_no_longer_wanted() {
    let certificates = Certificates::new();
    let proxy = ForwardProxy::start(Manner::Hangs, &[]);
    let client = client(&certificates, &proxy.url(""));
    let start = Instant::now();
    let error = cancel::while_wanted(
        move || start.elapsed() > SHORT,
        || get(&client, url("https://vault.test/"), LONG).unwrap_err(),
    );
    assert!(
        start.elapsed() < SHORT + Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(error.failure(), Some(&NetFailure::Cancelled));

    let client = self::client(&certificates, &proxy.url(""));
    let waiting = {
        let client = client.clone();
        thread::spawn(move || get(&client, url("https://vault.test/"), LONG).unwrap_err())
    };
    while proxy.asked().len() < 2 {
        thread::sleep(Duration::from_millis(5));
    }
    let start = Instant::now();
    client.interrupt();
    let error = waiting.join().unwrap();
    assert!(
        start.elapsed() < Duration::from_millis(100),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(error.failure(), Some(&NetFailure::Interrupted));
}

#[test]
fn a_variable_that_names_no_proxy_fails_the_requests_that_need_it_alone() {
    let certificates = Certificates::new();
    let client = client(&certificates, "socks6://user:s3cr3t@127.0.0.1:1080");
    let error = get(&client, url("https://vault.test/"), LONG).unwrap_err();
    let words = words(&error);
    assert!(
        words.contains("https_proxy") && words.contains("only http, https, socks4"),
        "{words}"
    );
    let server = tls_server(&certificates.of("127.0.0.1", IN_FORCE), None);
    let direct = url(&format!("https://127.0.0.1:{}/", server.port));
    assert_eq!(get(&client, direct, LONG).unwrap().body(), b"ok");
}
