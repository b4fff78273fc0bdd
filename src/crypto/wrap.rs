//! Keys that wrap keys: AES-256-GCM with a fresh random nonce (NIST SP 800-38D), keys derived by
//! HKDF-SHA256 (RFC 5869), HMAC-SHA256 (RFC 2104) and SHA-256 (FIPS 180-4).
//!
//! ```text
//! sealed:  | nonce, 12 bytes | ciphertext, as long as the plaintext | tag, 16 bytes |
//! ```
//!
//! Random nonces are safe for 2^32 messages under one key (SP 800-38D, 8.3); a wrapping key sees a
//! few thousand.

use std::fmt;

use ::hkdf::Hkdf;
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::secret::SecretBytes;

/// The length in bytes of every key here.
pub const KEY_LENGTH: usize = 32;

/// The length of a nonce in bytes.
pub const NONCE_LENGTH: usize = 12;

/// The length of a tag in bytes.
pub const TAG_LENGTH: usize = 16;

/// The length of a MAC and of a digest in bytes.
pub const DIGEST_LENGTH: usize = 32;

/// Why nothing was sealed.
#[derive(Debug, Error)]
pub enum SealError {
    /// The system's generator of random numbers failed.
    #[error("no random bytes from the system: {0}")]
    NoRandomBytes(getrandom::Error),

    /// The plaintext is longer than GCM can encrypt (2^36 - 32 bytes).
    #[error("the plaintext is too long")]
    TooLong,
}

/// A plaintext under a [`WrappingKey`]. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Never used twice under one key.
    pub nonce: [u8; NONCE_LENGTH],
    /// The ciphertext and behind it the tag.
    pub ciphertext: Vec<u8>,
}

impl Sealed {
    /// Nonce, ciphertext and tag in one piece.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.nonce[..], &self.ciphertext].concat()
    }

    /// Takes apart what [`to_bytes`](Self::to_bytes) made; `None` if it is too short to hold a
    /// nonce and a tag.
    pub fn from_bytes(bytes: &[u8]) -> Option<Sealed> {
        let (nonce, ciphertext) = bytes.split_first_chunk()?;
        (ciphertext.len() >= TAG_LENGTH).then(|| Sealed {
            nonce: *nonce,
            ciphertext: ciphertext.to_vec(),
        })
    }
}

/// A 256-bit key that wraps other keys, expanded. Wiped on drop.
pub struct WrappingKey(Box<Aes256Gcm>);

impl WrappingKey {
    /// A key of these bytes.
    pub fn new(key: &[u8; KEY_LENGTH]) -> Self {
        WrappingKey(Box::new(Aes256Gcm::new(key.into())))
    }

    /// Encrypts the plaintext under a fresh random nonce. It opens with the same `aad` (additional
    /// authenticated data) alone.
    pub fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<Sealed, SealError> {
        let mut nonce = [0; NONCE_LENGTH];
        getrandom::fill(&mut nonce).map_err(SealError::NoRandomBytes)?;
        self.seal_with(nonce, aad, plaintext)
    }

    /// The same under a nonce of the caller, for published vectors: a nonce that is used twice
    /// betrays the key.
    fn seal_with(
        &self,
        nonce: [u8; NONCE_LENGTH],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<Sealed, SealError> {
        // All the room at once: a vector that grows leaves an unwiped copy of the plaintext behind.
        let mut ciphertext = Vec::with_capacity(plaintext.len() + TAG_LENGTH);
        ciphertext.extend_from_slice(plaintext);
        let sealed = self
            .0
            .encrypt_inout_detached(&nonce.into(), aad, ciphertext.as_mut_slice().into());
        let Ok(tag) = sealed else {
            ciphertext.zeroize();
            return Err(SealError::TooLong);
        };
        ciphertext.extend_from_slice(&tag);
        Ok(Sealed { nonce, ciphertext })
    }

    /// Decrypts what [`seal`](Self::seal) made with this `aad`. `None` if any of it, the key or the
    /// `aad` is another one; which of them is not to be known.
    pub fn open(&self, aad: &[u8], sealed: &Sealed) -> Option<SecretBytes> {
        let (ciphertext, tag) = sealed.ciphertext.split_last_chunk::<TAG_LENGTH>()?;
        let mut plaintext = SecretBytes::new(ciphertext.to_vec());
        let buffer = plaintext.expose_mut().as_mut_slice().into();
        self.0
            .decrypt_inout_detached(&sealed.nonce.into(), aad, buffer, tag.into())
            .ok()?;
        Some(plaintext)
    }
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappingKey(redacted)")
    }
}

/// `N` bytes (at most 8,160) derived from a key by HKDF-SHA256. Another `info` gives a key that
/// tells nothing about this one.
pub fn derive<const N: usize>(key: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 255 * DIGEST_LENGTH, "HKDF ends after 255 digests") };
    let mut out = Zeroizing::new([0; N]);
    let expanded = Hkdf::<Sha256>::new(Some(salt), key).expand(info, &mut *out);
    debug_assert!(
        expanded.is_ok(),
        "the only error is too long an output, asserted above"
    );
    out
}

/// A key of HMAC-SHA256. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct MacKey([u8; KEY_LENGTH]);

impl MacKey {
    /// A key of these bytes.
    pub fn new(key: &[u8; KEY_LENGTH]) -> Self {
        MacKey(*key)
    }

    /// The MAC of a message.
    pub fn sign(&self, message: &[u8]) -> [u8; DIGEST_LENGTH] {
        self.mac(message).finalize().into_bytes().into()
    }

    /// Whether this is the message's MAC, in time that depends on the lengths alone.
    pub fn verify(&self, message: &[u8], mac: &[u8]) -> bool {
        self.mac(message).verify_slice(mac).is_ok()
    }

    fn mac(&self, message: &[u8]) -> Hmac<Sha256> {
        Hmac::<Sha256>::new((&*padded(&self.0)).into()).chain_update(message)
    }
}

/// The key as HMAC takes it: filled up with zeroes to a block of SHA-256 (RFC 2104, 2).
fn padded(key: &[u8; KEY_LENGTH]) -> Zeroizing<[u8; 64]> {
    let mut block = Zeroizing::new([0; 64]);
    block[..KEY_LENGTH].copy_from_slice(key);
    block
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(redacted)")
    }
}

/// The SHA-256 digest of the bytes.
pub fn sha256(bytes: &[u8]) -> [u8; DIGEST_LENGTH] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex<const N: usize>(digits: &str) -> [u8; N] {
        hex::decode(digits).unwrap().try_into().unwrap()
    }

    /// Key, nonce, plaintext, AAD, ciphertext, tag: from NIST's gcmEncryptExtIV256.rsp (CAVP, GCM
    /// test vectors).
    const GCM: &[[&str; 6]] = &[
        [
            "b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4",
            "516c33929df5a3284ff463d7",
            "",
            "",
            "",
            "bdc1ac884d332457a1d2664f168c76f0",
        ],
        [
            "78dc4e0aaf52d935c3c01eea57428f00ca1fd475f5da86a49c8dd73d68c8e223",
            "d79cf22d504cc793c3fb6c8a",
            "",
            "b96baa8c1c75a671bfb2d08d06be5f36",
            "",
            "3e5d486aa2e30b22e040b85723a06e76",
        ],
        [
            "31bdadd96698c204aa9ce1448ea94ae1fb4a9a0b3c9d773b51bb1822666b8f22",
            "0d18e06c7c725ac9e362e1ce",
            "2db5168e932556f8089a0622981d017d",
            "",
            "fa4362189661d163fcd6a56d8bf0405a",
            "d636ac1bbedd5cc3ee727dc2ab4a9489",
        ],
        [
            "83688deb4af8007f9b713b47cfa6c73e35ea7a3aa4ecdb414dded03bf7a0fd3a",
            "0b459724904e010a46901cf3",
            "33d893a2114ce06fc15d55e454cf90c3",
            "794a14ccd178c8ebfd1379dc704c5e208f9d8424",
            "cc66bee423e3fcd4c0865715e9586696",
            "0fb291bd3dba94a1dfd8b286cfb97ac5",
        ],
        [
            "37ccdba1d929d6436c16bba5b5ff34deec88ed7df3d15d0f4ddf80c0c731ee1f",
            "5c1b21c8998ed6299006d3f9",
            "ad4260e3cdc76bcc10c7b2c06b80b3be948258e5ef20c508a81f51e96a518388",
            "22ed235946235a85a45bc5fad7140bfa",
            "3b335f8b08d33ccdcad228a74700f1007542a4d1e7fc1ebe3f447fe71af29816",
            "1fbf49cc46f458bf6e88f6370975e6d4",
        ],
    ];

    #[test]
    fn gcm_matches_the_vectors_of_nist() {
        for [key, nonce, plaintext, aad, ciphertext, tag] in GCM {
            let key = WrappingKey::new(&unhex(key));
            let (plaintext, aad) = (hex::decode(plaintext).unwrap(), hex::decode(aad).unwrap());
            let sealed = key.seal_with(unhex(nonce), &aad, &plaintext).unwrap();
            assert_eq!(hex::encode(&sealed.ciphertext), format!("{ciphertext}{tag}"));
            assert_eq!(key.open(&aad, &sealed).unwrap().expose(), plaintext);
        }
    }

    #[test]
    fn what_was_changed_anywhere_does_not_open() {
        let key = WrappingKey::new(&[1; 32]);
        let sealed = key.seal(b"aad", &[7; 24]).unwrap();
        let bytes = sealed.to_bytes();
        assert_eq!(Sealed::from_bytes(&bytes).as_ref(), Some(&sealed));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                key.open(b"aad", &Sealed::from_bytes(&changed).unwrap()).is_none(),
                "bit {bit}"
            );
        }
        for length in 0..bytes.len() {
            let opened = Sealed::from_bytes(&bytes[..length]).and_then(|cut| key.open(b"aad", &cut));
            assert!(opened.is_none(), "{length} bytes");
        }
        assert!(key.open(b"aae", &sealed).is_none());
        assert!(WrappingKey::new(&[2; 32]).open(b"aad", &sealed).is_none());
    }

    #[test]
    fn the_same_plaintext_is_never_sealed_alike() {
        let key = WrappingKey::new(&[1; 32]);
        let (a, b) = (key.seal(b"", &[7; 32]).unwrap(), key.seal(b"", &[7; 32]).unwrap());
        assert_ne!(a.nonce, b.nonce);
        assert_ne!(a.ciphertext, b.ciphertext);
    }

    /// RFC 5869, A.1 to A.3.
    #[test]
    fn derived_keys_match_rfc_5869() {
        let ikm: Vec<u8> = (0x00..=0x4f).collect();
        let salt: Vec<u8> = (0x60..=0xaf).collect();
        let info: Vec<u8> = (0xb0..=0xff).collect();
        assert_eq!(
            hex::encode(*derive::<42>(
                &[0x0b; 22],
                &unhex::<13>("000102030405060708090a0b0c"),
                &info_1()
            )),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
        assert_eq!(
            hex::encode(*derive::<82>(&ikm, &salt, &info)),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
             da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        );
        assert_eq!(
            hex::encode(*derive::<42>(&[0x0b; 22], &[], &[])),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
        );
    }

    fn info_1() -> [u8; 10] {
        unhex("f0f1f2f3f4f5f6f7f8f9")
    }

    /// RFC 4231, 4.2 to 4.5. HMAC fills a short key up with zeroes, so that they are keys of 32
    /// bytes as well.
    #[test]
    fn macs_match_rfc_4231() {
        let key_4: Vec<u8> = (0x01..=0x19).collect();
        let cases: [(&[u8], &[u8], &str); 4] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                &key_4,
                &[0xcd; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
        ];
        for (key, message, mac) in cases {
            let mut filled = [0; KEY_LENGTH];
            filled[..key.len()].copy_from_slice(key);
            let key = MacKey::new(&filled);
            assert_eq!(hex::encode(key.sign(message)), mac);
            let mac: [u8; 32] = unhex(mac);
            assert!(key.verify(message, &mac));
            for bit in 0..256 {
                let mut changed = mac;
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(!key.verify(message, &changed), "bit {bit}");
            }
            assert!(!key.verify(message, &mac[..31]) && !key.verify(message, &[]));
        }
    }

    /// FIPS 180-4's example of one block.
    #[test]
    fn digests_match_fips_180() {
        assert_eq!(
            hex::encode(sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn debug_output_shows_no_key() {
        let shown = format!(
            "{:?} {:?}",
            WrappingKey::new(&[0xAB; 32]),
            MacKey::new(&[0xAB; 32])
        );
        assert_eq!(shown, "WrappingKey(redacted) MacKey(redacted)");
    }
}
