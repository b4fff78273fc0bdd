//! What the plugin tells about itself: status variables and the list of keys.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::Published;

/// Counters and the last error since the plugin was loaded.
#[derive(Debug, Default)]
pub struct Status {
    rotations: AtomicU64,
    reloads: AtomicU64,
    created: AtomicU64,
    master_key_rotations: AtomicU64,
    last_error: Mutex<Option<LastError>>,
}

#[derive(Debug)]
struct LastError {
    text: String,
    at: SystemTime,
}

impl Status {
    /// Counts a rotation (one statement, however many keys it rotated).
    pub fn count_rotation(&self) {
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

    /// Rotations so far.
    pub fn rotations(&self) -> u64 {
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
        last.as_ref().map(|error| utc(error.at)).unwrap_or_default()
    }
}

/// A time as SQL writes it, in UTC.
fn utc(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map(|d| d.as_secs())
        .unwrap_or_default();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Year, month and day of the proleptic Gregorian calendar, counted from 1970-01-01. Years begin in March
/// here, so that the leap day is the last of its year and month lengths follow (153 m + 2) / 5.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let since_march_of_year_0 = days + 719_468;
    let era = since_march_of_year_0 / DAYS_IN_400_YEARS;
    let day_of_era = since_march_of_year_0 % DAYS_IN_400_YEARS;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// One key version as `keyroll_keys()` lists it. There are no key bytes in it.
#[derive(Debug, Serialize)]
struct KeyRow {
    id: u32,
    version: u32,
    latest: bool,
    bits: usize,
    algorithm: &'static str,
}

/// All key versions as a JSON array of `{id, version, latest, bits, algorithm}`, in order of id and version.
pub fn keys_as_json(published: &Published) -> String {
    let rows: Vec<KeyRow> = published
        .ring
        .held()
        .into_iter()
        .map(|held| KeyRow {
            id: held.name.id,
            version: held.name.version,
            latest: held.latest,
            bits: held.len * 8,
            algorithm: held.algorithm.name(),
        })
        .collect();
    // Plain numbers, booleans and ASCII names cannot fail to serialise.
    serde_json::to_string(&rows).unwrap_or_else(|_| "[]".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (1_735_689_599, "2024-12-31 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }

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
