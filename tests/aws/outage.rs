//! KMS away, slow, broken or busy: every call ends in time, says what it met, and works again afterwards.

use std::time::{Duration, Instant};

use super::proxy::{Proxy, Trouble};
use super::servers::shared_moto;
use super::support::{KEYSTORE, opened, refused, with, works, wrap};

const LIMIT: Duration = Duration::from_secs(2);

/// What a call meets, and what its error must say.
const TROUBLES: [(Trouble, &str); 13] = [
    (Trouble::Closed, "cannot be reached"),
    (Trouble::Hanging, "no answer within 2 s"),
    (Trouble::CutAfter(0), "cannot be reached"),
    (Trouble::CutAfter(10), "cannot be reached"),
    (Trouble::CutAfter(150), "cannot be reached"),
    (Trouble::CutAfter(300), "cannot be reached"),
    (Trouble::Slow(Duration::from_secs(5)), "no answer within 2 s"),
    (Trouble::Flood(100 << 20), "more than 262144 bytes"),
    (Trouble::Answer("garbage\r\n\r\n"), "does not answer in HTTP"),
    (
        Trouble::Answer("HTTP/1.1 500 Oops\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
        "HTTP status 500",
    ),
    (
        Trouble::Answer(
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\nx-amzn-requestid: r-1\r\ncontent-length: 58\r\n\r\n\
             {\"__type\":\"ThrottlingException\",\"message\":\"Rate exceeded\"}",
        ),
        "ThrottlingException; request id r-1",
    ),
    (
        Trouble::Answer("HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
        "HTTP status 429",
    ),
    (
        Trouble::Answer("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\n{\"a\":\"b\"}"),
        "cannot be used",
    ),
];

#[test]
fn every_trouble_ends_in_time_and_is_named_and_is_over_when_it_is_over() {
    let moto = shared_moto();
    let proxy = Proxy::before(moto.port);
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let environment = with(&moto.environment(), "AWS_ENDPOINT_URL", &url);
    let key = moto.create_key();
    let (plain, wrapped) = wrap(&*opened(&key, &environment, Duration::from_secs(30)));
    for (trouble, expected) in TROUBLES {
        proxy.makes(trouble);
        // A new one: one that has asked before may still have its connection.
        let master = opened(&key, &environment, LIMIT);
        let start = Instant::now();
        let error = refused(master.unwrap(&wrapped, KEYSTORE));
        let took = start.elapsed();
        assert!(error.to_string().contains(expected), "{trouble:?}: {error}");
        assert!(!error.is_wrong_key(), "{trouble:?}: {error}");
        assert!(
            took < LIMIT + Duration::from_millis(500),
            "{trouble:?} took {took:?}"
        );
        proxy.makes(Trouble::None);
        let patient = opened(&key, &environment, Duration::from_secs(30));
        assert_eq!(
            patient.unwrap(&wrapped, KEYSTORE).unwrap().expose(),
            plain.expose()
        );
    }
}

#[test]
fn what_is_slow_but_not_too_slow_is_waited_for() {
    let moto = shared_moto();
    let proxy = Proxy::before(moto.port);
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let master = opened(
        &moto.create_key(),
        &with(&moto.environment(), "AWS_ENDPOINT_URL", &url),
        Duration::from_secs(30),
    );
    proxy.makes(Trouble::Slow(Duration::from_secs(5)));
    works(&*master);
}

#[test]
fn what_is_busy_is_asked_again_until_it_is_not() {
    let moto = shared_moto();
    let proxy = Proxy::before(moto.port);
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let environment = with(&moto.environment(), "AWS_ENDPOINT_URL", &url);
    let master = opened(&moto.create_key(), &environment, Duration::from_secs(30));
    proxy.makes(TROUBLES[11].0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(400));
            proxy.makes(Trouble::None);
        });
        works(&*master);
    });
    let connections = proxy.connections.load(std::sync::atomic::Ordering::SeqCst);
    assert!((3..=12).contains(&connections), "{connections}");
}
