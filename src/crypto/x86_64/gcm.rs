//! What GCM (NIST SP 800-38D) is made of: CTR and GHASH. The order of things is in
//! [`crate::crypto::gcm`].

use cipher::InOutBuf;

use super::aes::Aes;
use super::ctr::Ctr;
use super::ghash::Ghash;
use crate::crypto::gcm::Parts;
use crate::crypto::mode::{Block, KeyStream};

/// CTR and GHASH under one key.
pub(in crate::crypto) struct GcmParts {
    ctr: Ctr,
    ghash: Ghash,
}

impl GcmParts {
    /// The parts without a key, of a message with this [first counter
    /// block](crate::crypto::gcm::first_block).
    #[inline]
    pub(super) fn blank(aes: Aes, first: &Block) -> Self {
        GcmParts {
            ghash: Ghash::blank(&aes),
            ctr: Ctr::new(aes, first),
        }
    }

    #[inline]
    pub(super) fn set_key(&mut self, key: &[u8]) {
        self.ctr.set_key(key);
        self.ghash.set_key(self.ctr.aes());
    }
}

impl Parts for GcmParts {
    #[inline]
    fn apply_keystream(&mut self, data: InOutBuf<'_, '_, u8>) {
        // The message is too short for the 32-bit counter to wrap, and it began at 1: a 128-bit
        // counter does.
        self.ctr.apply(data);
    }

    #[inline]
    fn hash(&mut self, blocks: &[Block]) {
        self.ghash.update(blocks);
    }

    #[inline]
    fn state(&self) -> Block {
        self.ghash.state()
    }
}
