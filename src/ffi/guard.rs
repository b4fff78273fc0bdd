//! No panic crosses the boundary: what an entry answers instead depends on the type that it returns.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// A value that an entry returns, with the one that it returns after a panic.
pub(super) trait Answer {
    /// The answer that makes the server treat the call as failed and stay up.
    const AFTER_PANIC: Self;
}

/// A value that means "no" or "nothing": pointers and sizes of answers without content.
impl Answer for () {
    const AFTER_PANIC: Self = ();
}

/// Runs the body of an entry; after a panic the answer is [`Answer::AFTER_PANIC`].
///
/// The panic hook has printed where it happened to the server's error log by then; panic messages of this
/// library hold no secret.
#[inline(always)]
pub(super) fn guard<A: Answer>(body: impl FnOnce() -> A) -> A {
    // What a body may leave half done is either thread-local to the call (a crypt context, which is marked
    // dead before it is worked on) or replaced as a whole (the published keys), so nothing torn can be seen.
    catch_unwind(AssertUnwindSafe(|| {
        #[cfg(feature = "test-panic")]
        injected::panic_if_armed();
        body()
    }))
    .unwrap_or(A::AFTER_PANIC)
}

/// Panics on demand behind every entry, for the tests of the boundary.
#[cfg(feature = "test-panic")]
mod injected {
    use std::sync::atomic::{AtomicBool, Ordering};

    static ARMED: AtomicBool = AtomicBool::new(false);

    /// Makes every entry panic (1) or work again (0).
    // SAFETY: the name begins with the library's own, so it clashes with no symbol of the server.
    #[unsafe(no_mangle)]
    pub extern "C" fn keyroll_test_panic(armed: i32) {
        ARMED.store(armed != 0, Ordering::SeqCst);
    }

    pub(super) fn panic_if_armed() {
        assert!(!ARMED.load(Ordering::Relaxed), "injected by a test");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Number(u32);
    impl Answer for Number {
        const AFTER_PANIC: Self = Number(99);
    }

    #[test]
    fn a_panic_becomes_the_answer_of_the_type() {
        assert_eq!(guard(|| Number(1)), Number(1));
        assert_eq!(guard(|| -> Number { panic!("by the test") }), Number(99));
    }
}
