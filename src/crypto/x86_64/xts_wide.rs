//! XTS with VAES: 32 blocks in flight, four to a register. The tweaks of a group come from those of
//! the group before it, all of them times x^32.

use std::arch::x86_64::*;

use cipher::consts::U512;
use cipher::{Array, InOut, InOutBuf};

use super::aes::{AES_256_ROUND_KEYS as ROUND_KEYS, Aes, decryption_keys, widen};
use super::blocks::{load_part, load_wide, number, store_part, store_wide};
use crate::crypto::xts::{Tweak, later};

/// Registers in flight.
const WIDTH: usize = 8;

/// Runs over whole blocks. `tweak` is that of the first of them, afterwards that of the block
/// behind them.
#[target_feature(enable = "avx512f,avx512bw,vaes,vpclmulqdq")]
pub(super) fn run<const DECRYPT: bool>(aes: &Aes, tweak: &mut Tweak, data: InOutBuf<'_, '_, u8>) {
    let mut keys = aes.round_keys::<ROUND_KEYS>();
    if DECRYPT {
        keys = decryption_keys(&keys);
    }
    let keys = widen(&keys);
    let mut tweaks = first_tweaks(*tweak);
    let (groups, mut rest) = data.into_chunks::<U512>();
    let before_last = groups.len().saturating_sub(1);
    let (groups, last) = groups.split_at(before_last);
    for group in groups {
        run_group::<DECRYPT>(&keys, &tweaks, group);
        advance(&mut tweaks);
    }
    // The rest goes before the last group: what waits for the last block of all, as a tail does,
    // need not wait for the group.
    let mut behind = tweaks;
    if !last.is_empty() {
        advance(&mut behind);
    }
    *tweak = later(
        number(_mm512_castsi512_si128(behind[0])),
        (rest.len() / 16) as u32,
    );
    if !rest.is_empty() {
        let mut blocks = [keys[0]; WIDTH];
        for (block, input) in blocks.iter_mut().zip(rest.get_in().chunks(64)) {
            *block = load_part(input);
        }
        run_blocks::<DECRYPT>(&keys, &behind, &mut blocks);
        for (block, output) in blocks.into_iter().zip(rest.get_out().chunks_mut(64)) {
            store_part(output, block);
        }
    }
    for group in last {
        run_group::<DECRYPT>(&keys, &tweaks, group);
    }
}

/// Works on a group.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn run_group<const DECRYPT: bool>(
    keys: &[__m512i; ROUND_KEYS],
    tweaks: &[__m512i; WIDTH],
    mut group: InOut<'_, '_, Array<u8, U512>>,
) {
    let mut blocks = [keys[0]; WIDTH];
    for (block, input) in blocks.iter_mut().zip(group.get_in().as_chunks().0) {
        *block = load_wide(input);
    }
    run_blocks::<DECRYPT>(keys, tweaks, &mut blocks);
    for (block, output) in blocks.into_iter().zip(group.get_out().as_chunks_mut().0) {
        store_wide(output, block);
    }
}

/// The tweaks of the next group.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
fn advance(tweaks: &mut [__m512i; WIDTH]) {
    for tweak in tweaks {
        *tweak = times_x_to_the_8n::<4, 12>(*tweak);
    }
}

/// Works on 32 blocks. Both XORs with the tweak go together with those of the first and
/// the last round key: the unit for AES does other XORs as well, and has no time for them.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn run_blocks<const DECRYPT: bool>(
    keys: &[__m512i; ROUND_KEYS],
    tweaks: &[__m512i; WIDTH],
    blocks: &mut [__m512i; WIDTH],
) {
    /// The truth table of XOR of three.
    const XOR: i32 = 0x96;
    for (block, tweak) in blocks.iter_mut().zip(tweaks) {
        *block = _mm512_ternarylogic_epi64::<XOR>(*block, *tweak, keys[0]);
    }
    for key in &keys[1..ROUND_KEYS - 1] {
        for block in blocks.iter_mut() {
            *block = if DECRYPT {
                _mm512_aesdec_epi128(*block, *key)
            } else {
                _mm512_aesenc_epi128(*block, *key)
            };
        }
    }
    for (block, tweak) in blocks.iter_mut().zip(tweaks) {
        let key = _mm512_xor_si512(keys[ROUND_KEYS - 1], *tweak);
        *block = if DECRYPT {
            _mm512_aesdeclast_epi128(*block, key)
        } else {
            _mm512_aesenclast_epi128(*block, key)
        };
    }
}

/// The tweaks of a group whose first block has this one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
fn first_tweaks(first: Tweak) -> [__m512i; WIDTH] {
    let mut tweaks = [four_from(first); WIDTH];
    tweaks[1] = four_from(later(first, 4));
    for at in 2..WIDTH {
        tweaks[at] = times_x_to_the_8n::<1, 15>(tweaks[at - 2]);
    }
    tweaks
}

/// This tweak and the three behind it, the first in the lowest lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn four_from(first: Tweak) -> __m512i {
    let [a, b, c, d] = [0, 1, 2, 3].map(|blocks| later(first, blocks));
    let (high, low) = (|tweak: Tweak| (tweak >> 64) as i64, |tweak: Tweak| tweak as i64);
    _mm512_set_epi64(high(d), low(d), high(c), low(c), high(b), low(b), high(a), low(a))
}

/// Each tweak times x^(8 `BYTES`): `BYTES` bytes up, and what overflows times x^7 + x^2 + x + 1
/// (which is x^128) added at the bottom. `REST` = 16 - `BYTES`; no more than 7 bytes overflow into
/// one product.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
fn times_x_to_the_8n<const BYTES: i32, const REST: i32>(tweaks: __m512i) -> __m512i {
    const { assert!(BYTES + REST == 16 && BYTES < 8) };
    let overflow = _mm512_bsrli_epi128::<REST>(tweaks);
    let reduced = _mm512_clmulepi64_epi128::<0>(overflow, _mm512_set1_epi64(0x87));
    _mm512_xor_si512(_mm512_bslli_epi128::<BYTES>(tweaks), reduced)
}
