//! Many questions at once, so that a Vault that is slow or far away is not waited for once for each
//! key.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use nix::sys::signal::SigSet;

use crate::cancel;
use crate::crypto::scrub;
use crate::service::vault::MOST_AT_ONCE;

/// One more thread is worth it for so many questions: a server with keys 1 and 2 asks in its own.
const QUESTIONS_EACH: usize = 2;

/// Stack for one thread, in bytes.
const STACK: usize = 1024 * 1024;

/// Asks all questions; the answers in their order. Threads that it starts have ended when it
/// returns. They are cancelled when the work of the calling thread is.
///
/// # Errors
/// The first failure, which ends what is under way.
pub(super) fn ask_all<Q: Sync, A: Send, E: Send>(
    questions: &[Q],
    ask: impl Fn(&Q) -> Result<A, E> + Sync,
) -> Result<Vec<A>, E> {
    let threads = questions.len().div_ceil(QUESTIONS_EACH).min(MOST_AT_ONCE);
    if threads < 2 {
        return questions.iter().map(ask).collect();
    }
    let asking = Asking {
        questions,
        ask,
        next: AtomicUsize::new(0),
        is_given_up: Arc::default(),
        answers: Mutex::new(Vec::with_capacity(questions.len())),
        failure: Mutex::new(None),
    };
    let (working, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (asking, working) = (&asking, working.clone());
            // Without a name of its own it has that of the thread that it works for.
            let started = thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, move || {
                    let _working = working;
                    asking.in_own_thread();
                });
            // Those that there are do it all.
            if started.is_err() {
                break;
            }
        }
        drop(working);
        cancel::wait_for_others(&ended, &asking.is_given_up);
        // Where the system has no thread to give.
        asking.ask_the_rest();
    });
    asking.end()
}

/// Questions that some threads work on.
struct Asking<'q, Q, A, E, F> {
    questions: &'q [Q],
    ask: F,
    /// The first question that nobody has taken.
    next: AtomicUsize,
    is_given_up: Arc<AtomicBool>,
    /// With the places of their questions. There is room for all, so that none is moved.
    answers: Mutex<Vec<(usize, A)>>,
    failure: Mutex<Option<E>>,
}

impl<Q, A, E, F: Fn(&Q) -> Result<A, E>> Asking<'_, Q, A, E, F> {
    fn in_own_thread(&self) {
        // The server has a thread for signals; none may end up here.
        let _ = SigSet::all().thread_block();
        let is_given_up = Arc::clone(&self.is_given_up);
        cancel::while_wanted(
            move || is_given_up.load(Ordering::Relaxed),
            || scrub::around(|| self.ask_the_rest()),
        );
    }

    fn ask_the_rest(&self) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(question) = self.questions.get(at) else {
                return;
            };
            match (self.ask)(question) {
                Ok(answer) => whole(&self.answers).push((at, answer)),
                Err(error) => {
                    whole(&self.failure).get_or_insert(error);
                    self.next.store(self.questions.len(), Ordering::Relaxed);
                    self.is_given_up.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn end(self) -> Result<Vec<A>, E> {
        if let Some(error) = self.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let mut answers = self.answers.into_inner().unwrap_or_else(PoisonError::into_inner);
        answers.sort_unstable_by_key(|(at, _)| *at);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }
}

/// Each change is one call, so that a panic leaves it whole.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn answers_come_in_the_order_of_the_questions_and_each_is_asked_once() {
        for count in [0, 1, 2, 3, 63, 64, 1000] {
            let questions: Vec<usize> = (0..count).collect();
            let asked = AtomicUsize::new(0);
            let answers = ask_all(&questions, |question| {
                asked.fetch_add(1, Ordering::Relaxed);
                Ok::<_, ()>(question * 2)
            });
            assert_eq!(
                answers,
                Ok(questions.iter().map(|question| question * 2).collect())
            );
            assert_eq!(asked.into_inner(), count);
        }
    }

    #[test]
    fn a_few_are_asked_in_the_calling_thread_and_many_in_no_more_than_the_most() {
        let threads = |count: usize| {
            let ids = Mutex::new(BTreeSet::new());
            let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            ask_all(&vec![(); count], |()| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                ids.lock()
                    .unwrap()
                    .insert(format!("{:?}", thread::current().id()));
                thread::sleep(Duration::from_millis(20));
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, ()>(())
            })
            .unwrap();
            let own = format!("{:?}", thread::current().id());
            (most.into_inner(), ids.into_inner().unwrap().contains(&own))
        };
        assert_eq!(threads(2), (1, true));
        assert_eq!(threads(6), (3, false));
        assert_eq!(threads(200), (MOST_AT_ONCE, false));
    }

    #[test]
    fn the_first_failure_ends_what_is_under_way() {
        let start = Instant::now();
        let questions: Vec<usize> = (0..100).collect();
        let asked = AtomicUsize::new(0);
        let answer = ask_all(&questions, |question| {
            asked.fetch_add(1, Ordering::Relaxed);
            if *question == 5 {
                return Err("of the fifth");
            }
            cancel::sleep(LONG);
            Err("given up")
        });
        assert_eq!(answer, Err::<Vec<()>, _>("of the fifth"));
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(asked.into_inner() <= MOST_AT_ONCE + 1);
    }

    #[test]
    fn all_are_cancelled_when_the_work_of_the_caller_is() {
        let start = Instant::now();
        let soon = move || start.elapsed() > Duration::from_millis(100);
        let answer = cancel::while_wanted(soon, || {
            ask_all(&[(); 50], |()| {
                cancel::sleep(LONG);
                Err::<(), _>("given up")
            })
        });
        assert!(answer.is_err() && start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_panic_of_one_is_one_of_the_caller_and_leaves_no_thread() {
        let ended = Arc::new(());
        let held = Arc::clone(&ended);
        let panicked = std::panic::catch_unwind(move || {
            ask_all(&[1, 2, 3, 4, 5, 6], |question| {
                let _held = &held;
                assert!(*question != 3, "of the test");
                Ok::<_, ()>(())
            })
        });
        assert!(panicked.is_err());
        assert_eq!(Arc::strong_count(&ended), 1);
    }
}
