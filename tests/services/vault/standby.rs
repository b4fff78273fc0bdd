//! Nodes that do not answer themselves: standbys that redirect to the active node, those that are behind, and secondaries. A
//! front before a real OpenBao plays them.

use std::collections::BTreeSet;
use std::sync::Mutex;

use keyroll::keys::NewVersions;
use keyroll::store::vault_kv::VaultKv;
use keyroll::store::{KeyStore, Rotate, StoreError};

use test_support::front::{Front, empty};
use test_support::openbao::Bao;
use test_support::vault_kv::*;

/// A standby in TLS, with a certificate that the test's authority has signed.
fn standby(bao: &Bao, answer: impl Fn(&str, usize) -> Option<String> + Send + Sync + 'static) -> Front {
    Front::tls(bao.plain_port, &bao.path("server.pem"), answer)
}

/// The answer of a standby that knows this active node.
fn redirect(status: u16, to: &str, target: &str) -> Option<String> {
    Some(empty(
        &format!("{status} Elsewhere"),
        &format!("Location: {to}{target}\r\n"),
    ))
}

fn store_at(bao: &Bao, url: &str) -> VaultKv {
    VaultKv::new(config(url, access(bao, token(&bao.root_token)))).unwrap()
}

/// All that is said of an error, which must not hold the token.
fn words(bao: &Bao, error: &StoreError) -> String {
    let all = format!("{error} {} {error:?}", error.hint());
    assert!(!all.contains(&bao.root_token), "{all}");
    format!("{error} {}", error.hint())
}

#[test]
fn a_redirect_is_followed_with_method_body_token_and_namespace() {
    let bao = Bao::shared();
    bao.must("POST", "sys/namespaces/standby", &serde_json::json!({}));
    let mount = serde_json::json!({"type": "kv", "options": {"version": "2"}});
    bao.must("POST", "standby/sys/mounts/keys", &mount);
    std::thread::sleep(std::time::Duration::from_secs(1));
    bao.put("standby/keys", 1, KEY);
    for status in [301, 302, 307, 308] {
        let active = format!("https://127.0.0.1:{}", bao.port);
        let front = standby(bao, move |target, _| redirect(status, &active, target));
        let mut access = access(bao, token(&bao.root_token));
        access.namespace = "standby".into();
        let url = format!("https://127.0.0.1:{}/v1/keys", front.port);
        let store = VaultKv::new(config(&url, access)).unwrap();
        let before = store.load().unwrap().keys.len();
        store
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .unwrap();
        assert_eq!(store.load().unwrap().keys.len(), before + 2, "{status}");
        // Each request begins at the configured address.
        let asked = front.requests();
        assert!(
            asked
                .iter()
                .any(|request| request.starts_with("POST /v1/keys/data/1 "))
        );
        assert!(asked.len() > 10, "{}", asked.len());
    }
}

#[test]
fn two_redirects_are_followed_and_a_third_one_is_not() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let mut next = format!("https://127.0.0.1:{}", bao.port);
    let mut fronts = Vec::new();
    for _ in 0..3 {
        let to = next.clone();
        let front = standby(bao, move |target, _| redirect(307, &to, target));
        next = format!("https://127.0.0.1:{}", front.port);
        fronts.push(front);
    }
    let load = |front: &Front| store_at(bao, &format!("https://127.0.0.1:{}/v1/{mount}", front.port)).load();
    assert_eq!(load(&fronts[1]).unwrap().keys.len(), 1);
    let error = load(&fronts[2]).unwrap_err();
    let words = words(bao, &error);
    assert!(words.contains("it was redirected again and again"), "{words}");
    assert!(words.contains("which node is active"), "{words}");
}

#[test]
fn nodes_that_redirect_to_each_other_are_asked_again_until_they_agree() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    // An election: the first requests are sent in a circle.
    let port = std::sync::Arc::new(std::sync::atomic::AtomicU16::new(0));
    let own = std::sync::Arc::clone(&port);
    let front = standby(bao, move |target, before| {
        let to = own.load(std::sync::atomic::Ordering::SeqCst);
        (before < 3)
            .then(|| redirect(307, &format!("https://127.0.0.1:{to}"), target))
            .flatten()
    });
    port.store(front.port, std::sync::atomic::Ordering::SeqCst);
    let url = format!("https://127.0.0.1:{}/v1/{mount}", front.port);
    assert_eq!(store_at(bao, &url).load().unwrap().keys.len(), 1);
}

#[test]
fn a_token_goes_nowhere_that_the_authority_does_not_vouch_for() {
    let bao = Bao::shared();
    let strangers = test_support::certificates::Certificates::new();
    let stranger = strangers.of("127.0.0.1", test_support::certificates::IN_FORCE);
    let (certificate, _) = stranger.write(strangers.directory.path(), "stranger");
    let elsewhere = Front::tls(bao.plain_port, &certificate, |_, _| None);
    let without_tls = Front::plain(bao.plain_port, |_, _| None);
    let secure = format!("https://127.0.0.1:{}", elsewhere.port);
    let plain = format!("http://127.0.0.1:{}", without_tls.port);
    for (to, reason) in [
        (secure, "an authority of the same name has another key"),
        (plain, "would lead from https to http"),
        ("https://user:s3cr3t@127.0.0.1".to_owned(), "no whole URL"),
        ("ftp://127.0.0.1".to_owned(), "no whole URL with https or http"),
        (String::new(), "no whole URL with https or http"),
    ] {
        let front = standby(bao, move |target, _| redirect(307, &to, target));
        let error = store_at(bao, &format!("https://127.0.0.1:{}/v1/keys", front.port))
            .load()
            .unwrap_err();
        let words = words(bao, &error);
        assert!(words.contains(reason) && !words.contains("s3cr3t"), "{words}");
    }
    // Without TLS it stays on this machine.
    let front = Front::plain(bao.plain_port, |target, _| {
        redirect(307, "http://192.0.2.1", target)
    });
    let error = store_at(bao, &format!("http://127.0.0.1:{}/v1/keys", front.port))
        .load()
        .unwrap_err();
    let words = words(bao, &error);
    assert!(
        words.contains("redirects to http://192.0.2.1 (status 307)"),
        "{words}"
    );
    assert!(
        words.contains("another machine without TLS") && words.contains("api_addr"),
        "{words}"
    );
    assert!(elsewhere.requests().is_empty() && without_tls.requests().is_empty());
}

#[test]
fn from_a_plain_address_of_this_machine_a_redirect_leads_into_tls() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let active = format!("https://127.0.0.1:{}", bao.port);
    let front = Front::plain(bao.plain_port, move |target, _| redirect(307, &active, target));
    let url = format!("http://127.0.0.1:{}/v1/{mount}", front.port);
    assert_eq!(store_at(bao, &url).load().unwrap().keys.len(), 1);
}

#[test]
fn a_redirect_that_is_none_of_vaults_is_not_followed() {
    let bao = Bao::shared();
    let active = format!("https://127.0.0.1:{}", bao.port);
    let login = format!("Location: {active}/login\r\n");
    let same = format!("Location: {active}/v1/auth/token/lookup-self\r\n");
    for (status, headers, reason) in [
        ("302 Found", login.as_str(), "another path than was asked for"),
        ("303 See Other", same.as_str(), "another request is wanted"),
        ("307 Elsewhere", "", "has no Location"),
        (
            "307 Elsewhere",
            "Location: /v1/auth/token/lookup-self\r\n",
            "no whole URL",
        ),
    ] {
        let answer = empty(status, headers);
        let front = standby(bao, move |_, _| Some(answer.clone()));
        let error = store_at(bao, &format!("https://127.0.0.1:{}/v1/keys", front.port))
            .load()
            .unwrap_err();
        let words = words(bao, &error);
        assert!(
            words.contains(reason) && words.contains("what stands before it"),
            "{words}"
        );
        assert_eq!(front.requests().len(), 1, "it is not tried again: {reason}");
    }
}

#[test]
fn a_standby_that_is_behind_is_asked_again_and_a_write_is_not_made_twice() {
    let bao = Bao::shared();
    for status in ["412 Precondition Failed", "473 Standby"] {
        let mount = bao.kv();
        bao.put(&mount, 1, KEY);
        // Each request comes too early once.
        let asked = Mutex::new(BTreeSet::new());
        let front = standby(bao, move |target, _| {
            let mut asked = asked.lock().unwrap();
            let is_early = asked.insert(target.to_owned());
            if !is_early {
                asked.remove(target);
            }
            is_early.then(|| empty(status, ""))
        });
        let store = store_at(bao, &format!("https://127.0.0.1:{}/v1/{mount}", front.port));
        assert_eq!(names(&store.load().unwrap().keys), [(1, 1)]);
        store
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .unwrap();
        assert_eq!(names(&store.load().unwrap().keys), [(1, 1), (1, 2), (1, 3)]);
    }
    let front = standby(bao, |_, _| Some(empty("412 Precondition Failed", "")));
    let error = store_at(bao, &format!("https://127.0.0.1:{}/v1/keys", front.port))
        .load()
        .unwrap_err();
    let words = words(bao, &error);
    assert!(
        words.contains("is a standby that cannot answer this yet (status 412)"),
        "{words}"
    );
    assert_eq!(front.requests().len(), 2, "once more, as the setting has it");
}

#[test]
fn a_secondary_for_disaster_recovery_is_named_and_not_asked_again() {
    let bao = Bao::shared();
    let body = r#"{"errors":["path disabled in replication DR secondary mode"]}"#;
    let refusal = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for answer in [empty("472 Secondary", ""), refusal] {
        let front = standby(bao, move |_, _| Some(answer.clone()));
        let error = store_at(bao, &format!("https://127.0.0.1:{}/v1/keys", front.port))
            .load()
            .unwrap_err();
        let words = words(bao, &error);
        assert!(words.contains("is a secondary for disaster recovery"), "{words}");
        assert!(words.contains("name the primary cluster"), "{words}");
        assert_eq!(front.requests().len(), 1);
    }
}
