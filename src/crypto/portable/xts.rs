//! XTS (IEEE 1619) over the `aes` crate.

use aes::{Aes256, Aes256Enc};
use cipher::consts::U16;
use cipher::{BlockCipherDecrypt, BlockCipherEncrypt, InOut, InOutBuf, KeyInit, array::Array};
use zeroize::{Zeroize, Zeroizing};

use crate::crypto::Direction;
use crate::crypto::mode::IV_LENGTH;
use crate::crypto::tail::{Primitives, Tail};
use crate::crypto::xts::{KEYS_LENGTH, Tweak, WholeBlocks, Xts, XtsBlocks, later};

/// K1.
pub(in crate::crypto) struct PortableXts(Aes256);

impl PortableXts {
    /// A message at its start, under K1 and K2.
    pub(in crate::crypto) fn start(
        keys: &[u8; KEYS_LENGTH],
        direction: Direction,
        iv: &[u8; IV_LENGTH],
    ) -> Xts<PortableXts> {
        let key = |half: usize| {
            let mut key = Zeroizing::new(Array::default());
            key.copy_from_slice(&keys[half * KEYS_LENGTH / 2..][..KEYS_LENGTH / 2]);
            key
        };
        let mut first = *iv;
        Aes256Enc::new(&key(1)).encrypt_block((&mut first).into());
        let mut xts = XtsBlocks::blank(PortableXts(Aes256::new(&key(0))), direction);
        xts.blocks_mut().start(first);
        xts
    }
}

/// How many blocks it works on at once: as many as `aes` does where it finds VAES.
const BATCH: usize = 64;

impl WholeBlocks for PortableXts {
    fn run(&self, direction: Direction, tweak: &mut Tweak, data: InOutBuf<'_, '_, u8>) {
        let (mut rest, _no_rest) = data.into_chunks::<U16>();
        let mut tweaks = [0; BATCH];
        let used = rest.len().min(BATCH);
        while !rest.is_empty() {
            let length = rest.len().min(BATCH);
            let (mut batch, behind) = rest.split_at(length);
            rest = behind;
            let tweaks = &mut tweaks[..length];
            for place in tweaks.iter_mut() {
                *place = *tweak;
                *tweak = later(*tweak, 1);
            }
            for (block, tweak) in batch.reborrow().into_iter().zip(&*tweaks) {
                xor_into(block, *tweak);
            }
            match direction {
                Direction::Encrypt => self.0.encrypt_blocks(batch.get_out()),
                Direction::Decrypt => self.0.decrypt_blocks(batch.get_out()),
            }
            for (block, tweak) in batch.get_out().iter_mut().zip(&*tweaks) {
                xor_into(block.into(), *tweak);
            }
        }
        tweaks[..used].zeroize();
    }

    fn run_tail(&self, tail: &Tail, direction: Direction, text: &mut u128) {
        tail.run(self, direction, text);
    }
}

impl Primitives for PortableXts {
    fn encrypt<const W: usize>(&self, blocks: [u128; W]) -> [u128; W] {
        let mut blocks = Zeroizing::new(blocks.map(|block| Array::from(block.to_le_bytes())));
        self.0.encrypt_blocks(&mut *blocks);
        blocks.map(|block| u128::from_le_bytes(block.into()))
    }
}

#[inline(always)]
fn xor_into(mut block: InOut<'_, '_, Array<u8, U16>>, tweak: Tweak) {
    let sum = Tweak::from_le_bytes(block.clone_in().into()) ^ tweak;
    *block.get_out() = sum.to_le_bytes().into();
}
