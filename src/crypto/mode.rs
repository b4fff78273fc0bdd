//! A mode of operation: what every cipher of a message can do, whichever mode and implementation it
//! is.

use cipher::InOutBuf;

use super::CipherError;

/// The length of an AES block in bytes (FIPS 197).
pub(super) const BLOCK_LENGTH: usize = 16;

/// The length of an initialisation vector in bytes, in every mode.
pub const IV_LENGTH: usize = 16;

/// An AES block as bytes.
pub(super) type Block = [u8; BLOCK_LENGTH];

/// One mode of operation. The methods are those of [`PageCipher`](super::PageCipher), which has
/// checked what is said here.
pub(super) trait Mode {
    fn update_length(&self, input: usize) -> usize;
    /// `dst` has exactly `update_length(src.len())` bytes.
    fn update(&mut self, src: &[u8], dst: &mut [u8]) -> Result<(), CipherError>;
    /// The first `update_length(data.len())` bytes become the output.
    fn update_in_place(&mut self, data: &mut [u8]) -> Result<(), CipherError>;
    fn finish_length(&self) -> usize;
    fn finish(&mut self, dst: &mut [u8]) -> Result<usize, CipherError>;
}

/// A mode that XORs a key stream onto the message: each byte goes out as it comes in.
pub(super) trait KeyStream {
    /// XORs the next bytes of the key stream onto the data.
    fn apply(&mut self, data: InOutBuf<'_, '_, u8>);
}

/// Source and destination of a mode whose output is as long as its input.
#[inline(always)]
pub(super) fn in_out<'i, 'o>(src: &'i [u8], dst: &'o mut [u8]) -> Result<InOutBuf<'i, 'o, u8>, CipherError> {
    InOutBuf::new(src, dst).map_err(|_| CipherError::DestinationTooSmall)
}

impl<K: KeyStream> Mode for K {
    #[inline(always)]
    fn update_length(&self, input: usize) -> usize {
        input
    }

    #[inline(always)]
    fn update(&mut self, src: &[u8], dst: &mut [u8]) -> Result<(), CipherError> {
        self.apply(in_out(src, dst)?);
        Ok(())
    }

    #[inline(always)]
    fn update_in_place(&mut self, data: &mut [u8]) -> Result<(), CipherError> {
        self.apply(data.into());
        Ok(())
    }

    #[inline]
    fn finish_length(&self) -> usize {
        0
    }

    #[inline]
    fn finish(&mut self, _dst: &mut [u8]) -> Result<usize, CipherError> {
        Ok(0)
    }
}
