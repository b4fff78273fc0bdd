//! Blocks in memory and in registers: the loads and stores of the other files, and the wiping of
//! secrets.

use std::arch::x86_64::*;
use std::sync::atomic::{Ordering, compiler_fence};

use zeroize::ZeroizeOnDrop;

use crate::crypto::mode::Block;

/// `N` secret blocks, wiped on drop.
#[repr(C, align(16))]
pub(super) struct Blocks<const N: usize>([Block; N]);

impl<const N: usize> Blocks<N> {
    pub(super) const ZERO: Self = Blocks([[0; 16]; N]);

    /// The blocks that lie in the first bytes of this memory, and the rest of it; `None` if it is
    /// too short or does not begin at a multiple of 16.
    #[inline]
    pub(super) fn in_memory(memory: &[u8]) -> Option<(&Self, &[u8])> {
        let (blocks, rest) = memory.split_at_checked(size_of::<Self>())?;
        let place: *const Self = blocks.as_ptr().cast();
        // SAFETY: as many bytes, any of which are blocks, at the alignment that was checked, for as
        // long as the memory is borrowed.
        place.is_aligned().then(|| (unsafe { &*place }, rest))
    }

    /// The same, to be written.
    pub(super) fn in_memory_mut(memory: &mut [u8]) -> Option<(&mut Self, &mut [u8])> {
        let (blocks, rest) = memory.split_at_mut_checked(size_of::<Self>())?;
        let place: *mut Self = blocks.as_mut_ptr().cast();
        // SAFETY: as above, and nobody else uses the memory meanwhile. It is never dropped as
        // blocks.
        place.is_aligned().then(|| (unsafe { &mut *place }, rest))
    }

    #[inline]
    pub(super) fn load(&self, at: usize) -> __m128i {
        let block: *const Block = &self.0[at];
        // SAFETY: a block that lives; it begins at a multiple of 16 because the first one does.
        unsafe { _mm_load_si128(block.cast()) }
    }

    #[inline]
    pub(super) fn store(&mut self, at: usize, value: __m128i) {
        store(&mut self.0[at], value);
    }

    #[inline]
    pub(super) fn copy_from(&mut self, from: &Self) {
        self.0.copy_from_slice(&from.0);
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_flattened()
    }

    #[inline]
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.as_flattened_mut()
    }
}

impl<const N: usize> Drop for Blocks<N> {
    #[inline]
    fn drop(&mut self) {
        for block in &mut self.0 {
            let block: *mut Block = block;
            // SAFETY: as in `load`. Volatile, because nobody reads it any more.
            unsafe { block.cast::<__m128i>().write_volatile(_mm_setzero_si128()) };
        }
        compiler_fence(Ordering::SeqCst);
    }
}

impl<const N: usize> ZeroizeOnDrop for Blocks<N> {}

#[inline]
pub(super) fn load(block: &Block) -> __m128i {
    // SAFETY: 16 bytes that live; the instruction asks for no alignment.
    unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
}

#[inline]
pub(super) fn store(block: &mut Block, value: __m128i) {
    // SAFETY: 16 bytes that live and are ours; the instruction asks for no alignment.
    unsafe { _mm_storeu_si128(block.as_mut_ptr().cast(), value) }
}

/// A register as a number, its bytes little-endian.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn number(register: __m128i) -> u128 {
    let [low, high] =
        [register, _mm_unpackhi_epi64(register, register)].map(|half| _mm_cvtsi128_si64(half) as u64);
    u128::from(high) << 64 | u128::from(low)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_wide(blocks: &[u8; 64]) -> __m512i {
    // SAFETY: 64 bytes that live; the instruction asks for no alignment.
    unsafe { _mm512_loadu_si512(blocks.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_wide(blocks: &mut [u8; 64], value: __m512i) {
    // SAFETY: 64 bytes that live and are ours; the instruction asks for no alignment.
    unsafe { _mm512_storeu_si512(blocks.as_mut_ptr().cast(), value) }
}

/// A mask of the first `length` bytes of 64, of all for more.
#[inline]
fn first(length: usize) -> __mmask64 {
    if length < 64 { (1 << length) - 1 } else { u64::MAX }
}

/// The first 64 bytes of `bytes`, with zeroes behind a shorter slice.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn load_part(bytes: &[u8]) -> __m512i {
    // SAFETY: the mask leaves out what is behind the slice, and what is left out is not touched.
    unsafe { _mm512_maskz_loadu_epi8(first(bytes.len()), bytes.as_ptr().cast()) }
}

/// Writes to the first 64 bytes of `bytes`, or to all of a shorter slice.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn store_part(bytes: &mut [u8], value: __m512i) {
    // SAFETY: as in `load_part`.
    unsafe { _mm512_mask_storeu_epi8(bytes.as_mut_ptr().cast(), first(bytes.len()), value) }
}
