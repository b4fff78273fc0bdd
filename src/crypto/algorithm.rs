//! What a cipher is asked to do.

use super::gcm::TAG_LENGTH;
use super::mode::BLOCK_LENGTH;

/// Which cipher, as `encryption_algorithm` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// CBC in both paddings.
    AesCbc,
    /// CTR without padding, GCM with.
    AesCtr,
    /// XTS without padding, GCM with, both with 256-bit keys derived from the data key.
    Aes256Xts,
    /// HCTR2 without padding where the message comes in one piece, XTS where it may not; GCM with;
    /// all with 256-bit keys derived from the data key.
    Aes256Hctr2,
}

impl Algorithm {
    /// Every algorithm, in the order of the system variable's values.
    pub const ALL: [Algorithm; 4] = [
        Algorithm::AesCbc,
        Algorithm::AesCtr,
        Algorithm::Aes256Xts,
        Algorithm::Aes256Hctr2,
    ];

    /// The algorithm while there are no keys: what a server without settings has.
    pub const BEFORE_THE_START: Algorithm = Algorithm::AesCbc;

    /// The name in the system variable and in files.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::AesCbc => "aes_cbc",
            Algorithm::AesCtr => "aes_ctr",
            Algorithm::Aes256Xts => "aes_256_xts",
            Algorithm::Aes256Hctr2 => "aes_256_hctr2",
        }
    }

    /// Whether data keys must have `DATA_KEY_LENGTH` bytes,
    /// because keys are derived from them.
    pub fn derives_keys(self) -> bool {
        matches!(self, Algorithm::Aes256Xts | Algorithm::Aes256Hctr2)
    }

    /// Whether data that goes on under this algorithm, although its key has a version of `latest`,
    /// may be worse off than under that one.
    ///
    /// aes_cbc and aes_ctr are each the weaker one in something: under a repeated IV aes_ctr shows
    /// more, and padded messages have a tag under aes_ctr alone.
    pub fn is_downgrade_of(self, latest: Algorithm) -> bool {
        self != latest && self.strength() <= latest.strength()
    }

    fn strength(self) -> u8 {
        match self {
            // They encrypt under what the server passes as the key, so that a known block of a
            // binary log is one of the data key itself.
            Algorithm::AesCbc | Algorithm::AesCtr => 0,
            Algorithm::Aes256Xts => 1,
            // The same for the redo log, and more for what comes in one piece.
            Algorithm::Aes256Hctr2 => 2,
        }
    }

    /// Its number among [`ALL`](Self::ALL).
    #[inline]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The algorithm with this number.
    #[inline]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The algorithm with exactly this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Which way a cipher runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Plaintext to ciphertext.
    Encrypt,
    /// Ciphertext to plaintext.
    Decrypt,
}

/// Whether the ciphertext may be longer than the plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// The ciphertext is longer: by PKCS#7 padding (CBC) or by a tag (GCM).
    Padded,
    /// The output is as long as the input.
    None,
}

/// The exact length in bytes of the ciphertext of `input` bytes with [`Padding::Padded`].
///
/// Where that exceeds a u32 (within 16 bytes of 4 GiB, which the server never asks for) it is
/// `u32::MAX`.
pub fn encrypted_length(algorithm: Algorithm, input: u32) -> u32 {
    let block = BLOCK_LENGTH as u32;
    match algorithm {
        Algorithm::AesCbc => (input - input % block).saturating_add(block),
        Algorithm::AesCtr | Algorithm::Aes256Xts | Algorithm::Aes256Hctr2 => {
            input.saturating_add(TAG_LENGTH as u32)
        }
    }
}
