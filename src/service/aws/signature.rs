//! Signature Version 4: how AWS knows who sends a request, and that nobody has changed it on its
//! way.
//!
//! "Create a signed AWS API request", AWS Identity and Access Management User Guide. The signature
//! is made in four steps:
//!
//! ```text
//! canonical request = METHOD \n path \n query \n header:value\n... \n signed headers \n hex(SHA-256(body))
//! string to sign    = AWS4-HMAC-SHA256 \n 20150830T123600Z \n scope \n hex(SHA-256(canonical request))
//! scope             = 20150830/region/service/aws4_request
//! signing key       = HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), service), "aws4_request")
//! signature         = hex(HMAC(signing key, string to sign))
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::credentials::Credentials;
use crate::clock;
use crate::crypto::wrap::{DIGEST_LENGTH, sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What is signed of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signable<'a> {
    pub(super) method: &'a str,
    /// As it is sent, empty or with its first slash.
    pub(super) path: &'a str,
    /// As it is sent, without the question mark.
    pub(super) query: &'a str,
    /// All headers that are to be signed; `host` must be among them.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

/// The headers to send beside the request's: time, session token and the signature over all.
pub(super) fn sign(
    request: &Signable<'_>,
    region: &str,
    service: &str,
    credentials: &Credentials,
    now: SystemTime,
) -> Vec<(&'static str, Zeroizing<String>)> {
    let time = clock::rfc3339(now).replace(['-', ':'], "");
    let date = time.get(..8).unwrap_or(&time);
    let mut added = vec![("x-amz-date", Zeroizing::new(time.clone()))];
    if let Some(token) = &credentials.session_token {
        added.push(("x-amz-security-token", token.clone()));
    }
    let all = request
        .headers
        .iter()
        .copied()
        .chain(added.iter().map(|(name, value)| (*name, value.as_str())));
    let (canonical, signed_headers) = canonical_request(request, all);
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let digest = hex::encode(sha256(canonical.as_bytes()));
    let string_to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{digest}");
    let key = signing_key(&credentials.secret_access_key, date, region, service);
    let signature = hex::encode(mac(&*key, string_to_sign.as_bytes()).as_slice());
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed_headers}, Signature={signature}",
        credentials.access_key_id
    );
    added.push(("authorization", Zeroizing::new(authorization)));
    added
}

/// The canonical request, which may hold the session token, and the names of the signed headers.
fn canonical_request<'a>(
    request: &Signable<'_>,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
) -> (Zeroizing<String>, String) {
    let mut by_name: BTreeMap<String, Zeroizing<String>> = BTreeMap::new();
    let mut length = 0;
    for (name, value) in headers {
        length += name.len() + value.len() + 2;
        let values = by_name.entry(name.to_ascii_lowercase()).or_default();
        let separator = if values.is_empty() { "" } else { "," };
        *values = Zeroizing::new([values.as_str(), separator, &trimmed(value)].concat());
    }
    let path = canonical_path(request.path);
    let query = canonical_query(request.query);
    let names: Vec<&str> = by_name.keys().map(String::as_str).collect();
    let signed_headers = names.join(";");
    // All the room at once: a text that grows leaves an unwiped copy of the token behind.
    let room = request.method.len() + path.len() + query.len() + length + signed_headers.len();
    let mut canonical = Zeroizing::new(String::with_capacity(room + 2 * DIGEST_LENGTH + 8));
    for part in [request.method, "\n", &path, "\n", &query, "\n"] {
        canonical.push_str(part);
    }
    for (name, value) in &by_name {
        for part in [name, ":", value.as_str(), "\n"] {
            canonical.push_str(part);
        }
    }
    let digest = hex::encode(sha256(request.body));
    for part in ["\n", &signed_headers, "\n", &digest] {
        canonical.push_str(part);
    }
    (canonical, signed_headers)
}

/// Without white space at its ends, and with one space where there are more.
fn trimmed(value: &str) -> Zeroizing<String> {
    let mut trimmed = Zeroizing::new(String::with_capacity(value.len()));
    for word in value.split_ascii_whitespace() {
        if !trimmed.is_empty() {
            trimmed.push(' ');
        }
        trimmed.push_str(word);
    }
    trimmed
}

/// Without `.`, `..` and empty segments (RFC 3986, 6.2.2.3), and encoded once more.
fn canonical_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => (),
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    let mut canonical = String::with_capacity(path.len() + 1);
    for segment in &segments {
        canonical.push('/');
        push_encoded(&mut canonical, segment.as_bytes());
    }
    // A directory stays one.
    if segments.is_empty() || ["/", "/.", "/.."].iter().any(|end| path.ends_with(end)) {
        canonical.push('/');
    }
    canonical
}

/// Sorted by encoded name, then by encoded value; a name without a value has an empty one.
fn canonical_query(query: &str) -> String {
    let mut parameters: Vec<(String, String)> = query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            (reencoded(name), reencoded(value))
        })
        .collect();
    parameters.sort();
    let parameters: Vec<String> = parameters.iter().map(|(n, v)| format!("{n}={v}")).collect();
    parameters.join("&")
}

/// With `%XX` for each byte but the unreserved ones of RFC 3986, whatever was encoded before.
fn reencoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%');
        let byte = digits.and_then(|digits| hex::decode(digits).ok());
        match byte.as_deref() {
            Some(&[byte]) => {
                push_encoded(&mut encoded, &[byte]);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                push_encoded(&mut encoded, &[first]);
                rest = after;
            }
        }
    }
    encoded
}

/// Appends the bytes with `%XX` for each but the unreserved ones of RFC 3986, 2.3.
pub(super) fn push_encoded(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            // Writing to a String does not fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
}

fn signing_key(secret: &str, date: &str, region: &str, service: &str) -> Zeroizing<[u8; DIGEST_LENGTH]> {
    let start = Zeroizing::new(["AWS4", secret].concat());
    let mut key = mac(start.as_bytes(), date.as_bytes());
    for part in [region, service, "aws4_request"] {
        key = mac(&*key, part.as_bytes());
    }
    key
}

fn mac(key: &[u8], message: &[u8]) -> Zeroizing<[u8; DIGEST_LENGTH]> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104, 2)")]
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    Zeroizing::new(mac.chain_update(message).finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        method: String,
        path: String,
        query: String,
        headers: Vec<(String, String)>,
        body: String,
        token: Option<String>,
        authorization: String,
    }

    /// 2015-08-30T12:36:00Z.
    const THEN: Duration = Duration::from_secs(1_440_938_160);

    fn signed(vector: &Vector) -> Vec<(&'static str, Zeroizing<String>)> {
        let headers: Vec<(&str, &str)> = vector.headers.iter().map(|(n, v)| (&**n, &**v)).collect();
        let request = Signable {
            method: &vector.method,
            path: &vector.path,
            query: &vector.query,
            headers: &headers,
            body: vector.body.as_bytes(),
        };
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into()),
            session_token: vector.token.clone().map(Zeroizing::new),
            expires: None,
        };
        sign(&request, "us-east-1", "service", &credentials, UNIX_EPOCH + THEN)
    }

    /// 30 of the 38 cases of AWS's published test suite, and three more.
    /// tests/services/aws/signature_vectors.py says where they are from, compares them with the
    /// suite, and names the eight others: S3's paths, and a token that is not signed.
    #[test]
    fn signatures_are_those_of_the_published_test_suite() {
        let Vectors { vectors } = serde_json::from_str(include_str!("signature_vectors.json")).unwrap();
        assert_eq!(vectors.len(), 33);
        for vector in vectors {
            let added = signed(&vector);
            let value = |name| added.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
            assert_eq!(
                value("authorization"),
                Some(&*vector.authorization),
                "{}",
                vector.name
            );
            assert_eq!(value("x-amz-date"), Some("20150830T123600Z"));
            assert_eq!(value("x-amz-security-token"), vector.token.as_deref());
        }
    }

    /// The published suite's simplest case, by its own words.
    #[test]
    fn the_vectors_are_of_the_published_test_suite() {
        let file = include_str!("signature_vectors.json");
        assert!(file.contains("5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"));
    }

    /// "Deriving the signing key", AWS General Reference.
    #[test]
    fn the_signing_key_is_the_documented_one() {
        let key = signing_key(
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "20120215",
            "us-east-1",
            "iam",
        );
        assert_eq!(
            hex::encode(key.as_slice()),
            "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"
        );
    }
}
