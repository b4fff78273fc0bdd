//! CTR (NIST SP 800-38A, 6.5): the counter block is a 128-bit big-endian number that starts at the IV.

use cipher::{InOutBuf, InnerIvInit, StreamCipher};

use super::{Aes, CipherError, IV_LENGTH, Mode, in_out};

/// A message in CTR, in either direction: both are the same XOR.
pub(super) struct Ctr<A: Aes>(::ctr::Ctr128BE<A>);

impl<A: Aes> Ctr<A> {
    pub(super) fn new(aes: A, iv: &[u8; IV_LENGTH]) -> Self {
        Ctr(::ctr::Ctr128BE::from_core(::ctr::CtrCore::inner_iv_init(
            aes,
            &(*iv).into(),
        )))
    }

    fn apply(&mut self, data: InOutBuf<'_, '_, u8>) {
        // What goes unchecked is that 2^128 blocks were not exceeded.
        self.0.unchecked_apply_keystream_inout(data);
    }
}

impl<A: Aes> Mode for Ctr<A> {
    fn update_length(&self, input: usize) -> usize {
        input
    }

    fn update(&mut self, src: &[u8], dst: &mut [u8]) -> Result<(), CipherError> {
        self.apply(in_out(src, dst)?);
        Ok(())
    }

    fn update_in_place(&mut self, data: &mut [u8]) -> Result<(), CipherError> {
        self.apply(data.into());
        Ok(())
    }

    fn finish_length(&self) -> usize {
        0
    }

    fn finish(&mut self, _dst: &mut [u8]) -> Result<usize, CipherError> {
        Ok(0)
    }
}
