//! XTS (IEEE 1619, NIST SP 800-38E) over whole blocks, and a permutation over what is left of a
//! message behind them.
//!
//! ```text
//! T0 = AES_K2(IV)    Tj+1 = Tj * x  in GF(2^128) modulo x^128 + x^7 + x^2 + x + 1, bytes little-endian
//!
//! block j   Cj = AES_K1(Pj XOR Tj) XOR Tj
//! tail      n < 16 bytes after m whole blocks, by the permutation of n bytes that `tail` makes of
//!           K1, Cm-1 and Tm
//! ```
//!
//! IEEE 1619 ends a message that is no whole number of blocks by ciphertext stealing, which needs a
//! block of ciphertext to steal from and changes a block that has gone out already. The server has
//! messages of fewer than 16 bytes and wants every whole block back at once, so the tail is
//! encrypted by itself.

use cipher::InOutBuf;
use zeroize::Zeroizing;

use super::held::{BlockMode, InBlocks, copy_short};
use super::mode::{BLOCK_LENGTH, Block};
use super::tail::Tail;
use super::{CipherError, Direction};

/// The length of both keys together, K1 first, in bytes.
pub(super) const KEYS_LENGTH: usize = 64;

/// The tweak of a block: a polynomial over GF(2), the coefficient of x^n in bit n. Its bytes are
/// little-endian.
pub(super) type Tweak = u128;

/// The tweak `blocks` blocks later, at most 64.
#[inline(always)]
pub(super) fn later(tweak: Tweak, blocks: u32) -> Tweak {
    let overflow = tweak.unbounded_shr(Tweak::BITS - blocks);
    (tweak << blocks) ^ overflow ^ (overflow << 1) ^ (overflow << 2) ^ (overflow << 7)
}

/// XTS over whole blocks under one K1, in one implementation.
pub(super) trait WholeBlocks {
    /// Runs over data that is a whole number of blocks. `tweak` is that of the first of them,
    /// afterwards that of the block behind them.
    fn run(&self, direction: Direction, tweak: &mut Tweak, data: InOutBuf<'_, '_, u8>);

    /// Encrypts or decrypts a tail, a number of `tail.length` bytes.
    fn run_tail(&self, tail: &Tail, direction: Direction, text: &mut u128);
}

/// A message in XTS, block by block.
pub(super) struct XtsBlocks<W> {
    blocks: W,
    direction: Direction,
    /// The tweak of the block that comes next.
    tweak: Zeroizing<Tweak>,
    /// The last whole block of ciphertext; zero before the first.
    before: Block,
    /// How many whole blocks there were.
    count: usize,
}

/// A message in XTS.
pub(super) type Xts<W> = InBlocks<XtsBlocks<W>>;

impl<W: WholeBlocks> XtsBlocks<W> {
    /// A message without its first tweak.
    #[inline]
    pub(super) fn blank(blocks: W, direction: Direction) -> Xts<W> {
        InBlocks::new(XtsBlocks {
            blocks,
            direction,
            tweak: Zeroizing::new(0),
            before: [0; BLOCK_LENGTH],
            count: 0,
        })
    }

    /// Starts the message. `first` is AES_K2(IV).
    #[inline]
    pub(super) fn start(&mut self, first: Block) {
        *self.tweak = Tweak::from_le_bytes(first);
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn whole_blocks_mut(&mut self) -> &mut W {
        &mut self.blocks
    }
}

impl<W: WholeBlocks> BlockMode for XtsBlocks<W> {
    #[inline]
    fn holds_last_block(&self) -> bool {
        false
    }

    #[inline]
    fn run(&mut self, mut data: InOutBuf<'_, '_, u8>) {
        // In place the ciphertext is there only before a decryption and only after an encryption.
        let last_of_input = data.get_in().last_chunk().copied();
        self.count = self.count.saturating_add(data.len() / BLOCK_LENGTH);
        self.blocks.run(self.direction, &mut self.tweak, data.reborrow());
        let last = match self.direction {
            Direction::Encrypt => data.get_out().last_chunk().copied(),
            Direction::Decrypt => last_of_input,
        };
        self.before = last.unwrap_or(self.before);
    }

    #[inline]
    fn finish_length(&self, held: usize) -> usize {
        held
    }

    #[inline]
    fn finish(&mut self, held: &[u8], dst: &mut [u8]) -> Result<usize, CipherError> {
        if held.is_empty() {
            return Ok(0);
        }
        let dst = dst
            .get_mut(..held.len())
            .ok_or(CipherError::DestinationTooSmall)?;
        let mut bytes = Zeroizing::new([0; BLOCK_LENGTH]);
        copy_short(&mut bytes[..held.len()], held);
        let mut text = Zeroizing::new(u128::from_le_bytes(*bytes));
        let tail = Tail {
            before: u128::from_le_bytes(self.before),
            tweak: self.tweak.clone(),
            length: held.len(),
            blocks: self.count,
        };
        self.blocks.run_tail(&tail, self.direction, &mut text);
        *bytes = text.to_le_bytes();
        copy_short(dst, &bytes[..held.len()]);
        Ok(held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
