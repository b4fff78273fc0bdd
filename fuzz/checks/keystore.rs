//! What must hold for any bytes given as a keystore. Used by the fuzz target and, over the seed corpus, by `cargo test`.

use keyroll::crypto::wrap::sha256;
use keyroll::secret::SecretBytes;
use keyroll::store::keystore::derived_keys::DerivedKeys;
use keyroll::store::keystore::format::{Document, FormatError, SignedText, is_keystore};
use keyroll::store::keystore::records::LAST_GENERATION;

/// Reads the bytes as they are, then with a checksum that is right, then with a MAC as well: mutations would
/// seldom get past them otherwise.
pub(crate) fn check(bytes: &[u8]) {
    check_text(bytes);
    let checked = before(bytes, b"\nchecksum ");
    let signed = before(checked, b"\nmac ");
    for text in [checked.to_vec(), with_digest(signed, "mac")] {
        let error = check_text(&with_digest(&text, "checksum"));
        assert_ne!(error, Some(FormatError::Damaged));
    }
}

/// What stands before the last line that begins so.
fn before<'t>(bytes: &'t [u8], line: &[u8]) -> &'t [u8] {
    let at = bytes.windows(line.len()).rposition(|window| window == line);
    at.map_or(bytes, |at| &bytes[..=at])
}

fn with_digest(text: &[u8], label: &str) -> Vec<u8> {
    let line = format!("{label} {}\n", hex::encode(sha256(text)));
    [text, line.as_bytes()].concat()
}

fn check_text(bytes: &[u8]) -> Option<FormatError> {
    match Document::parse(bytes) {
        Ok(document) => {
            assert!(is_keystore(bytes));
            check_document(bytes, &document);
            None
        }
        Err(error) => {
            check_error(bytes, &error);
            Some(error)
        }
    }
}

/// No key opens what it did not sign, and what it signs it opens.
fn check_document(bytes: &[u8], document: &Document) {
    let keys = DerivedKeys::new(&[0x5A; 32], &document.uuid);
    let text = SignedText::parse(SecretBytes::new(bytes.to_vec())).expect("it was read before");
    assert_eq!(&text.document, document);
    assert!(!text.is_signed_by(&keys));
    assert!(document.keys.iter().all(|record| keys.open(record).is_none()));
    if document.generation < LAST_GENERATION {
        let mut signed = document.clone();
        let text = SignedText::parse(SecretBytes::new(signed.sign(&keys))).expect("what was signed is whole");
        assert!(text.is_signed_by(&keys));
        assert_eq!(&text.document, &signed);
        assert_eq!(signed.generation, document.generation + 1);
    }
}

/// What is said of a text is one short line, and names a line that there is.
fn check_error(bytes: &[u8], error: &FormatError) {
    let said = error.to_string();
    assert!(
        said.chars().count() < 300 && !said.chars().any(char::is_control),
        "{said}"
    );
    if let FormatError::Line { line, .. } = error {
        let lines = bytes.split(|&byte| byte == b'\n').count();
        assert!((1..=lines).contains(line), "{error:?}");
    }
}
