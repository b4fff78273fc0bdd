//! AES for any processor: the modes over the RustCrypto crates, which use the processor's AES
//! instructions where they find them, and are constant-time where they do not.

mod aes;
mod cbc;
mod ctr;
mod hctr2;
mod xts;

use self::aes::{Aes, AesEnc};
use self::cbc::{Decrypting, Encrypting};
use self::ctr::Ctr;
pub(super) use self::ctr::GcmParts;
pub(super) use self::hctr2::PortableHctr2;
pub(super) use self::xts::PortableXts;
use super::cbc::{Cbc, CbcBlocks};
use super::gcm::{GcmDecrypt, GcmEncrypt, first_block, split_iv};
use super::message::{AesMessage, AesMode};
use super::{CipherError, Direction};

/// A message in any mode but XTS and HCTR2, under a key of any length.
pub(super) enum ModeOf {
    CbcEncrypt(Cbc<Encrypting>),
    CbcDecrypt(Cbc<Decrypting>),
    Ctr(Ctr),
    GcmEncrypt(GcmEncrypt<GcmParts>),
    GcmDecrypt(GcmDecrypt<GcmParts>),
}

impl ModeOf {
    /// A message at its start. Only the decryption of CBC decrypts blocks, so only it pays for the
    /// other round keys.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] unless the key has 16, 24 or 32 bytes.
    pub(super) fn new(message: &AesMessage<'_>) -> Result<Self, CipherError> {
        let AesMessage { key, iv, .. } = *message;
        let gcm = || {
            let (nonce, aad) = split_iv(iv);
            let mut gcm = GcmEncrypt::new(GcmParts::new(key, &first_block(&nonce))?);
            gcm.start(&aad);
            Ok(gcm)
        };
        Ok(match (message.mode, message.direction) {
            (AesMode::Cbc(padding), Direction::Encrypt) => {
                ModeOf::CbcEncrypt(CbcBlocks::start(Encrypting(AesEnc::new(key)?), iv, padding))
            }
            (AesMode::Cbc(padding), Direction::Decrypt) => {
                ModeOf::CbcDecrypt(CbcBlocks::start(Decrypting(Aes::new(key)?), iv, padding))
            }
            (AesMode::Ctr, _) => ModeOf::Ctr(Ctr::new(key, iv)?),
            (AesMode::Gcm, Direction::Encrypt) => ModeOf::GcmEncrypt(gcm()?),
            (AesMode::Gcm, Direction::Decrypt) => ModeOf::GcmDecrypt(GcmDecrypt::new(gcm()?)),
        })
    }
}
