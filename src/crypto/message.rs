//! A message to be encrypted or decrypted: everything but its bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Algorithm, Direction, IV_LENGTH, Padding};
use crate::secret::KeyBytes;

/// One message: the cipher, and what starts it.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// What encrypts it.
    pub cipher: MessageCipher<'a>,
    /// Whether the ciphertext may be longer than the plaintext.
    pub padding: Padding,
    /// Whether it is encrypted or decrypted.
    pub direction: Direction,
    /// What the server passes as the key, 16, 24 or 32 bytes: the key of AES, or the salt of
    /// derived keys.
    pub key: &'a [u8],
    /// The initialisation vector, [`IV_LENGTH`] bytes.
    pub iv: &'a [u8],
}

/// An [`Algorithm`], with the data key where keys are derived from one.
#[derive(Clone, Copy)]
pub enum MessageCipher<'a> {
    /// aes_cbc, under the key that the server passes.
    AesCbc,
    /// aes_ctr, likewise.
    AesCtr,
    /// aes_256_xts, under keys derived from the data key.
    Aes256Xts(DataKeyRef<'a>),
    /// aes_256_hctr2, likewise.
    Aes256Hctr2(DataKeyRef<'a>),
}

impl<'a> MessageCipher<'a> {
    /// This algorithm, with the data key if it derives keys; `None` if it does and there is no data
    /// key.
    #[inline]
    pub fn of(algorithm: Algorithm, data_key: impl FnOnce() -> Option<DataKeyRef<'a>>) -> Option<Self> {
        Some(match algorithm {
            Algorithm::AesCbc => MessageCipher::AesCbc,
            Algorithm::AesCtr => MessageCipher::AesCtr,
            Algorithm::Aes256Xts => MessageCipher::Aes256Xts(data_key()?),
            Algorithm::Aes256Hctr2 => MessageCipher::Aes256Hctr2(data_key()?),
        })
    }
}

/// A version of a data key, with its name.
#[derive(Clone, Copy)]
pub struct DataKeyRef<'a> {
    /// The rings that hold it.
    pub ring: RingId,
    /// The key id.
    pub key_id: u32,
    /// The key version.
    pub key_version: u32,
    /// The key's bytes.
    pub key: KeyBytes<'a>,
}

/// Tells the key rings of one run of the plugin from those of every other run in the process.
///
/// Whoever makes a [`DataKeyRef`] with one vouches that in it a key id and a key version always
/// name the same data key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingId(u64);

impl RingId {
    /// One that was never given out before.
    #[expect(
        clippy::new_without_default,
        reason = "a default is the same each time, this never"
    )]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        RingId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A message in one mode of AES, under a key of its own.
#[derive(Clone, Copy)]
pub(super) struct AesMessage<'a> {
    pub(super) mode: AesMode,
    pub(super) direction: Direction,
    /// Its length is not checked yet.
    pub(super) key: &'a [u8],
    pub(super) iv: &'a [u8; IV_LENGTH],
}

/// A mode of AES under one key.
#[derive(Clone, Copy)]
pub(super) enum AesMode {
    Cbc(Padding),
    Ctr,
    Gcm,
}
