//! CBC (NIST SP 800-38A, 6.2) of the `cbc` crate.

use ::cbc::{Decryptor, Encryptor};
use cipher::{BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InOutBuf, InnerIvInit, IvState};

use super::aes::{Aes, AesEnc};
use crate::crypto::Direction;
use crate::crypto::cbc::Chaining;
use crate::crypto::mode::Block;

/// AES that encrypts in CBC.
pub(in crate::crypto) struct Encrypting(pub(super) AesEnc);

/// AES that decrypts in CBC.
pub(in crate::crypto) struct Decrypting(pub(super) Aes);

impl Chaining for Encrypting {
    const DIRECTION: Direction = Direction::Encrypt;

    fn chain(&self, previous: &mut Block, data: InOutBuf<'_, '_, u8>) {
        let (blocks, _no_rest) = data.into_chunks();
        let mut mode = Encryptor::inner_iv_init(&self.0, (&*previous).into());
        mode.encrypt_blocks_inout(blocks);
        *previous = mode.iv_state().into();
    }

    fn encrypt_block(&self, block: &mut Block) {
        self.0.encrypt_block(block.into());
    }
}

impl Chaining for Decrypting {
    const DIRECTION: Direction = Direction::Decrypt;

    fn chain(&self, previous: &mut Block, data: InOutBuf<'_, '_, u8>) {
        let (blocks, _no_rest) = data.into_chunks();
        let mut mode = Decryptor::inner_iv_init(&self.0, (&*previous).into());
        mode.decrypt_blocks_inout(blocks);
        *previous = mode.iv_state().into();
    }

    fn encrypt_block(&self, block: &mut Block) {
        self.0.encrypt_block(block.into());
    }
}
