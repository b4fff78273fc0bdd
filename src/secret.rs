//! Secrets: bytes that are wiped when dropped, never printed and never copied by accident.

mod key_memory;
mod locked_memory;

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub use key_memory::{KeyBytes, KeyMemory};
pub use locked_memory::{LockedMemory, needed_limit};

/// The lengths, in bytes, that a data key may have (AES-128, AES-192, AES-256; FIPS 197).
pub const DATA_KEY_LENGTHS: [usize; 3] = [16, 24, 32];

/// The longest data key, in bytes.
pub const MAX_DATA_KEY_LENGTH: usize = 32;

/// The bytes of one version of a data key: 16, 24 or 32 of them, wiped on drop.
///
/// There is no `Clone`, and `Debug` tells the length alone. The bytes lie on the heap, so that
/// moving a key leaves no copy behind.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DataKey {
    bytes: Box<[u8; MAX_DATA_KEY_LENGTH]>,
    len: usize,
}

impl DataKey {
    fn zeroes(len: usize) -> Option<Self> {
        let bytes = Box::new([0; MAX_DATA_KEY_LENGTH]);
        DATA_KEY_LENGTHS.contains(&len).then_some(DataKey { bytes, len })
    }

    /// A key of these bytes; `None` if their number is not one of [`DATA_KEY_LENGTHS`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut key = DataKey::zeroes(bytes.len())?;
        key.bytes[..bytes.len()].copy_from_slice(bytes);
        Some(key)
    }

    /// A new random key of `len` bytes from the operating system's generator; `None` if `len` is
    /// not one of [`DATA_KEY_LENGTHS`], an error if the generator fails.
    pub fn random(len: usize) -> Option<Result<Self, getrandom::Error>> {
        let mut key = DataKey::zeroes(len)?;
        Some(getrandom::fill(&mut key.bytes[..len]).map(|()| key))
    }

    /// The key's bytes.
    pub fn expose(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The key's bytes, in the form in which those of a ring are handed about.
    pub fn bytes(&self) -> KeyBytes<'_> {
        KeyBytes::of(self.expose())
    }

    /// The key's length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a data key is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether both keys have the same bytes, in time that depends on their lengths alone.
    pub fn same_bytes(&self, other: &[u8]) -> bool {
        use subtle::ConstantTimeEq;
        self.expose().ct_eq(other).into()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({} bits)", self.len * 8)
    }
}

/// The length of a [`KeystoreKey`] in bytes.
pub const KEYSTORE_KEY_LENGTH: usize = 32;

/// The key of a keystore: 256 random bits that a master key wraps and that wrap the data keys.
/// Wiped on drop.
///
/// There is no `Clone`, and `Debug` tells nothing. The bytes lie on the heap, so that moving a key
/// leaves no copy behind.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct KeystoreKey(Box<[u8; KEYSTORE_KEY_LENGTH]>);

impl KeystoreKey {
    /// A new random key from the operating system's generator.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut key = KeystoreKey(Box::new([0; KEYSTORE_KEY_LENGTH]));
        getrandom::fill(&mut key.0[..]).map(|()| key)
    }

    /// A key of these bytes; `None` unless there are [`KEYSTORE_KEY_LENGTH`] of them.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; KEYSTORE_KEY_LENGTH] = bytes.try_into().ok()?;
        let mut key = KeystoreKey(Box::new([0; KEYSTORE_KEY_LENGTH]));
        key.0.copy_from_slice(bytes);
        Some(key)
    }

    /// The key's bytes.
    pub fn expose(&self) -> &[u8; KEYSTORE_KEY_LENGTH] {
        &self.0
    }
}

impl fmt::Debug for KeystoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeystoreKey(redacted)")
    }
}

/// A password or the contents of a file that holds secrets: wiped on drop, without `Clone`,
/// redacted in `Debug`.
#[derive(Default)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the bytes over; they are wiped when this is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        SecretBytes(Zeroizing::new(bytes))
    }

    /// The same bytes, in memory of their own.
    pub fn copy_of(bytes: &[u8]) -> Self {
        SecretBytes::new(bytes.to_vec())
    }

    /// An empty buffer with room for `capacity` bytes, so that filling it leaves no unwiped copy
    /// behind.
    pub fn with_capacity(capacity: usize) -> Self {
        SecretBytes(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to be changed in place.
    ///
    /// Growing the vector beyond its capacity moves it and leaves an unwiped copy behind: reserve
    /// first.
    pub fn expose_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_key_has_16_24_or_32_bytes() {
        for len in 0..=64 {
            let made = DataKey::new(&vec![7; len]);
            assert_eq!(made.is_some(), [16, 24, 32].contains(&len), "{len}");
            assert_eq!(
                DataKey::random(len).is_some(),
                [16, 24, 32].contains(&len),
                "{len}"
            );
        }
    }

    #[test]
    fn debug_output_of_secrets_holds_no_secret() {
        let key = DataKey::new(&[0xAB; 16]).unwrap();
        assert_eq!(format!("{key:?}"), "DataKey(128 bits)");
        let secret = SecretBytes::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "SecretBytes(redacted)");
    }

    #[test]
    fn random_keys_differ() {
        let (a, b) = (
            DataKey::random(32).unwrap().unwrap(),
            DataKey::random(32).unwrap().unwrap(),
        );
        assert!(!a.same_bytes(b.expose()));
        assert!(a.same_bytes(a.expose()));
    }
}
