//! HCTR2 (P. Crowley, N. Huckleberry, E. Biggers, "Length-preserving encryption with HCTR2", 2021,
//! <https://eprint.iacr.org/2021/1441>) for messages that come in one piece, XTS for all others.
//!
//! ```text
//! h = AES_K(0)   L = AES_K(1)                                numbers are 16 bytes, little-endian
//! H(X) = POLYVAL(h, 258 || IV || X)                          if X is a whole number of blocks,
//!        POLYVAL(h, 259 || IV || X || one byte 1 || zeroes)  up to a whole block, if not
//!
//! plaintext   | P (16 bytes) | N ... |
//!     MM = P XOR H(N)    UU = AES_K(MM)    S = MM XOR UU XOR L
//!     U = UU XOR H(V)    V = N XOR (AES_K(S XOR 1) || AES_K(S XOR 2) || ...)      (XCTR)
//! ciphertext  | U (16 bytes) | V ... |
//! ```
//!
//! Every bit of the ciphertext depends on every bit of the message, so the message is read twice:
//! it has to be there as a whole. The server says nowhere whether it will be. What tells is the
//! first update ([`comes_whole`]), in the same way in both directions.

use cipher::InOutBuf;
use zeroize::Zeroizing;

use super::mode::{BLOCK_LENGTH, Block, IV_LENGTH, Mode, in_out};
use super::{CipherError, Direction};

/// The length of the key of HCTR2 in bytes.
pub(super) const KEY_LENGTH: usize = 32;

/// The length of the salts of messages that may come in one piece: those of tablespaces and of the
/// redo log. Binary logs have the data key for a salt, and encrypt an event in several updates but
/// decrypt it in one.
const SALT_LENGTH: usize = 16;

/// The most that the redo log passes to an update, in bytes.
const MOST_OF_REDO_LOG: usize = 256;

/// Whether a first update of so many bytes is a whole message. The redo log's first update, which
/// more may follow, is a whole number of blocks and at most 256 bytes, or less than a block.
#[inline]
fn comes_whole(length: usize) -> bool {
    length > MOST_OF_REDO_LOG || (length > BLOCK_LENGTH && !length.is_multiple_of(BLOCK_LENGTH))
}

/// Numbers as blocks.
const fn number(number: u128) -> Block {
    number.to_le_bytes()
}

/// What is encrypted to make h, the key of POLYVAL.
pub(super) const HASH_KEY_INPUT: Block = number(0);

/// What is encrypted to make L.
pub(super) const MASK_INPUT: Block = number(1);

/// AES-256, POLYVAL and XCTR under one key of HCTR2, in one implementation.
pub(super) trait Primitives {
    /// L.
    fn mask(&self) -> Block;

    /// AES of one block, in either direction.
    fn crypt_block(&self, direction: Direction, block: &mut Block);

    /// The state of POLYVAL under h after these blocks, from this state on.
    fn hash(&self, state: Block, blocks: &[Block]) -> Block;

    /// XORs the key stream that starts with AES(`start` XOR 1) onto the data.
    fn apply_keystream(&self, start: &Block, data: InOutBuf<'_, '_, u8>);
}

/// Encrypts or decrypts a whole message of at least one block.
fn run(primitives: &impl Primitives, direction: Direction, iv: &[u8; IV_LENGTH], data: InOutBuf<'_, '_, u8>) {
    let (mut first, mut rest) = data.split_at(BLOCK_LENGTH);
    let whole = rest.len().is_multiple_of(BLOCK_LENGTH);
    let of_tweak = number(2 * 8 * IV_LENGTH as u128 + if whole { 2 } else { 3 });
    let state = Zeroizing::new(primitives.hash(Block::default(), &[of_tweak, *iv]));

    let mut from = Zeroizing::new(hash(primitives, *state, rest.get_in()));
    xor_into(&mut from, first.get_in());
    let mut to = from.clone();
    primitives.crypt_block(direction, &mut to);
    let mut start = Zeroizing::new(primitives.mask());
    xor_into(&mut start, &from[..]);
    xor_into(&mut start, &to[..]);

    primitives.apply_keystream(&start, rest.reborrow());
    let of_output = Zeroizing::new(hash(primitives, *state, rest.get_out()));
    xor_into(&mut to, &of_output[..]);
    first.get_out().copy_from_slice(&to[..]);
}

/// The hash of bytes; where they are no whole number of blocks, of them with a 1 and zeroes behind.
fn hash(primitives: &impl Primitives, state: Block, bytes: &[u8]) -> Block {
    let (blocks, rest) = bytes.as_chunks();
    let state = primitives.hash(state, blocks);
    if rest.is_empty() {
        return state;
    }
    let mut last = Zeroizing::new(Block::default());
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()] = 1;
    primitives.hash(state, &[*last])
}

fn xor_into(block: &mut Block, with: &[u8]) {
    for (byte, with) in block.iter_mut().zip(with) {
        *byte ^= with;
    }
}

/// What the first update has told of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing: it has not come.
    Unknown,
    /// It was the whole message.
    Whole,
    /// It may go on.
    Streamed,
}

/// What there is to do with an update.
enum Work {
    Nothing,
    Whole,
    Streamed,
}

/// A message of aes_256_hctr2 without padding.
pub(super) struct Hctr2<P, S> {
    kind: Kind,
    direction: Direction,
    /// Whether its salt is one of messages that may come in one piece.
    may_come_whole: bool,
    iv: [u8; IV_LENGTH],
    primitives: P,
    /// The message, if it is streamed.
    streamed: S,
}

impl<P: Primitives, S: Mode> Hctr2<P, S> {
    /// A message at its start.
    #[inline]
    pub(super) fn new(
        primitives: P,
        streamed: S,
        direction: Direction,
        salt_length: usize,
        iv: &[u8; IV_LENGTH],
    ) -> Self {
        Hctr2 {
            kind: Kind::Unknown,
            direction,
            may_come_whole: salt_length == SALT_LENGTH,
            iv: *iv,
            primitives,
            streamed,
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn parts_mut(&mut self) -> (&mut P, &mut S) {
        (&mut self.primitives, &mut self.streamed)
    }

    /// Works on a message that comes whole.
    fn run_whole(&mut self, data: InOutBuf<'_, '_, u8>) {
        self.kind = Kind::Whole;
        run(&self.primitives, self.direction, &self.iv, data);
    }

    /// What an update is for.
    ///
    /// # Errors
    /// [`CipherError::BadData`] for bytes behind a message that came whole.
    #[inline]
    fn work_for(&self, length: usize) -> Result<Work, CipherError> {
        match self.kind {
            Kind::Unknown | Kind::Whole if length == 0 => Ok(Work::Nothing),
            Kind::Unknown if self.may_come_whole && comes_whole(length) => Ok(Work::Whole),
            Kind::Unknown | Kind::Streamed => Ok(Work::Streamed),
            Kind::Whole => Err(CipherError::BadData),
        }
    }
}

impl<P: Primitives, S: Mode> Mode for Hctr2<P, S> {
    fn update_length(&self, input: usize) -> usize {
        match self.work_for(input) {
            Ok(Work::Nothing) | Err(_) => 0,
            Ok(Work::Whole) => input,
            Ok(Work::Streamed) => self.streamed.update_length(input),
        }
    }

    fn update(&mut self, src: &[u8], dst: &mut [u8]) -> Result<(), CipherError> {
        match self.work_for(src.len())? {
            Work::Nothing => {}
            Work::Whole => self.run_whole(in_out(src, dst)?),
            Work::Streamed => {
                self.kind = Kind::Streamed;
                self.streamed.update(src, dst)?;
            }
        }
        Ok(())
    }

    fn update_in_place(&mut self, data: &mut [u8]) -> Result<(), CipherError> {
        match self.work_for(data.len())? {
            Work::Nothing => {}
            Work::Whole => self.run_whole(data.into()),
            Work::Streamed => {
                self.kind = Kind::Streamed;
                self.streamed.update_in_place(data)?;
            }
        }
        Ok(())
    }

    fn finish_length(&self) -> usize {
        match self.kind {
            Kind::Streamed => self.streamed.finish_length(),
            Kind::Unknown | Kind::Whole => 0,
        }
    }

    fn finish(&mut self, dst: &mut [u8]) -> Result<usize, CipherError> {
        match self.kind {
            Kind::Streamed => self.streamed.finish(dst),
            Kind::Unknown | Kind::Whole => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests;
