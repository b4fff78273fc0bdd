//! When mariadb-backup reads the key store again: for a version that it lacks, as a server may have made it meanwhile, but not as
//! often as pages ask for it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::keys::KeyName;

/// No two reads begin within this time.
const PAUSE: Duration = Duration::from_secs(1);

/// The most versions that are remembered.
const MOST: usize = 1000;

/// The reads so far.
#[derive(Debug, Default)]
pub struct LookAgain {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the last read began, and whether it succeeded.
    last: Option<(Instant, bool)>,
    /// What reads were made for.
    sought: BTreeSet<KeyName>,
}

impl LookAgain {
    /// Reads the store with `read`, which tells whether it succeeded, for a version that is not there; whether it may be there
    /// now. A server makes a version before it uses it, so a read that began after it was asked for decides: one that another
    /// thread has made meanwhile serves, and a version that was read for in vain has to wait for a second to pass. The first
    /// one to ask for another version waits for it here.
    pub fn look(&self, name: KeyName, read: impl FnOnce() -> bool) -> bool {
        let asked = Instant::now();
        // Each change is one assignment, so that a panic leaves it whole.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((began, succeeded)) = state.last {
            if began >= asked {
                return succeeded;
            }
            let left = PAUSE.saturating_sub(began.elapsed());
            if !left.is_zero() && state.sought.contains(&name) {
                return false;
            }
            thread::sleep(left);
        }
        if state.sought.len() < MOST {
            state.sought.insert(name);
        }
        let began = Instant::now();
        let succeeded = read();
        state.last = Some((began, succeeded));
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
        let (again, reads) = (LookAgain::default(), AtomicUsize::new(0));
        let look = |version| again.look(name(version), || reads.fetch_add(1, Ordering::Relaxed) < 99);
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
        let (again, reads) = (LookAgain::default(), AtomicUsize::new(0));
        let read = || {
            reads.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(100));
            true
        };
        again.look(name(1), read);
        thread::scope(|scope| {
            for version in 2..32 {
                let (again, read) = (&again, &read);
                scope.spawn(move || assert!(again.look(name(version), read)));
            }
        });
        // The one after the pause, and one for those that asked after it had begun.
        assert!(reads.load(Ordering::Relaxed) <= 3, "{reads:?}");
    }
}
