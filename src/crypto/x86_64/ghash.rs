//! GHASH (NIST SP 800-38D, 6.4) with PCLMULQDQ, after S. Gueron and M. Kounavis, "Intel Carry-Less
//! Multiplication Instruction and its Usage for Computing the GCM Mode" (Intel white paper 323640).
//!
//! GHASH numbers the bits of a byte backwards. With the bytes of each block in reverse it becomes POLYVAL
//! (RFC 8452, appendix A) under the key `x * H`: products need no shift, and a reduction is two
//! multiplications (Montgomery's, to the modulus x^128 + x^127 + x^126 + x^121 + 1).

use std::arch::x86_64::*;

use super::aes::Aes;
use super::blocks::{Blocks, Bytes, load, store};
use super::ghash_wide;

/// Blocks whose products are added up before one reduction.
const WIDTH: usize = 8;

/// From this length on, in bytes, the wide path is worth its powers.
const WIDE_FROM: usize = 1024;

/// The hash of a message so far.
pub(in crate::crypto) struct Ghash {
    /// The key `x * H` and the state.
    secrets: Blocks<2>,
    wide: bool,
}

const KEY: usize = 0;
const STATE: usize = 1;

impl Ghash {
    /// A hash of nothing without a key, on the processor that the schedule is for.
    #[inline]
    pub(super) fn blank(aes: &Aes) -> Self {
        Ghash {
            secrets: Blocks::ZERO,
            wide: aes.is_wide(),
        }
    }

    /// Sets the key of GCM: AES of a block of zeroes.
    #[inline]
    pub(super) fn set_key(&mut self, aes: &Aes) {
        self.secrets.store(KEY, aes.encrypt_block(&[0; 16]));
        let (place, _) = self.secrets.bytes_mut().as_chunks_mut();
        let key = u128::from_be_bytes(place[KEY]);
        // Times x; what is shifted out comes back as the modulus. A mask, because a branch would tell the bit.
        let shifted_out = 0u128.wrapping_sub(key >> 127);
        place[KEY] = (key << 1 ^ shifted_out & (0xC2 << 120 | 1)).to_le_bytes();
    }

    /// Takes whole blocks in.
    #[inline]
    pub(super) fn update(&mut self, blocks: &[Bytes]) {
        if self.wide && blocks.len() >= WIDE_FROM / 16 {
            // SAFETY: the processor has what `Level::Vaes` needs, by the `Aes` that this was made with.
            self.secrets.store(STATE, unsafe {
                ghash_wide::update(self.secrets.load(KEY), self.secrets.load(STATE), blocks)
            });
        } else {
            // SAFETY: it was made with an `Aes`, which exists only where the processor has PCLMULQDQ and SSSE3.
            unsafe { update(&mut self.secrets, blocks) };
        }
    }

    /// The hash, with the bytes in their order.
    #[inline]
    pub(super) fn state(&self) -> Bytes {
        let mut state = [0; 16];
        store(&mut state, self.secrets.load(STATE));
        state.reverse();
        state
    }
}

#[target_feature(enable = "pclmulqdq,ssse3")]
fn update(secrets: &mut Blocks<2>, blocks: &[Bytes]) {
    let (key, mut state) = (secrets.load(KEY), secrets.load(STATE));
    let (groups, rest) = blocks.as_chunks::<WIDTH>();
    if !groups.is_empty() {
        let powers = powers::<WIDTH>(key);
        for group in groups {
            let mut sum = multiply(_mm_xor_si128(state, reversed(&group[0])), powers[WIDTH - 1]);
            for (at, block) in group.iter().enumerate().skip(1) {
                sum = add(sum, multiply(reversed(block), powers[WIDTH - 1 - at]));
            }
            state = reduce(sum);
        }
    }
    for block in rest {
        state = reduce(multiply(_mm_xor_si128(state, reversed(block)), key));
    }
    secrets.store(STATE, state);
}

/// A block with its bytes in reverse.
#[inline]
#[target_feature(enable = "ssse3")]
pub(super) fn reversed(block: &Bytes) -> __m128i {
    let reverse = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0A0B_0C0D_0E0F);
    _mm_shuffle_epi8(load(block), reverse)
}

/// The powers 1 to `W` of the key.
#[inline]
#[target_feature(enable = "pclmulqdq")]
pub(super) fn powers<const W: usize>(key: __m128i) -> [__m128i; W] {
    let mut powers = [key; W];
    for power in 2..=W {
        // From halves, so that few wait for each other.
        let (low, high) = (power / 2, power - power / 2);
        powers[power - 1] = reduce(multiply(powers[low - 1], powers[high - 1]));
    }
    powers
}

/// An unreduced product: its low, middle (by 64 bits higher) and high part.
pub(super) type Product = [__m128i; 3];

#[inline]
#[target_feature(enable = "pclmulqdq")]
pub(super) fn multiply(a: __m128i, b: __m128i) -> Product {
    [
        _mm_clmulepi64_si128::<0x00>(a, b),
        _mm_xor_si128(
            _mm_clmulepi64_si128::<0x01>(a, b),
            _mm_clmulepi64_si128::<0x10>(a, b),
        ),
        _mm_clmulepi64_si128::<0x11>(a, b),
    ]
}

#[inline]
#[target_feature(enable = "sse2")]
fn add(a: Product, b: Product) -> Product {
    [
        _mm_xor_si128(a[0], b[0]),
        _mm_xor_si128(a[1], b[1]),
        _mm_xor_si128(a[2], b[2]),
    ]
}

/// The product times x^-128 in 128 bits: twice the lowest 64 bits are made zero by a multiple of the modulus.
#[inline]
#[target_feature(enable = "pclmulqdq")]
pub(super) fn reduce([low, middle, high]: Product) -> __m128i {
    let modulus = _mm_set_epi64x(0, (0xC2u64 << 56) as i64);
    let fold = |part| {
        _mm_xor_si128(
            _mm_shuffle_epi32::<0b01_00_11_10>(part),
            _mm_clmulepi64_si128::<0x00>(part, modulus),
        )
    };
    let middle = _mm_xor_si128(middle, fold(low));
    _mm_xor_si128(high, fold(middle))
}
