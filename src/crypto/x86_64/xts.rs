//! XTS (IEEE 1619) with AES-NI, and with VAES for all that is longer than a few blocks.

use std::arch::x86_64::*;

use cipher::InOutBuf;
use cipher::consts::U128;

use super::aes::{AES_256_ROUND_KEYS as ROUND_KEYS, Aes, decrypt, decryption_keys, encrypt};
use super::blocks::{Blocks, load, number, store};
use super::{tail, xts_wide};
use crate::crypto::mode::IV_LENGTH;
use crate::crypto::tail::Tail;
use crate::crypto::xts::{KEYS_LENGTH, Tweak, WholeBlocks, Xts, XtsBlocks, later};
use crate::crypto::{CipherError, Direction, Level};

/// Blocks that fill the pipeline of AESENC.
const WIDTH: usize = 8;

/// From this length on, in bytes, the wide path takes less time.
const WIDE_FROM: usize = 32;

/// Both keys, expanded where they are kept: 240 bytes of K1, 240 of K2.
pub(in crate::crypto) struct NativeXtsKeys<'a> {
    data: &'a Blocks<ROUND_KEYS>,
    tweak: &'a Blocks<ROUND_KEYS>,
}

impl<'a> NativeXtsKeys<'a> {
    /// How many bytes both take.
    pub(in crate::crypto) const ROOM: usize = 2 * size_of::<Blocks<ROUND_KEYS>>();

    /// Expands both keys into room that is aligned to 16.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] if the processor has no AES-NI.
    pub(in crate::crypto) fn expand(keys: &[u8; KEYS_LENGTH], room: &mut [u8]) -> Result<(), CipherError> {
        let aes = Aes::blank(KEYS_LENGTH / 2, Level::AesNi)?;
        let (data_key, tweak_key) = keys.split_at(KEYS_LENGTH / 2);
        let (data, rest) = Blocks::in_memory_mut(room).ok_or(CipherError::KeyLength)?;
        let (tweak, _) = Blocks::in_memory_mut(rest).ok_or(CipherError::KeyLength)?;
        aes.expand_to(data_key, data);
        aes.expand_to(tweak_key, tweak);
        Ok(())
    }

    /// What [`expand`](Self::expand) has made in this room.
    #[inline]
    pub(in crate::crypto) fn kept_in(room: &'a [u8]) -> Option<Self> {
        let (data, rest) = Blocks::in_memory(room)?;
        let (tweak, _) = Blocks::in_memory(rest)?;
        Some(NativeXtsKeys { data, tweak })
    }

    /// Gives a [blank](NativeXts::blank) message its keys and its IV, where it lies in the end: no
    /// copy of K1 stays elsewhere.
    #[inline]
    pub(in crate::crypto) fn start(&self, message: &mut Xts<NativeXts>, iv: &[u8; IV_LENGTH]) {
        let blocks = message.blocks_mut();
        let aes = &mut blocks.whole_blocks_mut().0;
        let mut first = [0; IV_LENGTH];
        store(&mut first, aes.encrypt_block_under(self.tweak, iv));
        aes.copy_key(self.data);
        blocks.start(first);
    }
}

/// K1, a key of 256 bits.
pub(in crate::crypto) struct NativeXts(Aes);

impl NativeXts {
    /// A message without keys.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] if the processor has no AES-NI.
    #[inline]
    pub(in crate::crypto) fn blank(
        level: Level,
        direction: Direction,
    ) -> Result<Xts<NativeXts>, CipherError> {
        let aes = Aes::blank(KEYS_LENGTH / 2, level)?;
        Ok(XtsBlocks::blank(NativeXts(aes), direction))
    }
}

impl WholeBlocks for NativeXts {
    #[inline]
    fn run(&self, direction: Direction, tweak: &mut Tweak, data: InOutBuf<'_, '_, u8>) {
        match (self.0.is_wide() && data.len() >= WIDE_FROM, direction) {
            // SAFETY: the processor has what `Level::Vaes` needs.
            (true, Direction::Encrypt) => unsafe { xts_wide::run::<false>(&self.0, tweak, data) },
            // SAFETY: the same.
            (true, Direction::Decrypt) => unsafe { xts_wide::run::<true>(&self.0, tweak, data) },
            // SAFETY: an `Aes` exists only where the processor has what `Level::AesNi` needs.
            (false, Direction::Encrypt) => unsafe { run::<false>(&self.0, tweak, data) },
            // SAFETY: the same.
            (false, Direction::Decrypt) => unsafe { run::<true>(&self.0, tweak, data) },
        }
    }

    #[inline]
    fn run_tail(&self, tail: &Tail, direction: Direction, text: &mut u128) {
        // SAFETY: an `Aes` exists only where the processor has what `Level::AesNi` needs.
        unsafe { tail::run(&self.0, tail, direction, text) };
    }
}

#[target_feature(enable = "aes,pclmulqdq")]
fn run<const DECRYPT: bool>(aes: &Aes, tweak: &mut Tweak, data: InOutBuf<'_, '_, u8>) {
    let mut keys = aes.round_keys::<ROUND_KEYS>();
    if DECRYPT {
        keys = decryption_keys(&keys);
    }
    let (groups, rest) = data.into_chunks::<U128>();
    if !groups.is_empty() {
        let mut tweaks = tweaks_from(*tweak);
        for mut group in groups {
            let mut blocks = [_mm_setzero_si128(); WIDTH];
            for (block, input) in blocks.iter_mut().zip(group.get_in().as_chunks().0) {
                *block = load(input);
            }
            run_group::<DECRYPT, WIDTH>(&keys, &tweaks, &mut blocks);
            for (block, output) in blocks.into_iter().zip(group.get_out().as_chunks_mut().0) {
                store(output, block);
            }
            for tweak in &mut tweaks {
                *tweak = times_x_to_the_8(*tweak);
            }
        }
        *tweak = number(tweaks[0]);
    }
    let blocks = rest.len() / 16;
    match blocks {
        0 => {}
        1 => run_rest::<DECRYPT, 1>(&keys, *tweak, rest),
        2..=4 => run_rest::<DECRYPT, 4>(&keys, *tweak, rest),
        _ => run_rest::<DECRYPT, WIDTH>(&keys, *tweak, rest),
    }
    *tweak = later(*tweak, blocks as u32);
}

/// Works on at most `W` blocks, in the time that `W` take.
#[target_feature(enable = "aes")]
fn run_rest<const DECRYPT: bool, const W: usize>(
    keys: &[__m128i; ROUND_KEYS],
    first: Tweak,
    mut data: InOutBuf<'_, '_, u8>,
) {
    let mut blocks = [_mm_setzero_si128(); W];
    for (block, input) in blocks.iter_mut().zip(data.get_in().as_chunks().0) {
        *block = load(input);
    }
    run_group::<DECRYPT, W>(keys, &tweaks_from(first), &mut blocks);
    for (block, output) in blocks.into_iter().zip(data.get_out().as_chunks_mut().0) {
        store(output, block);
    }
}

#[inline]
#[target_feature(enable = "aes")]
fn run_group<const DECRYPT: bool, const W: usize>(
    keys: &[__m128i; ROUND_KEYS],
    tweaks: &[__m128i; W],
    blocks: &mut [__m128i; W],
) {
    for (block, tweak) in blocks.iter_mut().zip(tweaks) {
        *block = _mm_xor_si128(*block, *tweak);
    }
    if DECRYPT {
        decrypt(keys, blocks);
    } else {
        encrypt(keys, blocks);
    }
    for (block, tweak) in blocks.iter_mut().zip(tweaks) {
        *block = _mm_xor_si128(*block, *tweak);
    }
}

/// This tweak and those behind it.
#[inline]
#[target_feature(enable = "sse2")]
fn tweaks_from<const W: usize>(first: Tweak) -> [__m128i; W] {
    let mut tweaks = [_mm_setzero_si128(); W];
    for (at, place) in (0..).zip(&mut tweaks) {
        let tweak = later(first, at);
        *place = _mm_set_epi64x((tweak >> 64) as i64, tweak as i64);
    }
    tweaks
}

/// The tweak eight blocks later: one byte up, and what overflows times x^7 + x^2 + x + 1, which is
/// x^128, added at the bottom.
#[inline]
#[target_feature(enable = "sse2,pclmulqdq")]
fn times_x_to_the_8(tweak: __m128i) -> __m128i {
    let overflow = _mm_bsrli_si128::<15>(tweak);
    let reduced = _mm_clmulepi64_si128::<0>(overflow, _mm_set1_epi64x(0x87));
    _mm_xor_si128(_mm_bslli_si128::<1>(tweak), reduced)
}
