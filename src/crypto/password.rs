//! The cipher of key files that are encrypted with a password, as `openssl enc -aes-256-cbc` makes
//! them.
//!
//! Key and IV are derived from the password and 8 bytes of salt: without PBKDF2 (`openssl enc -md
//! DIGEST`) by OpenSSL's `EVP_BytesToKey` with one round, else (`-pbkdf2 -iter N -md DIGEST`) by
//! PBKDF2-HMAC (RFC 8018, 5.2). Both give 48 bytes:
//!
//! ```text
//! | key, 32 bytes | IV, 16 bytes |
//! ```

use std::fmt;

use digest::Digest as Hash;
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{CipherError, Direction, IV_LENGTH, Message, MessageCipher, Padding, PageCipher};
use crate::secret::SecretBytes;

/// The length of the salt in bytes.
pub const SALT_LENGTH: usize = 8;

const KEY_LENGTH: usize = 32;

/// The hash function that makes a key from a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// SHA-1, what servers before 12.0 always use.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256, what `openssl enc` uses unless told otherwise.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Digest {
    /// Every digest, in the order of the system variable's values.
    pub const ALL: [Digest; 5] = [
        Digest::Sha1,
        Digest::Sha224,
        Digest::Sha256,
        Digest::Sha384,
        Digest::Sha512,
    ];

    /// The name in the system variable and after `openssl enc -md`.
    pub fn name(self) -> &'static str {
        match self {
            Digest::Sha1 => "sha1",
            Digest::Sha224 => "sha224",
            Digest::Sha256 => "sha256",
            Digest::Sha384 => "sha384",
            Digest::Sha512 => "sha512",
        }
    }

    /// The digest with exactly this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|digest| digest.name() == name)
    }
}

/// What a password and a salt become. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Derived {
    key: [u8; KEY_LENGTH],
    iv: [u8; IV_LENGTH],
}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derived(redacted)")
    }
}

/// Makes key and IV from a password and a salt: with PBKDF2 of `pbkdf2_rounds` rounds, or for 0
/// with one round of `EVP_BytesToKey`.
pub fn derive_key_and_iv(
    password: &[u8],
    salt: &[u8; SALT_LENGTH],
    digest: Digest,
    pbkdf2_rounds: u32,
) -> Derived {
    let mut output = Zeroizing::new([0; KEY_LENGTH + IV_LENGTH]);
    let out = output.as_mut_slice();
    match (pbkdf2_rounds, digest) {
        (0, Digest::Sha1) => bytes_to_key::<Sha1>(password, salt, out),
        (0, Digest::Sha224) => bytes_to_key::<Sha224>(password, salt, out),
        (0, Digest::Sha256) => bytes_to_key::<Sha256>(password, salt, out),
        (0, Digest::Sha384) => bytes_to_key::<Sha384>(password, salt, out),
        (0, Digest::Sha512) => bytes_to_key::<Sha512>(password, salt, out),
        (rounds, Digest::Sha1) => pbkdf2_hmac::<Sha1>(password, salt, rounds, out),
        (rounds, Digest::Sha224) => pbkdf2_hmac::<Sha224>(password, salt, rounds, out),
        (rounds, Digest::Sha256) => pbkdf2_hmac::<Sha256>(password, salt, rounds, out),
        (rounds, Digest::Sha384) => pbkdf2_hmac::<Sha384>(password, salt, rounds, out),
        (rounds, Digest::Sha512) => pbkdf2_hmac::<Sha512>(password, salt, rounds, out),
    }
    let mut derived = Derived {
        key: [0; KEY_LENGTH],
        iv: [0; IV_LENGTH],
    };
    derived.key.copy_from_slice(&output[..KEY_LENGTH]);
    derived.iv.copy_from_slice(&output[KEY_LENGTH..]);
    derived
}

/// OpenSSL's `EVP_BytesToKey` with one round: each piece of output is the digest of the piece
/// before it, the password and the salt.
fn bytes_to_key<H: Hash>(password: &[u8], salt: &[u8], out: &mut [u8]) {
    let length = <H as Hash>::output_size();
    for start in (0..out.len()).step_by(length) {
        let before = &out[start.saturating_sub(length)..start];
        let mut hash = H::new()
            .chain_update(before)
            .chain_update(password)
            .chain_update(salt)
            .finalize();
        let piece = &mut out[start..];
        let taken = length.min(piece.len());
        piece[..taken].copy_from_slice(&hash[..taken]);
        hash.zeroize();
    }
}

impl Derived {
    /// Encrypts a whole text with AES-256-CBC and PKCS#7 padding.
    ///
    /// # Errors
    /// None in practice; those of [`PageCipher`] in form.
    pub fn encrypt(&self, plaintext: &SecretBytes) -> Result<Vec<u8>, CipherError> {
        let mut cipher = self.cipher(Direction::Encrypt)?;
        let mut ciphertext = vec![0; cipher.update_length(plaintext.expose().len()) + cipher.finish_length()];
        let length = cipher.update(plaintext.expose(), &mut ciphertext)?;
        cipher.finish(&mut ciphertext[length..])?;
        Ok(ciphertext)
    }

    /// Decrypts what [`encrypt`](Self::encrypt) made.
    ///
    /// # Errors
    /// [`CipherError::BadData`] for another password or a damaged ciphertext. CBC does not
    /// authenticate: about one wrong password in 256 yields nonsense instead, which the caller has
    /// to recognise.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Result<SecretBytes, CipherError> {
        let mut cipher = self.cipher(Direction::Decrypt)?;
        let mut plaintext = SecretBytes::new(vec![0; ciphertext.len()]);
        let length = cipher.update(ciphertext, plaintext.expose_mut())?;
        let last = cipher.finish(&mut plaintext.expose_mut()[length..])?;
        plaintext.expose_mut().truncate(length + last);
        Ok(plaintext)
    }

    fn cipher(&self, direction: Direction) -> Result<PageCipher, CipherError> {
        PageCipher::new(&Message {
            cipher: MessageCipher::AesCbc,
            padding: Padding::Padded,
            direction,
            key: &self.key,
            iv: &self.iv,
        })
    }
}
