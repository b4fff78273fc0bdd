//! Turns: one thread at a time, in the order in which they came.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{NotLocked, wait_for_lock};

/// Threads that wait for each other. None overtakes another, so that none waits for ever.
#[derive(Debug, Default)]
pub struct Queue {
    waiters: Mutex<Waiters>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Waiters {
    /// The number of the one who comes next.
    next: u64,
    /// The numbers of those who wait, in their order.
    waiting: VecDeque<u64>,
    /// Whether it is somebody's turn.
    is_taken: bool,
}

/// One's turn, until this is dropped.
#[derive(Debug)]
pub struct Turn<'a>(&'a Queue);

impl Waiters {
    fn join(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.push_back(number);
        number
    }

    /// Begins the turn of whoever has this number, if it has come.
    fn begin(&mut self, number: u64) -> Option<()> {
        (!self.is_taken && self.waiting.front() == Some(&number)).then(|| self.is_taken = true)
    }
}

/// A place among the waiters, given up when this is dropped, after a panic, too.
struct Ticket<'a> {
    queue: &'a Queue,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut waiters = self.queue.waiters();
        waiters.waiting.retain(|waiting| *waiting != self.number);
        drop(waiters);
        self.queue.moved.notify_all();
    }
}

impl Queue {
    /// Waits until those who came before have had their turns.
    ///
    /// # Errors
    /// Those of [`wait_for_lock`].
    pub fn turn(&self, timeout: Duration) -> Result<Turn<'_>, NotLocked> {
        let number = self.waiters().join();
        let _ticket = Ticket { queue: self, number };
        // Held between a try and the wait for the next one, so that no end of a turn is missed.
        // Dropped before the ticket is.
        let waiters = RefCell::new(Some(self.waiters()));
        wait_for_lock(
            timeout,
            || waiters.borrow_mut().as_mut()?.begin(number),
            |pause| {
                let held = waiters.take();
                waiters.replace(held.map(|held| unpoisoned(self.moved.wait_timeout(held, pause)).0));
            },
        )?;
        Ok(Turn(self))
    }

    /// Waits without a timeout until those who came before have had their turns: for threads that
    /// nobody kills.
    pub fn turn_without_end(&self) -> Turn<'_> {
        let number = self.waiters().join();
        let _ticket = Ticket { queue: self, number };
        let mut waiters = self.waiters();
        while waiters.begin(number).is_none() {
            waiters = unpoisoned(self.moved.wait(waiters));
        }
        Turn(self)
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        unpoisoned(self.waiters.lock())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.waiters().is_taken = false;
        self.0.moved.notify_all();
    }
}

/// The lock, even after a panic: that comes from outside, between the changes.
pub(super) fn unpoisoned<G>(locked: Result<G, PoisonError<G>>) -> G {
    locked.unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::while_wanted;
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn turns_come_in_the_order_in_which_threads_came_and_one_who_gives_up_holds_nobody_up() {
        let (queue, seen) = (Queue::default(), Mutex::new(Vec::new()));
        let first = queue.turn(LONG).unwrap();
        thread::scope(|scope| {
            for number in 0..20 {
                let (queue, seen) = (&queue, &seen);
                // In this order, whatever the system does with its threads.
                while queue.waiters().waiting.len() < number {
                    thread::yield_now();
                }
                scope.spawn(move || {
                    let turn = match number % 5 {
                        0 => queue.turn_without_end(),
                        _ => queue.turn(LONG).unwrap(),
                    };
                    seen.lock().unwrap().push(number);
                    drop(turn);
                });
            }
            while queue.waiters().waiting.len() < 20 {
                thread::yield_now();
            }
            assert_eq!(queue.turn(Duration::ZERO).unwrap_err(), NotLocked::TimedOut);
            let killed = while_wanted(|| true, || queue.turn(LONG).map(drop));
            assert_eq!(killed, Err(NotLocked::Cancelled));
            drop(first);
        });
        assert_eq!(*seen.lock().unwrap(), Vec::from_iter(0..20));
    }

    #[test]
    fn whoever_panics_while_he_waits_holds_nobody_up() {
        let queue = Queue::default();
        let waits = || while_wanted(|| panic!("of the test"), || queue.turn(LONG).map(drop));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(waits));
        assert!(panicked.is_err());
        assert!(queue.turn(Duration::ZERO).is_ok());
        drop(queue.turn_without_end());
    }
}
