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
    pub(crate) wrapped_at: Option<SystemTime>,
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
    /// When it was made, as SQL writes times, in UTC; null where that is not known.
    created: Option<String>,
    /// When the master key last wrapped the keystore, likewise.
    wrapped_at: Option<String>,
}

/// All key versions as a JSON array in order of id and version: `{id, version, latest, bits,
/// algorithm, fingerprint, created, wrapped_at}`.
pub(crate) fn keys_as_json(ring: &Ring, wrapped_at: Option<SystemTime>) -> String {
    let wrapped_at = wrapped_at.map(clock::sql);
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
            created: held.created.map(clock::sql),
            wrapped_at: wrapped_at.clone(),
        })
        .collect();
    // Plain numbers, booleans, names and times cannot fail to serialise.
    serde_json::to_string(&rows).unwrap_or_else(|_| "[]".into())
}

/// How old the latest versions of all keys are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LatestVersions {
    /// Days since the oldest of them was made; `None` where no time is known.
    pub(crate) oldest_days: Option<u64>,
    /// How many there are whose time is not known.
    pub(crate) of_unknown_age: u64,
}

impl LatestVersions {
    /// Those of this ring, at this time.
    pub(crate) fn of(ring: &Ring, now: SystemTime) -> LatestVersions {
        let created = ring.latest_created();
        let oldest = created.iter().flatten().min();
        LatestVersions {
            oldest_days: oldest.map(|oldest| clock::days_since(*oldest, now)),
            of_unknown_age: created.iter().filter(|at| at.is_none()).count() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::crypto::Algorithm;
    use crate::keys::{KeyName, KeySet};
    use crate::secret::DataKey;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn ring(versions: &[(u32, u32, Option<SystemTime>)]) -> Ring {
        let mut keys = KeySet::default();
        for &(id, version, created) in versions {
            let name = KeyName { id, version };
            keys.insert(name, DataKey::new(&[version as u8; 16]).unwrap());
            keys.set_created(name, created);
        }
        Ring::new(&keys, Algorithm::AesCbc).unwrap()
    }

    #[test]
    fn the_age_is_that_of_the_oldest_latest_version_whose_time_is_known() {
        let now = SystemTime::UNIX_EPOCH + DAY * 20_000;
        let days = |days: u32| Some(now - DAY * days);
        for (versions, oldest_days, of_unknown_age) in [
            (&[][..], None, 0),
            (&[(1, 1, None)], None, 1),
            (&[(1, 1, days(900)), (1, 3, days(10))], Some(10), 0),
            (
                &[(1, 3, days(10)), (2, 1, days(40)), (7, 1, days(20))],
                Some(40),
                0,
            ),
            (&[(1, 1, days(900)), (1, 3, None), (2, 1, days(4))], Some(4), 1),
        ] {
            let expected = LatestVersions {
                oldest_days,
                of_unknown_age,
            };
            assert_eq!(LatestVersions::of(&ring(versions), now), expected);
        }
    }

    #[test]
    fn the_list_of_keys_has_the_times_that_are_known() {
        let at = SystemTime::UNIX_EPOCH + DAY * 20_000;
        let ring = ring(&[(1, 1, None), (1, 3, Some(at))]);
        let list: serde_json::Value = serde_json::from_str(&keys_as_json(&ring, Some(at + DAY))).unwrap();
        assert_eq!(list[0]["created"], serde_json::Value::Null);
        assert_eq!(list[1]["created"], "2024-10-04 00:00:00");
        assert_eq!(list[0]["wrapped_at"], "2024-10-05 00:00:00");
        assert!(keys_as_json(&ring, None).ends_with("\"wrapped_at\":null}]"));
    }

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
