//! No panic crosses the boundary.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the body of an entry; after a panic the answer is `after_panic`, by which the server takes
/// the call for failed and stays up.
///
/// The panic hook has printed where it happened to the server's error log by then; panic messages
/// of this library hold no secret.
#[inline(always)]
pub(super) fn guard<A>(after_panic: A, body: impl FnOnce() -> A) -> A {
    // What a body may leave half done is either thread-local to the call (a crypt context, which is
    // marked dead before it is worked on) or replaced as a whole (the published keys), so nothing
    // torn can be seen.
    catch_unwind(AssertUnwindSafe(|| {
        test_point(Point::Entry);
        body()
    }))
    .unwrap_or(after_panic)
}

/// A place where a test can make the library panic.
#[derive(Clone, Copy)]
#[repr(i32)]
pub(super) enum Point {
    /// Before an entry does anything.
    Entry = 1,
    /// When a cipher function has begun to change its context.
    Work = 2,
}

/// Panics where a test asked for it; nothing in a shipped build.
#[inline(always)]
pub(super) fn test_point(point: Point) {
    #[cfg(feature = "test-panic")]
    injected::panic_if_armed(point);
    #[cfg(not(feature = "test-panic"))]
    let _ = point;
}

/// Panics on demand, for the tests of the boundary.
#[cfg(feature = "test-panic")]
mod injected {
    use std::sync::atomic::{AtomicI32, Ordering};

    use super::Point;

    static ARMED: AtomicI32 = AtomicI32::new(0);

    /// Makes the library panic at the [`Point`] with this number; 0 makes everything work again.
    // SAFETY: the name begins with the library's own, so it clashes with no symbol of the server.
    #[unsafe(no_mangle)]
    pub(super) extern "C" fn keyroll_test_panic(point: i32) {
        ARMED.store(point, Ordering::SeqCst);
    }

    pub(super) fn panic_if_armed(point: Point) {
        assert!(
            ARMED.load(Ordering::Relaxed) != point as i32,
            "injected by a test"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_answer_for_one() {
        assert_eq!(guard(99, || 1), 1);
        assert_eq!(guard(99, || panic!("by the test")), 99);
    }
}
