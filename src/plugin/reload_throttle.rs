//! The limit on how often mariadb-backup reloads the key store: for a version that it lacks, as a
//! server may have made it meanwhile, but not as often as pages ask for it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::keys::KeyName;

/// The shortest time between the beginnings of two reloads.
const PAUSE: Duration = Duration::from_secs(1);

/// The most versions that are remembered.
const MOST: usize = 1000;

/// The reloads so far, and what they were made for.
#[derive(Debug, Default)]
pub(crate) struct ReloadThrottle {
    reloads: Mutex<Reloads>,
}

#[derive(Debug, Default)]
struct Reloads {
    /// When the last reload began, and whether it succeeded.
    last: Option<(Instant, bool)>,
    /// The versions that reloads were made for.
    requested: BTreeSet<KeyName>,
}

impl ReloadThrottle {
    /// Reloads the store by `read`, which tells whether it succeeded, for a version that is not
    /// there; whether it may be there now. A reload by another thread serves too if it began after
    /// this call. Within [`PAUSE`] of the last one a version that was reloaded for already is not
    /// there; for any other one this waits for the pause to end.
    pub(crate) fn reload_for(&self, name: KeyName, read: impl FnOnce() -> bool) -> bool {
        let asked = Instant::now();
        // Each change is one assignment, so that a panic leaves it whole.
        let mut reloads = self.reloads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((began, succeeded)) = reloads.last {
            if began >= asked {
                return succeeded;
            }
            let left = PAUSE.saturating_sub(began.elapsed());
            if !left.is_zero() && reloads.requested.contains(&name) {
                return false;
            }
            thread::sleep(left);
        }
        if reloads.requested.len() < MOST {
            reloads.requested.insert(name);
        }
        let began = Instant::now();
        let succeeded = read();
        reloads.last = Some((began, succeeded));
        succeeded
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn name(version: u32) -> KeyName {
        KeyName { id: 1, version }
    }

    #[test]
    fn a_version_that_is_asked_for_again_and_again_is_read_for_once_in_a_pause() {
        let (again, reads) = (ReloadThrottle::default(), AtomicUsize::new(0));
        let look = |version| again.reload_for(name(version), || reads.fetch_add(1, Ordering::Relaxed) < 99);
        let start = Instant::now();
        assert!(look(3));
        for _ in 0..10_000 {
            assert!(!look(3));
        }
        assert!(start.elapsed() < PAUSE, "nobody waits for what was just read for");
        assert!(
            look(5) && start.elapsed() >= PAUSE,
            "another version is read for, later"
        );
        assert!(!look(3) && reads.load(Ordering::Relaxed) == 2);
        thread::sleep(PAUSE);
        assert!(look(3) && reads.load(Ordering::Relaxed) == 3);
    }

    #[test]
    fn threads_that_ask_at_one_moment_share_a_read() {
        let (again, reads) = (ReloadThrottle::default(), AtomicUsize::new(0));
        let read = || {
            reads.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(100));
            true
        };
        again.reload_for(name(1), read);
        thread::scope(|scope| {
            for version in 2..32 {
                let (again, read) = (&again, &read);
                scope.spawn(move || assert!(again.reload_for(name(version), read)));
            }
        });
        // The one after the pause, and one for those that asked after it had begun.
        assert!(reads.load(Ordering::Relaxed) <= 3, "{reads:?}");
    }
}
