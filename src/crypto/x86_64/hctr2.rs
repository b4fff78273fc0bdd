//! HCTR2's primitives with AES-NI and PCLMULQDQ, and with VAES and VPCLMULQDQ for all that is
//! longer than some blocks.

use std::arch::x86_64::*;

use cipher::InOutBuf;
use cipher::consts::U128;

use super::aes::{AES_256_ROUND_KEYS as ROUND_KEYS, Aes, decrypt, decryption_keys, encrypt};
use super::blocks::{Blocks, load, store};
use super::ctr::xor;
use super::xts::{NativeXts, NativeXtsKeys};
use super::{hctr2_wide, polyval, polyval_wide};
use crate::crypto::hctr2::{HASH_KEY_INPUT, Hctr2, KEY_LENGTH, MASK_INPUT, Primitives};
use crate::crypto::mode::{Block, IV_LENGTH};
use crate::crypto::xts::Xts;
use crate::crypto::{CipherError, Direction, Level};

/// From this length on, in bytes, the wide paths take less time.
const WIDE_HASH_FROM: usize = 512;
const WIDE_KEYSTREAM_FROM: usize = 64;

/// Blocks that fill the pipeline of AESENC.
const WIDTH: usize = 8;

/// What a key of HCTR2 makes besides round keys: h and L.
type Secrets = Blocks<2>;

const HASH_KEY: usize = 0;
const MASK: usize = 1;

/// A key of HCTR2, expanded where it is kept: 240 bytes of round keys, 16 of h, 16 of L.
pub(in crate::crypto) struct NativeHctr2Key<'a> {
    round_keys: &'a Blocks<ROUND_KEYS>,
    secrets: &'a Secrets,
}

impl<'a> NativeHctr2Key<'a> {
    /// How many bytes it takes.
    pub(in crate::crypto) const ROOM: usize = size_of::<Blocks<ROUND_KEYS>>() + size_of::<Secrets>();

    /// Expands a key into room that is aligned to 16.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] if the processor has no AES-NI.
    pub(in crate::crypto) fn expand(key: &[u8; KEY_LENGTH], room: &mut [u8]) -> Result<(), CipherError> {
        let aes = Aes::blank(KEY_LENGTH, Level::AesNi)?;
        let (round_keys, rest) = Blocks::in_memory_mut(room).ok_or(CipherError::KeyLength)?;
        let (secrets, _) = Secrets::in_memory_mut(rest).ok_or(CipherError::KeyLength)?;
        aes.expand_to(key, round_keys);
        secrets.store(HASH_KEY, aes.encrypt_block_under(round_keys, &HASH_KEY_INPUT));
        secrets.store(MASK, aes.encrypt_block_under(round_keys, &MASK_INPUT));
        Ok(())
    }

    /// What [`expand`](Self::expand) has made in this room.
    #[inline]
    pub(in crate::crypto) fn kept_in(room: &'a [u8]) -> Option<Self> {
        let (round_keys, rest) = Blocks::in_memory(room)?;
        let (secrets, _) = Blocks::in_memory(rest)?;
        Some(NativeHctr2Key { round_keys, secrets })
    }

    /// Gives a [blank](NativeHctr2::blank) message its keys, those of XTS as well, where it lies in
    /// the end: no copy stays elsewhere.
    #[inline]
    pub(in crate::crypto) fn start(
        &self,
        xts_keys: &NativeXtsKeys<'_>,
        message: &mut Hctr2<NativeHctr2, Xts<NativeXts>>,
        iv: &[u8; IV_LENGTH],
    ) {
        let (primitives, streamed) = message.parts_mut();
        self.copy_to(primitives);
        xts_keys.start(streamed, iv);
    }

    /// Copies the key into a message.
    #[inline]
    pub(in crate::crypto) fn copy_to(&self, primitives: &mut NativeHctr2) {
        primitives.aes.copy_key(self.round_keys);
        primitives.secrets.copy_from(self.secrets);
    }
}

/// A key of HCTR2.
pub(in crate::crypto) struct NativeHctr2 {
    aes: Aes,
    secrets: Secrets,
}

impl NativeHctr2 {
    /// A message without keys.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] if the processor has no AES-NI.
    #[inline]
    pub(in crate::crypto) fn blank(
        level: Level,
        direction: Direction,
        salt_length: usize,
        iv: &[u8; IV_LENGTH],
    ) -> Result<Hctr2<NativeHctr2, Xts<NativeXts>>, CipherError> {
        let primitives = NativeHctr2 {
            aes: Aes::blank(KEY_LENGTH, level)?,
            secrets: Blocks::ZERO,
        };
        let streamed = NativeXts::blank(level, direction)?;
        Ok(Hctr2::new(primitives, streamed, direction, salt_length, iv))
    }
}

impl Primitives for NativeHctr2 {
    fn mask(&self) -> Block {
        let mut mask = Block::default();
        store(&mut mask, self.secrets.load(MASK));
        mask
    }

    #[inline(never)] // each of these has a frame of its own, one after the other
    fn crypt_block(&self, direction: Direction, block: &mut Block) {
        let crypted = match direction {
            Direction::Encrypt => self.aes.encrypt_block(block),
            // SAFETY: an `Aes` exists only where the processor has AES-NI.
            Direction::Decrypt => unsafe { decrypt_block(&self.aes, block) },
        };
        store(block, crypted);
    }

    #[inline(never)]
    fn hash(&self, state: Block, blocks: &[Block]) -> Block {
        let (key, state) = (self.secrets.load(HASH_KEY), load(&state));
        let hash = if self.aes.is_wide() && blocks.len() >= WIDE_HASH_FROM / 16 {
            // SAFETY: the processor has what `Level::Vaes` needs.
            unsafe { polyval_wide::update::<false>(key, state, blocks) }
        } else {
            // SAFETY: an `Aes` exists only where the processor has PCLMULQDQ and SSSE3.
            unsafe { polyval::update::<false>(key, state, blocks) }
        };
        let mut state = Block::default();
        store(&mut state, hash);
        state
    }

    #[inline(never)]
    fn apply_keystream(&self, start: &Block, data: InOutBuf<'_, '_, u8>) {
        if self.aes.is_wide() && data.len() >= WIDE_KEYSTREAM_FROM {
            // SAFETY: the processor has what `Level::Vaes` needs.
            unsafe { hctr2_wide::apply_keystream(&self.aes, start, data) }
        } else {
            // SAFETY: an `Aes` exists only where the processor has AES-NI.
            unsafe { apply_keystream(&self.aes, start, data) }
        }
    }
}

#[target_feature(enable = "aes")]
fn decrypt_block(aes: &Aes, block: &Block) -> __m128i {
    let mut state = [load(block)];
    decrypt(&decryption_keys(&aes.round_keys::<ROUND_KEYS>()), &mut state);
    state[0]
}

#[target_feature(enable = "aes")]
fn apply_keystream(aes: &Aes, start: &Block, data: InOutBuf<'_, '_, u8>) {
    let keys = aes.round_keys::<ROUND_KEYS>();
    let start = load(start);
    let mut number = 1;
    let (groups, rest) = data.into_chunks::<U128>();
    for mut group in groups {
        let mut blocks = keystream::<WIDTH>(&keys, start, number);
        number += WIDTH as i64;
        for (block, input) in blocks.iter_mut().zip(group.get_in().as_chunks().0) {
            *block = _mm_xor_si128(*block, load(input));
        }
        for (block, output) in blocks.into_iter().zip(group.get_out().as_chunks_mut().0) {
            store(output, block);
        }
    }
    if !rest.is_empty() {
        let mut last = Blocks::<WIDTH>::ZERO;
        for (at, block) in keystream::<WIDTH>(&keys, start, number).into_iter().enumerate() {
            last.store(at, block);
        }
        xor(rest, last.bytes());
    }
}

/// The key stream of `W` blocks from the one with this number on.
#[inline]
#[target_feature(enable = "aes")]
fn keystream<const W: usize>(keys: &[__m128i; ROUND_KEYS], start: __m128i, number: i64) -> [__m128i; W] {
    let mut blocks = [start; W];
    for (number, block) in (number..).zip(&mut blocks) {
        *block = _mm_xor_si128(*block, _mm_set_epi64x(0, number));
    }
    encrypt(keys, &mut blocks);
    blocks
}
