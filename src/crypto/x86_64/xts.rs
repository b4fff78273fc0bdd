//! XTS (IEEE 1619) with AES-NI, and with VAES for all that is longer than a few blocks.

use std::arch::x86_64::*;

use cipher::InOutBuf;
use cipher::consts::U128;

use super::aes::{Aes, decrypt, decryption_keys, encrypt};
use super::blocks::{Bytes, load, store};
use super::xts_wide;
use crate::crypto::xts::{KEYS_LENGTH, Tweak, WholeBlocks, Xts, later};
use crate::crypto::{CipherError, Direction, IV_LENGTH, Keyed, Level};

/// The number of round keys of AES-256.
pub(super) const ROUND_KEYS: usize = 15;

/// Blocks that fill the pipeline of AESENC.
const WIDTH: usize = 8;

/// From this length on, in bytes, the wide path is worth its start.
const WIDE_FROM: usize = 32;

/// Both keys, expanded.
pub(in crate::crypto) struct NativeXtsKeys {
    data: Aes,
    tweak: Aes,
}

impl NativeXtsKeys {
    /// The schedules for use up to `level`. [`CipherError::KeyLength`] if the processor has no AES-NI.
    pub(in crate::crypto) fn new(level: Level, keys: &[u8; KEYS_LENGTH]) -> Result<Self, CipherError> {
        let (data, tweak) = keys.split_at(KEYS_LENGTH / 2);
        Ok(NativeXtsKeys {
            data: Aes::new(data, level)?,
            tweak: Aes::new(tweak, level)?,
        })
    }

    /// Starts a message where it lies in the end, so that no copy of K1 stays elsewhere.
    #[inline]
    pub(in crate::crypto) fn start(&self, keyed: &mut Keyed, direction: Direction, iv: &[u8; IV_LENGTH]) {
        *keyed = Keyed::NativeXts(Xts::new(NativeXts(self.data.blank_alike()), direction));
        if let Keyed::NativeXts(xts) = keyed {
            let mut first = [0; IV_LENGTH];
            store(&mut first, self.tweak.encrypt_block(iv));
            xts.blocks_mut().0.copy_key(&self.data);
            xts.start(first);
        }
    }
}

/// K1, a key of 256 bits.
pub(in crate::crypto) struct NativeXts(Aes);

impl WholeBlocks for NativeXts {
    #[inline]
    fn run(&self, direction: Direction, tweak: &mut Tweak, data: InOutBuf<'_, '_, u8>) {
        match (self.0.is_wide() && data.len() >= WIDE_FROM, direction) {
            // SAFETY: the processor has what `Level::Vaes` needs.
            (true, Direction::Encrypt) => unsafe { xts_wide::run::<false>(&self.0, tweak, data) },
            // SAFETY: the same.
            (true, Direction::Decrypt) => unsafe { xts_wide::run::<true>(&self.0, tweak, data) },
            // SAFETY: an `Aes` exists only where the processor has AES-NI.
            (false, Direction::Encrypt) => unsafe { run::<false>(&self.0, tweak, data) },
            // SAFETY: the same.
            (false, Direction::Decrypt) => unsafe { run::<true>(&self.0, tweak, data) },
        }
    }

    #[inline]
    fn encrypt_block(&self, block: &mut Bytes) {
        let encrypted = self.0.encrypt_block(block);
        store(block, encrypted);
    }
}

#[target_feature(enable = "aes")]
fn run<const DECRYPT: bool>(aes: &Aes, tweak: &mut Tweak, data: InOutBuf<'_, '_, u8>) {
    let mut keys = aes.round_keys::<ROUND_KEYS>();
    if DECRYPT {
        keys = decryption_keys(&keys);
    }
    let (groups, rest) = data.into_chunks::<U128>();
    for group in groups {
        run_group::<DECRYPT, WIDTH>(&keys, tweak, group.into_buf());
    }
    match rest.len() / 16 {
        0 => {}
        1 => run_group::<DECRYPT, 1>(&keys, tweak, rest),
        2..=4 => run_group::<DECRYPT, 4>(&keys, tweak, rest),
        _ => run_group::<DECRYPT, WIDTH>(&keys, tweak, rest),
    }
}

/// Works on at most `W` blocks, in the time that `W` take.
#[inline]
#[target_feature(enable = "aes")]
fn run_group<const DECRYPT: bool, const W: usize>(
    keys: &[__m128i; ROUND_KEYS],
    tweak: &mut Tweak,
    mut data: InOutBuf<'_, '_, u8>,
) {
    let mut tweaks = [register(*tweak); W];
    for (at, place) in (1..).zip(&mut tweaks[1..]) {
        *place = register(later(*tweak, at));
    }
    *tweak = later(*tweak, (data.len() / 16) as u32);

    let mut blocks = tweaks;
    for (block, input) in blocks.iter_mut().zip(data.get_in().as_chunks().0) {
        *block = _mm_xor_si128(*block, load(input));
    }
    if DECRYPT {
        decrypt(keys, &mut blocks);
    } else {
        encrypt(keys, &mut blocks);
    }
    let outputs = data.get_out().as_chunks_mut().0;
    for ((block, tweak), output) in blocks.into_iter().zip(tweaks).zip(outputs) {
        store(output, _mm_xor_si128(block, tweak));
    }
}

#[inline]
#[target_feature(enable = "sse2")]
fn register(tweak: Tweak) -> __m128i {
    _mm_set_epi64x((tweak >> 64) as i64, tweak as i64)
}
