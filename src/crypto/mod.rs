//! The page ciphers: AES as the server's `file_key_management` plugin uses it, byte for byte.
//!
//! | algorithm | [`Padding::Padded`] | [`Padding::None`] (the server's NOPAD flag) |
//! |---|---|---|
//! | [`Algorithm::AesCbc`] | CBC (NIST SP 800-38A) with PKCS#7 padding | CBC over the whole blocks, the tail XORed with AES(key, IV) |
//! | [`Algorithm::AesCtr`] | GCM (NIST SP 800-38D), tag appended | CTR (NIST SP 800-38A), 128-bit counter |
//! | [`Algorithm::Aes256Xts`] | GCM as above | XTS-AES-256 (NIST SP 800-38E) over the whole blocks, a permutation over the tail |
//! | [`Algorithm::Aes256Hctr2`] | GCM as above | HCTR2 over messages that come in one piece, XTS as above over others |
//!
//! The latter two derive their keys from the data key itself (`derive`); the others use the key
//! that the server passes. `docs/ciphers.md` has all of it, byte for byte.
//!
//! ```text
//! PageCipher ─┬─> derive ─> hkdf               derived keys, cached by thread
//!             └─> x86_64 or portable ─> cbc, ctr, gcm, xts (tail), hctr2 ─> AES
//! ```
//!
//! [`PageCipher`] lives by value in memory that its owner provides and never allocates. What a mode
//! is stands in `cbc`, `gcm`, `xts`, `tail` and `hctr2`, once for both implementations: `x86_64`,
//! for processors with AES instructions, and `portable`. [`password`] is the cipher of key files
//! that `openssl enc` encrypted with a password, [`wrap`] wraps keys with keys.

mod algorithm;
mod cbc;
pub(crate) mod derive;
mod error;
mod gcm;
mod hctr2;
mod held;
mod hkdf;
mod level;
mod message;
mod mode;
mod page_cipher;
pub mod password;
mod portable;
pub(crate) mod scrub;
mod tail;
pub mod wrap;
#[cfg(target_arch = "x86_64")]
mod x86_64;
mod xts;

pub use self::algorithm::{Algorithm, Direction, Padding, encrypted_length};
pub use self::error::CipherError;
pub use self::level::Level;
pub use self::message::{DataKeyRef, Message, MessageCipher, RingId};
pub use self::mode::IV_LENGTH;
pub use self::page_cipher::PageCipher;
