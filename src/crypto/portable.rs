//! The portable modes: one file for each, generic over AES with one key length, and here the choice of them.

use aes::{Aes128, Aes128Enc, Aes192, Aes192Enc, Aes256, Aes256Enc};
use cipher::consts::U16;
use cipher::{BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit};
use zeroize::ZeroizeOnDrop;

use super::cbc::{Cbc, Decrypting, Encrypting};
use super::ctr::Ctr;
use super::gcm::{GcmDecrypt, GcmEncrypt, PortableOpen, PortableParts};
use super::{Algorithm, CipherError, Direction, IV_LENGTH, Padding};

/// The modes under keys of one length.
pub(super) enum ModeOf<K: KeyLength> {
    CbcEncrypt(Cbc<Encrypting<K::Encrypt>>),
    CbcDecrypt(Cbc<Decrypting<K::Both>>),
    Ctr(Ctr<K::Encrypt>),
    GcmEncrypt(GcmEncrypt<PortableParts<K::Encrypt>>),
    GcmDecrypt(GcmDecrypt<PortableOpen<K::Encrypt>>),
}

/// AES of one key length, able to encrypt blocks.
pub(super) trait Aes:
    BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit + ZeroizeOnDrop
{
}
impl<T: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit + ZeroizeOnDrop> Aes for T {}

/// A length of AES keys. Only CBC decrypts blocks, so only it pays for the other key schedule.
pub(super) trait KeyLength {
    /// AES that only encrypts blocks.
    type Encrypt: Aes;
    /// AES that encrypts and decrypts blocks.
    type Both: Aes + BlockCipherDecrypt;
}

pub(super) struct Key128;
pub(super) struct Key192;
pub(super) struct Key256;

impl KeyLength for Key128 {
    type Encrypt = Aes128Enc;
    type Both = Aes128;
}
impl KeyLength for Key192 {
    type Encrypt = Aes192Enc;
    type Both = Aes192;
}
impl KeyLength for Key256 {
    type Encrypt = Aes256Enc;
    type Both = Aes256;
}

impl<K: KeyLength> ModeOf<K> {
    pub(super) fn new(
        algorithm: Algorithm,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8; IV_LENGTH],
    ) -> Result<Self, CipherError> {
        let encrypt = || K::Encrypt::new_from_slice(key).map_err(|_| CipherError::KeyLength);
        let both = || K::Both::new_from_slice(key).map_err(|_| CipherError::KeyLength);
        Ok(match (algorithm, padding, direction) {
            (Algorithm::AesCbc, _, Direction::Encrypt) => {
                ModeOf::CbcEncrypt(Cbc::new(Encrypting(encrypt()?), iv, padding))
            }
            (Algorithm::AesCbc, _, Direction::Decrypt) => {
                ModeOf::CbcDecrypt(Cbc::new(Decrypting(both()?), iv, padding))
            }
            (Algorithm::AesCtr, Padding::None, _) => ModeOf::Ctr(Ctr::new(encrypt()?, iv)),
            (Algorithm::AesCtr, Padding::Padded, Direction::Encrypt) => {
                ModeOf::GcmEncrypt(GcmEncrypt::portable(encrypt()?, iv))
            }
            (Algorithm::AesCtr, Padding::Padded, Direction::Decrypt) => {
                ModeOf::GcmDecrypt(GcmDecrypt::new(PortableOpen::new(encrypt()?, iv)))
            }
            (Algorithm::Aes256Xts, ..) => return Err(CipherError::NoDataKey),
        })
    }
}
