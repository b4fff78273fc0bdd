//! Work that may be cancelled while a thread does it, when its statement is killed or the server
//! ends. Whatever waits looks now and then whether the work is still wanted.

mod mutex;
mod queue;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

pub use mutex::{Mutex, MutexGuard};
pub use queue::{Queue, Turn};

/// How long a wait goes on without looking.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The same where other threads work for this one, which alone may ask the server.
const LOOK_FOR_OTHERS_EVERY: Duration = Duration::from_millis(5);

type IsCancelled = Rc<dyn Fn() -> bool>;

thread_local! {
    static CURRENT: RefCell<Option<IsCancelled>> = const { RefCell::new(None) };
    /// When the work of this thread began.
    static BEGUN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Why a lock was not had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLocked {
    /// The work is no longer wanted.
    Cancelled,
    /// Somebody else held it all the time.
    TimedOut,
}

/// Does `work` in this thread, whose waits end early once `is_cancelled` says so, and then fail as
/// after a timeout.
pub fn while_wanted<T>(is_cancelled: impl Fn() -> bool + 'static, work: impl FnOnce() -> T) -> T {
    /// Puts back what counted before, after a panic, too.
    struct Before(Option<IsCancelled>, Option<Instant>);
    impl Drop for Before {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
            BEGUN.set(self.1);
        }
    }
    let _before = Before(
        CURRENT.replace(Some(Rc::new(is_cancelled))),
        BEGUN.replace(Some(Instant::now())),
    );
    work()
}

/// Does `work` in this thread, whose waits end early after so long, and as soon as what the thread
/// does is no longer wanted.
pub fn within<T>(time: Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let around = CURRENT.with_borrow(Clone::clone);
    let is_over =
        move || start.elapsed() >= time || around.as_ref().is_some_and(|is_cancelled| is_cancelled());
    while_wanted(is_over, work)
}

/// Whether the work that this thread does is no longer wanted.
pub fn is_cancelled() -> bool {
    CURRENT.with_borrow(|current| current.as_ref().is_some_and(|is_cancelled| is_cancelled()))
}

/// When the work that this thread does began; now, where nobody can give it up.
pub fn begun() -> Instant {
    BEGUN.get().unwrap_or_else(Instant::now)
}

/// How long to wait before looking again, of the time that is left (`None`: no limit): all of it
/// where nobody can cancel the work.
pub fn slice(left: Option<Duration>) -> Option<Duration> {
    match CURRENT.with_borrow(Option::is_some) {
        true => Some(left.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)),
        false => left,
    }
}

/// Sleeps so long, or until the work is no longer wanted.
pub fn sleep(duration: Duration) {
    let start = Instant::now();
    loop {
        let left = duration.saturating_sub(start.elapsed());
        if left.is_zero() || is_cancelled() {
            return;
        }
        thread::sleep(slice(Some(left)).unwrap_or(left));
    }
}

/// Waits until other threads that work for this one have ended, by a panic, too: each holds a
/// sender, and nobody sends. `is_given_up` is set once the work of this thread is no longer wanted.
pub fn wait_for_others(ended: &Receiver<()>, is_given_up: &AtomicBool) {
    while ended.recv_timeout(LOOK_FOR_OTHERS_EVERY) == Err(RecvTimeoutError::Timeout) {
        if is_cancelled() {
            is_given_up.store(true, Ordering::Relaxed);
        }
    }
}

/// Waits for a lock that `attempt` tries to get; `pause` waits between two tries, at most as long
/// as it is told.
///
/// # Errors
/// The work is no longer wanted, even where the lock came free in that moment; `timeout` is over.
pub fn wait_for_lock<T>(
    timeout: Duration,
    mut attempt: impl FnMut() -> Option<T>,
    mut pause: impl FnMut(Duration),
) -> Result<T, NotLocked> {
    let start = Instant::now();
    loop {
        if is_cancelled() {
            return Err(NotLocked::Cancelled);
        }
        if let Some(locked) = attempt() {
            return Ok(locked);
        }
        let left = timeout.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(NotLocked::TimedOut);
        }
        pause(left.min(LOOK_EVERY));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn work_is_wanted_unless_someone_says_otherwise() {
        assert!(!is_cancelled());
        assert_eq!(slice(None), None);
        assert_eq!(slice(Some(LONG)), Some(LONG));
        while_wanted(
            || true,
            || {
                assert!(is_cancelled());
                while_wanted(|| false, || assert!(!is_cancelled()));
                assert!(is_cancelled());
                let panicked = std::panic::catch_unwind(|| while_wanted(|| false, || panic!("of the test")));
                assert!(panicked.is_err() && is_cancelled());
                std::thread::spawn(|| assert!(!is_cancelled())).join().unwrap();
            },
        );
        assert!(!is_cancelled());
    }

    #[test]
    fn a_sleep_ends_when_the_work_is_no_longer_wanted() {
        let start = Instant::now();
        let soon = move || start.elapsed() > Duration::from_millis(100);
        while_wanted(soon, || sleep(LONG));
        assert!(start.elapsed() < Duration::from_secs(5));
        while_wanted(|| false, || sleep(Duration::from_millis(120)));
        assert!(start.elapsed() >= Duration::from_millis(220));
    }

    #[test]
    fn a_lock_that_comes_free_is_had_unless_the_work_is_no_longer_wanted() {
        let mut tries = 0;
        let third = || {
            tries += 1;
            (tries == 3).then_some(tries)
        };
        assert_eq!(wait_for_lock(LONG, third, |_| ()), Ok(3));
        let free = || wait_for_lock(LONG, || Some(()), |_| ());
        assert_eq!(while_wanted(|| true, free), Err(NotLocked::Cancelled));
        assert_eq!(while_wanted(|| false, free), Ok(()));
    }

    #[test]
    fn work_within_a_time_is_given_up_after_it_or_with_the_work_around_it() {
        let start = Instant::now();
        within(Duration::from_millis(100), || sleep(LONG));
        assert!(start.elapsed() >= Duration::from_millis(100) && start.elapsed() < LONG / 2);
        assert!(!is_cancelled(), "what comes after it is wanted");
        let killed = Rc::new(Cell::new(false));
        let of_statement = Rc::clone(&killed);
        while_wanted(
            move || of_statement.get(),
            || {
                within(LONG, || {
                    assert!(!is_cancelled());
                    killed.set(true);
                    assert!(is_cancelled());
                });
                within(Duration::ZERO, || assert!(is_cancelled()));
                assert!(is_cancelled());
            },
        );
    }

    #[test]
    fn work_began_when_it_began_and_other_work_now() {
        let before = Instant::now();
        while_wanted(
            || false,
            || {
                let began = begun();
                thread::sleep(Duration::from_millis(2));
                assert_eq!(begun(), began);
                while_wanted(|| false, || assert!(begun() > began));
                assert_eq!(begun(), began);
            },
        );
        assert!(begun() >= before + Duration::from_millis(2));
    }
}
