//! Statics that the server writes to.

use std::cell::UnsafeCell;

/// A static that the server completes or writes to through a pointer.
#[repr(transparent)]
pub(super) struct ServerCell<T>(UnsafeCell<T>);

// SAFETY: this library touches the content through raw pointers alone, each with its own reason why
// the server does not write at the same time.
unsafe impl<T> Sync for ServerCell<T> {}

impl<T> ServerCell<T> {
    pub(super) const fn new(value: T) -> Self {
        ServerCell(UnsafeCell::new(value))
    }

    /// The address of the content.
    pub(super) const fn get(&self) -> *mut T {
        self.0.get()
    }
}
