//! Servers that hang, cut, flood or talk nonsense.

use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use keyroll::cancel;
use keyroll::net::{Deadline, HttpClient, HttpOptions, Method, NetFailure, PlainHttp, Request, Url};
use keyroll::secret::SecretBytes;

use super::support::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Word: Yes\r\n\r\nok";

#[test]
fn an_answer_of_any_status_is_an_answer() {
    for (status, text) in [
        (200, "OK"),
        (204, "No Content"),
        (403, "Forbidden"),
        (503, "Service Unavailable"),
    ] {
        let body = if status == 204 { "" } else { "{}" };
        let server = Server::start(answer_once(format!(
            "HTTP/1.1 {status} {text}\r\nContent-Length: {}\r\nX-Word: Yes\r\n\r\n{body}",
            body.len()
        )));
        let answer = get(&plain(), server.url(), LONG).unwrap();
        assert_eq!((answer.status, answer.body()), (status, body.as_bytes()));
        assert_eq!(answer.header("x-word"), Some("Yes"));
    }
}

#[test]
fn requests_share_one_connection() {
    let server = Server::start(|mut stream| {
        while read_request(&mut stream) {
            stream.write_all(OK).unwrap();
        }
    });
    let client = plain();
    for _ in 0..20 {
        assert_eq!(get(&client, server.url(), LONG).unwrap().body(), b"ok");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_redirect_is_an_answer_and_not_followed() {
    let server = Server::start(answer_once(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    ));
    assert_eq!(get(&plain(), server.url(), LONG).unwrap().status, 307);
}

#[test]
fn nobody_listening_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
    let error = get(&plain(), url, LONG).unwrap_err();
    assert!(
        matches!(error.failure(), Some(NetFailure::Unreachable(_))) && error.is_retryable(),
        "{error:?}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn a_server_that_never_answers_is_left_at_the_deadline() {
    for server in [
        Server::start(|stream| {
            thread::sleep(LONG);
            drop(stream);
        }),
        // A byte now and then does not put the deadline off.
        Server::start(|mut stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX-Filler: ").unwrap();
            while stream.write_all(b"x").is_ok() {
                thread::sleep(SHORT / 4);
            }
        }),
        Server::start(|mut stream| {
            read_request(&mut stream);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                .unwrap();
            while stream.write_all(b"x").is_ok() {
                thread::sleep(SHORT / 4);
            }
        }),
    ] {
        let start = Instant::now();
        let error = get(&plain(), server.url(), SHORT).unwrap_err();
        assert!(
            matches!(error.failure(), Some(NetFailure::TimedOut(SHORT))),
            "{error:?}"
        );
        assert!(
            start.elapsed() < SHORT + Duration::from_millis(250),
            "{:?}",
            start.elapsed()
        );
    }
}

#[test]
fn an_answer_that_is_cut_anywhere_is_an_error() {
    for length in 0..OK.len() {
        let server = Server::start(answer_once(&OK[..length]));
        let error = get(&plain(), server.url(), LONG).unwrap_err();
        assert!(
            matches!(error.failure(), Some(NetFailure::CutOff | NetFailure::NotHttp(_))),
            "{length}: {error:?}"
        );
    }
}

#[test]
fn a_flood_is_refused_with_and_without_a_length() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    ] {
        let server = Server::start(move |mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(head.as_bytes());
            let block = vec![b'x'; 1 << 20];
            for _ in 0..100 {
                if stream.write_all(&block).is_err() {
                    return;
                }
            }
        });
        let error = get(&plain(), server.url(), LONG).unwrap_err();
        assert!(
            matches!(error.failure(), Some(NetFailure::TooLarge(1_048_576))),
            "{error:?}"
        );
    }
}

#[test]
fn headers_without_end_are_refused() {
    let server = Server::start(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream
            .write_all(b"X-Filler: 0123456789012345678901234567890123456789\r\n")
            .is_ok()
        {}
    });
    let error = get(&plain(), server.url(), LONG).unwrap_err();
    assert!(
        matches!(error.failure(), Some(NetFailure::NotHttp(_))),
        "{error:?}"
    );
}

#[test]
fn garbage_is_no_answer_and_is_not_quoted() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.2 s3cr3t\r\n\r\n",
        "s3cr3t\0\u{1}\r\n\r\n",
        "HTTP/9.9 s3cr3t\r\n\r\n",
    ] {
        let server = Server::start(answer_once(garbage));
        let error = get(&plain(), server.url(), LONG).unwrap_err();
        let words = format!("{error} {error:?} {}", error.hint());
        assert!(!words.contains("s3cr3t"), "{words}");
        assert!(
            matches!(error.failure(), Some(NetFailure::NotHttp(_) | NetFailure::CutOff)),
            "{error:?}"
        );
    }
}

/// Requests that nobody answers: a server that hangs, and an address (RFC 5737) to which packets are not answered, or there is
/// no route at all.
fn unanswered() -> [(HttpClient, Url); 2] {
    let hanging = Server::start(|stream| {
        thread::sleep(LONG);
        drop(stream);
    });
    let nowhere = Url::parse("http://192.0.2.1/").unwrap();
    [hanging.url(), nowhere].map(|url| {
        let client = HttpClient::for_plain_http(HttpOptions {
            plain_http: PlainHttp::Anywhere,
            ..HttpOptions::default()
        });
        (client, url)
    })
}

#[test]
fn another_thread_ends_a_request_at_once() {
    for (client, url) in unanswered() {
        let waiting = {
            let (client, url) = (client.clone(), url.clone());
            thread::spawn(move || get(&client, url, LONG).unwrap_err())
        };
        thread::sleep(SHORT);
        let start = Instant::now();
        client.interrupt();
        let error = waiting.join().unwrap();
        assert!(
            start.elapsed() < Duration::from_millis(100),
            "{:?}",
            start.elapsed()
        );
        assert!(
            matches!(
                error.failure(),
                Some(NetFailure::Interrupted | NetFailure::Unreachable(_))
            ),
            "{error:?}"
        );
        assert!(matches!(
            get(&client, url, LONG).unwrap_err().failure(),
            Some(NetFailure::Interrupted)
        ));
    }
}

#[test]
fn a_header_with_a_line_break_is_refused_and_not_quoted() {
    let request = Request::new(Method::GET, Url::parse("http://127.0.0.1:1/").unwrap())
        .header("X-Vault-Token", b"s3cr3t\r\nX-Other: 1");
    assert!(!format!("{request:?}").contains("s3cr3t"));
    let error = plain().send(request, Deadline::after(LONG)).unwrap_err();
    assert!(
        matches!(error.failure(), Some(NetFailure::BadRequest(_))),
        "{error:?}"
    );
    assert!(!format!("{error} {error:?}").contains("s3cr3t"));
}

#[test]
fn a_request_without_tls_to_another_machine_is_not_sent() {
    let request = Request::new(Method::POST, Url::parse("http://192.0.2.1/").unwrap())
        .body(SecretBytes::new(b"s3cr3t".to_vec()));
    let error = plain().send(request, Deadline::after(LONG)).unwrap_err();
    assert!(
        matches!(error.failure(), Some(NetFailure::PlainHttp)),
        "{error:?}"
    );
}

#[test]
fn a_request_that_nobody_waits_for_any_more_ends_soon() {
    for (client, url) in unanswered() {
        let start = Instant::now();
        let error = cancel::while_wanted(
            move || start.elapsed() > SHORT,
            || get(&client, url, LONG).unwrap_err(),
        );
        assert!(
            start.elapsed() < SHORT + Duration::from_millis(500),
            "{:?}",
            start.elapsed()
        );
        // Where there is no route to it, that is told at once.
        let is_cancelled = matches!(error.failure(), Some(NetFailure::Cancelled));
        assert!(is_cancelled || start.elapsed() < SHORT, "{error:?}");
        assert!(is_cancelled != error.is_retryable(), "{error:?}");
    }
    let server = Server::start(answer_once(OK));
    let sent = cancel::while_wanted(|| true, || get(&plain(), server.url(), LONG).unwrap_err());
    assert!(matches!(sent.failure(), Some(NetFailure::Cancelled)), "{sent:?}");
    assert_eq!(
        server.connections.load(Ordering::SeqCst),
        0,
        "nothing is sent then"
    );
}
