//! The keys that lookups answer from: one atomic pointer, read without a lock or an allocation.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::keys::Ring;

static CURRENT: AtomicPtr<Ring> = AtomicPtr::new(ptr::null_mut());

/// Every ring since the start, the current one last.
///
/// A lookup may still read a ring that has been replaced, and must not pay for saying so; so
/// replaced rings live until the plugin ends. There are few: a ring is replaced by one of twice the
/// size, when its tables are full.
static KEPT: Mutex<Vec<Arc<Ring>>> = Mutex::new(Vec::new());

/// Makes these keys the ones that every lookup from now on answers from.
pub(super) fn publish(ring: &Arc<Ring>) {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.last().is_some_and(|last| Arc::ptr_eq(last, ring)) {
        return;
    }
    kept.push(Arc::clone(ring));
    CURRENT.store(Arc::as_ptr(ring).cast_mut(), Ordering::Release);
}

/// The published keys; `None` before the start and after the end.
#[inline(always)]
pub(super) fn current() -> Option<&'static Ring> {
    // SAFETY: the pointer is null or was made from an Arc that KEPT holds until `clear`, and the
    // server calls no entry after the deinit that clears. So it is valid for as long as any entry
    // runs.
    unsafe { CURRENT.load(Ordering::Acquire).as_ref() }
}

/// Takes all keys back and wipes them.
///
/// # Safety
/// No other entry runs, and none that uses a reference from [`current`] will go on.
pub(super) unsafe fn clear() {
    CURRENT.store(ptr::null_mut(), Ordering::Release);
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).clear();
}
