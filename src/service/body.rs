//! Secrets in files, and in the texts of requests and answers, in memory that is wiped.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::durable::secret_source::SecretKind;
use crate::secret::SecretBytes;

/// A token, a secret id or a JWT. The white space around it in a file is no part of it.
pub(crate) static CREDENTIAL: SecretKind = SecretKind {
    limit: 64 * 1024,
    may_be_pipe: false,
    trim: <[u8]>::trim_ascii,
};

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
