//! The modes for [`Level::Ssse3`](crate::crypto::Level::Ssse3), by vector permutations: one block to a register,
//! or two where the processor has AVX2. GCM is not among them, because pages never use it.

mod aes;
mod cbc;
mod ctr;
mod lane;
mod tables;
mod xts;

use self::aes::Schedule;
use self::cbc::{Decrypting, Encrypting};
use self::ctr::Ctr;
pub(in crate::crypto) use self::xts::{Ssse3Xts, Ssse3XtsKeys};
use crate::crypto::cbc::Cbc;
use crate::crypto::{CipherError, Direction, IV_LENGTH, Keyed, Padding};

/// The modes, under keys of any length.
#[allow(
    clippy::large_enum_variant,
    reason = "it lies in a cipher that has room for larger ones"
)]
pub(in crate::crypto) enum ModeOf {
    CbcEncrypt(Cbc<Encrypting>),
    CbcDecrypt(Cbc<Decrypting>),
    Ctr(Ctr),
}

impl Keyed {
    /// Becomes CBC at the start of a message. It is made blank in its place and gets its key there.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] unless `key` has 16, 24 or 32 bytes.
    pub(in crate::crypto) fn start_ssse3_cbc(
        &mut self,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8; IV_LENGTH],
    ) -> Result<(), CipherError> {
        let encryption = Schedule::blank(key.len())?;
        *self = Keyed::Ssse3(match direction {
            Direction::Encrypt => ModeOf::CbcEncrypt(Cbc::new(Encrypting(encryption), iv, padding)),
            Direction::Decrypt => {
                let decryption = encryption.blank_alike();
                let both = Decrypting {
                    encryption,
                    decryption,
                };
                ModeOf::CbcDecrypt(Cbc::new(both, iv, padding))
            }
        });
        self.set_ssse3_key(key);
        Ok(())
    }

    /// Becomes CTR, likewise.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] unless `key` has 16, 24 or 32 bytes.
    pub(in crate::crypto) fn start_ssse3_ctr(
        &mut self,
        key: &[u8],
        iv: &[u8; IV_LENGTH],
    ) -> Result<(), CipherError> {
        *self = Keyed::Ssse3(ModeOf::Ctr(Ctr::new(Schedule::blank(key.len())?, iv)));
        self.set_ssse3_key(key);
        Ok(())
    }

    fn set_ssse3_key(&mut self, key: &[u8]) {
        if let Keyed::Ssse3(mode_of) = self {
            match mode_of {
                ModeOf::CbcEncrypt(cbc) => cbc.cipher_mut().0.set_key(key),
                ModeOf::CbcDecrypt(cbc) => cbc.cipher_mut().set_key(key),
                ModeOf::Ctr(ctr) => ctr.set_key(key),
            }
        }
    }
}
