//! A write of which nobody knows whether it took effect: it is not sent twice, and nothing is lost by it.

use keyroll::crypto::Algorithm;
use keyroll::keys::{NewVersions, Ring};
use keyroll::store::{KeyStore, Rotate};
use serde_json::Value;

use crate::services::{Kv, Master, PATIENT, Service, Transit};
use test_support::fault_proxy::Fault;
use test_support::openbao::Bao;

const FAILS: &str = "HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_new_version_of_a_transit_key_is_asked_for_once_unless_it_was_surely_not_made() {
    let service = Master::<Transit>::new();
    let (_, path) = service.uri.split_once("https://").unwrap();
    let (_, path) = path.split_once('/').unwrap();
    let (mount, key) = path.split_once('/').unwrap();
    let latest = || {
        let answer = Bao::shared().must("GET", &format!("{mount}/keys/{key}"), &Value::Null);
        answer["data"]["latest_version"].as_u64().unwrap()
    };
    let master = service.open(PATIENT);
    master.rotate().unwrap();
    assert_eq!(latest(), 2);
    // Made, and nobody heard of it; and not made.
    for (fault, expected) in [(Fault::CutAfter(0), 3), (Fault::Answer(FAILS), 3)] {
        let before = service.proxy().requests();
        service.proxy().makes(fault);
        let error = master.rotate().unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert_eq!(service.proxy().requests(), before + 1, "{fault:?}");
        assert_eq!(latest(), expected, "{fault:?}");
    }
    service.proxy().makes(Fault::AnswerOnce(BUSY));
    master.rotate().unwrap();
    assert_eq!(latest(), 4);
}

#[test]
fn a_new_secret_of_vault_kv_is_written_once_unless_it_was_surely_not_written() {
    let service = Kv::new();
    let store = service.store(PATIENT);
    let ring = Ring::new(&store.load().unwrap().keys, Algorithm::AesCbc).unwrap();
    let rotate = || store.rotate_keys(Rotate::All, NewVersions::DEFAULT, Some(&ring));
    let versions = || service.store(PATIENT).load().unwrap().keys.iter().count();
    assert_eq!(versions(), 1);
    for (fault, expected) in [(Fault::CutAfter(0), 2), (Fault::Answer(FAILS), 2)] {
        service.proxy().makes_at_writes(fault);
        rotate().unwrap_err();
        service.proxy().makes(Fault::None);
        assert_eq!(versions(), expected, "{fault:?}");
    }
    service.proxy().makes_at_writes(Fault::AnswerOnce(BUSY));
    rotate().unwrap();
    assert_eq!(versions(), 4);
}
