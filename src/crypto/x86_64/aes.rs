//! AES (FIPS 197) with AES-NI and VAES, after S. Gueron, "Intel Advanced Encryption Standard (AES)
//! New Instructions Set" (Intel white paper 323641).
//!
//! Key schedules use AESENCLAST for SubWord, as several libraries do: its latency is a quarter of
//! that of AESKEYGENASSIST, and short messages cost little else.

use std::arch::x86_64::*;

use super::blocks::{Blocks, load};
use crate::crypto::mode::Block;
use crate::crypto::{CipherError, Level};

/// The schedule of round keys of one key: 11, 13 or 15 of them. It exists only where the processor
/// has the instructions of [`Level::AesNi`].
pub(in crate::crypto) struct Aes {
    keys: Blocks<15>,
    length: KeyLength,
    wide: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyLength {
    Aes128,
    Aes192,
    Aes256,
}

/// The number of round keys of AES-256.
pub(super) const AES_256_ROUND_KEYS: usize = 15;

/// Calls a function that is generic over the number of round keys, with the one of an [`Aes`].
macro_rules! by_key_length {
    ($aes:expr, $($function:ident)::+ ( $($argument:expr),* $(,)? )) => {
        match $aes.length() {
            $crate::crypto::x86_64::aes::KeyLength::Aes128 => $($function)::+::<11>($($argument),*),
            $crate::crypto::x86_64::aes::KeyLength::Aes192 => $($function)::+::<13>($($argument),*),
            $crate::crypto::x86_64::aes::KeyLength::Aes256 => $($function)::+::<15>($($argument),*),
        }
    };
}
pub(super) use by_key_length;

impl Aes {
    /// A schedule without a key: zeroes. A key is [set](Self::set_key) where the schedule lies in
    /// the end, so that no copy of it stays elsewhere.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] unless keys have 16, 24 or 32 bytes, or if the processor has no
    /// AES-NI.
    #[inline]
    pub(super) fn blank(key_length: usize, level: Level) -> Result<Self, CipherError> {
        let level = level.min(Level::available());
        if level < Level::AesNi {
            return Err(CipherError::KeyLength);
        }
        let length = match key_length {
            16 => KeyLength::Aes128,
            24 => KeyLength::Aes192,
            32 => KeyLength::Aes256,
            _ => return Err(CipherError::KeyLength),
        };
        Ok(Aes {
            keys: Blocks::ZERO,
            length,
            wide: level >= Level::Vaes,
        })
    }

    /// Makes the schedule of a key of the length announced.
    #[inline]
    pub(super) fn set_key(&mut self, key: &[u8]) {
        // SAFETY: an `Aes` exists only where the processor has AES-NI and SSSE3.
        unsafe { expand(key, &mut self.keys) };
    }

    /// Makes the schedule of a key elsewhere, for [`copy_key`](Self::copy_key). This one tells the
    /// length.
    pub(super) fn expand_to(&self, key: &[u8], schedule: &mut Blocks<15>) {
        // SAFETY: an `Aes` exists only where the processor has AES-NI and SSSE3.
        unsafe { expand(key, schedule) };
    }

    /// Takes over a schedule that was made before, for keys of the same length.
    #[inline]
    pub(super) fn copy_key(&mut self, schedule: &Blocks<15>) {
        self.keys.copy_from(schedule);
    }

    /// Encrypts one block under another schedule, for keys of the same length.
    #[inline]
    pub(super) fn encrypt_block_under(&self, schedule: &Blocks<15>, block: &Block) -> __m128i {
        #[target_feature(enable = "aes")]
        fn run<const N: usize>(schedule: &Blocks<15>, block: &Block) -> __m128i {
            let mut state = [load(block)];
            encrypt(&round_keys::<N>(schedule), &mut state);
            state[0]
        }
        // SAFETY: an `Aes` exists only where the processor has AES-NI.
        unsafe { by_key_length!(self, run(schedule, block)) }
    }

    #[inline]
    pub(super) fn length(&self) -> KeyLength {
        self.length
    }

    /// Whether the processor has the instructions of [`Level::Vaes`], and they may be used.
    #[inline]
    pub(super) fn is_wide(&self) -> bool {
        self.wide
    }

    /// The first `N` round keys.
    #[inline]
    pub(super) fn round_keys<const N: usize>(&self) -> [__m128i; N] {
        round_keys(&self.keys)
    }

    /// Encrypts one block.
    #[inline]
    pub(super) fn encrypt_block(&self, block: &Block) -> __m128i {
        self.encrypt_block_under(&self.keys, block)
    }
}

#[inline]
fn round_keys<const N: usize>(schedule: &Blocks<15>) -> [__m128i; N] {
    let mut keys = [schedule.load(0); N];
    for (at, key) in keys.iter_mut().enumerate() {
        *key = schedule.load(at);
    }
    keys
}

/// Encrypts `W` blocks side by side.
#[inline]
#[target_feature(enable = "aes")]
pub(super) fn encrypt<const N: usize, const W: usize>(keys: &[__m128i; N], blocks: &mut [__m128i; W]) {
    for block in blocks.iter_mut() {
        *block = _mm_xor_si128(*block, keys[0]);
    }
    for key in &keys[1..N - 1] {
        for block in blocks.iter_mut() {
            *block = _mm_aesenc_si128(*block, *key);
        }
    }
    for block in blocks.iter_mut() {
        *block = _mm_aesenclast_si128(*block, keys[N - 1]);
    }
}

/// Decrypts `W` blocks side by side with the keys of [`decryption_keys`].
#[inline]
#[target_feature(enable = "aes")]
pub(super) fn decrypt<const N: usize, const W: usize>(keys: &[__m128i; N], blocks: &mut [__m128i; W]) {
    for block in blocks.iter_mut() {
        *block = _mm_xor_si128(*block, keys[0]);
    }
    for key in &keys[1..N - 1] {
        for block in blocks.iter_mut() {
            *block = _mm_aesdec_si128(*block, *key);
        }
    }
    for block in blocks.iter_mut() {
        *block = _mm_aesdeclast_si128(*block, keys[N - 1]);
    }
}

/// The keys of the equivalent inverse cipher (FIPS 197, 5.3.5). Made anew for each update: that
/// costs some 20 cycles, a second schedule in the context would cost as much to write and to wipe.
#[inline]
#[target_feature(enable = "aes")]
pub(super) fn decryption_keys<const N: usize>(keys: &[__m128i; N]) -> [__m128i; N] {
    let mut inverse = *keys;
    for at in 1..N - 1 {
        inverse[at] = _mm_aesimc_si128(keys[N - 1 - at]);
    }
    (inverse[0], inverse[N - 1]) = (keys[N - 1], keys[0]);
    inverse
}

/// Each key in all four lanes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn widen<const N: usize>(keys: &[__m128i; N]) -> [__m512i; N] {
    let mut wide = [_mm512_setzero_si512(); N];
    for at in 0..N {
        wide[at] = _mm512_broadcast_i32x4(keys[at]);
    }
    wide
}

/// Encrypts `4 * W` blocks side by side.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
pub(super) fn encrypt_wide<const N: usize, const W: usize>(keys: &[__m512i; N], blocks: &mut [__m512i; W]) {
    for block in blocks.iter_mut() {
        *block = _mm512_xor_si512(*block, keys[0]);
    }
    for key in &keys[1..N - 1] {
        for block in blocks.iter_mut() {
            *block = _mm512_aesenc_epi128(*block, *key);
        }
    }
    for block in blocks.iter_mut() {
        *block = _mm512_aesenclast_epi128(*block, keys[N - 1]);
    }
}

/// Decrypts `4 * W` blocks side by side with the keys of [`decryption_keys`].
#[inline]
#[target_feature(enable = "avx512f,vaes")]
pub(super) fn decrypt_wide<const N: usize, const W: usize>(keys: &[__m512i; N], blocks: &mut [__m512i; W]) {
    for block in blocks.iter_mut() {
        *block = _mm512_xor_si512(*block, keys[0]);
    }
    for key in &keys[1..N - 1] {
        for block in blocks.iter_mut() {
            *block = _mm512_aesdec_epi128(*block, *key);
        }
    }
    for block in blocks.iter_mut() {
        *block = _mm512_aesdeclast_epi128(*block, keys[N - 1]);
    }
}

/// KeyExpansion (FIPS 197, 5.2) of a key of 16, 24 or 32 bytes.
#[target_feature(enable = "aes,ssse3")]
fn expand(key: &[u8], keys: &mut Blocks<15>) {
    if let Ok(key) = key.try_into() {
        expand_128(key, keys);
    } else if let Ok(key) = key.try_into() {
        expand_192(key, keys);
    } else if let Ok(key) = key.try_into() {
        expand_256(key, keys);
    }
}

/// The round constants (FIPS 197, 5.2).
const RCON: [i32; 10] = [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1B, 0x36];

/// Shuffles that put one word into all four columns, so that the ShiftRows of AESENCLAST changes
/// nothing. The words are little-endian: RotWord turns bytes (0, 1, 2, 3) into (1, 2, 3, 0).
const LAST_WORD: i32 = 0x0F_0E_0D_0C;
const LAST_WORD_ROTATED: i32 = 0x0C_0F_0E_0D;
const SECOND_WORD_ROTATED: i32 = 0x04_07_06_05;

/// SubWord of the word that `shuffle` takes out of `words`, XOR the round constant, in all columns.
#[inline]
#[target_feature(enable = "aes,ssse3")]
fn sub_word(words: __m128i, shuffle: i32, rcon: i32) -> __m128i {
    _mm_aesenclast_si128(
        _mm_shuffle_epi8(words, _mm_set1_epi32(shuffle)),
        _mm_set1_epi32(rcon),
    )
}

/// Each word XORed with all words before it.
#[inline]
#[target_feature(enable = "sse2")]
fn running_xor(words: __m128i) -> __m128i {
    let words = _mm_xor_si128(words, _mm_slli_si128::<4>(words));
    _mm_xor_si128(words, _mm_slli_si128::<8>(words))
}

#[inline]
#[target_feature(enable = "aes,ssse3")]
fn expand_128(key: &[u8; 16], keys: &mut Blocks<15>) {
    let mut words = load(key);
    keys.store(0, words);
    for (at, rcon) in (1..).zip(RCON) {
        words = _mm_xor_si128(running_xor(words), sub_word(words, LAST_WORD_ROTATED, rcon));
        keys.store(at, words);
    }
}

#[inline]
#[target_feature(enable = "aes,ssse3")]
fn expand_192(key: &[u8; 24], keys: &mut Blocks<15>) {
    // Six words to a step, which lie in the schedule one step behind the other: 24 bytes each.
    let mut last = [0; 16];
    keys.bytes_mut()[..24].copy_from_slice(key);
    last[..8].copy_from_slice(&key[16..]);
    let (mut four, mut two) = (keys.load(0), load(&last));
    for (step, rcon) in (1..=8).zip(RCON) {
        four = _mm_xor_si128(running_xor(four), sub_word(two, SECOND_WORD_ROTATED, rcon));
        let fourth = _mm_shuffle_epi32::<0b11_11_11_11>(four);
        two = _mm_xor_si128(_mm_xor_si128(two, _mm_slli_si128::<4>(two)), fourth);
        let [low, high] = [
            _mm_cvtsi128_si64(four),
            _mm_cvtsi128_si64(_mm_unpackhi_epi64(four, four)),
        ];
        let six = &mut keys.bytes_mut()[24 * step..24 * step + 24];
        six[..8].copy_from_slice(&low.to_le_bytes());
        six[8..16].copy_from_slice(&high.to_le_bytes());
        six[16..].copy_from_slice(&_mm_cvtsi128_si64(two).to_le_bytes());
    }
}

#[inline]
#[target_feature(enable = "aes,ssse3")]
fn expand_256(key: &[u8; 32], keys: &mut Blocks<15>) {
    keys.bytes_mut()[..32].copy_from_slice(key);
    let (mut even, mut odd) = (keys.load(0), keys.load(1));
    for (at, rcon) in (1..=7).zip(RCON) {
        even = _mm_xor_si128(running_xor(even), sub_word(odd, LAST_WORD_ROTATED, rcon));
        keys.store(2 * at, even);
        if at < 7 {
            odd = _mm_xor_si128(running_xor(odd), sub_word(even, LAST_WORD, 0));
            keys.store(2 * at + 1, odd);
        }
    }
}
