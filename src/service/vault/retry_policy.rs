//! The retry policy: how long an answer is waited for, and how often a request is sent again. It may change while requests
//! are under way.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::net::Deadline;
use crate::net::retry::MOST_ATTEMPTS;

/// The two numbers. They are read for each request anew, one by one, as nothing depends on both being of one moment.
#[derive(Debug)]
pub(super) struct RetryPolicy {
    timeout_ms: AtomicU64,
    max_retries: AtomicU32,
}

impl RetryPolicy {
    pub(super) fn new(timeout: Duration, max_retries: u32) -> RetryPolicy {
        RetryPolicy {
            timeout_ms: AtomicU64::new(milliseconds(timeout)),
            max_retries: AtomicU32::new(max_retries),
        }
    }

    pub(super) fn set(&self, timeout: Duration, max_retries: u32) {
        self.timeout_ms.store(milliseconds(timeout), Ordering::Relaxed);
        self.max_retries.store(max_retries, Ordering::Relaxed);
    }

    /// The longest time for one request.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.load(Ordering::Relaxed))
    }

    /// How often a request is sent again.
    pub(super) fn max_retries(&self) -> u32 {
        self.max_retries.load(Ordering::Relaxed)
    }

    /// The time that a call of several requests is given: that of one request, as often as it may be tried.
    pub(super) fn allowance(&self) -> Deadline {
        let tries = self.max_retries().saturating_add(1).min(MOST_ATTEMPTS);
        Deadline::after(self.timeout().saturating_mul(tries))
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_the_time_of_all_its_tries_and_no_more_tries_than_are_made() {
        let policy = RetryPolicy::new(Duration::from_millis(1500), 3);
        assert_eq!(policy.allowance().allowed(), Duration::from_secs(6));
        policy.set(Duration::from_secs(2), u32::MAX);
        assert_eq!(
            policy.allowance().allowed(),
            Duration::from_secs(2 * u64::from(MOST_ATTEMPTS))
        );
        policy.set(Duration::MAX, 0);
        assert_eq!(policy.timeout(), Duration::from_millis(u64::MAX));
    }
}
