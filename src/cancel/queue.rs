//! Turns: one thread at a time, in the order in which they came.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{NotLocked, wait_for_lock};

/// Threads that wait for each other. Nobody who comes later overtakes: under load, none waits for ever.
#[derive(Debug, Default)]
pub struct Queue {
    line: Mutex<Line>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Line {
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

impl Line {
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

/// A place in the line. It is given up when this is dropped: by whoever's turn has begun, or who waits no more, after a panic, too.
struct Place<'a> {
    queue: &'a Queue,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue
            .line()
            .waiting
            .retain(|waiting| *waiting != self.number);
        self.queue.moved.notify_all();
    }
}

impl Queue {
    /// Waits until those who came before have had their turns.
    ///
    /// # Errors
    /// Those of [`wait_for_lock`].
    pub fn turn(&self, timeout: Duration) -> Result<Turn<'_>, NotLocked> {
        let number = self.line().join();
        let _place = Place { queue: self, number };
        // Held between a try and the wait for the next one, so that no end of a turn is missed. Dropped before the place is.
        let line = RefCell::new(Some(self.line()));
        wait_for_lock(
            timeout,
            || line.borrow_mut().as_mut().and_then(|line| line.begin(number)),
            |pause| {
                let held = line.take();
                line.replace(held.map(|held| unpoisoned(self.moved.wait_timeout(held, pause)).0));
            },
        )?;
        Ok(Turn(self))
    }

    /// The same, whatever becomes of the work: for threads that nobody kills.
    pub fn turn_without_end(&self) -> Turn<'_> {
        let number = self.line().join();
        let _place = Place { queue: self, number };
        let mut line = self.line();
        while line.begin(number).is_none() {
            line = unpoisoned(self.moved.wait(line));
        }
        Turn(self)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        unpoisoned(self.line.lock())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.line().is_taken = false;
        self.0.moved.notify_all();
    }
}

/// What a panic leaves is whole: it comes from outside, between the changes.
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
                while queue.line().waiting.len() < number {
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
            while queue.line().waiting.len() < 20 {
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
