//! POLYVAL (RFC 8452, 3) with PCLMULQDQ: products need no shift, and a reduction is two
//! multiplications (Montgomery's, to the modulus x^128 + x^127 + x^126 + x^121 + 1).

use std::arch::x86_64::*;

use super::blocks::load;
use crate::crypto::mode::Block;

/// Blocks whose products are added up before one reduction.
const WIDTH: usize = 8;

/// The state after whole blocks. With `REVERSED`, each of them has its bytes in reverse, as GHASH
/// wants it.
#[inline]
#[target_feature(enable = "pclmulqdq,ssse3")]
pub(super) fn update<const REVERSED: bool>(key: __m128i, mut state: __m128i, blocks: &[Block]) -> __m128i {
    let (groups, rest) = blocks.as_chunks::<WIDTH>();
    if !groups.is_empty() {
        let powers = powers::<WIDTH>(key);
        for group in groups {
            let first = _mm_xor_si128(state, load_block::<REVERSED>(&group[0]));
            let mut sum = multiply(first, powers[WIDTH - 1]);
            for (at, block) in group.iter().enumerate().skip(1) {
                sum = add(
                    sum,
                    multiply(load_block::<REVERSED>(block), powers[WIDTH - 1 - at]),
                );
            }
            state = reduce(sum);
        }
    }
    for block in rest {
        state = reduce(multiply(_mm_xor_si128(state, load_block::<REVERSED>(block)), key));
    }
    state
}

/// A block, with its bytes in reverse or as they are.
#[inline]
#[target_feature(enable = "ssse3")]
pub(super) fn load_block<const REVERSED: bool>(block: &Block) -> __m128i {
    if !REVERSED {
        return load(block);
    }
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
type Product = [__m128i; 3];

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

/// The product times x^-128 in 128 bits: twice the lowest 64 bits are made zero by a multiple of
/// the modulus.
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
