//! What every key service does, whatever fault it is in.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::leaks::{self, CALLER};
use crate::services::{Call, Client, Kms, Kv, Master, PATIENT, Service, Transit};
use test_support::fault_proxy::{Certificate, Fault};

/// The time that one request is given.
const REQUEST: Duration = Duration::from_secs(2);

/// What a busy machine may add to a time.
const TOLERANCE: Duration = Duration::from_secs(3);

const NO_ANSWER: &[&str] = &["no answer within", "no connection came about in time"];
const CUT: &[&str] = &["closed the connection in the middle of an answer"];

const FAILS: &str = "HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 6\r\n\r\ns3cr3t";
const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Length: 6\r\n\r\ns3cr3t";

/// What a service is in, what an error says of it (one of these), and whether another try may succeed.
const FAULTS: [(Fault, &[&str], bool); 20] = [
    (Fault::Closed, &["Connection refused"], true),
    (Fault::Mute, NO_ANSWER, true),
    (Fault::Hanging, NO_ANSWER, true),
    (Fault::Slow(Duration::from_secs(5)), NO_ANSWER, true),
    (Fault::CutInHandshake(0), CUT, true),
    (Fault::CutInHandshake(100), CUT, true),
    (Fault::CutInHandshake(500), CUT, true),
    (Fault::CutAfter(0), CUT, true),
    (Fault::CutAfter(10), CUT, true),
    (Fault::CutAfter(100), CUT, true),
    (Fault::CutBeforeEnd, CUT, true),
    (Fault::Answer(FAILS), &["status 500"], true),
    (Fault::Answer(BUSY), &["status 429"], true),
    (
        Fault::Answer("s3cr3t\0\x01\r\n\r\n"),
        &["does not answer in HTTP"],
        false,
    ),
    (
        Fault::Answer("HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"a\":\"s3cr3t\"}"),
        &["cannot be used", "is not Vault's"],
        false,
    ),
    (
        Fault::Flood(100 << 20),
        &["an answer to ", "an answer of more than"],
        false,
    ),
    (
        Fault::Shows(Certificate::Expired),
        &["certificate expired"],
        false,
    ),
    (
        Fault::Shows(Certificate::NotYetValid),
        &["certificate not valid yet"],
        false,
    ),
    (
        Fault::Shows(Certificate::OfAnotherHost),
        &["certificate is not for 127.0.0.1: it is for kms.example"],
        false,
    ),
    (
        Fault::Shows(Certificate::OfAnUnknownAuthority),
        &["no authority that is trusted here"],
        false,
    ),
];

/// Runs it in a thread of its own for each fault.
fn in_each_fault(run: impl Fn(&str, Fault, &[&str], bool) + Sync) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    thread::scope(|scope| {
        for (fault, words, is_retryable) in FAULTS {
            let name = format!("{CALLER}{}", COUNT.fetch_add(1, Ordering::Relaxed));
            let of_thread = (name.clone(), &run);
            let spawned = thread::Builder::new().name(name).spawn_scoped(scope, move || {
                let (name, run) = of_thread;
                run(&name, fault, words, is_retryable);
            });
            spawned.unwrap();
        }
    });
}

fn until_it_works(client: &mut dyn Client, call: Call) {
    let begun = Instant::now();
    while let Err(failure) = client.call(call) {
        assert!(begun.elapsed() < PATIENT, "{call:?}: {}", failure.seen);
    }
}

/// The call fails in time and says why; it works once the fault is over, for the same client; and it leaves nothing behind.
fn is_named_in_time_and_over_when_it_is_over<S: Service>(call: Call) {
    in_each_fault(|caller, fault, words, is_retryable| {
        let service = S::new();
        let (proxy, what) = (service.proxy(), format!("{fault:?} at {call:?}"));
        let mut client = service.client(REQUEST);
        if call != Call::Start {
            until_it_works(&mut *client, Call::Look);
            assert!(leaks::connections(proxy.port) > 0, "{what}");
        }

        proxy.makes(fault);
        let mut tries = 0;
        let failure = loop {
            let begun = Instant::now();
            let failure = client.call(call).expect_err(&what);
            let took = begun.elapsed();
            assert!(took < S::WAITS * REQUEST + TOLERANCE, "{what} took {took:?}");
            tries += 1;
            // The last of several tries may have had too little time left on a busy machine.
            if tries == 3 || words == NO_ANSWER || !failure.message.contains(NO_ANSWER[0]) {
                break failure;
            }
        };
        let message = &failure.message;
        assert!(
            words.iter().any(|words| message.contains(words)),
            "{what}: {message}"
        );
        assert!(!failure.is_wrong_key, "{what}: {message}");
        assert_eq!(failure.is_retryable, is_retryable, "{what}: {message}");
        assert!(!failure.hint.is_empty(), "{what}");
        let seen = failure.seen.to_lowercase();
        for secret in service.secrets().iter().map(String::as_str).chain(["s3cr3t"]) {
            assert!(!seen.contains(&secret.to_lowercase()), "{what}: {seen}");
        }
        if let Fault::Shows(certificate) = fault {
            assert!(
                failure.hint.contains("names its file"),
                "{what}: {}",
                failure.hint
            );
            let is_of_time = matches!(certificate, Certificate::Expired | Certificate::NotYetValid);
            assert_eq!(
                seen.contains("this machine's clock says"),
                is_of_time,
                "{what}: {seen}"
            );
        }

        proxy.makes(Fault::None);
        until_it_works(&mut *client, call);
        until_it_works(&mut *client, Call::Look);
        assert!(leaks::connections(proxy.port) <= 2, "{what}");
        assert_eq!(leaks::files(proxy.ca().parent().unwrap()), 0, "{what}");
        assert!(
            leaks::threads(caller).is_empty(),
            "{what}: {:?}",
            leaks::threads(caller)
        );
        drop(client);
        assert_eq!(leaks::connections(proxy.port), 0, "{what}");
    });
}

fn at_a_start<S: Service>() {
    is_named_in_time_and_over_when_it_is_over::<S>(Call::Start);
}

fn at_a_rotation<S: Service>() {
    for call in S::ROTATION {
        is_named_in_time_and_over_when_it_is_over::<S>(*call);
    }
}

fn in_between<S: Service>() {
    is_named_in_time_and_over_when_it_is_over::<S>(Call::Look);
}

fn what_is_slow_but_not_too_slow_is_waited_for<S: Service>() {
    let service = S::new();
    let mut client = service.client(PATIENT);
    client.call(Call::Look).unwrap();
    service.proxy().makes(Fault::Slow(Duration::from_secs(5)));
    let begun = Instant::now();
    client.call(Call::Look).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(5));
}

fn what_fails_or_is_busy_for_a_moment_is_asked_again<S: Service>() {
    for moment in [FAILS, BUSY] {
        let service = S::new();
        let mut client = service.client(PATIENT);
        client.call(Call::Look).unwrap();
        let before = service.proxy().requests();
        client.call(Call::Look).unwrap();
        let needed = service.proxy().requests() - before;
        service.proxy().makes(Fault::AnswerOnce(moment));
        client.call(Call::Look).unwrap();
        assert_eq!(service.proxy().requests(), before + 2 * needed + 1);
    }
}

/// Every test of the suite for one service.
macro_rules! holds_out {
    ($service:ident, $type:ty) => {
        mod $service {
            use super::*;

            #[test]
            fn at_a_start_every_trouble_is_named_in_time_and_over_when_it_is_over() {
                at_a_start::<$type>();
            }

            #[test]
            fn at_a_rotation_every_trouble_is_named_in_time_and_over_when_it_is_over() {
                at_a_rotation::<$type>();
            }

            #[test]
            fn in_between_every_trouble_is_named_in_time_and_over_when_it_is_over() {
                in_between::<$type>();
            }

            #[test]
            fn what_is_slow_but_not_too_slow_is_waited_for() {
                super::what_is_slow_but_not_too_slow_is_waited_for::<$type>();
            }

            #[test]
            fn what_fails_or_is_busy_for_a_moment_is_asked_again() {
                super::what_fails_or_is_busy_for_a_moment_is_asked_again::<$type>();
            }
        }
    };
}

holds_out!(aws_kms, Master<Kms>);
holds_out!(vault_transit, Master<Transit>);
holds_out!(vault_kv, Kv);
