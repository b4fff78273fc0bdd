//! The modes for [`Level::Ssse3`](crate::crypto::Level::Ssse3), by vector permutations: one block to a register,
//! or two where the processor has AVX2. GCM is not among them, because pages never use it.

mod aes;
mod cbc;
mod ctr;
mod lane;
mod tables;
mod xts;

use self::aes::Schedule;
use self::cbc::{Decrypting, Encrypting};
use self::ctr::Ctr;
pub(in crate::crypto) use self::xts::{Ssse3Xts, Ssse3XtsKeys};
use crate::crypto::cbc::Cbc;
use crate::crypto::{CipherError, Direction, IV_LENGTH, Keyed, Padding};

/// The modes, under keys of any length.
#[allow(
    clippy::large_enum_variant,
    reason = "it lies in a cipher that has room for larger ones"
)]
pub(in crate::crypto) enum ModeOf {
    CbcEncrypt(Cbc<Encrypting>),
    CbcDecrypt(Cbc<Decrypting>),
    Ctr(Ctr),
}

impl Keyed {
    /// Becomes CBC at the start of a message. It is made blank in its place and gets its key there.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] unless `key` has 16, 24 or 32 bytes.
    pub(in crate::crypto) fn start_ssse3_cbc(
        &mut self,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8; IV_LENGTH],
    ) -> Result<(), CipherError> {
        let encryption = Schedule::blank(key.len())?;
        *self = Keyed::Ssse3(match direction {
            Direction::Encrypt => ModeOf::CbcEncrypt(Cbc::new(Encrypting(encryption), iv, padding)),
            Direction::Decrypt => {
                let decryption = encryption.blank_alike();
                let both = Decrypting {
                    encryption,
                    decryption,
                };
                ModeOf::CbcDecrypt(Cbc::new(both, iv, padding))
            }
        });
        self.set_ssse3_key(key);
        Ok(())
    }

    /// Becomes CTR, likewise.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] unless `key` has 16, 24 or 32 bytes.
    pub(in crate::crypto) fn start_ssse3_ctr(
        &mut self,
        key: &[u8],
        iv: &[u8; IV_LENGTH],
    ) -> Result<(), CipherError> {
        *self = Keyed::Ssse3(ModeOf::Ctr(Ctr::new(Schedule::blank(key.len())?, iv)));
        self.set_ssse3_key(key);
        Ok(())
    }

    fn set_ssse3_key(&mut self, key: &[u8]) {
        if let Keyed::Ssse3(mode_of) = self {
            match mode_of {
                ModeOf::CbcEncrypt(cbc) => cbc.cipher_mut().0.set_key(key),
                ModeOf::CbcDecrypt(cbc) => cbc.cipher_mut().set_key(key),
                ModeOf::Ctr(ctr) => ctr.set_key(key),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::cbc::Chaining;
    use crate::crypto::xts::{PortableXtsKeys, WholeBlocks, Xts};
    use crate::crypto::{Algorithm, Level, Mode, PageCipher};

    const IV: [u8; IV_LENGTH] = [0xFF; IV_LENGTH];

    /// Texts of every length up to some groups of the widest loop.
    fn texts(step: usize) -> impl Iterator<Item = Vec<u8>> {
        (0..400)
            .step_by(step)
            .map(|length| (0..length).map(|at| (at * 7 % 251) as u8).collect())
    }

    fn portable(algorithm: Algorithm, direction: Direction, key: &[u8], text: &[u8]) -> Vec<u8> {
        let level = Level::Portable;
        let mut cipher = PageCipher::new_at(level, algorithm, Padding::None, direction, key, &IV).unwrap();
        let mut out = text.to_vec();
        cipher.update_in_place(&mut out).unwrap();
        out
    }

    #[test]
    fn registers_of_one_block_give_what_the_portable_implementation_gives_in_ctr() {
        for (text, key_length) in texts(1).zip([16, 24, 32].into_iter().cycle()) {
            let key = &[0x17; 32][..key_length];
            let mut schedule = Schedule::blank(key_length).unwrap();
            schedule.narrow();
            let mut ctr = Ctr::new(schedule, &IV);
            ctr.set_key(key);
            let mut out = text.clone();
            ctr.update_in_place(&mut out).unwrap();
            let expected = portable(Algorithm::AesCtr, Direction::Encrypt, key, &text);
            assert_eq!(out, expected, "{} bytes", text.len());
        }
    }

    #[test]
    fn registers_of_one_block_give_what_the_portable_implementation_gives_in_cbc_decryption() {
        for (text, key_length) in texts(16).zip([16, 24, 32].into_iter().cycle()) {
            let key = &[0x17; 32][..key_length];
            let mut decryption = Schedule::blank(key_length).unwrap();
            decryption.narrow();
            decryption.set_inverse_key(key);
            let encryption = decryption.blank_alike();
            let cbc = Decrypting {
                encryption,
                decryption,
            };
            let (mut out, mut previous) = (text.clone(), IV);
            cbc.chain(&mut previous, out.as_mut_slice().into());
            let expected = portable(Algorithm::AesCbc, Direction::Decrypt, key, &text);
            assert_eq!(out, expected, "{} bytes", text.len());
            assert_eq!(previous.as_slice(), text.last_chunk::<16>().unwrap_or(&IV));
        }
    }

    #[test]
    fn registers_of_one_block_give_what_the_portable_implementation_gives_in_xts() {
        let mut keys = [0x17; 64];
        keys[32..].fill(0x71);
        for direction in [Direction::Encrypt, Direction::Decrypt] {
            for text in texts(16) {
                fn run(mut xts: Xts<impl WholeBlocks>, text: &[u8]) -> Vec<u8> {
                    let mut out = text.to_vec();
                    xts.update_in_place(&mut out).unwrap();
                    out
                }
                let mut narrow = Ssse3XtsKeys::new(&keys).unwrap();
                narrow.narrow();
                let mut keyed = Keyed::Idle;
                narrow.start(&mut keyed, direction, &IV);
                let Keyed::Ssse3Xts(xts) = keyed else {
                    panic!("it did not start");
                };
                let expected = run(PortableXtsKeys::new(&keys).start(direction, &IV), &text);
                assert_eq!(run(xts, &text), expected, "{direction:?}, {} bytes", text.len());
            }
        }
    }
}
