//! XTS with VAES: 32 blocks in flight, four to a register. The tweaks of a group come from those of the group
//! before it, all of them times x^32.

use std::arch::x86_64::*;

use cipher::InOutBuf;
use cipher::consts::U512;

use super::aes::{Aes, decrypt_wide, decryption_keys, encrypt_wide, widen};
use super::blocks::{load_part, load_wide, store_part, store_wide};
use super::xts::ROUND_KEYS;
use crate::crypto::xts::{Tweak, later};

/// Registers in flight.
const WIDTH: usize = 8;

/// Runs over whole blocks. `tweak` is that of the first of them, afterwards that of the block behind them.
#[target_feature(enable = "avx512f,avx512bw,vaes,vpclmulqdq")]
pub(super) fn run<const DECRYPT: bool>(aes: &Aes, tweak: &mut Tweak, data: InOutBuf<'_, '_, u8>) {
    let mut keys = aes.round_keys::<ROUND_KEYS>();
    if DECRYPT {
        keys = decryption_keys(&keys);
    }
    let keys = widen(&keys);
    let mut tweaks = first_tweaks(*tweak);
    let (groups, mut rest) = data.into_chunks::<U512>();
    for mut group in groups {
        let mut blocks = tweaks;
        for (block, input) in blocks.iter_mut().zip(group.get_in().as_chunks().0) {
            *block = _mm512_xor_si512(*block, load_wide(input));
        }
        run_blocks::<DECRYPT, WIDTH>(&keys, &mut blocks);
        for ((block, tweak), output) in blocks
            .into_iter()
            .zip(&mut tweaks)
            .zip(group.get_out().as_chunks_mut().0)
        {
            store_wide(output, _mm512_xor_si512(block, *tweak));
            *tweak = times_x_to_the_8n::<4, 12>(*tweak);
        }
    }
    let [low, high] = {
        let first = _mm512_castsi512_si128(tweaks[0]);
        [first, _mm_unpackhi_epi64(first, first)].map(|half| _mm_cvtsi128_si64(half) as u64)
    };
    let next = Tweak::from(high) << 64 | Tweak::from(low);
    *tweak = later(next, (rest.len() / 16) as u32);

    if !rest.is_empty() {
        let mut blocks = tweaks;
        for (block, input) in blocks.iter_mut().zip(rest.get_in().chunks(64)) {
            *block = _mm512_xor_si512(*block, load_part(input));
        }
        run_blocks::<DECRYPT, WIDTH>(&keys, &mut blocks);
        let outputs = rest.get_out().chunks_mut(64);
        for ((block, tweak), output) in blocks.into_iter().zip(tweaks).zip(outputs) {
            store_part(output, _mm512_xor_si512(block, tweak));
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn run_blocks<const DECRYPT: bool, const W: usize>(keys: &[__m512i; ROUND_KEYS], blocks: &mut [__m512i; W]) {
    if DECRYPT {
        decrypt_wide(keys, blocks);
    } else {
        encrypt_wide(keys, blocks);
    }
}

/// The tweaks of a group whose first block has this one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
fn first_tweaks(first: Tweak) -> [__m512i; WIDTH] {
    let [a, b, c, d] = [0, 1, 2, 3].map(|blocks| later(first, blocks));
    let [e, f, g, h] = [4, 5, 6, 7].map(|blocks| later(first, blocks));
    let mut tweaks = [four(a, b, c, d); WIDTH];
    tweaks[1] = four(e, f, g, h);
    for at in 2..WIDTH {
        tweaks[at] = times_x_to_the_8n::<1, 15>(tweaks[at - 2]);
    }
    tweaks
}

/// Four tweaks in a register, the first in its lowest lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn four(a: Tweak, b: Tweak, c: Tweak, d: Tweak) -> __m512i {
    let (high, low) = (|tweak: Tweak| (tweak >> 64) as i64, |tweak: Tweak| tweak as i64);
    _mm512_set_epi64(high(d), low(d), high(c), low(c), high(b), low(b), high(a), low(a))
}

/// Each tweak times x^(8 `BYTES`): `BYTES` bytes up, and what overflows times x^7 + x^2 + x + 1 (which is x^128)
/// added at the bottom. `REST` = 16 - `BYTES`; no more than 7 bytes overflow into one product.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
fn times_x_to_the_8n<const BYTES: i32, const REST: i32>(tweaks: __m512i) -> __m512i {
    const { assert!(BYTES + REST == 16 && BYTES < 8) };
    let overflow = _mm512_bsrli_epi128::<REST>(tweaks);
    let reduced = _mm512_clmulepi64_epi128::<0>(overflow, _mm512_set1_epi64(0x87));
    _mm512_xor_si512(_mm512_bslli_epi128::<BYTES>(tweaks), reduced)
}
