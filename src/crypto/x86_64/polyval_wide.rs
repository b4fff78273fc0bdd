//! POLYVAL with VPCLMULQDQ: four sums side by side, each of every fourth block.
//!
//! ```text
//! lane              0    1    2    3
//! register 1       X1   X2   X3   X4     sum = (((r1 * H^4) + r2) * H^4 + r3) * H^4 + ...
//! register 2       X5   X6   X7   X8
//! at the end     *H^4 *H^3 *H^2 *H^1     hash = lane 0 + lane 1 + lane 2 + lane 3
//! ```

use std::arch::x86_64::*;

use super::polyval::{load_block, multiply, powers, reduce};
use crate::crypto::mode::Block;

/// Registers whose products are added up before one reduction.
const WIDTH: usize = 4;

/// The state after whole blocks, at least four. With `REVERSED`, each of them has its bytes in
/// reverse, as GHASH wants it.
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
pub(super) fn update<const REVERSED: bool>(key: __m128i, state: __m128i, blocks: &[Block]) -> __m128i {
    let (registers, rest) = blocks.as_chunks::<4>();
    let Some((start, registers)) = registers.split_first() else {
        return state;
    };
    let powers_of_key = powers::<4>(key);
    let mut steps = [_mm512_setzero_si512(); WIDTH];
    for (step, power) in steps.iter_mut().zip(powers::<WIDTH>(powers_of_key[3])) {
        *step = _mm512_broadcast_i32x4(power);
    }

    let mut sums = _mm512_xor_si512(load_four::<REVERSED>(start), _mm512_zextsi128_si512(state));
    let (groups, others) = registers.as_chunks::<WIDTH>();
    for group in groups {
        let mut product = multiply_wide(sums, steps[WIDTH - 1]);
        for at in 0..WIDTH - 1 {
            let register = load_four::<REVERSED>(&group[at]);
            product = add_wide(product, multiply_wide(register, steps[WIDTH - 2 - at]));
        }
        sums = _mm512_xor_si512(reduce_wide(product), load_four::<REVERSED>(&group[WIDTH - 1]));
    }
    for register in others {
        let product = multiply_wide(sums, steps[0]);
        sums = _mm512_xor_si512(reduce_wide(product), load_four::<REVERSED>(register));
    }

    let mut last = _mm512_castsi128_si512(powers_of_key[3]);
    last = _mm512_inserti32x4::<1>(last, powers_of_key[2]);
    last = _mm512_inserti32x4::<2>(last, powers_of_key[1]);
    last = _mm512_inserti32x4::<3>(last, powers_of_key[0]);
    let sums = reduce_wide(multiply_wide(sums, last));
    let mut state = _mm_xor_si128(
        _mm_xor_si128(_mm512_castsi512_si128(sums), _mm512_extracti32x4_epi32::<1>(sums)),
        _mm_xor_si128(
            _mm512_extracti32x4_epi32::<2>(sums),
            _mm512_extracti32x4_epi32::<3>(sums),
        ),
    );
    for block in rest {
        state = reduce(multiply(_mm_xor_si128(state, load_block::<REVERSED>(block)), key));
    }
    state
}

/// Four blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_four<const REVERSED: bool>(blocks: &[Block; 4]) -> __m512i {
    // SAFETY: 64 bytes that live; the instruction asks for no alignment.
    let blocks = unsafe { _mm512_loadu_si512(blocks.as_ptr().cast()) };
    if !REVERSED {
        return blocks;
    }
    let reverse = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0A0B_0C0D_0E0F);
    _mm512_shuffle_epi8(blocks, _mm512_broadcast_i32x4(reverse))
}

/// As [`super::polyval::Product`], four of them.
type WideProduct = [__m512i; 3];

#[inline]
#[target_feature(enable = "avx512f,vpclmulqdq")]
fn multiply_wide(a: __m512i, b: __m512i) -> WideProduct {
    let middle = _mm512_clmulepi64_epi128::<0x01>(a, b);
    [
        _mm512_clmulepi64_epi128::<0x00>(a, b),
        _mm512_xor_si512(middle, _mm512_clmulepi64_epi128::<0x10>(a, b)),
        _mm512_clmulepi64_epi128::<0x11>(a, b),
    ]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_wide(a: WideProduct, b: WideProduct) -> WideProduct {
    [
        _mm512_xor_si512(a[0], b[0]),
        _mm512_xor_si512(a[1], b[1]),
        _mm512_xor_si512(a[2], b[2]),
    ]
}

/// As [`reduce`].
#[inline]
#[target_feature(enable = "avx512f,vpclmulqdq")]
fn reduce_wide([low, middle, high]: WideProduct) -> __m512i {
    let modulus = _mm512_set1_epi64((0xC2u64 << 56) as i64);
    let fold = |part| {
        _mm512_xor_si512(
            _mm512_shuffle_epi32::<0b01_00_11_10>(part),
            _mm512_clmulepi64_epi128::<0x00>(part, modulus),
        )
    };
    let middle = _mm512_xor_si512(middle, fold(low));
    _mm512_xor_si512(high, fold(middle))
}
