//! What is asked of a command and how it answers: docs/exec-provider.md specifies it.
//!
//! ```text
//! wrap     {"version":1,"operation":"wrap","keystore":"UUID","plaintext":"BASE64"}
//!          {"ciphertext":"BASE64","key_version":"TEXT"}
//! unwrap   {"version":1,"operation":"unwrap","keystore":"UUID","ciphertext":"BASE64","key_version":"TEXT"}
//!          {"plaintext":"BASE64"}
//! rotate   {"version":1,"operation":"rotate"}
//!          {}
//! ```
//!
//! Texts that hold a key are made and read in memory that is wiped; nothing of an answer is ever in an error.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::master_key::{MAX_WRAPPED, Wrapped};
use crate::secret::{KEYSTORE_KEY_LENGTH, KeystoreKey, SecretBytes};

/// The most bytes that an answer may have.
pub(super) const ANSWER_LIMIT: usize = 64 * 1024;

/// The most characters that the name of a master key's version may have.
const KEY_VERSION_LIMIT: usize = 512;

/// A key's length in base64, with its padding.
const KEY_LENGTH_ENCODED: usize = KEYSTORE_KEY_LENGTH.div_ceil(3) * 4;

/// The request to wrap this key.
pub(super) fn wrap_request(key: &KeystoreKey, keystore: &str) -> SecretBytes {
    let start = format!(
        r#"{{"version":1,"operation":"wrap","keystore":{},"plaintext":""#,
        quoted(keystore)
    );
    let end = b"\"}\n";
    let mut request = SecretBytes::with_capacity(start.len() + KEY_LENGTH_ENCODED + end.len());
    let out = request.expose_mut();
    out.extend_from_slice(start.as_bytes());
    out.resize(start.len() + KEY_LENGTH_ENCODED, b'=');
    #[expect(
        clippy::expect_used,
        reason = "the room was made for exactly this many characters, one line above"
    )]
    BASE64_STANDARD
        .encode_slice(key.expose(), &mut out[start.len()..])
        .expect("four characters for each three bytes");
    out.extend_from_slice(end);
    request
}

/// The request to unwrap this. It holds no secret.
pub(super) fn unwrap_request(wrapped: &Wrapped, keystore: &str) -> SecretBytes {
    let request = format!(
        r#"{{"version":1,"operation":"unwrap","keystore":{},"ciphertext":"{}","key_version":{}}}"#,
        quoted(keystore),
        BASE64_STANDARD.encode(&wrapped.bytes),
        quoted(&wrapped.key_version),
    );
    SecretBytes::new((request + "\n").into_bytes())
}

/// The request to make a new version.
pub(super) fn rotate_request() -> SecretBytes {
    SecretBytes::new(b"{\"version\":1,\"operation\":\"rotate\"}\n".to_vec())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[derive(Deserialize)]
struct WrapAnswer<'a> {
    #[serde(borrow)]
    ciphertext: Cow<'a, str>,
    #[serde(borrow, default)]
    key_version: Cow<'a, str>,
}

/// Reads the answer to the request to wrap `key`; an error says what is wrong with it, without its text.
pub(super) fn wrap_answer(answer: &[u8], key: &KeystoreKey) -> Result<Wrapped, String> {
    let WrapAnswer {
        ciphertext,
        key_version,
    } = parsed(answer)?;
    let bytes = BASE64_STANDARD
        .decode(&*ciphertext)
        .map_err(|_| "its ciphertext is not base64 with padding (RFC 4648, 4)")?;
    if bytes.is_empty() {
        return Err("its ciphertext is empty".into());
    }
    if bytes.len() > MAX_WRAPPED {
        return Err(format!("its ciphertext has more than {MAX_WRAPPED} bytes"));
    }
    // What ends in the keystore must not be the key in clear, whatever the command takes for wrapping.
    if bytes
        .windows(KEYSTORE_KEY_LENGTH)
        .any(|window| window == key.expose())
    {
        return Err("its ciphertext holds the key in clear".into());
    }
    if !is_key_version(&key_version) {
        return Err(format!(
            "its key_version is not at most {KEY_VERSION_LIMIT} printable ASCII characters"
        ));
    }
    Ok(Wrapped {
        bytes,
        key_version: key_version.into_owned(),
    })
}

/// Whether a text may name a version of a master key.
pub(super) fn is_key_version(text: &str) -> bool {
    text.len() <= KEY_VERSION_LIMIT && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[derive(Deserialize)]
struct UnwrapAnswer<'a> {
    #[serde(borrow)]
    plaintext: &'a str,
}

/// Reads the answer to a request to unwrap; an error says what is wrong with it, without its text.
pub(super) fn unwrap_answer(answer: &[u8]) -> Result<KeystoreKey, String> {
    // An escaped text would have to be copied, and the parser's copies are not wiped.
    if answer.contains(&b'\\') {
        return Err("there is a backslash in it; base64 needs no escapes, not even of /".into());
    }
    let UnwrapAnswer { plaintext } = parsed(answer)?;
    let not_a_key = || format!("its plaintext is not {KEYSTORE_KEY_LENGTH} bytes in base64 with padding");
    let mut bytes = Zeroizing::new([0; KEY_LENGTH_ENCODED]);
    if plaintext.len() != KEY_LENGTH_ENCODED {
        return Err(not_a_key());
    }
    let length = BASE64_STANDARD
        .decode_slice(plaintext, &mut bytes[..])
        .map_err(|_| not_a_key())?;
    KeystoreKey::new(&bytes[..length]).ok_or_else(not_a_key)
}

#[derive(Deserialize)]
struct RotateAnswer {}

/// Reads the answer to a request to rotate.
pub(super) fn rotate_answer(answer: &[u8]) -> Result<(), String> {
    parsed(answer).map(|RotateAnswer {}| ())
}

/// Only the kind and the place of an error are told: the parser's own words quote the text.
fn parsed<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, String> {
    use serde_json::error::Category;
    if answer.trim_ascii().first().is_some_and(|&byte| byte != b'{') {
        return Err("it is not a JSON object".into());
    }
    serde_json::from_slice(answer).map_err(|error| {
        let what = match error.classify() {
            Category::Eof if answer.trim_ascii().is_empty() => return "it is empty".into(),
            Category::Eof => "it ends too early",
            Category::Data => "a member is missing, is there twice or has another type",
            Category::Syntax | Category::Io => "it is not JSON",
        };
        format!("{what}, line {}, column {}", error.line(), error.column())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYSTORE: &str = "0190a5c3-1f2e-4d3c-8b4a-5f6e7d8c9b0a";

    fn key() -> KeystoreKey {
        KeystoreKey::new(&[0xA7; 32]).unwrap()
    }

    #[test]
    fn requests_are_as_documented() {
        let wrapped = Wrapped {
            bytes: vec![1, 2, 3, 4],
            key_version: "a\"b\\".into(),
        };
        for (request, text) in [
            (
                wrap_request(&key(), KEYSTORE),
                r#"{"version":1,"operation":"wrap","keystore":"0190a5c3-1f2e-4d3c-8b4a-5f6e7d8c9b0a","plaintext":"p6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6c="}"#,
            ),
            (
                unwrap_request(&wrapped, KEYSTORE),
                r#"{"version":1,"operation":"unwrap","keystore":"0190a5c3-1f2e-4d3c-8b4a-5f6e7d8c9b0a","ciphertext":"AQIDBA==","key_version":"a\"b\\"}"#,
            ),
            (rotate_request(), r#"{"version":1,"operation":"rotate"}"#),
        ] {
            assert_eq!(request.expose(), format!("{text}\n").as_bytes());
            serde_json::from_slice::<serde_json::Value>(request.expose()).unwrap();
        }
    }

    #[test]
    fn a_request_with_a_key_is_written_in_place() {
        let request = wrap_request(&key(), KEYSTORE);
        let mut made = request;
        assert_eq!(made.expose_mut().capacity(), made.expose().len());
    }

    #[test]
    fn answers_are_read() {
        let answer = br#" {"key_version":"3","ciphertext":"AQID\/w==","more":[1]}
"#;
        let wrapped = wrap_answer(answer, &key()).unwrap();
        assert_eq!(
            (wrapped.bytes, wrapped.key_version.as_str()),
            (vec![1, 2, 3, 255], "3")
        );
        let wrapped = wrap_answer(br#"{"ciphertext":"AQID"}"#, &key()).unwrap();
        assert_eq!((wrapped.bytes, wrapped.key_version.as_str()), (vec![1, 2, 3], ""));
        let answer = br#"{"plaintext":"p6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6c="}"#;
        assert_eq!(unwrap_answer(answer).unwrap().expose(), &[0xA7; 32]);
        rotate_answer(b"{}\n").unwrap();
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_said() {
        let too_long = format!(
            r#"{{"ciphertext":"{}"}}"#,
            BASE64_STANDARD.encode([0; MAX_WRAPPED + 1])
        );
        let long_version = format!(r#"{{"ciphertext":"AQID","key_version":"{}"}}"#, "v".repeat(513));
        for (answer, reason) in [
            ("", "it is empty"),
            ("null", "not a JSON object"),
            ("[]", "not a JSON object"),
            (r#"{"ciphertext":"AQID""#, "ends too early"),
            (r#"{"ciphertext":"AQID"} x"#, "not JSON"),
            (r#"{}"#, "a member is missing"),
            (r#"{"ciphertext":3}"#, "another type"),
            (r#"{"ciphertext":"AQID","ciphertext":"AQID"}"#, "twice"),
            (r#"{"ciphertext":"AQI"}"#, "not base64"),
            (r#"{"ciphertext":"AQIDBB=="}"#, "not base64"),
            (r#"{"ciphertext":"AQ ID"}"#, "not base64"),
            (r#"{"ciphertext":""}"#, "empty"),
            (&too_long, "more than 16384 bytes"),
            (&long_version, "printable"),
            (r#"{"ciphertext":"AQID","key_version":"a\nb"}"#, "printable"),
            (r#"{"ciphertext":"AQID","key_version":"ä"}"#, "printable"),
            (
                r#"{"ciphertext":"AKenp6enp6enp6enp6enp6enp6enp6enp6enp6enp6en"}"#,
                "in clear",
            ),
        ] {
            let error = wrap_answer(answer.as_bytes(), &key()).unwrap_err();
            assert!(error.contains(reason), "{answer}: {error}");
        }
        for (answer, reason) in [
            (r#"{"plaintext":"p6c="}"#, "not 32 bytes"),
            (
                r#"{"plaintext":"p6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6c="}"#,
                "not 32 bytes",
            ),
            (
                r#"{"plaintext":"p6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6d="}"#,
                "not 32 bytes",
            ),
            (
                r#"{"plaintext":"p6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp\/c="}"#,
                "backslash",
            ),
            (
                r#"{"plaintext":["p6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6c="]}"#,
                "another type",
            ),
        ] {
            let error = unwrap_answer(answer.as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{answer}: {error}");
            assert!(!error.contains("p6"), "{error}");
        }
        assert!(rotate_answer(b"3").is_err() && rotate_answer(b"{}{}").is_err());
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(answer in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (wrap_answer(&answer, &key()), unwrap_answer(&answer), rotate_answer(&answer));
        }

        #[test]
        fn what_is_wrapped_comes_back_whole(bytes in proptest::collection::vec(any::<u8>(), 1..500), key_version in "[ -~]{0,512}") {
            let wrapped = Wrapped { bytes, key_version };
            let request = unwrap_request(&wrapped, KEYSTORE);
            prop_assert_eq!(wrap_answer(request.expose(), &key()).unwrap(), wrapped);
        }
    }
}
