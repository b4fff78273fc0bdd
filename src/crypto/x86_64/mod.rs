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
mod xts;
mod xts_wide;

use self::aes::Aes;
use self::cbc::{Decrypting, Encrypting};
use self::ctr::Ctr;
use self::gcm::GcmParts;
pub(super) use self::xts::{NativeXts, NativeXtsKeys};
use super::cbc::Cbc;
use super::gcm::{GcmDecrypt, GcmEncrypt};
use super::{Algorithm, CipherError, Direction, IV_LENGTH, Level, Padding};

/// The modes, under keys of any length.
pub(super) enum ModeOf {
    CbcEncrypt(Cbc<Encrypting>),
    CbcDecrypt(Cbc<Decrypting>),
    Ctr(Ctr),
    GcmEncrypt(GcmEncrypt<GcmParts>),
    GcmDecrypt(GcmDecrypt<GcmEncrypt<GcmParts>>),
}

impl ModeOf {
    /// A mode at the start of a message. [`CipherError::KeyLength`] unless `key` has 16, 24 or 32 bytes.
    #[inline]
    pub(super) fn new(
        level: Level,
        algorithm: Algorithm,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8; IV_LENGTH],
    ) -> Result<Self, CipherError> {
        let aes = Aes::new(key, level)?;
        Ok(match (algorithm, padding, direction) {
            (Algorithm::AesCbc, _, Direction::Encrypt) => {
                ModeOf::CbcEncrypt(Cbc::new(Encrypting(aes), iv, padding))
            }
            (Algorithm::AesCbc, _, Direction::Decrypt) => {
                ModeOf::CbcDecrypt(Cbc::new(Decrypting(aes), iv, padding))
            }
            (Algorithm::AesCtr, Padding::None, _) => ModeOf::Ctr(Ctr::new(aes, iv)),
            (Algorithm::AesCtr, Padding::Padded, Direction::Encrypt) => {
                ModeOf::GcmEncrypt(GcmEncrypt::new(aes, iv))
            }
            (Algorithm::AesCtr, Padding::Padded, Direction::Decrypt) => {
                ModeOf::GcmDecrypt(GcmDecrypt::new(GcmEncrypt::new(aes, iv)))
            }
            (Algorithm::Aes256Xts, ..) => return Err(CipherError::NoDataKey),
        })
    }
}
