//! The envelope of an encrypted key file, the one of `openssl enc -aes-256-cbc`.
//!
//! ```text
//! 0         8        16
//! │Salted__ │ salt   │ AES-256-CBC of the text, PKCS#7-padded, to the end of the file
//! ```
//!
//! Key and IV come from the password and the salt, see [`crate::crypto::password`].

use super::clue::Clue;
use super::config::KeyFileConfig;
use crate::crypto::password::{Derived, SALT_LENGTH, derive_key_and_iv};
use crate::secret::SecretBytes;
use crate::store::StoreError;

/// What an encrypted file starts with.
const SALTED_MAGIC: &[u8] = b"Salted__";

/// Header and ciphertext are of whole blocks of so many bytes.
const BLOCK_LENGTH: usize = 16;

/// Whether the file is encrypted at all. What begins so and ends there is not, as for
/// file_key_management.
pub(in crate::store) fn is_encrypted(file: &[u8]) -> bool {
    file.starts_with(SALTED_MAGIC) && !is_cut_off(file)
}

/// Whether the file begins as an encrypted one and ends there.
pub(super) fn is_cut_off(file: &[u8]) -> bool {
    file == SALTED_MAGIC
}

/// Why no password opens the file; `None` where one may.
pub(super) fn clue(file: &[u8]) -> Option<Clue> {
    let behind = file.len() % BLOCK_LENGTH;
    let line_end: &[u8] = if file.ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
    let is_line_end = behind == line_end.len() && file.ends_with(line_end);
    (behind != 0).then(|| Clue::NotWholeBlocks(is_line_end.then(|| file.len() - behind)))
}

/// The text; `None` if this password does not open the file. About one wrong password in 256 opens
/// it all the same, and gives noise: the format has no check of its own.
pub(super) fn open(file: &[u8], password: &SecretBytes, config: &KeyFileConfig) -> Option<SecretBytes> {
    let (salt, ciphertext) = file
        .strip_prefix(SALTED_MAGIC)?
        .split_first_chunk::<SALT_LENGTH>()?;
    derive(password, salt, config).decrypt(ciphertext).ok()
}

/// The file for this text, with a salt of its own.
pub(super) fn seal(
    text: &SecretBytes,
    password: &SecretBytes,
    config: &KeyFileConfig,
) -> Result<SecretBytes, StoreError> {
    let mut salt = [0; SALT_LENGTH];
    getrandom::fill(&mut salt).map_err(StoreError::NoRandomBytes)?;
    let ciphertext =
        derive(password, &salt, config)
            .encrypt(text)
            .map_err(|error| StoreError::CannotEncrypt {
                path: config.path.clone(),
                reason: error.to_string(),
            })?;
    Ok(SecretBytes::new([SALTED_MAGIC, &salt, &ciphertext].concat()))
}

fn derive(password: &SecretBytes, salt: &[u8; SALT_LENGTH], config: &KeyFileConfig) -> Derived {
    derive_key_and_iv(password.expose(), salt, config.digest, config.pbkdf2_rounds)
}
