//! A machine whose clock is wrong, or is set by a year while the server runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use keyroll::crypto::Algorithm;
use keyroll::durable::SecretSource;
use keyroll::keys::Ring;
use keyroll::net::TlsOptions;
use keyroll::service::vault::Login;
use keyroll::store::KeyStore;
use serde_json::json;

use crate::services::{PATIENT, kv_store};
use test_support::aws::{self, Server};
use test_support::fault_proxy::Proxy;
use test_support::openbao::Bao;

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;

/// Names the file that says how far the clock is off.
const CLOCK: &str = "KEYROLL_TEST_CLOCK";

/// What makes the clock of a process wrong.
fn preload() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outage_clock.so");
        let built = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
            .args([
                "-std=gnu11",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-O1",
                "-shared",
                "-fPIC",
                "-o",
            ])
            .arg(&library)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outage/clock.c"))
            .arg("-ldl")
            .status();
        assert!(built.unwrap().success(), "a C compiler is needed");
        library
    })
}

/// A directory with the file `clock`.
fn clock(seconds_off: i64) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("clock"), seconds_off.to_string()).unwrap();
    directory
}

/// Runs a program whose clock is wrong.
fn run(
    program: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
    clock: &Path,
) -> (Output, String) {
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(environment.iter().cloned())
        .env("LD_PRELOAD", preload())
        .env(CLOCK, clock.join("clock"))
        .output()
        .unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output, said)
}

/// `keyroll check` of a new keystore, on machines whose clocks are so far off; what it says.
fn check(
    key: &str,
    good: &[(String, String)],
    bad: &[(String, String)],
    seconds_off: &[i64],
) -> Vec<(bool, String)> {
    let directory = tempfile::tempdir().unwrap();
    let keystore = directory.path().join("keystore");
    let uri = format!("aws-kms:{key}");
    let command = |verb: &str, environment: &[(String, String)], off| {
        let program = Path::new(env!("CARGO_BIN_EXE_keyroll"));
        let mut arguments = vec![
            verb,
            "--keystore",
            keystore.to_str().unwrap(),
            "--master-key",
            &uri,
        ];
        let user = nix::unistd::Uid::effective().to_string();
        if verb == "check" {
            arguments.extend(["--user", &user]);
        }
        let (output, said) = run(program, &arguments, environment, clock(off).path());
        assert!(!said.contains("hunter2"), "{said}");
        (output.status.success(), said)
    };
    let made = command("init", good, 0);
    assert!(made.0, "{}", made.1);
    seconds_off
        .iter()
        .map(|off| command("check", bad, *off))
        .collect()
}

#[test]
fn a_certificate_that_is_not_in_force_by_a_wrong_clock_names_the_clock() {
    let moto = aws::shared_moto();
    let proxy = Proxy::tls(moto.port);
    let mut environment = moto.environment();
    environment.retain(|(name, _)| name != "AWS_ENDPOINT_URL");
    environment.push(("AWS_ENDPOINT_URL".into(), proxy.url()));
    environment.push(("AWS_CA_BUNDLE".into(), proxy.ca().display().to_string()));
    let said = check(&moto.create_key(), &environment, &environment, &[YEAR, -YEAR]);
    let year = |off: i64| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs((now.as_secs() as i64 + off) as u64);
        keyroll::clock::rfc3339(then)[..8].to_owned()
    };
    for ((is_good, said), (words, off)) in said.iter().zip([("expired", YEAR), ("not valid yet", -YEAR)]) {
        assert!(
            !is_good && said.contains(&format!("certificate {words}")),
            "{said}"
        );
        assert!(
            said.contains(&format!("this machine's clock says {}", year(off)))
                && said.contains("timedatectl"),
            "{said}"
        );
    }
}

/// Credentials of an instance last for a day, by AWS's clock.
#[test]
fn credentials_that_have_ended_by_a_wrong_clock_alone_go_on_serving() {
    let moto = aws::shared_moto();
    let mut environment = moto.environment();
    environment.retain(|(name, _)| !name.contains("ACCESS_KEY"));
    environment.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT".into(), moto.url()));
    for (is_good, said) in check(&moto.create_key(), &environment, &environment, &[YEAR, -YEAR]) {
        assert!(is_good, "{said}");
    }
}

/// moto looks at signatures and not at their time; KMS refuses those that are five minutes off as it refuses wrong ones.
#[test]
fn a_signature_that_is_refused_where_the_clock_is_wrong_names_the_clock() {
    // The calls that set things up are not checked.
    let moto = Server::moto(&[("INITIAL_NO_AUTH_ACTION_COUNT", "4")]);
    let key = moto.create_key();
    let good = moto.environment_of_user(&json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["kms:*"], "Resource": "*" }
    ] }));
    let mut bad = good.clone();
    bad.retain(|(name, _)| name != "AWS_SECRET_ACCESS_KEY");
    bad.push(("AWS_SECRET_ACCESS_KEY".into(), "hunter2".into()));
    let said = check(&key, &good, &bad, &[HOUR, -HOUR, 0]);
    for ((is_good, said), (how, hint)) in said.iter().zip([
        (" s ahead of AWS's", "set this machine's clock"),
        (" s behind AWS's", "set this machine's clock"),
        ("SignatureDoesNotMatch", "check the access key"),
    ]) {
        assert!(!is_good && said.contains(how) && said.contains(hint), "{said}");
    }
    // The time that is signed is the one that is sent.
    for (is_good, said) in check(&key, &good, &good, &[HOUR, -HOUR]) {
        assert!(is_good, "{said}");
    }
}

/// Runs itself anew, with a clock that it can set.
#[test]
fn a_clock_that_is_set_by_a_year_stops_no_renewal_and_no_look() {
    if let Some(clock) = std::env::var_os(CLOCK) {
        return renewals_and_looks_go_on(Path::new(&clock));
    }
    let name = "clock::a_clock_that_is_set_by_a_year_stops_no_renewal_and_no_look";
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let (output, said) = run(
        &std::env::current_exe().unwrap(),
        &[name, "--exact", "--nocapture"],
        &environment,
        clock(0).path(),
    );
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn renewals_and_looks_go_on(clock: &Path) {
    let bao = Bao::start();
    let mount = bao.kv();
    bao.put(&mount, 1, "00112233445566778899aabbccddeeff");
    let rules = format!("path \"{mount}/*\" {{ capabilities = [\"list\", \"read\"] }}");
    let token = bao.token(&rules, &json!({"ttl": "4s", "period": "4s"}));
    // Without TLS: certificates are meant to end.
    let store = kv_store(
        &format!("http://127.0.0.1:{}/v1/{mount}", bao.plain_port),
        Login::Token(SecretSource::value(token.as_bytes())),
        TlsOptions::default(),
        PATIENT,
    );
    let ring = Ring::new(&store.load().unwrap().keys, Algorithm::AesCbc).unwrap();
    let mut source = store.change_source().unwrap();
    let mut time = SystemTime::now();
    // Each setting outlasts the token, which only renewals keep alive.
    for off in [YEAR, -YEAR, 0] {
        fs::write(clock, off.to_string()).unwrap();
        let set = SystemTime::now();
        let by = set.duration_since(time).unwrap_or_else(|error| error.duration());
        assert!(
            by > Duration::from_secs(300 * 24 * 3600),
            "the clock was not set: {by:?}"
        );
        time = set;
        for _ in 0..5 {
            let interval = source.interval();
            assert!(interval <= Duration::from_secs(4), "{interval:?}");
            sleep(interval.min(Duration::from_millis(1100)));
            let news = source.refresh(&ring, &BTreeSet::new()).unwrap();
            assert!(news.keys.is_empty() && news.warnings.is_empty(), "{news:?}");
        }
    }
}
