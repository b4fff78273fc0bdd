//! One request for all who ask the same at one moment, and no second one within a pause.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::missing::Missing;
use crate::cancel::{self, NotLocked};

/// How long after an answer nobody asks for the same again.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// The same for whoever takes earlier answers, where the store was in trouble.
const PAUSE_AFTER_TROUBLE: Duration = Duration::from_secs(30);

/// The most answers that are kept.
const MOST_KEPT: usize = 1000;

/// Whether the store has a key; or, in words for a statement, why it did not say so.
pub(crate) type Answer = Result<bool, String>;

/// Requests to the store for keys that the ring lacks, one at a time for each key id.
#[derive(Debug, Default)]
pub(crate) struct SingleFlight {
    flights: Mutex<HashMap<u32, Flight>>,
    landed: Condvar,
}

#[derive(Debug)]
enum Flight {
    UnderWay,
    Landed(Landed),
}

/// What came of a request.
#[derive(Debug)]
struct Landed {
    answer: Answer,
    began: Instant,
    at: Instant,
}

/// What a call makes of an answer that is too old for it, in the pause after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InPause {
    /// It takes that answer.
    TakeIt,
    /// It waits until the pause is over, and asks.
    AskAfterIt,
}

/// An answer of the store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It came while the caller waited.
    Now(Answer),
    /// It was there before the caller asked.
    Before(Answer),
}

impl Landed {
    /// Whether the key that is wanted is there. Of a version that says nothing.
    fn is_found(&self, wanted: Missing) -> bool {
        self.answer == Ok(true) && wanted.version.is_none()
    }

    /// Whether it is the answer to whoever asked then. That something was not there says nothing
    /// to one who asked after the request began; that it was, or that the store is in trouble,
    /// does.
    fn serves(&self, wanted: Missing, asked: Instant) -> bool {
        let is_lasting = self.answer.is_err() || self.is_found(wanted);
        asked <= if is_lasting { self.at } else { self.began }
    }

    /// Whether it is the answer to whoever asks now and takes an earlier one.
    fn is_taken(&self) -> bool {
        let pause = match &self.answer {
            Ok(_) => PAUSE,
            Err(_) => PAUSE_AFTER_TROUBLE,
        };
        self.at.elapsed() < pause
    }
}

/// A request that this thread makes. Dropped without an answer, as after a panic, it leaves the
/// asking to the next one.
struct Request<'a> {
    of: &'a SingleFlight,
    id: u32,
    landed: Option<Landed>,
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let mut flights = self.of.flights();
        match self.landed.take() {
            Some(landed) => flights.insert(self.id, Flight::Landed(landed)),
            None => flights.remove(&self.id),
        };
        drop(flights);
        self.of.landed.notify_all();
    }
}

impl SingleFlight {
    /// Has `ask` ask the store for all versions of the key that is wanted, or has the answer of
    /// another thread that asks for it, or has done so within [`PAUSE`].
    ///
    /// # Errors
    /// The wait was [given up](cancel::is_cancelled).
    pub(crate) fn ask(
        &self,
        wanted: Missing,
        in_pause: InPause,
        ask: impl FnOnce() -> Answer,
    ) -> Result<Answered, NotLocked> {
        if let Some(answered) = self.answer_of_others(wanted, in_pause)? {
            return Ok(answered);
        }
        let (id, landed) = (wanted.id, None);
        let mut request = Request { of: self, id, landed };
        let began = Instant::now();
        let answer = ask();
        // Of one that was given up others learn nothing.
        if answer.is_ok() || !cancel::is_cancelled() {
            let at = Instant::now();
            let answer = answer.clone();
            request.landed = Some(Landed { answer, began, at });
        }
        Ok(Answered::Now(answer))
    }

    /// The answer to a call that [takes](InPause::TakeIt) an earlier one, if there is one. Waits
    /// for nothing.
    pub(crate) fn earlier(&self, id: u32) -> Option<Answer> {
        match self.flights().get(&id)? {
            Flight::Landed(landed) if landed.is_taken() => Some(landed.answer.clone()),
            _ => None,
        }
    }

    /// The answer of another request, which may be waited for; `None` when it is this thread's turn
    /// to ask.
    fn answer_of_others(&self, wanted: Missing, in_pause: InPause) -> Result<Option<Answered>, NotLocked> {
        let asked = Instant::now();
        // Held between a look and the wait for the next one, so that no answer is missed.
        let flights = RefCell::new(Some(self.flights()));
        cancel::wait_for_lock(
            Duration::MAX,
            || look(flights.borrow_mut().as_mut()?, wanted, asked, in_pause),
            |pause| {
                let held = flights.take();
                flights.replace(held.map(|held| {
                    let waited = self.landed.wait_timeout(held, pause);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }));
            },
        )
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<u32, Flight>> {
        // Each change is one call, so that a panic leaves it whole.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None`: wait. Otherwise the answer, or none when it is the caller's turn, which has begun then.
fn look(
    flights: &mut HashMap<u32, Flight>,
    wanted: Missing,
    asked: Instant,
    in_pause: InPause,
) -> Option<Option<Answered>> {
    match flights.get(&wanted.id) {
        Some(Flight::UnderWay) => return None,
        Some(Flight::Landed(landed)) => {
            let answer = landed.answer.clone();
            if landed.serves(wanted, asked) {
                return Some(Some(Answered::Now(answer)));
            }
            let is_taken = in_pause == InPause::TakeIt || landed.is_found(wanted);
            if is_taken && landed.is_taken() {
                return Some(Some(match asked <= landed.at {
                    true => Answered::Now(answer),
                    false => Answered::Before(answer),
                }));
            }
            if !is_taken && landed.at.elapsed() < PAUSE {
                return None;
            }
        }
        None => {}
    }
    let has_room = flights.len() < MOST_KEPT;
    flights.retain(|_, flight| match flight {
        Flight::UnderWay => true,
        Flight::Landed(landed) => has_room && landed.is_taken(),
    });
    flights.insert(wanted.id, Flight::UnderWay);
    Some(None)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};
    use std::thread;

    use super::*;

    /// Gives other threads the time to ask, or to wait for whoever asks.
    fn let_them_wait() {
        thread::sleep(Duration::from_millis(200));
    }

    fn key(id: u32) -> Missing {
        let (version, is_known) = (None, false);
        Missing {
            id,
            version,
            is_known,
        }
    }

    fn ask(flight: &SingleFlight, in_pause: InPause, requests: &AtomicUsize, answer: Answer) -> Answered {
        let asking = || {
            requests.fetch_add(1, Ordering::SeqCst);
            answer
        };
        flight.ask(key(7), in_pause, asking).unwrap()
    }

    #[test]
    fn all_who_ask_for_one_key_at_one_moment_share_a_request_and_others_have_their_own() {
        for answer in [Ok(true), Err("no".to_owned())] {
            for in_pause in [InPause::TakeIt, InPause::AskAfterIt] {
                let (flight, requests) = (SingleFlight::default(), AtomicUsize::new(0));
                let (all, end) = (Barrier::new(51), Barrier::new(2));
                thread::scope(|scope| {
                    for _ in 0..50 {
                        scope.spawn(|| {
                            all.wait();
                            let asking = || {
                                requests.fetch_add(1, Ordering::SeqCst);
                                end.wait();
                                answer.clone()
                            };
                            assert_eq!(
                                flight.ask(key(7), in_pause, asking),
                                Ok(Answered::Now(answer.clone()))
                            );
                        });
                    }
                    all.wait();
                    let_them_wait();
                    let other = flight.ask(key(8), in_pause, || Ok(true));
                    assert_eq!(other, Ok(Answered::Now(Ok(true))), "another key waits for nobody");
                    end.wait();
                });
                assert_eq!(requests.load(Ordering::SeqCst), 1);
            }
        }
    }

    #[test]
    fn a_miss_is_remembered_for_a_second() {
        let (flight, requests) = (SingleFlight::default(), AtomicUsize::new(0));
        let ask = |in_pause, answer| ask(&flight, in_pause, &requests, answer);
        assert_eq!(ask(InPause::TakeIt, Ok(false)), Answered::Now(Ok(false)));
        let start = Instant::now();
        for _ in 0..1000 {
            assert_eq!(ask(InPause::TakeIt, Ok(true)), Answered::Before(Ok(false)));
        }
        assert!(start.elapsed() < PAUSE && requests.load(Ordering::SeqCst) == 1);
        assert_eq!(ask(InPause::AskAfterIt, Ok(true)), Answered::Now(Ok(true)));
        assert!(start.elapsed() > PAUSE - Duration::from_millis(50));
        let found = Instant::now();
        assert_eq!(ask(InPause::AskAfterIt, Ok(false)), Answered::Before(Ok(true)));
        assert!(
            found.elapsed() < PAUSE / 2,
            "what was found is not asked for again"
        );
        thread::sleep(PAUSE);
        assert_eq!(
            ask(InPause::TakeIt, Err("x".into())),
            Answered::Now(Err("x".into()))
        );
        assert_eq!(requests.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn that_a_key_is_there_says_nothing_of_a_version_that_was_added_since() {
        let (flight, start) = (SingleFlight::default(), Instant::now());
        let version = Missing {
            version: Some(3),
            ..key(7)
        };
        flight.ask(key(7), InPause::TakeIt, || Ok(true)).unwrap();
        let answered = flight.ask(version, InPause::TakeIt, || panic!("in the pause"));
        assert_eq!(answered, Ok(Answered::Before(Ok(true))));
        let mut is_asked = false;
        flight
            .ask(version, InPause::AskAfterIt, || {
                is_asked = true;
                Ok(true)
            })
            .unwrap();
        assert!(is_asked && start.elapsed() >= PAUSE);
    }

    #[test]
    fn a_request_that_began_before_says_nothing_of_a_key_that_was_made_since() {
        for (in_pause, requests_made) in [(InPause::AskAfterIt, 2), (InPause::TakeIt, 1)] {
            let (flight, requests) = (SingleFlight::default(), AtomicUsize::new(0));
            let is_made = AtomicBool::new(false);
            let end = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let before = || {
                        requests.fetch_add(1, Ordering::SeqCst);
                        end.wait();
                        Ok(false)
                    };
                    flight.ask(key(7), in_pause, before).unwrap()
                });
                let_them_wait();
                is_made.store(true, Ordering::SeqCst);
                let after: Vec<_> = (0..10)
                    .map(|_| {
                        scope.spawn(|| ask(&flight, in_pause, &requests, Ok(is_made.load(Ordering::SeqCst))))
                    })
                    .collect();
                let_them_wait();
                end.wait();
                for answered in after {
                    let is_found = in_pause == InPause::AskAfterIt;
                    assert_eq!(answered.join().unwrap(), Answered::Now(Ok(is_found)));
                }
            });
            assert_eq!(requests.load(Ordering::SeqCst), requests_made);
        }
    }

    #[test]
    fn whoever_is_killed_ends_at_once_and_the_next_one_asks() {
        let (flight, killed) = (SingleFlight::default(), Arc::new(AtomicBool::new(false)));
        let while_not_killed = |work: &dyn Fn() -> Result<Answered, NotLocked>| {
            let killed = Arc::clone(&killed);
            cancel::while_wanted(move || killed.load(Ordering::SeqCst), work)
        };
        thread::scope(|scope| {
            let asks = scope.spawn(|| {
                while_not_killed(&|| {
                    flight.ask(key(7), InPause::TakeIt, || {
                        cancel::sleep(Duration::from_secs(3600));
                        Err("killed".into())
                    })
                })
            });
            let_them_wait();
            let waits = scope
                .spawn(|| while_not_killed(&|| flight.ask(key(7), InPause::TakeIt, || panic!("was killed"))));
            let is_next = scope.spawn(|| flight.ask(key(7), InPause::TakeIt, || Ok(true)));
            let_them_wait();
            assert!(!waits.is_finished() && !is_next.is_finished());
            let start = Instant::now();
            killed.store(true, Ordering::SeqCst);
            assert_eq!(waits.join().unwrap(), Err(NotLocked::Cancelled));
            assert_eq!(asks.join().unwrap(), Ok(Answered::Now(Err("killed".into()))));
            assert_eq!(is_next.join().unwrap(), Ok(Answered::Now(Ok(true))));
            assert!(start.elapsed() < Duration::from_secs(2));
        });
    }

    #[test]
    fn a_panic_of_whoever_asks_leaves_the_asking_to_the_next() {
        let flight = SingleFlight::default();
        let asking = || flight.ask(key(7), InPause::TakeIt, || panic!("of the test"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(asking)).is_err());
        let answered = flight.ask(key(7), InPause::TakeIt, || Ok(true));
        assert_eq!(answered, Ok(Answered::Now(Ok(true))));
    }

    #[test]
    fn trouble_is_remembered_for_longer_by_whoever_takes_earlier_answers() {
        let (flight, requests) = (SingleFlight::default(), AtomicUsize::new(0));
        let trouble = Err("trouble".to_owned());
        let ask = |in_pause, answer| ask(&flight, in_pause, &requests, answer);
        let let_pass = |time: Duration| {
            for kept in flight.flights().values_mut() {
                if let Flight::Landed(landed) = kept {
                    landed.at -= time;
                    landed.began -= time;
                }
            }
        };
        ask(InPause::TakeIt, trouble.clone());
        let_pass(PAUSE);
        assert_eq!(flight.earlier(7), Some(trouble.clone()));
        assert_eq!(ask(InPause::TakeIt, Ok(true)), Answered::Before(trouble.clone()));
        assert_eq!(ask(InPause::AskAfterIt, trouble.clone()), Answered::Now(trouble));
        let_pass(PAUSE_AFTER_TROUBLE);
        assert_eq!(flight.earlier(7), None);
        assert_eq!(ask(InPause::TakeIt, Ok(true)), Answered::Now(Ok(true)));
        assert_eq!(requests.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn no_more_is_kept_than_the_answers_of_a_pause_and_not_too_many_of_these() {
        let flight = SingleFlight::default();
        for id in 1..3000 {
            flight
                .ask(key(id), InPause::TakeIt, || Err("trouble".into()))
                .unwrap();
            assert!(flight.flights().len() <= MOST_KEPT);
        }
        let flight = SingleFlight::default();
        for id in 1..100 {
            flight.ask(key(id), InPause::TakeIt, || Ok(false)).unwrap();
        }
        assert_eq!(flight.earlier(1), Some(Ok(false)));
        thread::sleep(PAUSE);
        flight.ask(key(1), InPause::TakeIt, || Ok(false)).unwrap();
        assert_eq!(flight.flights().len(), 1);
    }
}
