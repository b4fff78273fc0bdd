//! What GCM (NIST SP 800-38D) is made of: CTR and GHASH. The order of things is in [`crate::crypto::gcm`].

use cipher::InOutBuf;

use super::aes::Aes;
use super::blocks::Bytes;
use super::ctr::Ctr;
use super::ghash::Ghash;
use crate::crypto::IV_LENGTH;
use crate::crypto::gcm::{Parts, first_block, split_iv};

/// CTR and GHASH under one key.
pub(in crate::crypto) struct GcmParts {
    ctr: Ctr,
    ghash: Ghash,
}

impl GcmParts {
    #[inline]
    pub(super) fn new(aes: Aes, iv: &[u8; IV_LENGTH]) -> Self {
        GcmParts {
            ghash: Ghash::blank(&aes),
            ctr: Ctr::new(aes, &first_block(&split_iv(iv).0)),
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
        // The message is too short for the 32-bit counter to wrap, and it began at 1: a 128-bit counter does.
        self.ctr.apply(data);
    }

    #[inline]
    fn hash(&mut self, blocks: &[Bytes]) {
        self.ghash.update(blocks);
    }

    #[inline]
    fn state(&self) -> Bytes {
        self.ghash.state()
    }
}
