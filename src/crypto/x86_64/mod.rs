//! AES with the instructions of x86-64 processors: the same modes as the portable ones, at the
//! speed of the processor, for messages of any length. One file per mode or primitive; `*_wide` is
//! for [`Level::Vaes`].
//!
//! This is the only place beside `ffi` with `unsafe`: for loads and stores, and to call functions
//! that need instructions which the processor was found to have. Nothing here branches on a secret
//! or looks one up in memory. Every block of key material lies in a [`blocks::Blocks`], which is
//! wiped on drop; what the compiler keeps in registers, or spills of them, is beyond reach.

#![allow(unsafe_code)]

mod aes;
mod blocks;
mod cbc;
mod cbc_wide;
mod ctr;
mod ctr_wide;
mod gcm;
mod ghash;
mod hctr2;
mod hctr2_wide;
mod polyval;
mod polyval_wide;
mod registers;
mod tail;
mod xts;
mod xts_wide;

use self::aes::Aes;
use self::cbc::{Decrypting, Encrypting};
use self::ctr::Ctr;
use self::gcm::GcmParts;
pub(super) use self::hctr2::{NativeHctr2, NativeHctr2Key};
pub(super) use self::registers::wipe_registers;
pub(super) use self::xts::{NativeXts, NativeXtsKeys};
use super::cbc::{Cbc, CbcBlocks};
use super::gcm::{GcmDecrypt, GcmEncrypt, first_block, split_iv};
use super::message::{AesMessage, AesMode};
use super::{CipherError, Direction, Level};

/// A message in any mode but XTS and HCTR2, under a key of any length.
pub(super) enum ModeOf {
    CbcEncrypt(Cbc<Encrypting>),
    CbcDecrypt(Cbc<Decrypting>),
    Ctr(Ctr),
    GcmEncrypt(GcmEncrypt<GcmParts>),
    GcmDecrypt(GcmDecrypt<GcmParts>),
}

impl ModeOf {
    /// Puts a message without its key into its place; it gets the key [there](Self::set_key). (A
    /// mode that was returned would be copied, with the key.)
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] unless the key has 16, 24 or 32 bytes.
    #[inline]
    pub(super) fn put_blank(
        level: Level,
        message: &AesMessage<'_>,
        put: impl FnOnce(ModeOf),
    ) -> Result<(), CipherError> {
        let AesMessage { key, iv, .. } = *message;
        let aes = Aes::blank(key.len(), level)?;
        let first = || first_block(&split_iv(iv).0);
        match (message.mode, message.direction) {
            (AesMode::Cbc(padding), Direction::Encrypt) => {
                put(ModeOf::CbcEncrypt(CbcBlocks::start(Encrypting(aes), iv, padding)));
            }
            (AesMode::Cbc(padding), Direction::Decrypt) => {
                put(ModeOf::CbcDecrypt(CbcBlocks::start(Decrypting(aes), iv, padding)));
            }
            (AesMode::Ctr, _) => put(ModeOf::Ctr(Ctr::new(aes, iv))),
            (AesMode::Gcm, Direction::Encrypt) => {
                put(ModeOf::GcmEncrypt(GcmEncrypt::new(GcmParts::blank(
                    aes,
                    &first(),
                ))));
            }
            (AesMode::Gcm, Direction::Decrypt) => {
                let gcm = GcmEncrypt::new(GcmParts::blank(aes, &first()));
                put(ModeOf::GcmDecrypt(GcmDecrypt::new(gcm)));
            }
        }
        Ok(())
    }

    /// Gives a blank message its key.
    #[inline]
    pub(super) fn set_key(&mut self, message: &AesMessage<'_>) {
        match self {
            ModeOf::CbcEncrypt(cbc) => cbc.blocks_mut().cipher_mut().0.set_key(message.key),
            ModeOf::CbcDecrypt(cbc) => cbc.blocks_mut().cipher_mut().0.set_key(message.key),
            ModeOf::Ctr(ctr) => ctr.set_key(message.key),
            ModeOf::GcmEncrypt(gcm) => set_gcm_key(gcm, message),
            ModeOf::GcmDecrypt(gcm) => set_gcm_key(gcm.gcm_mut(), message),
        }
    }
}

fn set_gcm_key(gcm: &mut GcmEncrypt<GcmParts>, message: &AesMessage<'_>) {
    gcm.parts_mut().set_key(message.key);
    gcm.start(&split_iv(message.iv).1);
}
