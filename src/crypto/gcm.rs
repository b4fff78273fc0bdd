//! GCM (NIST SP 800-38D) with the tag behind the ciphertext.
//!
//! ```text
//! IV          | nonce, 12 bytes | additional authenticated data, 4 bytes |
//! ciphertext  | as long as the plaintext | tag, 16 bytes |
//! ```
//!
//! Encryption streams. Decryption takes the whole message at once and releases no plaintext before
//! its tag has been verified.

use cipher::InOutBuf;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::CipherError;
use super::mode::{BLOCK_LENGTH, Block, IV_LENGTH, Mode, in_out};

/// The length of a tag in bytes.
pub(super) const TAG_LENGTH: usize = 16;

const NONCE_LENGTH: usize = 12;
const AAD_LENGTH: usize = IV_LENGTH - NONCE_LENGTH;

#[inline]
pub(super) fn split_iv(iv: &[u8; IV_LENGTH]) -> ([u8; NONCE_LENGTH], [u8; AAD_LENGTH]) {
    let (mut nonce, mut aad) = ([0; NONCE_LENGTH], [0; AAD_LENGTH]);
    nonce.copy_from_slice(&iv[..NONCE_LENGTH]);
    aad.copy_from_slice(&iv[NONCE_LENGTH..]);
    (nonce, aad)
}

/// The first counter block: the nonce and a 32-bit 1 (SP 800-38D, 7.1). It makes the tag's mask.
#[inline]
pub(super) fn first_block(nonce: &[u8; NONCE_LENGTH]) -> Block {
    let mut first = Block::default();
    first[..NONCE_LENGTH].copy_from_slice(nonce);
    first[BLOCK_LENGTH - 1] = 1;
    first
}

/// The most bytes in a message: 2^32 - 2 blocks (SP 800-38D, 5.2.1.1), for which a 32-bit counter
/// lasts.
const MOST: u64 = ((1 << 32) - 2) * BLOCK_LENGTH as u64;

/// CTR and GHASH under one key.
pub(super) trait Parts {
    /// XORs the next bytes of the key stream onto the data; at most `MOST` bytes after the first
    /// block.
    fn apply_keystream(&mut self, data: InOutBuf<'_, '_, u8>);

    /// Takes whole blocks into the hash.
    fn hash(&mut self, blocks: &[Block]);

    /// The hash of what came so far.
    fn state(&self) -> Block;
}

/// The encryption of a message in GCM.
pub(super) struct GcmEncrypt<P> {
    parts: P,
    /// AES of the first counter block, the last thing to go into the tag.
    tag_mask: Zeroizing<Block>,
    /// The ciphertext since the last whole block, which GHASH has not seen.
    partial: [u8; BLOCK_LENGTH],
    partial_length: usize,
    /// Bytes of additional data.
    aad_length: u64,
    /// Bytes of ciphertext so far.
    length: u64,
}

impl<P: Parts> GcmEncrypt<P> {
    /// A message that is not started. The key stream of its parts begins with [`first_block`].
    #[inline]
    pub(super) fn new(parts: P) -> Self {
        GcmEncrypt {
            parts,
            tag_mask: Zeroizing::new(Block::default()),
            partial: [0; BLOCK_LENGTH],
            partial_length: 0,
            aad_length: 0,
            length: 0,
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn parts_mut(&mut self) -> &mut P {
        &mut self.parts
    }

    /// Starts the message, once the parts have their key.
    pub(super) fn start(&mut self, aad: &[u8]) {
        self.parts.apply_keystream(self.tag_mask.as_mut_slice().into());
        self.aad_length = aad.len() as u64;
        self.hash_padded(aad);
    }

    /// Takes bytes into the hash, and zeroes up to a whole block.
    fn hash_padded(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks();
        self.parts.hash(blocks);
        if !rest.is_empty() {
            let mut last = Block::default();
            last[..rest.len()].copy_from_slice(rest);
            self.parts.hash(&[last]);
        }
    }

    /// Counts the bytes of a piece of the message, which may not make it too long.
    fn count(&mut self, length: usize) -> Result<(), CipherError> {
        self.length = self.length.saturating_add(length as u64);
        if self.length > MOST {
            return Err(CipherError::BadData);
        }
        Ok(())
    }

    fn encrypt(&mut self, mut data: InOutBuf<'_, '_, u8>) -> Result<(), CipherError> {
        self.count(data.len())?;
        self.parts.apply_keystream(data.reborrow());
        self.authenticate(data.get_out());
        Ok(())
    }

    fn authenticate(&mut self, mut ciphertext: &[u8]) {
        if self.partial_length > 0 {
            let room = &mut self.partial[self.partial_length..];
            let (head, rest) = ciphertext.split_at(room.len().min(ciphertext.len()));
            room[..head.len()].copy_from_slice(head);
            self.partial_length += head.len();
            if self.partial_length < BLOCK_LENGTH {
                return;
            }
            self.parts.hash(&[self.partial]);
            ciphertext = rest;
        }
        let (blocks, rest) = ciphertext.as_chunks();
        self.parts.hash(blocks);
        self.partial[..rest.len()].copy_from_slice(rest);
        self.partial_length = rest.len();
    }

    /// Ends the hash with what is left and the lengths.
    fn tag(&mut self) -> [u8; TAG_LENGTH] {
        let mut lengths = Block::default();
        lengths[..8].copy_from_slice(&(8 * self.aad_length).to_be_bytes());
        lengths[8..].copy_from_slice(&(8 * self.length).to_be_bytes());

        let partial = self.partial;
        self.hash_padded(&partial[..self.partial_length]);
        self.parts.hash(&[lengths]);
        let mut tag = self.parts.state();
        for (byte, mask) in tag.iter_mut().zip(self.tag_mask.iter()) {
            *byte ^= mask;
        }
        tag
    }
}

impl<P: Parts> Mode for GcmEncrypt<P> {
    fn update_length(&self, input: usize) -> usize {
        input
    }

    fn update(&mut self, src: &[u8], dst: &mut [u8]) -> Result<(), CipherError> {
        self.encrypt(in_out(src, dst)?)
    }

    fn update_in_place(&mut self, data: &mut [u8]) -> Result<(), CipherError> {
        self.encrypt(data.into())
    }

    fn finish_length(&self) -> usize {
        TAG_LENGTH
    }

    fn finish(&mut self, dst: &mut [u8]) -> Result<usize, CipherError> {
        let dst = dst.first_chunk_mut().ok_or(CipherError::DestinationTooSmall)?;
        *dst = self.tag();
        Ok(TAG_LENGTH)
    }
}

/// How far the decryption of a message is.
#[derive(PartialEq, Eq)]
enum Progress {
    NothingYet,
    Refused,
    Verified,
}

/// The decryption of a message in GCM: encryption's key stream after encryption's tag.
pub(super) struct GcmDecrypt<P> {
    gcm: GcmEncrypt<P>,
    progress: Progress,
}

impl<P: Parts> GcmDecrypt<P> {
    #[inline]
    pub(super) fn new(gcm: GcmEncrypt<P>) -> Self {
        GcmDecrypt {
            gcm,
            progress: Progress::NothingYet,
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn gcm_mut(&mut self) -> &mut GcmEncrypt<P> {
        &mut self.gcm
    }

    /// Decrypts the message if its tag is right. Otherwise the output's place is as it was.
    fn open(&mut self, data: InOutBuf<'_, '_, u8>, tag: &[u8; TAG_LENGTH]) -> bool {
        let gcm = &mut self.gcm;
        if gcm.count(data.len()).is_err() {
            return false;
        }
        gcm.authenticate(data.get_in());
        let right = bool::from(gcm.tag().ct_eq(tag));
        if right {
            gcm.parts.apply_keystream(data);
        }
        right
    }

    /// Verifies the tag, then decrypts; wipes the output's place if the tag is wrong.
    fn decrypt(&mut self, mut data: InOutBuf<'_, '_, u8>, tag: &[u8; TAG_LENGTH]) -> Result<(), CipherError> {
        let fresh = self.progress == Progress::NothingYet;
        self.progress = Progress::Refused;
        if fresh && self.open(data.reborrow(), tag) {
            self.progress = Progress::Verified;
            return Ok(());
        }
        data.get_out().zeroize();
        Err(CipherError::BadData)
    }

    fn refuse(&mut self) -> CipherError {
        self.progress = Progress::Refused;
        CipherError::BadData
    }
}

impl<P: Parts> Mode for GcmDecrypt<P> {
    fn update_length(&self, input: usize) -> usize {
        input.saturating_sub(TAG_LENGTH)
    }

    fn update(&mut self, src: &[u8], dst: &mut [u8]) -> Result<(), CipherError> {
        let (ciphertext, tag) = src.split_last_chunk().ok_or_else(|| self.refuse())?;
        self.decrypt(in_out(ciphertext, dst)?, tag)
    }

    fn update_in_place(&mut self, data: &mut [u8]) -> Result<(), CipherError> {
        let (ciphertext, tag) = data.split_last_chunk_mut().ok_or_else(|| self.refuse())?;
        self.decrypt(ciphertext.into(), tag)
    }

    fn finish_length(&self) -> usize {
        0
    }

    fn finish(&mut self, _dst: &mut [u8]) -> Result<usize, CipherError> {
        if self.progress == Progress::Verified {
            Ok(0)
        } else {
            Err(CipherError::BadData)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::portable::GcmParts;
    use super::*;

    fn hex(digits: &str) -> Vec<u8> {
        hex::decode(digits).unwrap()
    }

    const NONCE: &str = "cafebabefacedbaddecaf888";
    const AAD: &str = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
    const KEY: &str = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
    const PLAINTEXT: &str = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";

    /// Ciphertext and tag of the encryption in updates of `step` bytes.
    fn encrypt(key: &[u8], nonce: &str, aad: &str, plaintext: &[u8], step: usize) -> Vec<u8> {
        let first = first_block(&hex(nonce).try_into().unwrap());
        let mut gcm = GcmEncrypt::new(GcmParts::new(key, &first).unwrap());
        gcm.start(&hex(aad));
        let mut out = plaintext.to_vec();
        out.chunks_mut(step)
            .for_each(|chunk| gcm.update_in_place(chunk).unwrap());
        out.extend(gcm.tag());
        out
    }

    /// The four test cases with a 96-bit nonce of one key length, in the order of McGrew and Viega,
    /// "The Galois/Counter Mode of Operation", appendix B.
    fn check(key_length: usize, empty: &str, zeros: &str, full: &str, tag_with_aad: &str) {
        let zero_key = vec![0; key_length];
        let key = &hex(KEY)[..key_length];
        let (zero_nonce, plaintext) = ("000000000000000000000000", hex(PLAINTEXT));
        for step in 1..=64 {
            assert_eq!(encrypt(&zero_key, zero_nonce, "", &[], step), hex(empty));
            assert_eq!(encrypt(&zero_key, zero_nonce, "", &[0; 16], step), hex(zeros));
            assert_eq!(encrypt(key, NONCE, "", &plaintext, step), hex(full));
            // The last case cuts 4 bytes of the plaintext, and so of the ciphertext.
            let cut = [&hex(full)[..60], &hex(tag_with_aad)].concat();
            assert_eq!(encrypt(key, NONCE, AAD, &plaintext[..60], step), cut);
        }
    }

    #[test]
    fn test_cases_1_to_4_of_mcgrew_and_viega_hold_for_updates_of_any_length() {
        check(
            16,
            "58e2fccefa7e3061367f1d57a4e7455a",
            "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf",
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e\
             21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985\
             4d5c2af327cd64a62cf35abd2ba6fab4",
            "5bc94fbc3221a5db94fae95ae7121a47",
        );
    }

    #[test]
    fn test_cases_7_to_10_of_mcgrew_and_viega_hold_for_updates_of_any_length() {
        check(
            24,
            "cd33b28ac773f74ba00ed1f312572435",
            "98e7247c07f0fe411c267e4384b0f6002ff58d80033927ab8ef4d4587514f0fb",
            "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c\
             7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710acade256\
             9924a7c8587336bfb118024db8674a14",
            "2519498e80f1478f37ba55bd6d27618c",
        );
    }

    #[test]
    fn test_cases_13_to_16_of_mcgrew_and_viega_hold_for_updates_of_any_length() {
        check(
            32,
            "530f8afbc74536b9a963b4f1c4cb738b",
            "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad\
             b094dac5d93471bdec1a502270e3cc6c",
            "76fc6ece0f4e1768cddf8853bb2d551b",
        );
    }
}
