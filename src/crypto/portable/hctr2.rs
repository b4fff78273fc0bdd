//! HCTR2's primitives over the `aes` and `polyval` crates.

use aes::Aes256;
use cipher::{BlockCipherDecrypt, BlockCipherEncrypt, InOutBuf, KeyInit, array::Array};
use polyval::Polyval;
use polyval::universal_hash::UniversalHash;
use zeroize::Zeroizing;

use super::PortableXts;
use crate::crypto::Direction;
use crate::crypto::hctr2::{HASH_KEY_INPUT, Hctr2, KEY_LENGTH, MASK_INPUT, Primitives};
use crate::crypto::mode::{BLOCK_LENGTH, Block, IV_LENGTH};
use crate::crypto::xts::{KEYS_LENGTH, Xts};

/// A key of HCTR2.
pub(in crate::crypto) struct PortableHctr2 {
    aes: Aes256,
    hash_key: Zeroizing<Block>,
    mask: Zeroizing<Block>,
}

impl PortableHctr2 {
    /// A message at its start, under the key of HCTR2, and both of XTS for what is streamed.
    pub(in crate::crypto) fn start(
        key: &[u8; KEY_LENGTH],
        xts_keys: &[u8; KEYS_LENGTH],
        direction: Direction,
        salt_length: usize,
        iv: &[u8; IV_LENGTH],
    ) -> Hctr2<PortableHctr2, Xts<PortableXts>> {
        let aes = Aes256::new(key.into());
        let encrypted = |mut block: Block| {
            aes.encrypt_block((&mut block).into());
            Zeroizing::new(block)
        };
        let (hash_key, mask) = (encrypted(HASH_KEY_INPUT), encrypted(MASK_INPUT));
        let primitives = PortableHctr2 { aes, hash_key, mask };
        let streamed = PortableXts::start(xts_keys, direction, iv);
        Hctr2::new(primitives, streamed, direction, salt_length, iv)
    }
}

/// How many blocks of key stream are made at once.
const BATCH: usize = 32;

impl Primitives for PortableHctr2 {
    fn mask(&self) -> Block {
        *self.mask
    }

    fn crypt_block(&self, direction: Direction, block: &mut Block) {
        match direction {
            Direction::Encrypt => self.aes.encrypt_block(block.into()),
            Direction::Decrypt => self.aes.decrypt_block(block.into()),
        }
    }

    fn hash(&self, state: Block, blocks: &[Block]) -> Block {
        let Some((first, rest)) = blocks.split_first() else {
            return state;
        };
        // The crate starts at zero; a state is what would have come before the first block.
        let first = Zeroizing::new((u128::from_ne_bytes(state) ^ u128::from_ne_bytes(*first)).to_ne_bytes());
        let mut polyval = Polyval::new((&*self.hash_key).into());
        polyval.update(Array::cast_slice_from_core(&[*first]));
        polyval.update(Array::cast_slice_from_core(rest));
        polyval.finalize().into()
    }

    fn apply_keystream(&self, start: &Block, data: InOutBuf<'_, '_, u8>) {
        let start = Zeroizing::new(u128::from_le_bytes(*start));
        let mut rest = data;
        let mut keystream = Zeroizing::new([Block::default(); BATCH]);
        let mut number = 1u128;
        while !rest.is_empty() {
            let length = rest.len().min(BATCH * BLOCK_LENGTH);
            let (mut batch, behind) = rest.split_at(length);
            rest = behind;
            let blocks = &mut keystream[..length.div_ceil(BLOCK_LENGTH)];
            for block in blocks.iter_mut() {
                *block = (*start ^ number).to_le_bytes();
                number += 1;
            }
            self.aes.encrypt_blocks(Array::cast_slice_from_core_mut(blocks));
            batch.xor_in2out(&blocks.as_flattened()[..length]);
        }
    }
}
