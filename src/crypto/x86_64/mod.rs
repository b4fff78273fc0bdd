//! AES with the instructions of x86-64 processors: the same modes as the portable ones, at the speed of the
//! processor, for messages of any length. One file per mode or primitive; `*_wide` is for [`Level::Vaes`].
//!
//! This is the only place beside `ffi` with `unsafe`: for loads and stores, and to call functions that need
//! instructions which the processor was found to have. Nothing here branches on a secret or looks one up in
//! memory. Every block of key material lies in a [`blocks::Blocks`], which is wiped on drop; what the compiler
//! keeps in registers, or spills of them, is beyond reach.

#![allow(unsafe_code)]

mod aes;
mod blocks;
mod cbc;
mod cbc_wide;
mod ctr;
mod ctr_wide;
mod gcm;
mod ghash;
mod ghash_wide;
mod registers;
mod xts;
mod xts_wide;

use self::aes::Aes;
use self::cbc::{Decrypting, Encrypting};
use self::ctr::Ctr;
use self::gcm::GcmParts;
pub(super) use self::registers::wipe_registers;
pub(super) use self::xts::{NativeXts, NativeXtsKeys};
use super::cbc::Cbc;
use super::gcm::{GcmDecrypt, GcmEncrypt, split_iv};
use super::{Algorithm, CipherError, Direction, IV_LENGTH, Keyed, Level, Padding};

/// The modes, under keys of any length.
pub(super) enum ModeOf {
    CbcEncrypt(Cbc<Encrypting>),
    CbcDecrypt(Cbc<Decrypting>),
    Ctr(Ctr),
    GcmEncrypt(GcmEncrypt<GcmParts>),
    GcmDecrypt(GcmDecrypt<GcmEncrypt<GcmParts>>),
}

impl Keyed {
    /// Becomes a mode at the start of a message. Each is made blank in its place and gets its key there: a
    /// mode that came out of a `match` would be copied, with the key.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] unless `key` has 16, 24 or 32 bytes.
    #[inline]
    pub(super) fn start_native(
        &mut self,
        level: Level,
        algorithm: Algorithm,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8; IV_LENGTH],
    ) -> Result<(), CipherError> {
        let aes = Aes::blank(key.len(), level)?;
        match (algorithm, padding, direction) {
            (Algorithm::AesCbc, _, Direction::Encrypt) => {
                *self = Keyed::Native(ModeOf::CbcEncrypt(Cbc::new(Encrypting(aes), iv, padding)));
            }
            (Algorithm::AesCbc, _, Direction::Decrypt) => {
                *self = Keyed::Native(ModeOf::CbcDecrypt(Cbc::new(Decrypting(aes), iv, padding)));
            }
            (Algorithm::AesCtr, Padding::None, _) => {
                *self = Keyed::Native(ModeOf::Ctr(Ctr::new(aes, iv)));
            }
            (Algorithm::AesCtr, Padding::Padded, Direction::Encrypt) => {
                let gcm = GcmEncrypt::new(GcmParts::new(aes, iv));
                *self = Keyed::Native(ModeOf::GcmEncrypt(gcm));
            }
            (Algorithm::AesCtr, Padding::Padded, Direction::Decrypt) => {
                let gcm = GcmEncrypt::new(GcmParts::new(aes, iv));
                *self = Keyed::Native(ModeOf::GcmDecrypt(GcmDecrypt::new(gcm)));
            }
            (Algorithm::Aes256Xts, ..) => return Err(CipherError::NoDataKey),
        }
        if let Keyed::Native(mode_of) = self {
            mode_of.set_key(key, iv);
        }
        Ok(())
    }
}

impl ModeOf {
    /// Gives a blank mode its key, and the IV once more.
    #[inline]
    fn set_key(&mut self, key: &[u8], iv: &[u8; IV_LENGTH]) {
        match self {
            ModeOf::CbcEncrypt(cbc) => cbc.cipher_mut().0.set_key(key),
            ModeOf::CbcDecrypt(cbc) => cbc.cipher_mut().0.set_key(key),
            ModeOf::Ctr(ctr) => ctr.set_key(key),
            ModeOf::GcmEncrypt(gcm) => set_gcm_key(gcm, key, iv),
            ModeOf::GcmDecrypt(gcm) => set_gcm_key(gcm.open_mut(), key, iv),
        }
    }
}

fn set_gcm_key(gcm: &mut GcmEncrypt<GcmParts>, key: &[u8], iv: &[u8; IV_LENGTH]) {
    gcm.parts_mut().set_key(key);
    gcm.start(&split_iv(iv).1);
}
