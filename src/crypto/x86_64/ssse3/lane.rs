//! Registers of one block or two: all that AES by vector permutations needs of them.

use std::arch::asm;
use std::arch::x86_64::*;

use super::super::blocks::{self, Bytes};

/// A register of 128-bit blocks, which shuffles bytes within each. Its functions may run only where the
/// processor has its instructions: [`Schedule`](super::aes::Schedule) sees to that. They are inlined into
/// functions that enable these, and are nothing without.
pub(super) trait Lane: Copy {
    /// How many blocks.
    const BLOCKS: usize;

    /// The first blocks of a slice; blocks that it lacks are zero.
    fn load(blocks: &[Bytes]) -> Self;

    /// Writes as many blocks as the slice has room for.
    fn store(self, blocks: &mut [Bytes]);

    /// Blocks that are little-endian numbers, from the first ones given. Words go to registers by themselves,
    /// where the bytes of a number would go one by one.
    fn of_numbers(numbers: [u128; 2]) -> Self;

    /// The same block everywhere.
    fn repeat(block: &Bytes) -> Self;

    fn xor(self, other: Self) -> Self;

    /// The same, and the compiler may not mix its sum with others: what comes last has to be added last.
    fn settled(self) -> Self {
        self
    }

    /// The low nibble of each byte, and the high one.
    fn nibbles(self) -> (Self, Self);

    /// The bytes of this register that the indexes name: by their low four bits, zero where the high bit is set.
    fn look_up(self, indexes: Self) -> Self;
}

impl Lane for __m128i {
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn load(source: &[Bytes]) -> Self {
        blocks::load(&source[0])
    }

    #[inline(always)]
    fn store(self, to: &mut [Bytes]) {
        blocks::store(&mut to[0], self);
    }

    #[inline(always)]
    fn of_numbers([number, _]: [u128; 2]) -> Self {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { _mm_set_epi64x((number >> 64) as i64, number as i64) }
    }

    #[inline(always)]
    fn repeat(block: &Bytes) -> Self {
        blocks::load(block)
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { _mm_xor_si128(self, other) }
    }

    #[inline(always)]
    fn settled(mut self) -> Self {
        // SAFETY: no instruction.
        unsafe { asm!("/* {} */", inout(xmm_reg) self, options(pure, nomem, nostack, preserves_flags)) };
        self
    }

    #[inline(always)]
    fn nibbles(self) -> (Self, Self) {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe {
            let low = _mm_set1_epi8(0x0F);
            (
                _mm_and_si128(self, low),
                _mm_and_si128(_mm_srli_epi16::<4>(self), low),
            )
        }
    }

    #[inline(always)]
    fn look_up(self, indexes: Self) -> Self {
        // SAFETY: the processor has SSSE3, see `Lane`.
        unsafe { _mm_shuffle_epi8(self, indexes) }
    }
}

impl Lane for __m256i {
    const BLOCKS: usize = 2;

    #[inline(always)]
    fn load(source: &[Bytes]) -> Self {
        // SAFETY: the processor has AVX2, see `Lane`. Two blocks that live, or one; no alignment is asked for.
        unsafe {
            match source.first_chunk::<2>() {
                Some(two) => _mm256_loadu_si256(two.as_ptr().cast()),
                None => _mm256_zextsi128_si256(blocks::load(&source[0])),
            }
        }
    }

    #[inline(always)]
    fn store(self, to: &mut [Bytes]) {
        // SAFETY: as in `load`; the blocks are ours.
        unsafe {
            match to.first_chunk_mut::<2>() {
                Some(two) => _mm256_storeu_si256(two.as_mut_ptr().cast(), self),
                None => blocks::store(&mut to[0], _mm256_castsi256_si128(self)),
            }
        }
    }

    #[inline(always)]
    fn of_numbers([low, high]: [u128; 2]) -> Self {
        // SAFETY: the processor has AVX2, see `Lane`.
        unsafe { _mm256_set_m128i(__m128i::of_numbers([high, high]), __m128i::of_numbers([low, low])) }
    }

    #[inline(always)]
    fn repeat(block: &Bytes) -> Self {
        // SAFETY: the processor has AVX2, see `Lane`.
        unsafe { _mm256_broadcastsi128_si256(blocks::load(block)) }
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: the processor has AVX2, see `Lane`.
        unsafe { _mm256_xor_si256(self, other) }
    }

    #[inline(always)]
    fn nibbles(self) -> (Self, Self) {
        // SAFETY: the processor has AVX2, see `Lane`.
        unsafe {
            let low = _mm256_set1_epi8(0x0F);
            (
                _mm256_and_si256(self, low),
                _mm256_and_si256(_mm256_srli_epi16::<4>(self), low),
            )
        }
    }

    #[inline(always)]
    fn look_up(self, indexes: Self) -> Self {
        // SAFETY: the processor has AVX2, see `Lane`.
        unsafe { _mm256_shuffle_epi8(self, indexes) }
    }
}
