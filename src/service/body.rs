//! Secrets in files, and in the texts of requests and answers, in memory that is wiped.

use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::durable::read;
use crate::secret::SecretBytes;

/// The most bytes of a token, a secret id or a JWT.
const MAX_SECRET: u64 = 64 * 1024;

/// The secret in a file, without the white space around it.
pub(crate) fn read_secret(path: &Path) -> io::Result<SecretBytes> {
    let invalid = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason);
    let file = read::regular(path)?;
    // All the room at once: a vector that grows leaves an unwiped copy behind.
    let mut bytes = SecretBytes::with_capacity(MAX_SECRET as usize + 1);
    let length = file.take(MAX_SECRET + 1).read_to_end(bytes.expose_mut())?;
    if length as u64 > MAX_SECRET {
        return Err(invalid("it is too long for a secret"));
    }
    match bytes.expose().trim_ascii() {
        [] => Err(invalid("it is empty")),
        text => Ok(copy(text)),
    }
}

/// The same bytes, in memory of their own that is wiped.
pub(crate) fn copy(bytes: &[u8]) -> SecretBytes {
    let mut copy = SecretBytes::with_capacity(bytes.len());
    copy.expose_mut().extend_from_slice(bytes);
    copy
}

/// The text `before`, the secret in base64, and the text `after`.
pub(crate) fn with_secret(before: &str, secret: &[u8], after: &str) -> SecretBytes {
    let encoded = secret.len().div_ceil(3) * 4;
    // All the room at once: a vector that grows leaves an unwiped copy behind.
    let mut body = SecretBytes::with_capacity(before.len() + encoded + after.len());
    let out = body.expose_mut();
    out.extend_from_slice(before.as_bytes());
    out.resize(before.len() + encoded, b'=');
    #[expect(
        clippy::expect_used,
        reason = "the room was made for exactly this many characters, one line above"
    )]
    BASE64_STANDARD
        .encode_slice(secret, &mut out[before.len()..])
        .expect("four characters for each three bytes");
    out.extend_from_slice(after.as_bytes());
    body
}

/// Secret bytes that stand in an answer as base64. A text with escapes is refused: it would be
/// copied, and base64 needs none.
pub(crate) struct SecretBase64(pub SecretBytes);

impl<'de> Deserialize<'de> for SecretBase64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        let mut bytes = SecretBytes::new(vec![0; base64::decoded_len_estimate(text.len())]);
        let length = BASE64_STANDARD
            .decode_slice(text, bytes.expose_mut())
            .map_err(|_| D::Error::custom("not base64"))?;
        bytes.expose_mut().truncate(length);
        Ok(SecretBase64(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_a_secret_is_written_in_place() {
        let mut body = with_secret("{\"a\":\"", &[1, 2, 3, 4], "\"}\n");
        assert_eq!(body.expose(), b"{\"a\":\"AQIDBA==\"}\n");
        assert_eq!(body.expose_mut().capacity(), body.expose().len());
    }

    #[test]
    fn a_secret_is_read_from_base64_and_from_nothing_else() {
        let read = |text: &str| serde_json::from_str::<SecretBase64>(text);
        assert_eq!(read("\"AQIDBA==\"").unwrap().0.expose(), [1, 2, 3, 4]);
        assert!(read("\"\"").unwrap().0.expose().is_empty());
        for wrong in [
            "3",
            "null",
            "\"!\"",
            "\"AQI\"",
            "\"AQIDBB==\"",
            "\"AQ ID\"",
            "\"AQI\\/\"",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
