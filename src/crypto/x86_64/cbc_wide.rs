//! The decryption of CBC with VAES: 32 blocks in flight, four to a register.

use std::arch::x86_64::*;

use cipher::InOutBuf;
use cipher::consts::U512;

use super::aes::{Aes, decrypt_wide, decryption_keys, widen};
use super::blocks::{load, load_part, load_wide, store_part, store_wide};
use crate::crypto::mode::Block;

/// Registers in flight.
const WIDTH: usize = 8;

/// Decrypts whole blocks. `previous` is the ciphertext block before them, afterwards the last of
/// them.
#[target_feature(enable = "avx512f,avx512bw,vaes")]
pub(super) fn decrypt_chain<const N: usize>(aes: &Aes, previous: &mut Block, data: InOutBuf<'_, '_, u8>) {
    let Some(last) = data.get_in().last_chunk().copied() else {
        return;
    };
    let keys = widen(&decryption_keys(&aes.round_keys::<N>()));
    // Only the last lane of it counts.
    let mut before = _mm512_broadcast_i32x4(load(previous));
    let (groups, mut rest) = data.into_chunks::<U512>();
    for mut group in groups {
        let mut ciphertext = [before; WIDTH];
        for (block, input) in ciphertext.iter_mut().zip(group.get_in().as_chunks().0) {
            *block = load_wide(input);
        }
        let blocks = decrypt_group(&keys, before, &ciphertext);
        for (block, output) in blocks.into_iter().zip(group.get_out().as_chunks_mut().0) {
            store_wide(output, block);
        }
        before = ciphertext[WIDTH - 1];
    }
    if !rest.is_empty() {
        let mut ciphertext = [before; WIDTH];
        for (block, input) in ciphertext.iter_mut().zip(rest.get_in().chunks(64)) {
            *block = load_part(input);
        }
        let blocks = decrypt_group(&keys, before, &ciphertext);
        for (block, output) in blocks.into_iter().zip(rest.get_out().chunks_mut(64)) {
            store_part(output, block);
        }
    }
    *previous = last;
}

/// The plaintext of a group. `before` has the ciphertext block before it in its last lane.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn decrypt_group<const N: usize>(
    keys: &[__m512i; N],
    mut before: __m512i,
    ciphertext: &[__m512i; WIDTH],
) -> [__m512i; WIDTH] {
    let mut blocks = *ciphertext;
    decrypt_wide(keys, &mut blocks);
    for (block, ciphertext) in blocks.iter_mut().zip(ciphertext) {
        // Each block's predecessor: all lanes one place up, the last one of the register before
        // first.
        let predecessors = _mm512_alignr_epi64::<6>(*ciphertext, before);
        *block = _mm512_xor_si512(*block, predecessors);
        before = *ciphertext;
    }
    blocks
}
