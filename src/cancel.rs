//! Work that somebody may give up while a thread does it: a statement that is killed, a server that ends. What waits below
//! looks now and then whether it is still wanted.

use std::cell::RefCell;
use std::thread;
use std::time::{Duration, Instant};

/// How long a wait goes on without looking.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

type IsCancelled = Box<dyn Fn() -> bool>;

thread_local! {
    static CURRENT: RefCell<Option<IsCancelled>> = const { RefCell::new(None) };
}

/// Does `work` in this thread, whose waits end early once `is_cancelled` says so. What gives up fails as it does when it has
/// waited too long; it never leaves anything half done that it would not leave then.
pub fn while_wanted<T>(is_cancelled: impl Fn() -> bool + 'static, work: impl FnOnce() -> T) -> T {
    /// Puts back what counted before, after a panic, too.
    struct Before(Option<IsCancelled>);
    impl Drop for Before {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _before = Before(CURRENT.replace(Some(Box::new(is_cancelled))));
    work()
}

/// Whether the work that this thread does is no longer wanted.
pub fn is_cancelled() -> bool {
    CURRENT.with_borrow(|current| current.as_ref().is_some_and(|is_cancelled| is_cancelled()))
}

/// How long to wait before looking again, of the time that is left (`None`: without a bound). All of it where nobody can give
/// the work up.
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
}
