//! How long a keystore with many key versions takes: to open, to change, to wrap anew under a new master key.
//!
//! `cargo bench --bench master_key_rotation [-- VERSIONS]`, 10,000 unless told. The master key is in a file beside the
//! keystore, in the directory that `TMPDIR` names; the time of its own calls is told apart. Medians of several turns.

#![allow(clippy::unwrap_used, reason = "a benchmark ends where it cannot measure")]
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyroll::crypto::Algorithm;
use keyroll::keys::{KeyName, KeySet, KeySpec, NewVersions, Ring};
use keyroll::master_key::file::MasterKeyFile;
use keyroll::master_key::{MasterKey, MasterKeyError, ProviderOptions, Wrapped};
use keyroll::secret::{DataKey, KeystoreKey};
use keyroll::store::keystore::{KeystoreConfig, KeystoreFile};
use keyroll::store::{KeyStore, Rotate};

/// Versions of each key.
const VERSIONS_OF_A_KEY: usize = 100;
const TURNS: usize = 7;

/// What is done, and the doing of it.
type Case<'a> = (&'static str, Box<dyn FnMut() + 'a>);

/// A provider with a stopwatch.
struct Timed {
    provider: Box<dyn MasterKey>,
    nanoseconds: Arc<AtomicU64>,
}

impl Timed {
    fn time<T>(&self, call: impl FnOnce(&dyn MasterKey) -> T) -> T {
        let begun = Instant::now();
        let answer = call(self.provider.as_ref());
        let nanoseconds = u64::try_from(begun.elapsed().as_nanos()).unwrap();
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        answer
    }
}

impl MasterKey for Timed {
    fn describe(&self) -> String {
        self.provider.describe()
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        self.time(|provider| provider.wrap(key, keystore))
    }

    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError> {
        self.time(|provider| provider.unwrap(wrapped, keystore))
    }

    fn rotate(&self) -> Result<(), MasterKeyError> {
        self.time(|provider| provider.rotate())
    }
}

fn main() {
    let versions = std::env::args()
        .find_map(|argument| argument.parse::<usize>().ok())
        .unwrap_or(10_000);
    let directory = tempfile::tempdir().unwrap();
    let (path, master) = (directory.path().join("keystore"), directory.path().join("master"));
    MasterKeyFile::create(&master, None).unwrap();
    let nanoseconds = Arc::new(AtomicU64::new(0));
    let open = || {
        let config = KeystoreConfig {
            path: path.clone(),
            master_key: format!("file:{}", master.display()),
            options: ProviderOptions::of_this_process(Duration::from_secs(15)),
            strict_permissions: false,
        };
        let timed = Timed {
            provider: config.provider().unwrap(),
            nanoseconds: Arc::clone(&nanoseconds),
        };
        KeystoreFile::behind(Box::new(timed), config)
    };

    let mut keys = KeySet::default();
    for number in 0..versions {
        let name = KeyName {
            id: u32::try_from(number / VERSIONS_OF_A_KEY).unwrap() + 1,
            version: u32::try_from(number % VERSIONS_OF_A_KEY).unwrap() + 1,
        };
        keys.insert_for(name, DataKey::random(32).unwrap().unwrap(), Algorithm::Aes256Xts);
    }
    open().import(&keys, Algorithm::Aes256Xts, None).unwrap();
    println!(
        "{versions} key versions, {} KiB of text",
        fs::metadata(&path).unwrap().len() / 1024
    );

    let ring = Ring::new(&open().load().unwrap().keys, Algorithm::Aes256Xts).unwrap();
    let server = open();
    server.load().unwrap();
    let mut next_id = 1_000_000;
    let mut cases: [Case<'_>; 4] = [
        ("open, from the start", Box::new(|| drop(open().load().unwrap()))),
        (
            "rotate one key",
            Box::new(|| {
                drop(
                    server
                        .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, Some(&ring))
                        .unwrap(),
                )
            }),
        ),
        (
            "make a key at its first use",
            Box::new(|| {
                next_id += 1;
                drop(server.create_key(next_id, KeySpec::DEFAULT, Some(&ring)).unwrap());
            }),
        ),
        (
            "rotate the master key",
            Box::new(|| drop(server.rotate_master_key(Some(&ring)).unwrap())),
        ),
    ];
    println!("{:<28} {:>9} {:>13}", "", "in all", "its provider");
    for (what, case) in &mut cases {
        let mut times: Vec<(Duration, Duration)> = (0..TURNS)
            .map(|_| {
                nanoseconds.store(0, Ordering::Relaxed);
                let begun = Instant::now();
                case();
                (
                    begun.elapsed(),
                    Duration::from_nanos(nanoseconds.load(Ordering::Relaxed)),
                )
            })
            .collect();
        times.sort_unstable();
        let (all, provider) = times[TURNS / 2];
        let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
        println!(
            "{what:<28} {:>9} {:>13}",
            milliseconds(all),
            milliseconds(provider)
        );
    }
}
