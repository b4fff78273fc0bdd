//! The retry policy: how long an answer is waited for, and how often a request is sent again.

use std::time::Duration;

use crate::net::Deadline;
use crate::net::retry::MOST_ATTEMPTS;

/// How a request is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryPolicy {
    /// The longest time for one request.
    pub(super) timeout: Duration,
    /// How often a request is sent again.
    pub(super) max_retries: u32,
}

impl RetryPolicy {
    /// The time that a call of several requests is given: that of one request, as often as it may
    /// be tried.
    pub(super) fn allowance(&self) -> Deadline {
        let tries = self.max_retries.saturating_add(1).min(MOST_ATTEMPTS);
        Deadline::after(self.timeout.saturating_mul(tries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_the_time_of_all_its_tries_and_no_more_tries_than_are_made() {
        let allowed = |timeout, max_retries| RetryPolicy { timeout, max_retries }.allowance().allowed();
        assert_eq!(allowed(Duration::from_millis(1500), 3), Duration::from_secs(6));
        let most = Duration::from_secs(2 * u64::from(MOST_ATTEMPTS));
        assert_eq!(allowed(Duration::from_secs(2), u32::MAX), most);
        assert_eq!(allowed(Duration::MAX, u32::MAX), Duration::MAX);
    }
}
