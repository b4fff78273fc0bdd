//! XTS (IEEE 1619, NIST SP 800-38E) over whole blocks, and a tail as long as its plaintext.
//!
//! ```text
//! T0 = AES_K2(IV)    Tj+1 = Tj * x  in GF(2^128) modulo x^128 + x^7 + x^2 + x + 1, bytes little-endian
//!
//! block j   Cj = AES_K1(Pj XOR Tj) XOR Tj
//! tail      n < 16 bytes after m whole blocks, XORed with the first n bytes of AES_K1(Cm-1 XOR Tm),
//!           where Cm-1 is the ciphertext before the tail, or 16 zero bytes if there is none
//! ```
//!
//! IEEE 1619 ends a message that is no whole number of blocks by ciphertext stealing, which needs a block of
//! ciphertext to steal from and changes a block that has gone out already. The server has messages of fewer
//! than 16 bytes and wants every whole block back at once, so the tail is masked instead, as in its own CBC.

use aes::{Aes256, Aes256Enc};
use cipher::consts::U16;
use cipher::{BlockCipherDecrypt, BlockCipherEncrypt, InOut, InOutBuf, KeyInit, array::Array};
use zeroize::{Zeroize, Zeroizing};

use super::derive::{self, Origin};
use super::{
    Algorithm, BLOCK_LENGTH, CipherError, Direction, IV_LENGTH, Level, Mode, Padding, PageCipher, in_out,
};

/// The length of both keys together, K1 first, in bytes.
pub(super) const KEYS_LENGTH: usize = 64;

type Block = [u8; BLOCK_LENGTH];

/// The tweak of a block: a polynomial over GF(2), the coefficient of x^n in bit n. Its bytes are little-endian.
pub(super) type Tweak = u128;

/// The tweak `blocks` blocks later, at most 64.
#[inline(always)]
pub(super) fn later(tweak: Tweak, blocks: u32) -> Tweak {
    let overflow = tweak.unbounded_shr(Tweak::BITS - blocks);
    (tweak << blocks) ^ overflow ^ (overflow << 1) ^ (overflow << 2) ^ (overflow << 7)
}

/// XTS over whole blocks under one K1, in one implementation.
pub(super) trait WholeBlocks {
    /// Runs over data that is a whole number of blocks. `tweak` is that of the first of them, afterwards that
    /// of the block behind them.
    fn run(&self, direction: Direction, tweak: &mut Tweak, data: InOutBuf<'_, '_, u8>);

    /// AES_K1 of one block.
    fn encrypt_block(&self, block: &mut Block);
}

/// Both keys, expanded for the portable implementation.
pub(super) struct PortableXtsKeys {
    data: Aes256,
    tweak: Aes256Enc,
}

impl PortableXtsKeys {
    pub(super) fn new(keys: &[u8; KEYS_LENGTH]) -> Self {
        let key = |half: usize| {
            let mut key = Zeroizing::new(Array::default());
            key.copy_from_slice(&keys[half * KEYS_LENGTH / 2..][..KEYS_LENGTH / 2]);
            key
        };
        PortableXtsKeys {
            data: Aes256::new(&key(0)),
            tweak: Aes256Enc::new(&key(1)),
        }
    }

    /// A message at its start.
    pub(super) fn start(&self, direction: Direction, iv: &[u8; IV_LENGTH]) -> Xts<PortableXts> {
        let mut first = *iv;
        self.tweak.encrypt_block((&mut first).into());
        let mut xts = Xts::new(PortableXts(self.data.clone()), direction);
        xts.start(first);
        xts
    }
}

/// K1 in the portable implementation.
pub(super) struct PortableXts(Aes256);

/// How many blocks it works on at once: as many as `aes` does where it finds VAES.
const BATCH: usize = 64;

impl WholeBlocks for PortableXts {
    fn run(&self, direction: Direction, tweak: &mut Tweak, data: InOutBuf<'_, '_, u8>) {
        let (mut rest, _no_rest) = data.into_chunks::<U16>();
        let mut tweaks = [0; BATCH];
        let used = rest.len().min(BATCH);
        while !rest.is_empty() {
            let length = rest.len().min(BATCH);
            let (mut batch, behind) = rest.split_at(length);
            rest = behind;
            let tweaks = &mut tweaks[..length];
            for place in tweaks.iter_mut() {
                *place = *tweak;
                *tweak = later(*tweak, 1);
            }
            for (block, tweak) in batch.reborrow().into_iter().zip(&*tweaks) {
                xor_into(block, *tweak);
            }
            match direction {
                Direction::Encrypt => self.0.encrypt_blocks(batch.get_out()),
                Direction::Decrypt => self.0.decrypt_blocks(batch.get_out()),
            }
            for (block, tweak) in batch.get_out().iter_mut().zip(&*tweaks) {
                xor_into(block.into(), *tweak);
            }
        }
        tweaks[..used].zeroize();
    }

    fn encrypt_block(&self, block: &mut Block) {
        self.0.encrypt_block(block.into());
    }
}

#[inline(always)]
fn xor_into(mut block: InOut<'_, '_, Array<u8, U16>>, tweak: Tweak) {
    let sum = Tweak::from_le_bytes(block.clone_in().into()) ^ tweak;
    *block.get_out() = sum.to_le_bytes().into();
}

/// A message in XTS.
pub(super) struct Xts<W> {
    blocks: W,
    direction: Direction,
    /// The tweak of the block that comes next.
    tweak: Zeroizing<Tweak>,
    /// The last whole block of ciphertext; zero before the first.
    before: Block,
    /// The input since the last whole block, which may turn out to be the tail.
    held: Zeroizing<Block>,
    /// The number of bytes in `held`, 0..=15.
    held_length: usize,
}

impl<W: WholeBlocks> Xts<W> {
    /// A message without its first tweak.
    #[inline]
    pub(super) fn new(blocks: W, direction: Direction) -> Self {
        Xts {
            blocks,
            direction,
            tweak: Zeroizing::new(0),
            before: [0; BLOCK_LENGTH],
            held: Zeroizing::new([0; BLOCK_LENGTH]),
            held_length: 0,
        }
    }

    /// Starts the message. `first` is AES_K2(IV).
    #[inline]
    pub(super) fn start(&mut self, first: Block) {
        *self.tweak = Tweak::from_le_bytes(first);
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn blocks_mut(&mut self) -> &mut W {
        &mut self.blocks
    }

    #[inline]
    fn run(&mut self, mut data: InOutBuf<'_, '_, u8>) {
        // In place the ciphertext is there only before a decryption and only after an encryption.
        let last_of_input = data.get_in().last_chunk().copied();
        self.blocks.run(self.direction, &mut self.tweak, data.reborrow());
        let last = match self.direction {
            Direction::Encrypt => data.get_out().last_chunk().copied(),
            Direction::Decrypt => last_of_input,
        };
        self.before = last.unwrap_or(self.before);
    }

    /// Appends to the held bytes; the sum fits a block, as `update_length` has it.
    #[inline]
    fn hold(&mut self, bytes: &[u8]) {
        let end = self.held_length + bytes.len();
        self.held[self.held_length..end].copy_from_slice(bytes);
        self.held_length = end;
    }
}

impl<W: WholeBlocks> Mode for Xts<W> {
    #[inline]
    fn update_length(&self, input: usize) -> usize {
        let total = self.held_length.saturating_add(input);
        total - total % BLOCK_LENGTH
    }

    fn update(&mut self, mut src: &[u8], mut dst: &mut [u8]) -> Result<(), CipherError> {
        if dst.is_empty() {
            self.hold(src);
            return Ok(());
        }
        // There is output, so the held bytes and the start of src make a whole block.
        if self.held_length > 0 {
            let (head, rest) = src.split_at(BLOCK_LENGTH - self.held_length);
            let (first, others) = dst.split_at_mut(BLOCK_LENGTH);
            self.hold(head);
            first.copy_from_slice(self.held.as_slice());
            self.run(first.into());
            self.held_length = 0;
            (src, dst) = (rest, others);
        }
        let (whole, tail) = src.split_at(dst.len());
        self.run(in_out(whole, dst)?);
        self.hold(tail);
        Ok(())
    }

    fn update_in_place(&mut self, data: &mut [u8]) -> Result<(), CipherError> {
        if data.is_empty() {
            return Ok(());
        }
        if self.held_length > 0 {
            return Err(CipherError::Overlap);
        }
        let (whole, tail) = data.split_at_mut(self.update_length(data.len()));
        self.run(whole.into());
        self.hold(tail);
        Ok(())
    }

    fn finish_length(&self) -> usize {
        self.held_length
    }

    fn finish(&mut self, dst: &mut [u8]) -> Result<usize, CipherError> {
        let length = self.held_length;
        let dst = dst.get_mut(..length).ok_or(CipherError::DestinationTooSmall)?;
        if length > 0 {
            let mixed = Tweak::from_le_bytes(self.before) ^ *self.tweak;
            let mut mask = Zeroizing::new(mixed.to_le_bytes());
            self.blocks.encrypt_block(&mut mask);
            for ((out, tail), mask) in dst.iter_mut().zip(self.held.iter()).zip(mask.iter()) {
                *out = tail ^ mask;
            }
        }
        Ok(length)
    }
}

/// aes_256_xts: XTS, or GCM where padding is asked for, under keys derived from a data key.
impl PageCipher {
    /// aes_256_xts at the start of a message, under keys derived from a data key. `key` is what the server
    /// passes as the key; it diversifies.
    ///
    /// # Errors
    /// [`CipherError::IvLength`] unless `iv` has 16 bytes, [`CipherError::KeyLength`] unless `key` has 16, 24
    /// or 32, [`CipherError::DataKeyLength`] unless the data key has 32.
    pub fn derived(
        origin: &Origin<'_>,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8],
    ) -> Result<Self, CipherError> {
        Self::derived_at(Level::current(), origin, padding, direction, key, iv)
    }

    /// As [`derived`](Self::derived), at a level that may be lower than the processor's, but not higher. For
    /// tests.
    ///
    /// # Errors
    /// Those of [`derived`](Self::derived).
    pub fn derived_at(
        level: Level,
        origin: &Origin<'_>,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8],
    ) -> Result<Self, CipherError> {
        let mut cipher = PageCipher::idle();
        let level = level.min(Level::available());
        cipher.start_derived_at(level, origin, padding, direction, key, iv)?;
        Ok(cipher)
    }

    /// As [`derived`](Self::derived), in the place of this cipher: nothing is moved, and a failure leaves no key.
    ///
    /// # Errors
    /// Those of [`derived`](Self::derived).
    #[inline]
    pub fn start_derived(
        &mut self,
        origin: &Origin<'_>,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8],
    ) -> Result<(), CipherError> {
        self.start_derived_at(Level::current(), origin, padding, direction, key, iv)
    }

    #[inline]
    fn start_derived_at(
        &mut self,
        level: Level,
        origin: &Origin<'_>,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8],
    ) -> Result<(), CipherError> {
        *self = PageCipher::idle();
        if padding == Padding::Padded {
            return derive::with_gcm_key(origin, key, |key| {
                self.start_at(level, Algorithm::AesCtr, padding, direction, key, iv)
            });
        }
        let iv = iv.try_into().map_err(|_| CipherError::IvLength)?;
        derive::with_xts_keys(level, origin, key, |keys| {
            keys.start(&mut self.keyed, direction, iv)?;
            self.finished = false;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Keyed;
    use super::super::derive::{XtsKeys, XtsRoom};
    use super::*;

    fn hex<const N: usize>(digits: &str) -> [u8; N] {
        hex::decode(digits).unwrap().try_into().unwrap()
    }

    /// The output for a message in updates of these lengths, the last of them for all the rest.
    fn run(
        (level, keys): (Level, &[u8; KEYS_LENGTH]),
        direction: Direction,
        iv: &Block,
        input: &[u8],
        splits: &[usize],
    ) -> Vec<u8> {
        fn stream(mut xts: Xts<impl WholeBlocks>, mut input: &[u8], splits: &[usize]) -> Vec<u8> {
            let mut out = Vec::new();
            for split in splits.iter().chain([&usize::MAX]) {
                let (piece, rest) = input.split_at((*split).min(input.len()));
                let start = out.len();
                out.resize(start + xts.update_length(piece.len()), 0);
                xts.update(piece, &mut out[start..]).unwrap();
                input = rest;
            }
            let start = out.len();
            out.resize(start + xts.finish_length(), 0);
            xts.finish(&mut out[start..]).unwrap();
            out
        }
        let mut room = XtsRoom::blank();
        let mut keyed = Keyed::Idle;
        let keys = XtsKeys::keep(level, keys, room.bytes_mut()).unwrap();
        keys.start(&mut keyed, direction, iv).unwrap();
        match keyed {
            #[cfg(target_arch = "x86_64")]
            Keyed::NativeXts(xts) => stream(xts, input, splits),
            Keyed::Xts(xts) => stream(xts, input, splits),
            _ => panic!("it did not start"),
        }
    }

    /// Every level that this processor has.
    fn levels() -> impl Iterator<Item = Level> {
        Level::ALL
            .into_iter()
            .filter(|level| *level <= Level::available())
    }

    #[test]
    fn vectors_10_to_14_of_ieee_1619_hold_at_every_level() {
        let keys = hex(
            "27182818284590452353602874713526624977572470936999595749669676273141592653589793\
                        238462643383279502884197169399375105820974944592",
        );
        let plaintext: Vec<u8> = (0..512).map(|i| i as u8).collect();
        // The number of the data unit, the first and the last block of ciphertext.
        for (unit, first, last) in [
            (
                0xFF,
                "1c3b3a102f770386e4836c99e370cf9b",
                "c4f36ffda9fcea70b9c6e693e148c151",
            ),
            (
                0xFFFF,
                "77a31251618a15e6b92d1d66dffe7b50",
                "a4f9e27b42af8100cb9d59cef9645803",
            ),
            (
                0xFF_FFFF,
                "e387aaa58ba483afa7e8eb469778317e",
                "2263a1eef52dd6888c309f5a7d712826",
            ),
            (
                0xFFFF_FFFF,
                "bf53d2dade78e822a4d949a9bc6766b0",
                "4c82f335abb152c4a93411373aaa8220",
            ),
            (
                0xFF_FFFF_FFFF,
                "64497e5a831e4a932c09be3e5393376d",
                "d609d273ad5b0d59631c531f6a0a57b9",
            ),
        ] {
            let iv = u128::to_le_bytes(unit);
            for level in levels() {
                let ciphertext = run((level, &keys), Direction::Encrypt, &iv, &plaintext, &[]);
                assert_eq!(ciphertext[..16], hex::<16>(first), "{unit:x} {level:?}");
                assert_eq!(ciphertext[496..], hex::<16>(last), "{unit:x} {level:?}");
                let decrypted = run((level, &keys), Direction::Decrypt, &iv, &ciphertext, &[]);
                assert_eq!(decrypted, plaintext, "{unit:x} {level:?}");
            }
        }
    }

    #[test]
    fn a_tweak_some_blocks_later_is_the_tweak_doubled_as_often() {
        for start in [
            1,
            0x80 << 120,
            Tweak::MAX,
            0x0123_4567_89AB_CDEF_F000_0000_0000_0001,
        ] {
            let mut doubled = start;
            for blocks in 0..=64 {
                assert_eq!(later(start, blocks), doubled, "{start:x}, {blocks}");
                let overflows = doubled >> 127 == 1;
                doubled = (doubled << 1) ^ if overflows { 0x87 } else { 0 };
            }
        }
    }
}
