//! GHASH (NIST SP 800-38D, 6.4) with PCLMULQDQ, after S. Gueron and M. Kounavis, "Intel Carry-Less
//! Multiplication Instruction and its Usage for Computing the GCM Mode" (Intel white paper 323640).
//!
//! GHASH numbers the bits of a byte backwards. With the bytes of each block in reverse it becomes
//! POLYVAL (RFC 8452, appendix A) under the key `x * H`, which needs no shifts.

use super::aes::Aes;
use super::blocks::{Blocks, store};
use super::{polyval, polyval_wide};
use crate::crypto::mode::Block;

/// From this length on, in bytes, the wide path is worth its powers.
const WIDE_FROM: usize = 1024;

/// The hash of a message so far.
pub(in crate::crypto) struct Ghash {
    /// The key `x * H` and the state.
    secrets: Blocks<2>,
    wide: bool,
}

const KEY: usize = 0;
const STATE: usize = 1;

impl Ghash {
    /// A hash of nothing without a key, on the processor that the schedule is for.
    #[inline]
    pub(super) fn blank(aes: &Aes) -> Self {
        Ghash {
            secrets: Blocks::ZERO,
            wide: aes.is_wide(),
        }
    }

    /// Sets the key of GCM: AES of a block of zeroes.
    #[inline]
    pub(super) fn set_key(&mut self, aes: &Aes) {
        self.secrets.store(KEY, aes.encrypt_block(&[0; 16]));
        let (place, _) = self.secrets.bytes_mut().as_chunks_mut();
        let key = u128::from_be_bytes(place[KEY]);
        // Times x; what is shifted out comes back as the modulus. A mask, because a branch would
        // tell the bit.
        let shifted_out = 0u128.wrapping_sub(key >> 127);
        place[KEY] = (key << 1 ^ shifted_out & (0xC2 << 120 | 1)).to_le_bytes();
    }

    /// Takes whole blocks in.
    #[inline]
    pub(super) fn update(&mut self, blocks: &[Block]) {
        let (key, state) = (self.secrets.load(KEY), self.secrets.load(STATE));
        let state = if self.wide && blocks.len() >= WIDE_FROM / 16 {
            // SAFETY: the processor has what `Level::Vaes` needs, by the `Aes` that this was made
            // with.
            unsafe { polyval_wide::update::<true>(key, state, blocks) }
        } else {
            // SAFETY: it was made with an `Aes`, which exists only where the processor has
            // PCLMULQDQ and SSSE3.
            unsafe { polyval::update::<true>(key, state, blocks) }
        };
        self.secrets.store(STATE, state);
    }

    /// The hash, with the bytes in their order.
    #[inline]
    pub(super) fn state(&self) -> Block {
        let mut state = [0; 16];
        store(&mut state, self.secrets.load(STATE));
        state.reverse();
        state
    }
}
