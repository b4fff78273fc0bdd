//! Trying again: a few times, with pauses that grow and that no two callers share, and never beyond
//! a deadline.

use std::time::{Duration, Instant};

use super::{NetError, NetFailure};
use crate::cancel::{self, Mutex, MutexGuard, NotLocked};

/// The most attempts of one call, the first among them.
pub(crate) const MOST_ATTEMPTS: u32 = 10;

/// The longest pause after the first attempt; it doubles after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The moment at which a call, all its retries together, has to be over. No set clock moves it.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    start: Instant,
    allowed: Duration,
}

impl Deadline {
    /// So long from now.
    pub fn after(allowed: Duration) -> Deadline {
        Deadline {
            start: Instant::now(),
            allowed,
        }
    }

    /// The time that is left; zero once it is over.
    pub fn remaining(&self) -> Duration {
        self.allowed.saturating_sub(self.start.elapsed())
    }

    /// Whether no time is left.
    pub fn is_over(&self) -> bool {
        self.remaining().is_zero()
    }

    /// The whole time that was allowed.
    pub fn allowed(&self) -> Duration {
        self.allowed
    }

    /// Waits for what another call holds while it asks `host`.
    ///
    /// # Errors
    /// [`NetFailure::Cancelled`]; [`NetFailure::TimedOut`].
    pub fn lock<'a, T>(&self, mutex: &'a Mutex<T>, host: &str) -> Result<MutexGuard<'a, T>, NetError> {
        mutex.lock(self.remaining()).map_err(|why| {
            let failure = match why {
                NotLocked::Cancelled => NetFailure::Cancelled,
                NotLocked::TimedOut => NetFailure::TimedOut(self.allowed),
            };
            failure.at(host)
        })
    }
}

/// Makes attempts until one succeeds, one fails for good, `MOST_ATTEMPTS` were made or the next
/// pause would not end before the deadline. The answer is that of the last attempt.
///
/// `attempt` must not take longer than the deadline; the first one is always made.
/// Between two attempts lies a random pause from zero up to a bound that doubles ("full jitter",
/// Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015), so that many servers that
/// lost one service do not come back at one moment.
pub fn retry<T, E>(
    deadline: Deadline,
    attempt: impl FnMut() -> Result<T, E>,
    is_retryable: impl Fn(&E) -> bool,
) -> Result<T, E> {
    retry_pausing(deadline, attempt, is_retryable, cancel::sleep)
}

fn retry_pausing<T, E>(
    deadline: Deadline,
    mut attempt: impl FnMut() -> Result<T, E>,
    is_retryable: impl Fn(&E) -> bool,
    mut pause: impl FnMut(Duration),
) -> Result<T, E> {
    let mut made = 0;
    loop {
        let result = attempt();
        made += 1;
        match &result {
            Err(error) if made < MOST_ATTEMPTS && is_retryable(error) => {
                let next = random_up_to(longest_pause(made));
                if next >= deadline.remaining() {
                    return result;
                }
                pause(next);
            }
            _ => return result,
        }
    }
}

fn longest_pause(attempts: u32) -> Duration {
    let doubled = 1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

/// Any duration from zero to `most`, each as likely.
fn random_up_to(most: Duration) -> Duration {
    match getrandom::u32() {
        Ok(random) => most.mul_f64(f64::from(random) / f64::from(u32::MAX)),
        // A pause needs no randomness to be one.
        Err(_) => most,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// Runs a retry of attempts that always fail; the number of attempts and the pauses between
    /// them.
    fn failing(deadline: Deadline, is_retryable: bool) -> (u32, Vec<Duration>) {
        let (mut attempts, mut pauses) = (0, Vec::new());
        let result: Result<(), u32> = retry_pausing(
            deadline,
            || {
                attempts += 1;
                Err(attempts)
            },
            |_| is_retryable,
            |pause| pauses.push(pause),
        );
        assert_eq!(result, Err(attempts), "the last answer is the one that counts");
        (attempts, pauses)
    }

    #[test]
    fn what_may_not_be_retried_is_tried_once() {
        assert_eq!(failing(Deadline::after(LONG), false), (1, vec![]));
    }

    #[test]
    fn the_number_of_attempts_is_bounded() {
        let (attempts, pauses) = failing(Deadline::after(LONG), true);
        assert_eq!(attempts, MOST_ATTEMPTS);
        assert_eq!(pauses.len() as u32, MOST_ATTEMPTS - 1);
    }

    #[test]
    fn no_pause_reaches_beyond_the_deadline() {
        for _ in 0..100 {
            let deadline = Deadline::after(Duration::from_millis(120));
            for pause in failing(deadline, true).1 {
                assert!(pause < Duration::from_millis(120), "{pause:?}");
            }
        }
    }

    #[test]
    fn after_the_deadline_one_attempt_is_made_and_told_so() {
        let deadline = Deadline::after(Duration::ZERO);
        assert!(deadline.is_over());
        let mut told = Vec::new();
        let result: Result<(), ()> = retry(
            deadline,
            || {
                told.push(deadline.remaining());
                Err(())
            },
            |()| true,
        );
        assert_eq!((result, told), (Err(()), vec![Duration::ZERO]));
    }

    #[test]
    fn a_success_ends_it() {
        let mut attempts = 0;
        let result = retry(
            Deadline::after(LONG),
            || {
                attempts += 1;
                if attempts < 3 { Err("away") } else { Ok(attempts) }
            },
            |_| true,
        );
        assert_eq!(result, Ok(3));
    }

    #[test]
    fn pauses_differ_from_caller_to_caller() {
        let (_, a) = failing(Deadline::after(LONG), true);
        let (_, b) = failing(Deadline::after(LONG), true);
        assert_ne!(a, b);
    }

    #[test]
    fn a_long_deadline_does_not_overflow() {
        let deadline = Deadline::after(Duration::MAX);
        assert!(deadline.remaining() > LONG && !deadline.is_over());
    }

    proptest! {
        #[test]
        fn the_bound_of_a_pause_doubles_up_to_the_longest(attempts in 1u32..1000) {
            let (this, next) = (longest_pause(attempts), longest_pause(attempts + 1));
            prop_assert_eq!(next, (this * 2).min(LONGEST_PAUSE));
            prop_assert!(this >= FIRST_PAUSE);
        }

        #[test]
        fn a_random_pause_stays_within_its_bound(millis in 0u64..100_000) {
            let most = Duration::from_millis(millis);
            prop_assert!(random_up_to(most) <= most);
        }
    }
}
