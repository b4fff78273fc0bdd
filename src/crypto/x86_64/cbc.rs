//! CBC (NIST SP 800-38A, 6.2) with AES-NI, and with VAES for the decryption of more than a few
//! blocks.

use std::arch::x86_64::*;

use cipher::InOutBuf;
use cipher::consts::{U16, U128};

use super::aes::{Aes, by_key_length, decrypt, decryption_keys};
use super::blocks::{load, store};
use super::cbc_wide;
use crate::crypto::Direction;
use crate::crypto::cbc::Chaining;
use crate::crypto::mode::Block;

/// Blocks that fill the pipeline of AESDEC.
const WIDTH: usize = 8;

/// From this length on, in bytes, the wide path is worth its start.
const WIDE_FROM: usize = 16 * WIDTH;

/// AES that encrypts in CBC.
pub(in crate::crypto) struct Encrypting(pub(super) Aes);

/// AES that decrypts in CBC.
pub(in crate::crypto) struct Decrypting(pub(super) Aes);

impl Chaining for Encrypting {
    const DIRECTION: Direction = Direction::Encrypt;

    #[inline]
    fn chain(&self, previous: &mut Block, data: InOutBuf<'_, '_, u8>) {
        // SAFETY: an `Aes` exists only where the processor has AES-NI.
        unsafe { by_key_length!(self.0, encrypt_chain(&self.0, previous, data)) }
    }

    #[inline]
    fn encrypt_block(&self, block: &mut Block) {
        let encrypted = self.0.encrypt_block(block);
        store(block, encrypted);
    }
}

impl Chaining for Decrypting {
    const DIRECTION: Direction = Direction::Decrypt;

    #[inline]
    fn chain(&self, previous: &mut Block, data: InOutBuf<'_, '_, u8>) {
        if self.0.is_wide() && data.len() >= WIDE_FROM {
            // SAFETY: the processor has what `Level::Vaes` needs.
            unsafe { by_key_length!(self.0, cbc_wide::decrypt_chain(&self.0, previous, data)) }
        } else {
            // SAFETY: an `Aes` exists only where the processor has AES-NI.
            unsafe { by_key_length!(self.0, decrypt_chain(&self.0, previous, data)) }
        }
    }

    #[inline]
    fn encrypt_block(&self, block: &mut Block) {
        let encrypted = self.0.encrypt_block(block);
        store(block, encrypted);
    }
}

/// Each block waits for the one before it, so the latency of AESENC is all that counts. The last
/// round's key takes the first round key and the next plaintext block along, which saves the XOR
/// between two blocks.
#[target_feature(enable = "aes")]
fn encrypt_chain<const N: usize>(aes: &Aes, previous: &mut Block, data: InOutBuf<'_, '_, u8>) {
    let keys = aes.round_keys::<N>();
    let (blocks, _no_rest) = data.into_chunks::<U16>();
    if blocks.is_empty() {
        return;
    }
    // What the state was XORed with beyond the ciphertext; the state is `ciphertext ^ whitening`.
    let mut whitening = _mm_setzero_si128();
    let mut state = load(previous);
    let last_two = _mm_xor_si128(keys[N - 1], keys[0]);
    let mut blocks = blocks.into_iter();
    let mut current = blocks.next();
    if let Some(block) = &current {
        state = _mm_xor_si128(state, _mm_xor_si128(load(block.get_in().as_ref()), keys[0]));
    }
    while let Some(mut block) = current {
        for key in &keys[1..N - 1] {
            state = _mm_aesenc_si128(state, *key);
        }
        current = blocks.next();
        let next = match &current {
            Some(next) => load(next.get_in().as_ref()),
            None => keys[0],
        };
        // AESENCLAST(s, k) = f(s) ^ k, so this is the ciphertext XOR the key 0 and the next
        // plaintext.
        state = _mm_aesenclast_si128(state, _mm_xor_si128(last_two, next));
        whitening = _mm_xor_si128(next, keys[0]);
        store(block.get_out().as_mut(), _mm_xor_si128(state, whitening));
    }
    store(previous, _mm_xor_si128(state, whitening));
}

#[target_feature(enable = "aes")]
fn decrypt_chain<const N: usize>(aes: &Aes, previous: &mut Block, data: InOutBuf<'_, '_, u8>) {
    let keys = decryption_keys(&aes.round_keys::<N>());
    let mut before = load(previous);
    let (groups, rest) = data.into_chunks::<U128>();
    for group in groups {
        before = decrypt_group::<N, WIDTH>(&keys, before, group.into_buf());
    }
    // In groups of another width: with one call for each width, both are inlined.
    let mut rest = rest;
    while rest.len() > 16 {
        let length = rest.len().min(64);
        let (group, others) = rest.split_at(length);
        before = decrypt_group::<N, 4>(&keys, before, group);
        rest = others;
    }
    if !rest.is_empty() {
        before = decrypt_group::<N, 1>(&keys, before, rest);
    }
    store(previous, before);
}

/// Decrypts at most `W` blocks, in the time that `W` take. Takes the ciphertext block before them
/// and returns the last of them.
#[inline]
#[target_feature(enable = "aes")]
fn decrypt_group<const N: usize, const W: usize>(
    keys: &[__m128i; N],
    mut before: __m128i,
    mut data: InOutBuf<'_, '_, u8>,
) -> __m128i {
    let mut ciphertext = [before; W];
    for (block, input) in ciphertext.iter_mut().zip(data.get_in().as_chunks().0) {
        *block = load(input);
    }
    let mut blocks = ciphertext;
    decrypt(keys, &mut blocks);
    for ((block, ciphertext), output) in blocks
        .into_iter()
        .zip(ciphertext)
        .zip(data.get_out().as_chunks_mut().0)
    {
        store(output, _mm_xor_si128(block, before));
        before = ciphertext;
    }
    before
}
