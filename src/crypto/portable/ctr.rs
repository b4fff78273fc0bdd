//! CTR (NIST SP 800-38A, 6.5) of the `ctr` crate, and GCM's parts: CTR with a 32-bit counter and
//! the `ghash` crate.

use cipher::{BlockCipherEncrypt, InOutBuf, InnerIvInit, StreamCipher, array::Array};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use zeroize::Zeroizing;

use super::aes::AesEnc;
use crate::crypto::CipherError;
use crate::crypto::gcm::Parts;
use crate::crypto::mode::{Block, IV_LENGTH, KeyStream};

/// A message in CTR, in either direction: both are the same XOR. The counter block is a 128-bit
/// big-endian number that starts at the IV.
pub(in crate::crypto) struct Ctr(::ctr::Ctr128BE<AesEnc>);

impl Ctr {
    pub(super) fn new(key: &[u8], iv: &[u8; IV_LENGTH]) -> Result<Self, CipherError> {
        let core = ::ctr::CtrCore::inner_iv_init(AesEnc::new(key)?, iv.into());
        Ok(Ctr(::ctr::Ctr128BE::from_core(core)))
    }
}

impl KeyStream for Ctr {
    fn apply(&mut self, data: InOutBuf<'_, '_, u8>) {
        // What goes unchecked is that 2^128 blocks were not exceeded.
        self.0.unchecked_apply_keystream_inout(data);
    }
}

/// CTR and GHASH under one key.
pub(in crate::crypto) struct GcmParts {
    keystream: ::ctr::Ctr32BE<AesEnc>,
    ghash: GHash,
}

impl GcmParts {
    /// The parts of a message with this [first counter block](crate::crypto::gcm::first_block).
    pub(in crate::crypto) fn new(key: &[u8], first: &Block) -> Result<Self, CipherError> {
        let aes = AesEnc::new(key)?;
        let mut hash_key = Zeroizing::new(Block::default());
        aes.encrypt_block((&mut *hash_key).into());
        Ok(GcmParts {
            keystream: ::ctr::Ctr32BE::from_core(::ctr::CtrCore::inner_iv_init(aes, first.into())),
            ghash: GHash::new((&*hash_key).into()),
        })
    }
}

impl Parts for GcmParts {
    fn apply_keystream(&mut self, data: InOutBuf<'_, '_, u8>) {
        self.keystream.unchecked_apply_keystream_inout(data);
    }

    fn hash(&mut self, blocks: &[Block]) {
        self.ghash.update(Array::cast_slice_from_core(blocks));
    }

    fn state(&self) -> Block {
        self.ghash.clone().finalize().into()
    }
}
