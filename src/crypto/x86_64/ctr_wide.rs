//! CTR with VAES: 32 blocks in flight, four to a register.

use std::arch::x86_64::*;

use cipher::InOutBuf;
use cipher::consts::U512;

use super::aes::{Aes, encrypt_wide, widen};
use super::blocks::{Blocks, load_part, load_wide, store_part, store_wide};

/// Registers in flight: enough to hide the latency of VAESENC, few enough to stay in registers.
const WIDTH: usize = 8;

/// Registers for messages that need no more, in bytes and in number.
const SHORT: usize = 64 * SHORT_WIDTH;
const SHORT_WIDTH: usize = 4;

/// Works on all the data, and moves the counter on by the blocks begun. What is left over of the
/// last 64 bytes of key stream goes to `keystream`; returns how many bytes of it are not used yet.
#[target_feature(enable = "avx512f,avx512bw,vaes")]
pub(super) fn apply<const N: usize>(
    aes: &Aes,
    counter: &mut u128,
    data: InOutBuf<'_, '_, u8>,
    left: &mut Blocks<4>,
) -> usize {
    let keys = widen(&aes.round_keys::<N>());
    if data.len() <= SHORT {
        let blocks = keystream::<N, SHORT_WIDTH>(&keys, *counter);
        return apply_rest(data, counter, blocks, left);
    }
    let (groups, rest) = data.into_chunks::<U512>();
    let mut groups = groups.into_iter();
    loop {
        let group = groups.next();
        if group.is_none() && rest.is_empty() {
            return 0;
        }
        // In one place for groups and the rest, so that it is inlined and all stays in registers.
        let mut blocks = keystream::<N, WIDTH>(&keys, *counter);
        let Some(mut group) = group else {
            return apply_rest(rest, counter, blocks, left);
        };
        *counter = counter.wrapping_add(4 * WIDTH as u128);
        for (block, input) in blocks.iter_mut().zip(group.get_in().as_chunks().0) {
            *block = _mm512_xor_si512(*block, load_wide(input));
        }
        for (block, output) in blocks.into_iter().zip(group.get_out().as_chunks_mut().0) {
            store_wide(output, block);
        }
    }
}

/// Works on data that its key stream is long enough for; the rest is as for [`apply`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn apply_rest<const W: usize>(
    mut rest: InOutBuf<'_, '_, u8>,
    counter: &mut u128,
    keystream: [__m512i; W],
    left: &mut Blocks<4>,
) -> usize {
    for block in keystream {
        let length = rest.len().min(64);
        let (mut part, others) = rest.split_at(length);
        rest = others;
        let input = load_part(part.get_in());
        store_part(part.get_out(), _mm512_xor_si512(block, input));
        *counter = counter.wrapping_add(4);
        if rest.is_empty() {
            left.store(0, _mm512_extracti32x4_epi32::<0>(block));
            left.store(1, _mm512_extracti32x4_epi32::<1>(block));
            left.store(2, _mm512_extracti32x4_epi32::<2>(block));
            left.store(3, _mm512_extracti32x4_epi32::<3>(block));
            return 64 - length;
        }
    }
    0
}

/// The key stream of `4 * W` blocks from `counter` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn keystream<const N: usize, const W: usize>(keys: &[__m512i; N], counter: u128) -> [__m512i; W] {
    let mut blocks = [_mm512_setzero_si512(); W];
    let (high, low) = ((counter >> 64) as u64, counter as u64);
    if low <= u64::MAX - 4 * W as u64 {
        let first = _mm512_broadcast_i32x4(_mm_set_epi64x(high as i64, low as i64));
        let big_endian = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0A0B_0C0D_0E0F));
        for (at, block) in (0..).step_by(4).zip(blocks.iter_mut()) {
            let steps = _mm512_set_epi64(0, at + 3, 0, at + 2, 0, at + 1, 0, at);
            *block = _mm512_shuffle_epi8(_mm512_add_epi64(first, steps), big_endian);
        }
    } else {
        for (at, block) in (0..).step_by(4).zip(blocks.iter_mut()) {
            let mut bytes = [0; 64];
            for (place, number) in bytes.as_chunks_mut().0.iter_mut().zip(at..) {
                *place = counter.wrapping_add(number).to_be_bytes();
            }
            *block = load_wide(&bytes);
        }
    }
    encrypt_wide(keys, &mut blocks);
    blocks
}
