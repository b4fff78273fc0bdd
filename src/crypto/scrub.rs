//! Wiping what work with keys leaves behind outside of any variable: spills on the stack, and
//! registers.

use std::hint::black_box;

/// Room on the stack that work on one message takes, in bytes: spilled round keys are the most of
/// it, 15 of 64 bytes. From 2048 on glibc's `memset` takes another way, which starts slowly.
const OF_A_MESSAGE: usize = 1536;

/// Room on the stack that deriving the keys of a message takes, in bytes: one state of SHA-256, its
/// input and its work.
const OF_A_DERIVATION: usize = 1280;

/// Room on the stack that reading or writing a key store takes, in bytes, with some to spare.
const OF_A_STORE: usize = 64 * 1024;

/// Wipes the vector registers: the last round keys, and what `memcpy` moved last. On processors
/// other than x86-64 it does nothing.
#[inline(always)]
pub(crate) fn registers() {
    #[cfg(target_arch = "x86_64")]
    super::x86_64::wipe_registers();
}

/// Wipes the stack below the caller as far as work on one message reaches.
#[inline(always)]
pub(crate) fn after_message() {
    stack::<OF_A_MESSAGE>();
}

/// Does work that reads, writes or makes keys, then wipes its stack and the registers. Not for what
/// runs often: it takes a microsecond or two.
pub(crate) fn around<R>(work: impl FnOnce() -> R) -> R {
    let result = apart(work);
    stack::<OF_A_STORE>();
    registers();
    result
}

/// The same for work that derives the keys of a message, which takes little stack: a thread of the
/// server has no more.
pub(crate) fn around_derivation<R>(work: impl FnOnce() -> R) -> R {
    let result = apart(work);
    stack::<OF_A_DERIVATION>();
    registers();
    result
}

/// In a frame of its own, which lies where the wiping reaches.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Writes zeroes where the frames of the functions were that the caller called before. They must
/// not have been merged into the caller's own.
#[inline(never)]
fn stack<const LENGTH: usize>() {
    let mut frames = [0u8; LENGTH];
    black_box(&mut frames);
}
