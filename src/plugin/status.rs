//! What the plugin tells about itself: status variables and the list of keys.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use crate::clock;
use crate::keys::{Fingerprint, Ring};

/// Counters and the last error since the plugin was loaded.
#[derive(Debug, Default)]
pub struct Status {
    /// Statements that rotated keys, however many keys.
    pub(crate) key_rotations: Counter,
    pub(crate) master_key_rotations: Counter,
    pub(crate) reloads: Counter,
    /// Keys that were made when the server first asked for them.
    pub(crate) created: Counter,
    /// Versions that data was encrypted with although they are a downgrade of their key's latest
    /// one.
    pub(crate) downgrades: Counter,
    last_error: Mutex<Option<(String, SystemTime)>>,
    store: Mutex<StoreInForce>,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where the keys live for good, and what wraps them there, or nothing.
#[derive(Debug, Default)]
pub(crate) struct StoreInForce {
    pub(crate) source: String,
    pub(crate) master_key: String,
}

impl Status {
    /// Remembers an error; the text holds no secret.
    pub(crate) fn remember_error(&self, text: String) {
        *self.last() = Some((text, SystemTime::now()));
    }

    /// The store in force, to be read or changed.
    pub(crate) fn store(&self) -> MutexGuard<'_, StoreInForce> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> MutexGuard<'_, Option<(String, SystemTime)>> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last error, or nothing.
    pub(crate) fn last_error(&self) -> String {
        self.last()
            .as_ref()
            .map(|(text, _)| text.clone())
            .unwrap_or_default()
    }

    /// When the last error happened, as `2026-01-31 23:59:59` in UTC, or nothing.
    pub(crate) fn last_error_time(&self) -> String {
        self.last()
            .as_ref()
            .map(|(_, at)| clock::sql(*at))
            .unwrap_or_default()
    }
}

/// One key version as `keyroll_keys()` lists it. There are no key bytes in it.
#[derive(Debug, Serialize)]
struct KeyRow {
    id: u32,
    version: u32,
    latest: bool,
    bits: usize,
    algorithm: &'static str,
    fingerprint: String,
}

/// All key versions as a JSON array of `{id, version, latest, bits, algorithm, fingerprint}`, in
/// order of id and version.
pub(crate) fn keys_as_json(ring: &Ring) -> String {
    let rows: Vec<KeyRow> = ring
        .held()
        .into_iter()
        .map(|held| KeyRow {
            id: held.name.id,
            version: held.name.version,
            latest: held.latest,
            bits: held.len * 8,
            algorithm: held.algorithm.name(),
            fingerprint: ring
                .key(held.name.id, held.name.version)
                .map(|key| key.with(Fingerprint::of).to_string())
                .unwrap_or_default(),
        })
        .collect();
    // Plain numbers, booleans and ASCII names cannot fail to serialise.
    serde_json::to_string(&rows).unwrap_or_else(|_| "[]".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_is_remembered_with_its_time() {
        let status = Status::default();
        assert_eq!(
            (status.last_error(), status.last_error_time()),
            (String::new(), String::new())
        );
        status.remember_error("no such key".into());
        assert_eq!(status.last_error(), "no such key");
        assert!(status.last_error_time().starts_with("20"));
    }
}
