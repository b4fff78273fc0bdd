//! Work on a stack of its own: a thread of the server that calls the plugin may have little stack
//! left.

use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::cancel;
use crate::crypto::scrub;

/// Stack for reading, writing and asking for keys, and for wiping it afterwards, in bytes.
const STACK: usize = 1024 * 1024;

/// Does `work` in a thread of its own and waits for it; what it leaves of keys on its stack is
/// wiped. It is cancelled when the work of the calling thread is.
///
/// # Errors
/// There is no thread to be had; nothing was done.
///
/// # Panics
/// If the work does.
pub fn on_own_stack<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let (mut work, mut answer) = (Some(work), None);
    run(&mut || answer = work.take().map(|work| work()))?;
    // A thread that ended without a panic has done it.
    answer.ok_or(io::ErrorKind::Other.into())
}

// A function of its own, so that its frame is not part of the caller's.
#[inline(never)]
fn run(work: &mut (dyn FnMut() + Send)) -> io::Result<()> {
    let given_up = Arc::new(AtomicBool::new(cancel::is_cancelled()));
    let is_given_up = {
        let given_up = Arc::clone(&given_up);
        move || given_up.load(Ordering::Relaxed)
    };
    let (working, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("keyroll".into())
            .stack_size(STACK)
            .spawn_scoped(scope, move || {
                let _working = working;
                cancel::while_wanted(is_given_up, || scrub::around(work));
            })?;
        cancel::wait_for_others(&ended, &given_up);
        thread.join().or_else(|panic| resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn work_has_a_thread_of_its_own_and_its_answer_is_handed_back() {
        let caller = thread::current().id();
        let text = String::from("an answer");
        let answer = on_own_stack(|| (thread::current().id() != caller, text.len())).unwrap();
        assert_eq!(answer, (true, 9));
    }

    #[test]
    fn work_is_given_up_when_that_of_the_caller_is() {
        let start = Instant::now();
        let soon = move || start.elapsed() > Duration::from_millis(100);
        let given_up = cancel::while_wanted(soon, || {
            on_own_stack(|| {
                cancel::sleep(Duration::from_secs(3600));
                cancel::is_cancelled()
            })
        });
        assert!(given_up.unwrap() && start.elapsed() < Duration::from_secs(5));
        assert!(!on_own_stack(cancel::is_cancelled).unwrap());
        let before = cancel::while_wanted(|| true, || on_own_stack(cancel::is_cancelled));
        assert!(before.unwrap(), "known from the beginning");
    }

    #[test]
    fn a_panic_of_the_work_is_one_of_the_caller() {
        let panicked = std::panic::catch_unwind(|| on_own_stack(|| -> () { panic!("of the test") }));
        assert!(panicked.is_err());
    }
}
