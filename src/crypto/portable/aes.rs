//! AES (FIPS 197) of the `aes` crate under a key of any length.

use aes::{Aes128, Aes128Enc, Aes192, Aes192Enc, Aes256, Aes256Enc};
use cipher::consts::U16;
use cipher::{
    BlockCipherDecClosure, BlockCipherDecrypt, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser,
    KeyInit,
};
use zeroize::ZeroizeOnDrop;

use crate::crypto::CipherError;

/// Defines an enum of AES by the length of its key.
macro_rules! aes_of_any_key {
    ($(#[$doc:meta])* $name:ident: $aes128:ident, $aes192:ident, $aes256:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        #[allow(clippy::large_enum_variant, reason = "it lies in a cipher that has room for the largest")]
        pub(in crate::crypto) enum $name {
            Aes128($aes128),
            Aes192($aes192),
            Aes256($aes256),
        }

        impl $name {
            /// # Errors
            /// [`CipherError::KeyLength`] unless `key` has 16, 24 or 32 bytes.
            pub(super) fn new(key: &[u8]) -> Result<Self, CipherError> {
                let wrong = |_| CipherError::KeyLength;
                Ok(match key.len() {
                    16 => $name::Aes128($aes128::new_from_slice(key).map_err(wrong)?),
                    24 => $name::Aes192($aes192::new_from_slice(key).map_err(wrong)?),
                    _ => $name::Aes256($aes256::new_from_slice(key).map_err(wrong)?),
                })
            }
        }

        impl BlockSizeUser for $name {
            type BlockSize = U16;
        }

        impl BlockCipherEncrypt for $name {
            fn encrypt_with_backend(&self, work: impl BlockCipherEncClosure<BlockSize = U16>) {
                match self {
                    $name::Aes128(aes) => aes.encrypt_with_backend(work),
                    $name::Aes192(aes) => aes.encrypt_with_backend(work),
                    $name::Aes256(aes) => aes.encrypt_with_backend(work),
                }
            }
        }

        // Each of them wipes itself.
        impl ZeroizeOnDrop for $name {}
    };
}

aes_of_any_key! {
    /// AES that encrypts blocks.
    AesEnc: Aes128Enc, Aes192Enc, Aes256Enc
}

aes_of_any_key! {
    /// AES that encrypts and decrypts blocks, for which it has twice the round keys.
    Aes: Aes128, Aes192, Aes256
}

impl BlockCipherDecrypt for Aes {
    fn decrypt_with_backend(&self, work: impl BlockCipherDecClosure<BlockSize = U16>) {
        match self {
            Aes::Aes128(aes) => aes.decrypt_with_backend(work),
            Aes::Aes192(aes) => aes.decrypt_with_backend(work),
            Aes::Aes256(aes) => aes.decrypt_with_backend(work),
        }
    }
}
