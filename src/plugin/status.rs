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
    rotations: AtomicU64,
    reloads: AtomicU64,
    created: AtomicU64,
    master_key_rotations: AtomicU64,
    last_error: Mutex<Option<LastError>>,
    store: Mutex<StoreInForce>,
}

#[derive(Debug, Default)]
struct StoreInForce {
    source: String,
    master_key: String,
}

#[derive(Debug)]
struct LastError {
    text: String,
    at: SystemTime,
}

impl Status {
    /// Counts a rotation (one statement, however many keys it rotated).
    pub fn count_key_rotation(&self) {
        self.rotations.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a reload.
    pub fn count_reload(&self) {
        self.reloads.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts keys that were made when the server first asked for them.
    pub fn count_created(&self, keys: u64) {
        self.created.fetch_add(keys, Ordering::Relaxed);
    }

    /// Counts a rotation of the master key.
    pub fn count_master_key_rotation(&self) {
        self.master_key_rotations.fetch_add(1, Ordering::Relaxed);
    }

    /// Remembers an error; the text holds no secret.
    pub fn remember_error(&self, text: &str) {
        let last = LastError {
            text: text.to_string(),
            at: SystemTime::now(),
        };
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }

    /// Remembers where the keys live for good and what wraps them there.
    pub fn tell_store(&self, source: &str, master_key: &str) {
        let mut store = self.in_force();
        source.clone_into(&mut store.source);
        master_key.clone_into(&mut store.master_key);
    }

    /// Where the keys live for good.
    pub fn store(&self) -> String {
        self.in_force().source.clone()
    }

    /// What wraps the keys there, or nothing.
    pub fn master_key(&self) -> String {
        self.in_force().master_key.clone()
    }

    fn in_force(&self) -> MutexGuard<'_, StoreInForce> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rotations so far.
    pub fn key_rotations(&self) -> u64 {
        self.rotations.load(Ordering::Relaxed)
    }

    /// Reloads so far.
    pub fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Relaxed)
    }

    /// Keys made when the server first asked for them, so far.
    pub fn created(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }

    /// Rotations of the master key so far.
    pub fn master_key_rotations(&self) -> u64 {
        self.master_key_rotations.load(Ordering::Relaxed)
    }

    /// The last error, or nothing.
    pub fn last_error(&self) -> String {
        let last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|error| error.text.clone()).unwrap_or_default()
    }

    /// When the last error happened, as `2026-01-31 23:59:59` in UTC, or nothing.
    pub fn last_error_time(&self) -> String {
        let last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref()
            .map(|error| clock::sql(error.at))
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
        status.remember_error("no such key");
        assert_eq!(status.last_error(), "no such key");
        assert!(status.last_error_time().starts_with("20"));
    }
}
