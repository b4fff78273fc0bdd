//! XTS (IEEE 1619) by vector permutations.

use std::arch::x86_64::*;

use cipher::InOutBuf;
use zeroize::Zeroize;

use super::super::blocks::Bytes;
use super::aes::{MOST_KEYS, Schedule, decrypt, encrypt};
use super::lane::Lane;
use crate::crypto::xts::{KEYS_LENGTH, Tweak, WholeBlocks, Xts, later};
use crate::crypto::{CipherError, Direction, IV_LENGTH, Keyed};

/// Registers in flight.
const WIDTH: usize = 4;

/// The most blocks in flight.
const MOST: usize = 2 * WIDTH;

/// Both keys, expanded.
pub(in crate::crypto) struct Ssse3XtsKeys {
    data: Schedule,
    inverse_data: Schedule,
    tweak: Schedule,
}

impl Ssse3XtsKeys {
    /// The schedules. [`CipherError::KeyLength`] if the processor has no SSSE3.
    pub(in crate::crypto) fn new(keys: &[u8; KEYS_LENGTH]) -> Result<Self, CipherError> {
        let (data, tweak) = keys.split_at(KEYS_LENGTH / 2);
        let blank = || Schedule::blank(KEYS_LENGTH / 2);
        let mut keys = Ssse3XtsKeys {
            data: blank()?,
            inverse_data: blank()?,
            tweak: blank()?,
        };
        keys.data.set_key(data);
        keys.inverse_data.set_inverse_key(data);
        keys.tweak.set_key(tweak);
        Ok(keys)
    }

    /// How many bytes they take where they are [kept](Self::keep).
    pub(in crate::crypto) const ROOM: usize = 3 * size_of::<Bytes>() * MOST_KEYS;

    /// Writes them into room for so many bytes.
    pub(in crate::crypto) fn keep(&self, room: &mut [u8]) {
        let schedules = [&self.data, &self.inverse_data, &self.tweak];
        for (place, schedule) in room.chunks_exact_mut(Self::ROOM / 3).zip(schedules) {
            place.copy_from_slice(schedule.bytes());
        }
    }

    /// What was kept in this room. [`CipherError::KeyLength`] if the processor has no SSSE3.
    pub(in crate::crypto) fn kept_in(room: &[u8]) -> Result<Self, CipherError> {
        let blank = || Schedule::blank(KEYS_LENGTH / 2);
        let mut keys = Ssse3XtsKeys {
            data: blank()?,
            inverse_data: blank()?,
            tweak: blank()?,
        };
        let schedules = [&mut keys.data, &mut keys.inverse_data, &mut keys.tweak];
        for (place, schedule) in room.chunks_exact(Self::ROOM / 3).zip(schedules) {
            schedule.bytes_mut().copy_from_slice(place);
        }
        Ok(keys)
    }

    /// Does without AVX2.
    #[cfg(test)]
    pub(super) fn narrow(&mut self) {
        self.data.narrow();
        self.inverse_data.narrow();
    }

    /// Starts a message where it lies in the end, so that no copy of K1 stays elsewhere.
    pub(in crate::crypto) fn start(&self, keyed: &mut Keyed, direction: Direction, iv: &[u8; IV_LENGTH]) {
        let blank = Ssse3Xts {
            encryption: self.data.blank_alike(),
            run: self.data.blank_alike(),
        };
        *keyed = Keyed::Ssse3Xts(Xts::new(blank, direction));
        if let Keyed::Ssse3Xts(xts) = keyed {
            let mut first = *iv;
            self.tweak.encrypt_block(&mut first);
            let blocks = xts.blocks_mut();
            blocks.encryption.copy_key(&self.data);
            blocks.run.copy_key(match direction {
                Direction::Encrypt => &self.data,
                Direction::Decrypt => &self.inverse_data,
            });
            xts.start(first);
        }
    }
}

/// K1, a key of 256 bits.
pub(in crate::crypto) struct Ssse3Xts {
    /// For the tail.
    encryption: Schedule,
    /// For whole blocks in the message's direction.
    run: Schedule,
}

impl WholeBlocks for Ssse3Xts {
    fn run(&self, direction: Direction, tweak: &mut Tweak, data: InOutBuf<'_, '_, u8>) {
        // SAFETY: a `Schedule` exists only where the processor has SSSE3, and is wide only where it has AVX2.
        unsafe {
            match (self.run.is_wide(), direction) {
                (false, Direction::Encrypt) => run::<false>(&self.run, tweak, data),
                (false, Direction::Decrypt) => run::<true>(&self.run, tweak, data),
                (true, Direction::Encrypt) => run_wide::<false>(&self.run, tweak, data),
                (true, Direction::Decrypt) => run_wide::<true>(&self.run, tweak, data),
            }
        }
    }

    fn encrypt_block(&self, block: &mut Bytes) {
        self.encryption.encrypt_block(block);
    }
}

#[target_feature(enable = "ssse3")]
fn run<const DECRYPT: bool>(schedule: &Schedule, tweak: &mut Tweak, data: InOutBuf<'_, '_, u8>) {
    run_groups::<__m128i, DECRYPT>(schedule, tweak, data);
}

#[target_feature(enable = "avx2")]
fn run_wide<const DECRYPT: bool>(schedule: &Schedule, tweak: &mut Tweak, data: InOutBuf<'_, '_, u8>) {
    run_groups::<__m256i, DECRYPT>(schedule, tweak, data);
}

#[inline(always)]
fn run_groups<L: Lane, const DECRYPT: bool>(
    schedule: &Schedule,
    tweak: &mut Tweak,
    mut data: InOutBuf<'_, '_, u8>,
) {
    let mut tweaks = [0; MOST];
    while !data.is_empty() {
        let length = data.len().min(16 * L::BLOCKS * WIDTH);
        let (mut group, rest) = data.split_at(length);
        data = rest;
        for (at, place) in (0..).zip(tweaks.iter_mut()) {
            *place = later(*tweak, at);
        }
        *tweak = later(*tweak, (length / 16) as u32);
        let tweak =
            |at: usize| L::of_numbers([tweaks[L::BLOCKS * at], tweaks[L::BLOCKS * at + L::BLOCKS - 1]]);
        let mut blocks = [L::repeat(&[0; 16]); WIDTH];
        let input = group.get_in().as_chunks().0.chunks(L::BLOCKS);
        for (at, (block, input)) in blocks.iter_mut().zip(input).enumerate() {
            *block = L::load(input).xor(tweak(at));
        }
        if DECRYPT {
            decrypt(schedule, &mut blocks);
        } else {
            encrypt(schedule, &mut blocks);
        }
        let output = group.get_out().as_chunks_mut().0.chunks_mut(L::BLOCKS);
        for (at, (block, output)) in blocks.into_iter().zip(output).enumerate() {
            block.xor(tweak(at)).store(output);
        }
    }
    tweaks.zeroize();
}
