//! CBC (NIST SP 800-38A, 6.2) by vector permutations.

use std::arch::x86_64::*;

use cipher::InOutBuf;
use cipher::consts::U16;

use super::super::blocks::{Bytes, load, store};
use super::aes::{Schedule, decrypt, encrypt_linked, state};
use super::lane::Lane;
use crate::crypto::Direction;
use crate::crypto::cbc::Chaining;

/// Registers in flight.
const WIDTH: usize = 4;

/// The most blocks in flight.
const MOST: usize = 2 * WIDTH;

/// AES that encrypts in CBC.
pub(in crate::crypto) struct Encrypting(pub(super) Schedule);

/// AES that decrypts in CBC.
pub(in crate::crypto) struct Decrypting {
    /// For the tail.
    pub(super) encryption: Schedule,
    pub(super) decryption: Schedule,
}

impl Decrypting {
    pub(super) fn set_key(&mut self, key: &[u8]) {
        self.encryption.set_key(key);
        self.decryption.set_inverse_key(key);
    }
}

impl Chaining for Encrypting {
    const DIRECTION: Direction = Direction::Encrypt;

    fn chain(&self, previous: &mut Bytes, data: InOutBuf<'_, '_, u8>) {
        // SAFETY: a `Schedule` exists only where the processor has SSSE3.
        unsafe { encrypt_chain(&self.0, previous, data) }
    }

    fn encrypt_block(&self, block: &mut Bytes) {
        self.0.encrypt_block(block);
    }
}

impl Chaining for Decrypting {
    const DIRECTION: Direction = Direction::Decrypt;

    fn chain(&self, previous: &mut Bytes, data: InOutBuf<'_, '_, u8>) {
        // SAFETY: a `Schedule` exists only where the processor has SSSE3, and is wide only where it has AVX2.
        unsafe {
            if self.decryption.is_wide() {
                decrypt_chain_wide(&self.decryption, previous, data);
            } else {
                decrypt_chain(&self.decryption, previous, data);
            }
        }
    }

    fn encrypt_block(&self, block: &mut Bytes) {
        self.encryption.encrypt_block(block);
    }
}

/// Each block waits for the one before it, so the latency is all that counts. What leads from block to block
/// stays a state; the plaintext is made one, and the ciphertext a block, beside that.
#[target_feature(enable = "ssse3")]
fn encrypt_chain(schedule: &Schedule, previous: &mut Bytes, data: InOutBuf<'_, '_, u8>) {
    let (blocks, _no_rest) = data.into_chunks::<U16>();
    let last_key: __m128i = schedule.last_key();
    let between = state(last_key).xor(schedule.first_key());
    let mut ciphertext = load(previous);
    let mut chain = state(ciphertext.xor(last_key));
    for mut block in blocks {
        let plaintext = state(load(block.get_in().as_ref())).xor(between).settled();
        (ciphertext, chain) = encrypt_linked(schedule, chain.xor(plaintext));
        store(block.get_out().as_mut(), ciphertext);
    }
    store(previous, ciphertext);
}

#[target_feature(enable = "ssse3")]
fn decrypt_chain(schedule: &Schedule, previous: &mut Bytes, data: InOutBuf<'_, '_, u8>) {
    decrypt_groups::<__m128i>(schedule, previous, data);
}

#[target_feature(enable = "avx2")]
fn decrypt_chain_wide(schedule: &Schedule, previous: &mut Bytes, data: InOutBuf<'_, '_, u8>) {
    decrypt_groups::<__m256i>(schedule, previous, data);
}

#[inline(always)]
fn decrypt_groups<L: Lane>(schedule: &Schedule, previous: &mut Bytes, mut data: InOutBuf<'_, '_, u8>) {
    // The block before the group, and its ciphertext.
    let mut ciphertext = [*previous; 1 + MOST];
    while !data.is_empty() {
        let length = data.len().min(16 * L::BLOCKS * WIDTH);
        let (mut group, rest) = data.split_at(length);
        data = rest;
        let number = length / 16;
        ciphertext[1..=number].copy_from_slice(group.get_in().as_chunks().0);
        let mut blocks = [L::repeat(&[0; 16]); WIDTH];
        for (block, input) in blocks.iter_mut().zip(ciphertext[1..=number].chunks(L::BLOCKS)) {
            *block = L::load(input);
        }
        decrypt(schedule, &mut blocks);
        let output = group.get_out().as_chunks_mut().0.chunks_mut(L::BLOCKS);
        let before = ciphertext[..number].chunks(L::BLOCKS);
        for ((block, output), before) in blocks.into_iter().zip(output).zip(before) {
            block.xor(L::load(before)).store(output);
        }
        ciphertext[0] = ciphertext[number];
    }
    *previous = ciphertext[0];
}
