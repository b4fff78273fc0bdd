//! Loads or rotates a key file from a process of its own, so that tests can kill it or make its system calls
//! fail.
//!
//! ```text
//! rotate_key_file PATH FILEKEY LOCK_TIMEOUT_MS load
//! rotate_key_file PATH FILEKEY LOCK_TIMEOUT_MS rotate ID|all [TIMES]
//! rotate_key_file PATH FILEKEY LOCK_TIMEOUT_MS create
//! ```
//!
//! Prints `ID;VERSION` of all keys (load), of the new ones (rotate). A failure ends with exit code 2 and, on
//! standard error, `rotate_key_file: MESSAGE (HINT)`.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use keyroll::durable::SecretSource;
use keyroll::keys::{KeyName, NewVersions};
use keyroll::store::key_file::{Digest, KeyFile, KeyFileConfig, NewFileKey};
use keyroll::store::{KeyStore, Rotate, StoreError};
use test_support::programs::print_names;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [path, filekey, timeout, action @ ..] = arguments.as_slice() else {
        return usage();
    };
    let Ok(timeout) = timeout.parse() else {
        return usage();
    };
    let config = KeyFileConfig {
        path: path.into(),
        filekey: SecretSource::from_setting(filekey.as_bytes()),
        digest: Digest::Sha1,
        pbkdf2_rounds: 0,
        strict_permissions: false,
    };
    match act(config, Duration::from_millis(timeout), action) {
        None => usage(),
        Some(Ok(names)) => print_names(&names),
        Some(Err(error)) => {
            let _ = writeln!(std::io::stderr(), "rotate_key_file: {error} ({})", error.hint());
            ExitCode::from(2)
        }
    }
}

fn usage() -> ExitCode {
    let _ = writeln!(
        std::io::stderr(),
        "usage: rotate_key_file PATH FILEKEY LOCK_TIMEOUT_MS load|create|rotate ID|all [TIMES]"
    );
    ExitCode::from(1)
}

fn act(
    config: KeyFileConfig,
    timeout: Duration,
    action: &[&str],
) -> Option<Result<Vec<KeyName>, StoreError>> {
    if let ["create"] = action {
        let keys = [NewFileKey { id: 1, bits: 256 }, NewFileKey { id: 2, bits: 128 }];
        return Some(
            KeyFile::create(config, &keys, None).map(|keys| keys.iter().map(|(name, _)| name).collect()),
        );
    }
    let store = match KeyFile::new(config) {
        Ok(store) => store.with_lock_timeout(timeout),
        Err(error) => return Some(Err(error)),
    };
    match action {
        ["load"] => Some(
            store
                .load()
                .map(|loaded| loaded.keys.iter().map(|(name, _)| name).collect()),
        ),
        ["rotate", which, times @ ..] => {
            let which = match *which {
                "all" => Rotate::All,
                id => Rotate::Key(id.parse().ok()?),
            };
            let times: usize = times.first().map_or(Some(1), |times| times.parse().ok())?;
            let mut new = Vec::new();
            for _ in 0..times {
                match store.rotate_keys(which, NewVersions::DEFAULT, None) {
                    Ok(rotated) => new.extend(rotated.new),
                    Err(error) => return Some(Err(error)),
                }
            }
            Some(Ok(new))
        }
        _ => None,
    }
}
