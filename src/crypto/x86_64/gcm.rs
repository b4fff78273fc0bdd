//! What GCM (NIST SP 800-38D) is made of: CTR and GHASH. The order of things is in [`crate::crypto::gcm`].

use cipher::InOutBuf;

use super::aes::Aes;
use super::blocks::Bytes;
use super::ctr::Ctr;
use super::ghash::Ghash;
use crate::crypto::gcm::Parts;

/// CTR and GHASH under one key.
pub(in crate::crypto) struct GcmParts {
    ctr: Ctr,
    ghash: Ghash,
}

impl Parts for GcmParts {
    type Aes = Aes;

    #[inline]
    fn new(aes: Aes, first: &Bytes) -> Self {
        let ghash = Ghash::new(&aes);
        GcmParts {
            ctr: Ctr::new(aes, first),
            ghash,
        }
    }

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
