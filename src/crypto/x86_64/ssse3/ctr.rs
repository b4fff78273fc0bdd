//! CTR (NIST SP 800-38A, 6.5) by vector permutations.

use std::arch::x86_64::*;

use cipher::InOutBuf;

use super::super::blocks::{Blocks, Bytes};
use super::aes::{Schedule, encrypt};
use super::lane::Lane;
use crate::crypto::{CipherError, Mode, in_out};

/// The bytes of key stream that are made together where few are needed.
const AHEAD: usize = 64;

/// Registers in flight.
const WIDTH: usize = 4;

/// A message in CTR, in either direction: both are the same XOR.
pub(in crate::crypto) struct Ctr {
    schedule: Schedule,
    /// Key stream that was made already; its last `left` bytes are not used yet.
    keystream: Blocks<4>,
    left: usize,
    /// The block that comes after `keystream`. A number with all 128 bits, big-endian in the block.
    counter: u128,
}

impl Ctr {
    pub(super) fn new(schedule: Schedule, first: &Bytes) -> Self {
        Ctr {
            schedule,
            keystream: Blocks::ZERO,
            left: 0,
            counter: u128::from_be_bytes(*first),
        }
    }

    pub(super) fn set_key(&mut self, key: &[u8]) {
        self.schedule.set_key(key);
    }

    /// Encrypts or decrypts the next bytes of the message.
    fn apply(&mut self, data: InOutBuf<'_, '_, u8>) {
        let head = data.len().min(self.left);
        let (head, mut rest) = data.split_at(head);
        self.use_left(head);
        if rest.len() > AHEAD {
            // SAFETY: a `Schedule` exists only where the processor has SSSE3, and is wide only where it has AVX2.
            rest = unsafe {
                if self.schedule.is_wide() {
                    apply_wide(&self.schedule, &mut self.counter, rest)
                } else {
                    apply(&self.schedule, &mut self.counter, rest)
                }
            };
        }
        while !rest.is_empty() {
            self.refill();
            let length = rest.len().min(AHEAD);
            let (head, others) = rest.split_at(length);
            self.use_left(head);
            rest = others;
        }
    }

    /// XORs at most `left` bytes.
    fn use_left(&mut self, data: InOutBuf<'_, '_, u8>) {
        let from = AHEAD - self.left;
        self.left -= data.len();
        let to = AHEAD - self.left;
        let mut data = data;
        data.xor_in2out(&self.keystream.bytes()[from..to]);
    }

    fn refill(&mut self) {
        #[target_feature(enable = "ssse3")]
        fn run(schedule: &Schedule, counter: u128, to: &mut Blocks<4>) {
            for (at, block) in keystream::<__m128i, 4>(schedule, counter).into_iter().enumerate() {
                to.store(at, block);
            }
        }
        // SAFETY: a `Schedule` exists only where the processor has SSSE3.
        unsafe { run(&self.schedule, self.counter, &mut self.keystream) };
        self.counter = self.counter.wrapping_add(4);
        self.left = AHEAD;
    }
}

#[target_feature(enable = "ssse3")]
fn apply<'i, 'o>(
    schedule: &Schedule,
    counter: &mut u128,
    data: InOutBuf<'i, 'o, u8>,
) -> InOutBuf<'i, 'o, u8> {
    apply_groups::<__m128i>(schedule, counter, data)
}

#[target_feature(enable = "avx2")]
fn apply_wide<'i, 'o>(
    schedule: &Schedule,
    counter: &mut u128,
    data: InOutBuf<'i, 'o, u8>,
) -> InOutBuf<'i, 'o, u8> {
    apply_groups::<__m256i>(schedule, counter, data)
}

/// Works on groups of [`WIDTH`] registers and gives back the rest.
#[inline(always)]
fn apply_groups<'i, 'o, L: Lane>(
    schedule: &Schedule,
    counter: &mut u128,
    mut data: InOutBuf<'i, 'o, u8>,
) -> InOutBuf<'i, 'o, u8> {
    let group = 16 * L::BLOCKS * WIDTH;
    while data.len() >= group {
        let (mut head, rest) = data.split_at(group);
        data = rest;
        let mut blocks = keystream::<L, WIDTH>(schedule, *counter);
        *counter = counter.wrapping_add((L::BLOCKS * WIDTH) as u128);
        let input = head.get_in().as_chunks().0.chunks_exact(L::BLOCKS);
        for (block, input) in blocks.iter_mut().zip(input) {
            *block = block.xor(L::load(input));
        }
        let output = head.get_out().as_chunks_mut().0.chunks_exact_mut(L::BLOCKS);
        for (block, output) in blocks.into_iter().zip(output) {
            block.store(output);
        }
    }
    data
}

/// The key stream of `W` registers from `counter` on.
#[inline(always)]
fn keystream<L: Lane, const W: usize>(schedule: &Schedule, counter: u128) -> [L; W] {
    let mut blocks = [L::load(&[[0; 16]]); W];
    for (at, block) in (0..).step_by(L::BLOCKS).zip(blocks.iter_mut()) {
        let big_endian = |at: u128| counter.wrapping_add(at).swap_bytes();
        *block = L::of_numbers([big_endian(at), big_endian(at + 1)]);
    }
    encrypt(schedule, &mut blocks);
    blocks
}

impl Mode for Ctr {
    fn update_length(&self, input: usize) -> usize {
        input
    }

    fn update(&mut self, src: &[u8], dst: &mut [u8]) -> Result<(), CipherError> {
        self.apply(in_out(src, dst)?);
        Ok(())
    }

    fn update_in_place(&mut self, data: &mut [u8]) -> Result<(), CipherError> {
        self.apply(data.into());
        Ok(())
    }

    fn finish_length(&self) -> usize {
        0
    }

    fn finish(&mut self, _dst: &mut [u8]) -> Result<usize, CipherError> {
        Ok(0)
    }
}
