//! The tail of aes_256_xts with AES-NI and PCLMULQDQ. No wider registers: there are five blocks
//! at most, and what counts is the latency of one after the other.

use std::arch::x86_64::*;

use super::aes::{AES_256_ROUND_KEYS as ROUND_KEYS, Aes, encrypt};
use super::blocks::number;
use crate::crypto::Direction;
use crate::crypto::tail::{Primitives, Tail};

/// Encrypts or decrypts a tail under K1.
#[target_feature(enable = "aes,pclmulqdq")]
pub(super) fn run(aes: &Aes, tail: &Tail, direction: Direction, text: &mut u128) {
    tail.run(&Keyed(aes.round_keys()), direction, text);
}

/// The round keys of K1. It is made in [`run`] alone, so where the processor has the instructions.
struct Keyed([__m128i; ROUND_KEYS]);

impl Primitives for Keyed {
    #[inline(always)]
    fn encrypt<const W: usize>(&self, blocks: [u128; W]) -> [u128; W] {
        #[inline]
        #[target_feature(enable = "aes")]
        fn run<const W: usize>(keys: &[__m128i; ROUND_KEYS], blocks: [u128; W]) -> [u128; W] {
            let mut blocks = blocks.map(|block| register(block));
            encrypt(keys, &mut blocks);
            blocks.map(|block| number(block))
        }
        // SAFETY: a `Keyed` exists only where the processor has AES-NI.
        unsafe { run(&self.0, blocks) }
    }

    #[inline(always)]
    fn product(&self, key: u128, half: u64, _bits: u32) -> u64 {
        #[inline]
        #[target_feature(enable = "pclmulqdq")]
        fn run(key: u128, half: u64) -> u64 {
            let (key, half) = (register(key), _mm_cvtsi64_si128(half as i64));
            let low = _mm_bsrli_si128::<8>(_mm_clmulepi64_si128::<0x00>(key, half));
            let high = _mm_clmulepi64_si128::<0x01>(key, half);
            _mm_cvtsi128_si64(_mm_xor_si128(low, high)) as u64
        }
        // SAFETY: a `Keyed` exists only where the processor has PCLMULQDQ.
        unsafe { run(key, half) }
    }
}

/// A number in a register, little-endian.
#[inline]
#[target_feature(enable = "sse2")]
fn register(number: u128) -> __m128i {
    _mm_set_epi64x((number >> 64) as i64, number as i64)
}
