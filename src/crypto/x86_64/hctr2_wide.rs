//! XCTR with VAES: 32 blocks in flight, four to a register.

use std::arch::x86_64::*;

use cipher::InOutBuf;
use cipher::consts::U512;

use super::aes::{AES_256_ROUND_KEYS as ROUND_KEYS, Aes, encrypt_wide, widen};
use super::blocks::{load, load_part, load_wide, store_part, store_wide};
use crate::crypto::mode::Block;

/// Registers in flight.
const WIDTH: usize = 8;

/// XORs the key stream that starts with AES(`start` XOR 1) onto the data.
#[target_feature(enable = "avx512f,avx512bw,vaes")]
pub(super) fn apply_keystream(aes: &Aes, start: &Block, data: InOutBuf<'_, '_, u8>) {
    let mut keys = widen(&aes.round_keys::<ROUND_KEYS>());
    // Once for all blocks: the number is all that differs in what is encrypted.
    keys[0] = _mm512_xor_si512(keys[0], _mm512_broadcast_i32x4(load(start)));
    let mut numbers = _mm512_set_epi64(0, 4, 0, 3, 0, 2, 0, 1);
    let (groups, mut rest) = data.into_chunks::<U512>();
    for mut group in groups {
        let mut blocks = keystream(&keys, &mut numbers);
        for (block, input) in blocks.iter_mut().zip(group.get_in().as_chunks().0) {
            *block = _mm512_xor_si512(*block, load_wide(input));
        }
        for (block, output) in blocks.into_iter().zip(group.get_out().as_chunks_mut().0) {
            store_wide(output, block);
        }
    }
    if !rest.is_empty() {
        let mut blocks = keystream(&keys, &mut numbers);
        for (block, input) in blocks.iter_mut().zip(rest.get_in().chunks(64)) {
            *block = _mm512_xor_si512(*block, load_part(input));
        }
        for (block, output) in blocks.into_iter().zip(rest.get_out().chunks_mut(64)) {
            store_part(output, block);
        }
    }
}

/// The next blocks of key stream, the numbers of the first four of which are these.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn keystream(keys: &[__m512i; ROUND_KEYS], numbers: &mut __m512i) -> [__m512i; WIDTH] {
    let four = _mm512_set_epi64(0, 4, 0, 4, 0, 4, 0, 4);
    let mut blocks = [*numbers; WIDTH];
    for block in &mut blocks {
        *block = *numbers;
        *numbers = _mm512_add_epi64(*numbers, four);
    }
    encrypt_wide(keys, &mut blocks);
    blocks
}
