//! A mutex for what is held during work on the disk or with a key service: waits for it have a
//! timeout and can be cancelled.

use std::ops::{Deref, DerefMut};
use std::sync;
use std::time::Duration;

use super::NotLocked;
use super::queue::{Queue, Turn, unpoisoned};

/// A value that one thread at a time has, in the order in which they came.
#[derive(Debug, Default)]
pub struct Mutex<T> {
    /// Only whose turn it is locks it.
    value: sync::Mutex<T>,
    queue: Queue,
}

/// The value, for as long as this lives.
pub struct MutexGuard<'a, T> {
    // Dropped in this order, so that the next one finds it free.
    value: sync::MutexGuard<'a, T>,
    _turn: Turn<'a>,
}

impl<T> Mutex<T> {
    /// A mutex with this value. A panic of whoever has it leaves the value as it is.
    pub fn new(value: T) -> Mutex<T> {
        Mutex {
            value: sync::Mutex::new(value),
            queue: Queue::default(),
        }
    }

    /// Waits until nobody else has it.
    ///
    /// # Errors
    /// Those of [`wait_for_lock`](super::wait_for_lock).
    pub fn lock(&self, timeout: Duration) -> Result<MutexGuard<'_, T>, NotLocked> {
        self.queue.turn(timeout).map(|turn| self.guard(turn))
    }

    /// Waits until nobody else has it, without a timeout: for threads that nobody kills.
    pub fn lock_without_end(&self) -> MutexGuard<'_, T> {
        self.guard(self.queue.turn_without_end())
    }

    fn guard<'a>(&'a self, turn: Turn<'a>) -> MutexGuard<'a, T> {
        MutexGuard {
            value: unpoisoned(self.value.lock()),
            _turn: turn,
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Instant;

    use super::super::while_wanted;
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn many_threads_work_on_a_value_one_after_the_other() {
        let mutex = Mutex::new(0);
        let add = || {
            for _ in 0..1000 {
                *mutex.lock(LONG).unwrap() += 1;
            }
        };
        thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(add))));
        assert_eq!(*mutex.lock_without_end(), 8000);
    }

    #[test]
    fn whoever_waits_is_told_at_once_that_it_is_free() {
        let mutex = Mutex::new(());
        let held = mutex.lock(LONG).unwrap();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| mutex.lock(LONG).map(|_| Instant::now()).unwrap());
            thread::sleep(Duration::from_millis(120));
            let freed = Instant::now();
            drop(held);
            assert!(waiter.join().unwrap() - freed < Duration::from_millis(40));
        });
    }

    #[test]
    fn a_wait_ends_when_the_work_is_no_longer_wanted_or_the_time_is_over() {
        let mutex = Mutex::new(());
        let _held = mutex.lock(LONG).unwrap();
        let killed = Arc::new(AtomicBool::new(false));
        thread::scope(|scope| {
            let of_statement = Arc::clone(&killed);
            let wait = || mutex.lock(LONG).err();
            let waiter =
                scope.spawn(move || while_wanted(move || of_statement.load(Ordering::Relaxed), wait));
            thread::sleep(Duration::from_millis(100));
            assert!(!waiter.is_finished());
            let start = Instant::now();
            killed.store(true, Ordering::Relaxed);
            assert_eq!(waiter.join().unwrap(), Some(NotLocked::Cancelled));
            assert!(start.elapsed() < Duration::from_secs(1));
        });
        assert_eq!(
            mutex.lock(Duration::from_millis(120)).err(),
            Some(NotLocked::TimedOut)
        );
    }

    #[test]
    fn a_panic_leaves_the_value_to_the_next() {
        let mutex = Mutex::new(7);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = mutex.lock(LONG).unwrap();
            panic!("of the test");
        }));
        assert!(panicked.is_err());
        assert_eq!(*mutex.lock(LONG).unwrap(), 7);
    }
}
