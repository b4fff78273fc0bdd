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

use std::sync::Arc;

use aes::{Aes256, Aes256Enc};
use cipher::consts::U16;
use cipher::{BlockCipherDecrypt, BlockCipherEncrypt, InOutBuf, KeyInit, array::Array};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{BLOCK_LENGTH, CipherError, Direction, IV_LENGTH, Mode};

pub(super) type Block = Array<u8, U16>;

/// The length of both keys together, K1 first, in bytes.
pub(super) const KEYS_LENGTH: usize = 64;

/// The tweak of a block: a polynomial over GF(2), the coefficient of x^n in bit n. Its bytes are little-endian.
pub(super) type Tweak = u128;

/// What reduces x^128: x^7 + x^2 + x + 1.
const REDUCTION: Tweak = 0x87;

/// The tweak of the next block.
#[inline(always)]
fn double(tweak: Tweak) -> Tweak {
    // All ones if x^127 overflows; no branch, so that the time tells nothing.
    let overflow = (tweak.cast_signed() >> 127).cast_unsigned();
    (tweak << 1) ^ (overflow & REDUCTION)
}

/// Both AES keys of XTS, expanded.
pub(super) struct Schedules {
    /// K1, for blocks and the tail's mask.
    data: Aes256,
    /// K2, for the first tweak.
    tweak: Aes256Enc,
}

impl ZeroizeOnDrop for Schedules {}

/// How many blocks the portable path works on at once: what `aes` takes at once where it has VAES.
const BATCH: usize = 64;

impl Schedules {
    pub(super) fn new(keys: &[u8; KEYS_LENGTH]) -> Self {
        let (data, tweak) = keys.split_at(KEYS_LENGTH / 2);
        let schedule = |key: &[u8]| -> Zeroizing<Array<u8, cipher::consts::U32>> {
            let mut whole = Zeroizing::new(Array::default());
            whole.copy_from_slice(key);
            whole
        };
        Schedules {
            data: Aes256::new(&schedule(data)),
            tweak: Aes256Enc::new(&schedule(tweak)),
        }
    }

    /// AES_K2(IV), the tweak of the first block.
    fn first_tweak(&self, iv: &[u8; IV_LENGTH]) -> Tweak {
        let mut block = Block::from(*iv);
        self.tweak.encrypt_block(&mut block);
        Tweak::from_le_bytes(block.into())
    }

    /// AES_K1(C XOR T): what a tail is XORed with.
    fn tail_mask(&self, before: &Block, tweak: Tweak) -> Zeroizing<Block> {
        let mut mask = Zeroizing::new(Block::from(
            (Tweak::from_le_bytes((*before).into()) ^ tweak).to_le_bytes(),
        ));
        self.data.encrypt_block(&mut mask);
        mask
    }

    /// Runs XTS over the blocks. `tweak` is that of the first of them, afterwards that of the block behind them.
    fn run(&self, direction: Direction, tweak: &mut Tweak, blocks: InOutBuf<'_, '_, Block>) {
        let mut tweaks = [0; BATCH];
        let used = blocks.len().min(BATCH);
        let mut rest = blocks;
        while !rest.is_empty() {
            let length = rest.len().min(BATCH);
            let (mut batch, behind) = rest.split_at(length);
            rest = behind;
            for place in &mut tweaks[..batch.len()] {
                *place = *tweak;
                *tweak = double(*tweak);
            }
            let tweaks = &tweaks[..batch.len()];
            for (block, tweak) in batch.reborrow().into_iter().zip(tweaks) {
                xor_into(block, *tweak);
            }
            match direction {
                Direction::Encrypt => self.data.encrypt_blocks(batch.get_out()),
                Direction::Decrypt => self.data.decrypt_blocks(batch.get_out()),
            }
            for (block, tweak) in batch.get_out().iter_mut().zip(tweaks) {
                xor_into(block.into(), *tweak);
            }
        }
        tweaks[..used].zeroize();
    }
}

#[inline(always)]
fn xor_into(mut block: cipher::InOut<'_, '_, Block>, tweak: Tweak) {
    let whitened = Tweak::from_le_bytes(block.clone_in().into()) ^ tweak;
    *block.get_out() = whitened.to_le_bytes().into();
}

/// A message in XTS.
pub(super) struct Xts {
    schedules: Arc<Schedules>,
    direction: Direction,
    /// The tweak of the block that comes next.
    tweak: Zeroizing<Tweak>,
    /// The last whole block of ciphertext; zero before the first.
    before: Block,
    /// The input since the last whole block, which may turn out to be the tail.
    held: Zeroizing<[u8; BLOCK_LENGTH]>,
    /// The number of bytes in `held`, 0..=15.
    held_length: usize,
}

impl Xts {
    pub(super) fn new(schedules: Arc<Schedules>, direction: Direction, iv: &[u8; IV_LENGTH]) -> Self {
        Xts {
            tweak: Zeroizing::new(schedules.first_tweak(iv)),
            schedules,
            direction,
            before: Block::default(),
            held: Zeroizing::new([0; BLOCK_LENGTH]),
            held_length: 0,
        }
    }

    fn run(&mut self, mut blocks: InOutBuf<'_, '_, Block>) {
        // In place the ciphertext is there only before a decryption and only after an encryption.
        let last = |blocks: &[Block]| blocks.last().copied();
        let read = last(blocks.get_in());
        self.schedules
            .run(self.direction, &mut self.tweak, blocks.reborrow());
        let ciphertext = match self.direction {
            Direction::Encrypt => last(blocks.get_out()),
            Direction::Decrypt => read,
        };
        self.before = ciphertext.unwrap_or(self.before);
    }

    fn hold(&mut self, tail: &[u8]) {
        self.held[..tail.len()].copy_from_slice(tail);
        self.held_length = tail.len();
    }
}

impl Mode for Xts {
    fn update_length(&self, input: usize) -> usize {
        (self.held_length + input) & !(BLOCK_LENGTH - 1)
    }

    fn update(&mut self, mut src: &[u8], mut dst: &mut [u8]) -> Result<(), CipherError> {
        if self.held_length > 0 {
            let room = &mut self.held[self.held_length..];
            let (head, rest) = src.split_at(room.len().min(src.len()));
            room[..head.len()].copy_from_slice(head);
            self.held_length += head.len();
            if self.held_length < BLOCK_LENGTH {
                return Ok(());
            }
            let (first, behind) = dst
                .split_at_mut_checked(BLOCK_LENGTH)
                .ok_or(CipherError::DestinationTooSmall)?;
            let held = Zeroizing::new(Block::from(*self.held));
            let (first, _) = Block::slice_as_chunks_mut(first);
            self.run(in_out_blocks(std::slice::from_ref(&held), first)?);
            self.held_length = 0;
            (src, dst) = (rest, behind);
        }
        let (blocks, tail) = Block::slice_as_chunks(src);
        let (out, _) = Block::slice_as_chunks_mut(dst);
        self.run(in_out_blocks(blocks, out)?);
        self.hold(tail);
        Ok(())
    }

    fn update_in_place(&mut self, data: &mut [u8]) -> Result<(), CipherError> {
        if self.held_length > 0 && !data.is_empty() {
            return Err(CipherError::Overlap);
        }
        if data.is_empty() {
            return Ok(());
        }
        let (blocks, tail) = Block::slice_as_chunks_mut(data);
        self.run(blocks.into());
        self.hold(tail);
        Ok(())
    }

    fn finish_length(&self) -> usize {
        self.held_length
    }

    fn finish(&mut self, dst: &mut [u8]) -> Result<usize, CipherError> {
        let held = &self.held[..self.held_length];
        let dst = dst
            .get_mut(..held.len())
            .ok_or(CipherError::DestinationTooSmall)?;
        if !held.is_empty() {
            let mask = self.schedules.tail_mask(&self.before, *self.tweak);
            for ((out, byte), mask) in dst.iter_mut().zip(held).zip(mask.iter()) {
                *out = byte ^ mask;
            }
        }
        Ok(held.len())
    }
}

fn in_out_blocks<'i, 'o>(
    src: &'i [Block],
    dst: &'o mut [Block],
) -> Result<InOutBuf<'i, 'o, Block>, CipherError> {
    InOutBuf::new(src, dst).map_err(|_| CipherError::DestinationTooSmall)
}
