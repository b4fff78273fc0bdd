//! CBC (NIST SP 800-38A, 6.2), padded with PKCS#7 (RFC 5652, 6.3) or with an XORed tail.
//!
//! ```text
//! padded    | block | block | ... | rest, 16 - n times the byte 16 - n |   n = bytes in the rest, 0..=15
//! NOPAD     | block | block | ... | rest XOR the first n bytes of AES(key, IV) |
//! ```

use cipher::InOutBuf;
use subtle::{Choice, ConstantTimeEq, ConstantTimeGreater};
use zeroize::Zeroizing;

use super::held::{BlockMode, InBlocks, mask_tail};
use super::mode::{BLOCK_LENGTH, Block, IV_LENGTH};
use super::{CipherError, Direction, Padding};

/// One direction of CBC under a key.
pub(super) trait Chaining {
    /// Which direction.
    const DIRECTION: Direction;

    /// Runs CBC over data that is a whole number of blocks. `previous` is the ciphertext block
    /// before them, afterwards the last of them.
    fn chain(&self, previous: &mut Block, data: InOutBuf<'_, '_, u8>);

    /// AES-encrypts one block, in either direction of CBC.
    fn encrypt_block(&self, block: &mut Block);
}

/// A message in CBC, block by block.
pub(super) struct CbcBlocks<C> {
    cipher: C,
    padding: Padding,
    iv: [u8; IV_LENGTH],
    /// The last ciphertext block, at first the IV.
    previous: Block,
}

/// A message in CBC.
pub(super) type Cbc<C> = InBlocks<CbcBlocks<C>>;

impl<C: Chaining> CbcBlocks<C> {
    /// A message at its start.
    #[inline]
    pub(super) fn start(cipher: C, iv: &[u8; IV_LENGTH], padding: Padding) -> Cbc<C> {
        InBlocks::new(CbcBlocks {
            cipher,
            padding,
            iv: *iv,
            previous: *iv,
        })
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn cipher_mut(&mut self) -> &mut C {
        &mut self.cipher
    }

    fn finish_padded_encryption(&mut self, held: &[u8], dst: &mut Block) {
        // At most 15 bytes are held while encrypting, so this is 1..=16.
        let padding = BLOCK_LENGTH - held.len();
        dst[..held.len()].copy_from_slice(held);
        dst[held.len()..].fill(padding as u8);
        self.run(dst.as_mut_slice().into());
    }

    fn finish_padded_decryption(&mut self, held: &[u8], dst: &mut [u8]) -> Result<usize, CipherError> {
        let held: &Block = held.try_into().map_err(|_| CipherError::BadData)?;
        let mut plaintext = Zeroizing::new(*held);
        let mut previous = self.previous;
        self.cipher.chain(&mut previous, plaintext.as_mut_slice().into());
        let length = unpadded_length(&plaintext).ok_or(CipherError::BadData)?;
        let dst = dst.get_mut(..length).ok_or(CipherError::DestinationTooSmall)?;
        dst.copy_from_slice(&plaintext[..length]);
        Ok(length)
    }

    fn finish_tail(&mut self, held: &[u8], dst: &mut [u8]) -> Result<usize, CipherError> {
        if held.is_empty() {
            return Ok(0);
        }
        let mut mask = Zeroizing::new(self.iv);
        self.cipher.encrypt_block(&mut mask);
        mask_tail(held, &mask, dst)
    }
}

/// How many bytes come before the PKCS#7 padding of the last block, or `None` if that padding is
/// wrong.
///
/// Every byte is looked at whatever the others are, so that the time tells nothing about the
/// plaintext.
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

impl<C: Chaining> BlockMode for CbcBlocks<C> {
    /// It may be the one with the padding.
    #[inline]
    fn holds_last_block(&self) -> bool {
        self.padding == Padding::Padded && C::DIRECTION == Direction::Decrypt
    }

    #[inline]
    fn run(&mut self, data: InOutBuf<'_, '_, u8>) {
        self.cipher.chain(&mut self.previous, data);
    }

    #[inline]
    fn finish_length(&self, held: usize) -> usize {
        match (self.padding, C::DIRECTION) {
            (Padding::None, _) => held,
            (Padding::Padded, Direction::Encrypt) => BLOCK_LENGTH,
            // At least one byte is padding.
            (Padding::Padded, Direction::Decrypt) => BLOCK_LENGTH - 1,
        }
    }

    #[inline]
    fn finish(&mut self, held: &[u8], dst: &mut [u8]) -> Result<usize, CipherError> {
        match (self.padding, C::DIRECTION) {
            (Padding::None, _) => self.finish_tail(held, dst),
            (Padding::Padded, Direction::Encrypt) => {
                let block = dst.first_chunk_mut().ok_or(CipherError::DestinationTooSmall)?;
                self.finish_padded_encryption(held, block);
                Ok(BLOCK_LENGTH)
            }
            (Padding::Padded, Direction::Decrypt) => self.finish_padded_decryption(held, dst),
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
