//! CBC (NIST SP 800-38A, 6.2), padded with PKCS#7 (RFC 5652, 6.3) or with an XORed tail.
//!
//! What an update writes is what OpenSSL's EVP interface writes: every whole block at once, but the
//! decryption of padded data holds the last whole block back, because it may be the one with the padding.
//!
//! ```text
//! padded    | block | block | ... | rest, 16 - n times the byte 16 - n |   n = bytes in the rest, 0..=15
//! NOPAD     | block | block | ... | rest XOR the first n bytes of AES(key, IV) |
//! ```

use ::cbc::{Decryptor, Encryptor};
use cipher::{BlockCipherDecrypt, BlockModeDecrypt, BlockModeEncrypt, InOutBuf, InnerIvInit, IvState};
use subtle::{Choice, ConstantTimeEq, ConstantTimeGreater};
use zeroize::Zeroizing;

use super::{Aes, BLOCK_LENGTH, CipherError, Direction, IV_LENGTH, Mode, Padding, in_out};

type Block = [u8; BLOCK_LENGTH];

/// One direction of CBC under a key.
pub(super) trait Chaining {
    /// Which direction.
    const DIRECTION: Direction;

    /// Runs CBC over data that is a whole number of blocks. `previous` is the ciphertext block before them,
    /// afterwards the last of them.
    fn chain(&self, previous: &mut Block, data: InOutBuf<'_, '_, u8>);

    /// AES-encrypts one block, in either direction of CBC.
    fn encrypt_block(&self, block: &mut Block);
}

/// AES that encrypts in CBC.
pub(super) struct Encrypting<A>(pub(super) A);

/// AES that decrypts in CBC.
pub(super) struct Decrypting<A>(pub(super) A);

impl<A: Aes> Chaining for Encrypting<A> {
    const DIRECTION: Direction = Direction::Encrypt;

    fn chain(&self, previous: &mut Block, data: InOutBuf<'_, '_, u8>) {
        let (blocks, _no_rest) = data.into_chunks();
        let mut mode = Encryptor::inner_iv_init(&self.0, (&*previous).into());
        mode.encrypt_blocks_inout(blocks);
        *previous = mode.iv_state().into();
    }

    fn encrypt_block(&self, block: &mut Block) {
        self.0.encrypt_block(block.into());
    }
}

impl<A: Aes + BlockCipherDecrypt> Chaining for Decrypting<A> {
    const DIRECTION: Direction = Direction::Decrypt;

    fn chain(&self, previous: &mut Block, data: InOutBuf<'_, '_, u8>) {
        let (blocks, _no_rest) = data.into_chunks();
        let mut mode = Decryptor::inner_iv_init(&self.0, (&*previous).into());
        mode.decrypt_blocks_inout(blocks);
        *previous = mode.iv_state().into();
    }

    fn encrypt_block(&self, block: &mut Block) {
        self.0.encrypt_block(block.into());
    }
}

/// A message in CBC.
pub(super) struct Cbc<C> {
    cipher: C,
    padding: Padding,
    iv: [u8; IV_LENGTH],
    /// The last ciphertext block, at first the IV.
    previous: Block,
    /// Input that came but is not worked on yet.
    held: Zeroizing<[u8; BLOCK_LENGTH]>,
    /// How many bytes of `held` count: 0..=15, and 16 where [`Self::holds_last_block`].
    held_length: usize,
}

impl<C: Chaining> Cbc<C> {
    #[inline]
    pub(super) fn new(cipher: C, iv: &[u8; IV_LENGTH], padding: Padding) -> Self {
        Cbc {
            cipher,
            padding,
            iv: *iv,
            previous: *iv,
            held: Zeroizing::new([0; BLOCK_LENGTH]),
            held_length: 0,
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn cipher_mut(&mut self) -> &mut C {
        &mut self.cipher
    }

    fn holds_last_block(&self) -> bool {
        self.padding == Padding::Padded && C::DIRECTION == Direction::Decrypt
    }

    #[inline]
    fn chain(&mut self, data: InOutBuf<'_, '_, u8>) {
        self.cipher.chain(&mut self.previous, data);
    }

    /// Appends to the held bytes; the sum fits a block, as `update_length` has it.
    #[inline]
    fn hold(&mut self, bytes: &[u8]) {
        let end = self.held_length + bytes.len();
        copy_short(&mut self.held[self.held_length..end], bytes);
        self.held_length = end;
    }

    fn finish_padded_encryption(&mut self, dst: &mut [u8; BLOCK_LENGTH]) {
        // At most 15 bytes are held while encrypting, so this is 1..=16.
        let padding = BLOCK_LENGTH - self.held_length;
        dst[..self.held_length].copy_from_slice(&self.held[..self.held_length]);
        dst[self.held_length..].fill(padding as u8);
        self.chain(dst.as_mut_slice().into());
    }

    fn finish_padded_decryption(&mut self, dst: &mut [u8]) -> Result<usize, CipherError> {
        if self.held_length != BLOCK_LENGTH {
            return Err(CipherError::BadData);
        }
        let mut plaintext = self.held.clone();
        let mut previous = self.previous;
        self.cipher.chain(&mut previous, plaintext.as_mut_slice().into());
        let length = unpadded_length(&plaintext).ok_or(CipherError::BadData)?;
        let dst = dst.get_mut(..length).ok_or(CipherError::DestinationTooSmall)?;
        dst.copy_from_slice(&plaintext[..length]);
        Ok(length)
    }

    fn finish_tail(&mut self, dst: &mut [u8]) -> Result<usize, CipherError> {
        let length = self.held_length;
        let dst = dst.get_mut(..length).ok_or(CipherError::DestinationTooSmall)?;
        let mut mask = Zeroizing::new(self.iv);
        self.cipher.encrypt_block(&mut mask);
        for ((out, tail), mask) in dst.iter_mut().zip(self.held.iter()).zip(mask.iter()) {
            *out = tail ^ mask;
        }
        Ok(length)
    }
}

/// Copies fewer than 16 bytes to as many, or 16; without a call, unlike `copy_from_slice`, because pieces that
/// are shorter than a block are the most frequent of all. The second half overlaps the first.
#[inline]
fn copy_short(to: &mut [u8], from: &[u8]) {
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

/// How many bytes come before the PKCS#7 padding of the last block, or `None` if that padding is wrong.
///
/// Every byte is looked at whatever the others are, so that the time tells nothing about the plaintext.
fn unpadded_length(last: &[u8; BLOCK_LENGTH]) -> Option<usize> {
    let padding = last[BLOCK_LENGTH - 1];
    let mut wrong = padding.ct_eq(&0) | padding.ct_gt(&(BLOCK_LENGTH as u8));
    for (from_end, byte) in (0u8..).zip(last.iter().rev()) {
        let in_padding: Choice = padding.ct_gt(&from_end);
        wrong |= in_padding & !byte.ct_eq(&padding);
    }
    if wrong.into() {
        None
    } else {
        Some(BLOCK_LENGTH - usize::from(padding))
    }
}

impl<C: Chaining> Mode for Cbc<C> {
    #[inline]
    fn update_length(&self, input: usize) -> usize {
        let total = self.held_length.saturating_add(input);
        let stays = match total % BLOCK_LENGTH {
            0 if self.holds_last_block() => total.min(BLOCK_LENGTH),
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
            self.chain(first.into());
            self.held_length = 0;
            (src, dst) = (rest, others);
        }
        let (blocks, rest) = src.split_at(dst.len());
        self.chain(in_out(blocks, dst)?);
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
        self.chain(blocks.into());
        self.hold(rest);
        Ok(())
    }

    #[inline]
    fn finish_length(&self) -> usize {
        match (self.padding, C::DIRECTION) {
            (Padding::None, _) => self.held_length,
            (Padding::Padded, Direction::Encrypt) => BLOCK_LENGTH,
            // At least one byte is padding.
            (Padding::Padded, Direction::Decrypt) => BLOCK_LENGTH - 1,
        }
    }

    #[inline]
    fn finish(&mut self, dst: &mut [u8]) -> Result<usize, CipherError> {
        match (self.padding, C::DIRECTION) {
            (Padding::None, _) => self.finish_tail(dst),
            (Padding::Padded, Direction::Encrypt) => {
                let block = dst.first_chunk_mut().ok_or(CipherError::DestinationTooSmall)?;
                self.finish_padded_encryption(block);
                Ok(BLOCK_LENGTH)
            }
            (Padding::Padded, Direction::Decrypt) => self.finish_padded_decryption(dst),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_of_1_to_16_equal_bytes_is_accepted_and_nothing_else() {
        for padding in 0..=255u8 {
            let mut block = [0xEE; BLOCK_LENGTH];
            block
                .iter_mut()
                .rev()
                .take(padding.into())
                .for_each(|byte| *byte = padding);
            block[BLOCK_LENGTH - 1] = padding;
            let expected = (1..=16)
                .contains(&padding)
                .then(|| BLOCK_LENGTH - usize::from(padding));
            assert_eq!(unpadded_length(&block), expected, "padding {padding}");
        }
    }

    #[test]
    fn one_wrong_byte_anywhere_in_the_padding_is_refused() {
        for padding in 2..=16usize {
            for wrong in BLOCK_LENGTH - padding..BLOCK_LENGTH - 1 {
                let mut block = [padding as u8; BLOCK_LENGTH];
                block[wrong] ^= 0x80;
                assert_eq!(unpadded_length(&block), None, "padding {padding}, byte {wrong}");
            }
        }
    }
}
