//! Fingerprints: what tells the bytes of two data keys apart without telling anything of them.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What every fingerprint is an HMAC of. It never changes: fingerprints are compared over years.
const LABEL: &[u8] = b"keyroll data key fingerprint";

/// The length of a fingerprint in bytes.
pub(crate) const FINGERPRINT_LENGTH: usize = 8;

/// The fingerprint of a data key: the first 8 bytes of HMAC-SHA256 (RFC 2104) under the key, of a
/// fixed label.
///
/// It is no secret: a key of 128 bits and more cannot be found from it. It depends on the bytes
/// alone, not on id, version, algorithm or store, so that the same key has the same fingerprint
/// wherever it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint([u8; FINGERPRINT_LENGTH]);

impl Fingerprint {
    /// The fingerprint of a data key with these bytes (16, 24 or 32).
    pub fn of(key: &[u8]) -> Fingerprint {
        // HMAC fills a key that is shorter than its block of 64 bytes up with zeroes; done here, no
        // length is refused.
        let mut block = zeroize::Zeroizing::new([0; 64]);
        let length = key.len().min(block.len());
        block[..length].copy_from_slice(&key[..length]);
        let mac = Hmac::<Sha256>::new((&*block).into()).chain_update(LABEL);
        let mut first = [0; FINGERPRINT_LENGTH];
        first.copy_from_slice(&mac.finalize().into_bytes()[..FINGERPRINT_LENGTH]);
        Fingerprint(first)
    }

    /// Reads what [`Display`](fmt::Display) writes: 16 hex digits in lower case; `None` for
    /// anything else.
    pub fn parse(text: &str) -> Option<Fingerprint> {
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if !text.bytes().all(lower) {
            return None;
        }
        let mut bytes = [0; FINGERPRINT_LENGTH];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Fingerprint(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_what_any_hmac_sha256_gives() {
        // printf 'keyroll data key fingerprint' | openssl dgst -sha256 -mac HMAC -macopt
        // hexkey:KEY, its first 16 digits.
        for (key, shown) in [
            ("00112233445566778899aabbccddeeff", "0bf3cef2f500eb9e"),
            (
                "a7addd9adea9978fda19f21e6be987880e68ac92632ca052e5bb42b1a506939a",
                "e3494b0f7d8563c5",
            ),
        ] {
            let fingerprint = Fingerprint::of(&hex::decode(key).unwrap());
            assert_eq!(fingerprint.to_string(), shown);
            assert_eq!(Fingerprint::parse(shown), Some(fingerprint));
        }
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        for text in [
            "",
            "00",
            "0011223344556677a",
            "001122334455667g",
            "0011223344556677 ",
            "ABCDEF0011223344",
        ] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }
}
