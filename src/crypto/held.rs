//! Modes that work on whole blocks, fed with pieces of any length: what is no whole block is held
//! back.
//!
//! An update writes what OpenSSL's EVP interface writes: every whole block at once, but where the
//! last block may hold padding to be taken off, that one is held back too.

use cipher::InOutBuf;
use zeroize::Zeroizing;

use super::CipherError;
use super::mode::{BLOCK_LENGTH, Block, Mode, in_out};

/// A mode that works on whole blocks.
pub(super) trait BlockMode {
    /// Whether the last whole block of the message is left to [`finish`](Self::finish).
    fn holds_last_block(&self) -> bool;

    /// Runs over the next blocks of the message, a whole number of them.
    fn run(&mut self, data: InOutBuf<'_, '_, u8>);

    /// As [`Mode::finish_length`], while so many bytes are held back.
    fn finish_length(&self, held: usize) -> usize;

    /// As [`Mode::finish`], with the bytes that were held back.
    fn finish(&mut self, held: &[u8], dst: &mut [u8]) -> Result<usize, CipherError>;
}

/// A message in a mode that works on whole blocks.
// In this order, so that the held block begins at a multiple of 16: one that lies across two cache
// lines made short updates up to 10 % slower.
#[repr(C)]
pub(super) struct InBlocks<B> {
    blocks: B,
    /// Input that came but is not worked on yet.
    held: Zeroizing<Block>,
    /// How many bytes of `held` count: 0..=15, and 16 where the mode holds the last block back.
    held_length: usize,
}

impl<B: BlockMode> InBlocks<B> {
    /// A message at its start.
    #[inline]
    pub(super) fn new(blocks: B) -> Self {
        InBlocks {
            blocks,
            held: Zeroizing::new([0; BLOCK_LENGTH]),
            held_length: 0,
        }
    }

    #[inline]
    pub(super) fn blocks_mut(&mut self) -> &mut B {
        &mut self.blocks
    }

    /// Appends to the held bytes; the sum fits a block, as `update_length` has it.
    #[inline]
    fn hold(&mut self, bytes: &[u8]) {
        let end = self.held_length + bytes.len();
        copy_short(&mut self.held[self.held_length..end], bytes);
        self.held_length = end;
    }
}

/// Copies fewer than 16 bytes to as many, or 16; without a call, unlike `copy_from_slice`, because
/// pieces that are shorter than a block are the most frequent of all. The second half overlaps the
/// first.
#[inline]
pub(super) fn copy_short(to: &mut [u8], from: &[u8]) {
    /// The first and the last `N` bytes; `false` where there are fewer.
    #[inline]
    fn halves<const N: usize>(to: &mut [u8], from: &[u8]) -> bool {
        let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else {
            return false;
        };
        if let Some(place) = to.first_chunk_mut() {
            *place = *first;
        }
        if let Some(place) = to.last_chunk_mut() {
            *place = *last;
        }
        true
    }
    let _done =
        halves::<8>(to, from) || halves::<4>(to, from) || halves::<2>(to, from) || halves::<1>(to, from);
}

/// XORs the last bytes of a message, fewer than a block, with the first ones of `mask`. Returns
/// their number.
#[inline]
pub(super) fn mask_tail(tail: &[u8], mask: &Block, dst: &mut [u8]) -> Result<usize, CipherError> {
    let dst = dst
        .get_mut(..tail.len())
        .ok_or(CipherError::DestinationTooSmall)?;
    for ((out, tail), mask) in dst.iter_mut().zip(tail).zip(mask) {
        *out = tail ^ mask;
    }
    Ok(tail.len())
}

impl<B: BlockMode> Mode for InBlocks<B> {
    #[inline]
    fn update_length(&self, input: usize) -> usize {
        let total = self.held_length.saturating_add(input);
        let stays = match total % BLOCK_LENGTH {
            0 if self.blocks.holds_last_block() => total.min(BLOCK_LENGTH),
            rest => rest,
        };
        total - stays
    }

    #[inline]
    fn update(&mut self, src: &[u8], dst: &mut [u8]) -> Result<(), CipherError> {
        if dst.is_empty() {
            self.hold(src);
            return Ok(());
        }
        // There is output, so the held bytes and the start of src make a whole block.
        let (mut src, mut dst) = (src, dst);
        if self.held_length > 0 {
            let (head, rest) = src.split_at(BLOCK_LENGTH - self.held_length);
            let (first, others) = dst.split_at_mut(BLOCK_LENGTH);
            self.hold(head);
            first.copy_from_slice(self.held.as_slice());
            self.blocks.run(first.into());
            self.held_length = 0;
            (src, dst) = (rest, others);
        }
        let (blocks, rest) = src.split_at(dst.len());
        self.blocks.run(in_out(blocks, dst)?);
        self.hold(rest);
        Ok(())
    }

    #[inline]
    fn update_in_place(&mut self, data: &mut [u8]) -> Result<(), CipherError> {
        if data.is_empty() {
            return Ok(());
        }
        if self.held_length > 0 {
            return Err(CipherError::Overlap);
        }
        let (blocks, rest) = data.split_at_mut(self.update_length(data.len()));
        self.blocks.run(blocks.into());
        self.hold(rest);
        Ok(())
    }

    #[inline]
    fn finish_length(&self) -> usize {
        self.blocks.finish_length(self.held_length)
    }

    #[inline]
    fn finish(&mut self, dst: &mut [u8]) -> Result<usize, CipherError> {
        self.blocks.finish(&self.held[..self.held_length], dst)
    }
}
