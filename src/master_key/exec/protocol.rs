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
//! Texts that hold a key are made and read in memory that is wiped; nothing of an answer is ever in
//! an error.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::master_key::Wrapped;
use crate::secret::{KEYSTORE_KEY_LENGTH, KeystoreKey, SecretBytes};
use crate::service::body::{SecretBase64, with_secret};

pub(super) const ANSWER_LIMIT: usize = 64 * 1024;

pub(super) fn wrap_request(key: &KeystoreKey, keystore: &str) -> SecretBytes {
    let keystore = quoted(keystore);
    let start = format!(r#"{{"version":1,"operation":"wrap","keystore":{keystore},"plaintext":""#);
    with_secret(&start, key.expose(), "\"}\n")
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

/// The ciphertext and the version of the master key in the answer to a request to wrap; an error
/// says what is wrong with it, without its text.
pub(super) fn wrap_answer(answer: &[u8]) -> Result<(Vec<u8>, String), String> {
    let answer: WrapAnswer<'_> = parsed(answer)?;
    let bytes = BASE64_STANDARD
        .decode(&*answer.ciphertext)
        .map_err(|_| "its ciphertext is not base64 with padding (RFC 4648, 4)")?;
    Ok((bytes, answer.key_version.into_owned()))
}

#[derive(Deserialize)]
struct UnwrapAnswer {
    plaintext: SecretBase64,
}

/// Reads the answer to a request to unwrap; an error says what is wrong with it, without its text.
pub(super) fn unwrap_answer(answer: &[u8]) -> Result<KeystoreKey, String> {
    // An escaped text would have to be copied, and the parser's copies are not wiped.
    if answer.contains(&b'\\') {
        return Err("there is a backslash in it; base64 needs no escapes, not even of /".into());
    }
    let UnwrapAnswer { plaintext } = parsed(answer)?;
    KeystoreKey::new(plaintext.0.expose())
        .ok_or_else(|| format!("its plaintext is not {KEYSTORE_KEY_LENGTH} bytes in base64 with padding"))
}

pub(super) fn rotate_answer(answer: &[u8]) -> Result<(), String> {
    parsed::<IgnoredAny>(answer).map(drop)
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
            Category::Data => "a member is missing, is there twice, has another type or is not base64",
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
    fn answers_are_read() {
        let answer = br#" {"key_version":"3","ciphertext":"AQID\/w==","more":[1]}
"#;
        assert_eq!(wrap_answer(answer).unwrap(), (vec![1, 2, 3, 255], "3".into()));
        let without_version = br#"{"ciphertext":"AQID"}"#;
        assert_eq!(
            wrap_answer(without_version).unwrap(),
            (vec![1, 2, 3], String::new())
        );
        let answer = br#"{"plaintext":"p6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6c="}"#;
        assert_eq!(unwrap_answer(answer).unwrap().expose(), &[0xA7; 32]);
        rotate_answer(b"{}\n").unwrap();
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_said() {
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
        ] {
            let error = wrap_answer(answer.as_bytes()).unwrap_err();
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
                "not base64",
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
            let _ = (wrap_answer(&answer), unwrap_answer(&answer), rotate_answer(&answer));
        }

        #[test]
        fn what_is_wrapped_comes_back_whole(bytes in proptest::collection::vec(any::<u8>(), 1..500), key_version in "[ -~]{0,512}") {
            let wrapped = Wrapped { bytes, key_version };
            let request = unwrap_request(&wrapped, KEYSTORE);
            prop_assert_eq!(wrap_answer(request.expose()).unwrap(), (wrapped.bytes, wrapped.key_version));
        }
    }
}
