//! AES (FIPS 197) by vector permutations, after M. Hamburg, "Accelerating AES with Vector Permute Instructions"
//! (CHES 2009): SubBytes from shuffles of 16-byte tables that lie in registers, so no address and no time
//! depends on a secret.
//!
//! ShiftRows is never done but at the end: a state lacks one more of it after each round, and the turns of the
//! columns in MixColumns take that into account. Round keys are stored as states that lack as many.

use std::arch::x86_64::*;

use super::super::blocks::{Blocks, Bytes};
use super::lane::Lane;
use super::tables::{Pair, TABLES};
use crate::crypto::{CipherError, Level};

/// The most round keys.
pub(super) const MOST_KEYS: usize = 15;

/// The round keys of one key, for encryption alone or for decryption alone. It exists only where the processor
/// has SSSE3.
pub(in crate::crypto) struct Schedule {
    keys: Blocks<MOST_KEYS>,
    rounds: usize,
    wide: bool,
}

impl Schedule {
    /// A schedule without a key: zeroes. A key is set where the schedule lies in the end, so that no copy of it
    /// stays elsewhere.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] unless keys have 16, 24 or 32 bytes, or if the processor has no SSSE3.
    pub(super) fn blank(key_length: usize) -> Result<Self, CipherError> {
        if Level::available() < Level::Ssse3 || !matches!(key_length, 16 | 24 | 32) {
            return Err(CipherError::KeyLength);
        }
        Ok(Schedule {
            keys: Blocks::ZERO,
            rounds: key_length / 4 + 6,
            wide: is_x86_feature_detected!("avx2"),
        })
    }

    /// A schedule without a key, for keys like this one.
    pub(super) fn blank_alike(&self) -> Self {
        Schedule {
            keys: Blocks::ZERO,
            ..*self
        }
    }

    /// Takes over a schedule that was made before, for keys of the same length.
    pub(super) fn copy_key(&mut self, from: &Schedule) {
        self.keys.copy_from(&from.keys);
    }

    /// The bytes of the schedule, to be kept elsewhere.
    pub(super) fn bytes(&self) -> &[u8] {
        self.keys.bytes()
    }

    /// The same, to be filled with a schedule that was kept.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.keys.bytes_mut()
    }

    /// Makes the schedule of encryption of a key of the length announced.
    pub(super) fn set_key(&mut self, key: &[u8]) {
        // SAFETY: a `Schedule` exists only where the processor has SSSE3.
        unsafe {
            expand(key, &mut self.keys, self.rounds);
            to_states(&mut self.keys, self.rounds);
        }
    }

    /// Makes the schedule of decryption, likewise.
    pub(super) fn set_inverse_key(&mut self, key: &[u8]) {
        // SAFETY: a `Schedule` exists only where the processor has SSSE3.
        unsafe {
            expand(key, &mut self.keys, self.rounds);
            to_inverse_states(&mut self.keys, self.rounds);
        }
    }

    /// Does without AVX2.
    #[cfg(test)]
    pub(super) fn narrow(&mut self) {
        self.wide = false;
    }

    /// Whether the processor has AVX2 as well.
    #[inline]
    pub(super) fn is_wide(&self) -> bool {
        self.wide
    }

    /// All round keys but the last.
    #[inline(always)]
    fn round_keys(&self) -> &[Bytes] {
        &self.keys.blocks()[..self.rounds]
    }

    #[inline(always)]
    pub(super) fn first_key<L: Lane>(&self) -> L {
        L::repeat(&self.keys.blocks()[0])
    }

    /// The last round key, which is no state.
    #[inline(always)]
    pub(super) fn last_key<L: Lane>(&self) -> L {
        L::repeat(&self.keys.blocks()[self.rounds])
    }

    /// All ShiftRows of an encryption.
    #[inline(always)]
    fn shifted<L: Lane>(&self, state: L) -> L {
        reorder(state, &TABLES.shift_rows[self.rounds % 4])
    }

    /// Encrypts one block.
    pub(super) fn encrypt_block(&self, block: &mut Bytes) {
        #[target_feature(enable = "ssse3")]
        fn run(schedule: &Schedule, block: &mut Bytes) {
            let mut state = [__m128i::load(&[*block])];
            encrypt(schedule, &mut state);
            state[0].store(std::slice::from_mut(block));
        }
        // SAFETY: a `Schedule` exists only where the processor has SSSE3.
        unsafe { run(self, block) }
    }
}

/// A linear map of each byte.
#[inline(always)]
fn map<L: Lane>(table: &Pair, bytes: L) -> L {
    let (low, high) = bytes.nibbles();
    sum(table, low, high)
}

#[inline(always)]
fn sum<L: Lane>(table: &Pair, a: L, b: L) -> L {
    L::repeat(&table.0).look_up(a).xor(L::repeat(&table.1).look_up(b))
}

/// The bytes of a register in another order.
#[inline(always)]
fn reorder<L: Lane>(bytes: L, indexes: &Bytes) -> L {
    bytes.look_up(L::repeat(indexes))
}

/// The quotients p and q of each byte of a state. What leads to q goes first, as j is there after i.
#[inline(always)]
fn quotients<L: Lane>(state: L) -> (L, L) {
    let (k, i) = state.nibbles();
    let inverse = L::repeat(&TABLES.inverse);
    let of_k = L::repeat(&TABLES.inverse_of_multiple).look_up(k);
    let j = i.xor(k);
    let of_j = inverse.look_up(j).xor(of_k).settled();
    let of_i = inverse.look_up(i).xor(of_k).settled();
    let q = inverse.look_up(of_j).xor(i).settled();
    let p = inverse.look_up(of_i).xor(j);
    (p, q)
}

/// A block as a state of the encryption.
#[inline(always)]
pub(super) fn state<L: Lane>(block: L) -> L {
    map(&TABLES.encode, block)
}

/// One of the rounds before the last, whose number counts modulo 4.
#[inline(always)]
fn round<L: Lane>(state: L, number: usize, key: &Bytes) -> L {
    let (turn_1, turn_3) = (&TABLES.turn_1[number % 4], &TABLES.turn_3[number % 4]);
    let (p, q) = quotients(state);
    let once = sum(&TABLES.once, p, q);
    let twice = sum(&TABLES.twice, p, q).settled();
    // Twice the row and once the next: with its own next, that lacks but the third.
    let two_rows = reorder(once, turn_1).xor(twice);
    let third = reorder(once, turn_3).xor(L::repeat(key)).settled();
    third.xor(two_rows).settled().xor(reorder(two_rows, turn_1))
}

/// Encrypts `W` registers of blocks side by side.
#[inline(always)]
pub(super) fn encrypt<L: Lane, const W: usize>(schedule: &Schedule, blocks: &mut [L; W]) {
    for block in blocks.iter_mut() {
        *block = state(*block).xor(schedule.first_key());
    }
    for (number, key) in (1..).zip(&schedule.round_keys()[1..]) {
        for block in blocks.iter_mut() {
            *block = round(*block, number, key);
        }
    }
    for block in blocks.iter_mut() {
        let (p, q) = quotients(*block);
        *block = schedule.shifted(sum(&TABLES.last, p, q)).xor(schedule.last_key());
    }
}

/// Encrypts a state with the first round key in it. Returns the block, and the same without the last round key
/// as a state: for a chain, which then need not make one of the block. Four rounds at a time, because the turns
/// of columns repeat after as many.
#[inline(always)]
pub(super) fn encrypt_linked<L: Lane>(schedule: &Schedule, state: L) -> (L, L) {
    let mut state = state;
    let keys = schedule.round_keys();
    let (fours, rest) = keys[1..].as_chunks::<4>();
    for key in fours {
        state = round(state, 1, &key[0]);
        state = round(state, 2, &key[1]);
        state = round(state, 3, &key[2]);
        state = round(state, 4, &key[3]);
    }
    // There are 9, 11 or 13 rounds before the last.
    state = round(state, 1, &rest[0]);
    if rest.len() > 1 {
        state = round(state, 2, &rest[1]);
        state = round(state, 3, &rest[2]);
    }
    let (p, q) = quotients(state);
    let block = schedule.shifted(sum(&TABLES.last, p, q)).xor(schedule.last_key());
    (block, schedule.shifted(sum(&TABLES.once, p, q)))
}

/// Decrypts `W` registers of blocks side by side, with a schedule of decryption.
#[inline(always)]
pub(super) fn decrypt<L: Lane, const W: usize>(schedule: &Schedule, blocks: &mut [L; W]) {
    for block in blocks.iter_mut() {
        *block = map(&TABLES.encode_inverse, *block).xor(schedule.first_key());
    }
    for (round, key) in (1..).zip(&schedule.round_keys()[1..]) {
        let turn_1 = &TABLES.turn_1[round * 3 % 4];
        for block in blocks.iter_mut() {
            let (p, q) = quotients(*block);
            let products = sum(&TABLES.times_9, p, q);
            let products = reorder(products, turn_1).xor(sum(&TABLES.times_13, p, q));
            let products = reorder(products, turn_1).xor(sum(&TABLES.times_11, p, q));
            let own = sum(&TABLES.times_14, p, q).xor(L::repeat(key));
            *block = reorder(products, turn_1).xor(own);
        }
    }
    for block in blocks.iter_mut() {
        let (p, q) = quotients(*block);
        let shifts = &TABLES.shift_rows[schedule.rounds * 3 % 4];
        *block = reorder(sum(&TABLES.last_inverse, p, q), shifts).xor(schedule.last_key());
    }
}

/// SubBytes of the four bytes of a word.
#[inline]
#[target_feature(enable = "ssse3")]
fn sub_word(word: u32) -> u32 {
    let (p, q) = quotients(map(&TABLES.encode, _mm_cvtsi32_si128(word.cast_signed())));
    let constant = __m128i::repeat(&TABLES.constant);
    _mm_cvtsi128_si32(sum(&TABLES.last, p, q).xor(constant)).cast_unsigned()
}

/// KeyExpansion (FIPS 197, 5.2).
#[target_feature(enable = "ssse3")]
fn expand(key: &[u8], keys: &mut Blocks<MOST_KEYS>, rounds: usize) {
    let step = key.len() / 4;
    let words = keys.bytes_mut().as_chunks_mut::<4>().0;
    words.as_flattened_mut()[..key.len()].copy_from_slice(key);
    let mut rcon = 1;
    for at in step..4 * (rounds + 1) {
        let mut word = u32::from_le_bytes(words[at - 1]);
        if at % step == 0 {
            // A right rotation turns little-endian bytes (0, 1, 2, 3) into (1, 2, 3, 0).
            word = sub_word(word.rotate_right(8)) ^ rcon;
            rcon = if rcon == 0x80 { 0x1B } else { rcon << 1 };
        } else if step == 8 && at % step == 4 {
            word = sub_word(word);
        }
        words[at] = (word ^ u32::from_le_bytes(words[at - step])).to_le_bytes();
    }
}

/// Makes states of the round keys. They take the constant of SubBytes along.
#[target_feature(enable = "ssse3")]
fn to_states(keys: &mut Blocks<MOST_KEYS>, rounds: usize) {
    let constant = __m128i::repeat(&TABLES.constant);
    keys.store(0, map(&TABLES.encode, keys.load(0)));
    for round in 1..rounds {
        let state = map(&TABLES.encode, keys.load(round).xor(constant));
        keys.store(round, reorder(state, &TABLES.shift_rows[round * 3 % 4]));
    }
    keys.store(rounds, keys.load(rounds).xor(constant));
}

/// Makes states of the equivalent inverse cipher (FIPS 197, 5.3.5) of the round keys, likewise.
#[target_feature(enable = "ssse3")]
fn to_inverse_states(keys: &mut Blocks<MOST_KEYS>, rounds: usize) {
    let constant = __m128i::repeat(&TABLES.constant);
    let state = |key: __m128i| map(&TABLES.encode_inverse, key.xor(constant));
    let (first, last) = (keys.load(0), keys.load(rounds));
    for round in 1..=rounds / 2 {
        let pair = [
            (round, keys.load(rounds - round)),
            (rounds - round, keys.load(round)),
        ];
        for (round, key) in pair {
            let shifts = &TABLES.shift_rows[round % 4];
            keys.store(round, reorder(state(inv_mix_columns(key)), shifts));
        }
    }
    keys.store(0, state(last));
    keys.store(rounds, first);
}

/// InvMixColumns (FIPS 197, 5.3.3).
#[inline]
#[target_feature(enable = "ssse3")]
fn inv_mix_columns(x: __m128i) -> __m128i {
    let double = |x| {
        let overflows = _mm_cmpgt_epi8(_mm_setzero_si128(), x);
        _mm_add_epi8(x, x).xor(_mm_and_si128(overflows, _mm_set1_epi8(0x1B)))
    };
    let turn = |x| reorder(x, &TABLES.turn_1[0]);
    let x2 = double(x);
    let x4 = double(x2);
    let x8 = double(x4);
    let x9 = x8.xor(x);
    let products = turn(x9).xor(x9).xor(x4);
    let products = turn(products).xor(x9).xor(x2);
    turn(products).xor(x8).xor(x4).xor(x2)
}
