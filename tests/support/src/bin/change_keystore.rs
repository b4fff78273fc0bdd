//! Loads or changes a keystore from a process of its own, so that tests can kill it, make its steps fail
//! (`--features test-failpoints`) or take its disk away.
//!
//! ```text
//! change_keystore PATH MASTER_KEY_URI LOCK_TIMEOUT_MS load
//! change_keystore PATH MASTER_KEY_URI LOCK_TIMEOUT_MS create
//! change_keystore PATH MASTER_KEY_URI LOCK_TIMEOUT_MS rotate ID|all [TIMES]
//! change_keystore PATH MASTER_KEY_URI LOCK_TIMEOUT_MS create-key ID
//! change_keystore PATH MASTER_KEY_URI LOCK_TIMEOUT_MS add-all
//! change_keystore PATH MASTER_KEY_URI LOCK_TIMEOUT_MS rotate-master-key
//! change_keystore PATH MASTER_KEY_URI LOCK_TIMEOUT_MS move-to MASTER_KEY_URI
//! ```
//!
//! `add-all` adds versions 1 and 3 of key 9, as another store has them.
//!
//! Prints `ID;VERSION` of the new keys (rotate, create-key, add-all), else of all. A failure ends with exit code 2 and, on
//! standard error, `change_keystore: MESSAGE (HINT)`.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use keyroll::crypto::Algorithm;
use keyroll::keys::{KeyName, KeySet, KeySpec, NewVersions};
use keyroll::master_key::ProviderOptions;
use keyroll::secret::DataKey;
use keyroll::store::keystore::{KeystoreConfig, KeystoreError, KeystoreFile, NewKey};
use keyroll::store::{KeyStore, Rotate, StoreError};
use test_support::programs::print_names;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [path, uri, timeout, action @ ..] = arguments.as_slice() else {
        return usage();
    };
    let Ok(timeout) = timeout.parse().map(Duration::from_millis) else {
        return usage();
    };
    match act(path, uri, timeout, action) {
        Ok(None) => usage(),
        Ok(Some(names)) => print_names(&names),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "change_keystore: {error} ({})", error.hint());
            ExitCode::from(2)
        }
    }
}

fn usage() -> ExitCode {
    let _ = writeln!(
        std::io::stderr(),
        "usage: change_keystore PATH MASTER_KEY_URI LOCK_TIMEOUT_MS load|create|rotate ID|all [TIMES]|create-key \
         ID|add-all|rotate-master-key|move-to URI"
    );
    ExitCode::from(1)
}

fn act(
    path: &str,
    uri: &str,
    timeout: Duration,
    action: &[&str],
) -> Result<Option<Vec<KeyName>>, StoreError> {
    let config = KeystoreConfig {
        path: path.into(),
        master_key: uri.into(),
        options: ProviderOptions::of_this_process(Duration::from_secs(10)),
        strict_permissions: false,
    };
    let store = KeystoreFile::new(config.clone())?.with_lock_timeout(timeout);
    let new = match action {
        ["load"] => names(&store.load()?.keys),
        ["create"] => {
            let for_temporary_data = KeySpec {
                algorithm: Algorithm::AesCtr,
                bits: 128,
            };
            let [one, two] =
                [(1, KeySpec::DEFAULT), (2, for_temporary_data)].map(|(id, spec)| NewKey { id, spec });
            names(&store.create(&[one, two], None)?)
        }
        ["rotate", which, times @ ..] => {
            let which = match (*which, which.parse()) {
                ("all", _) => Rotate::All,
                (_, Ok(id)) => Rotate::Key(id),
                _ => return Ok(None),
            };
            let Ok(times) = times.first().map_or(Ok(1), |times| times.parse::<usize>()) else {
                return Ok(None);
            };
            let mut new = Vec::new();
            for _ in 0..times {
                new.extend(store.rotate_keys(which, NewVersions::DEFAULT, None)?.new);
            }
            new
        }
        ["create-key", id] => match id.parse() {
            Ok(id) => store.create_key(id, KeySpec::DEFAULT, None)?.new,
            Err(_) => return Ok(None),
        },
        ["add-all"] => {
            store
                .add_all("another store", &of_another_store(), Algorithm::AesCtr)?
                .new
        }
        ["rotate-master-key"] => names(&store.rotate_master_key(None)?.keys),
        ["move-to", uri] => {
            let other = config.with_master_key(uri).provider();
            let other = other.map_err(|error| KeystoreError::MasterKey(Box::new(error)))?;
            names(&store.move_to(&*other, None)?.keys)
        }
        _ => return Ok(None),
    };
    Ok(Some(new))
}

fn of_another_store() -> KeySet {
    let mut keys = KeySet::default();
    for version in [1, 3] {
        if let Some(key) = DataKey::new(&[version as u8; 16]) {
            keys.insert(KeyName { id: 9, version }, key);
        }
    }
    keys
}

fn names(keys: &KeySet) -> Vec<KeyName> {
    keys.iter().map(|(name, _)| name).collect()
}
