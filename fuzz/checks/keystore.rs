//! What must hold for any bytes given as a keystore. Used by the fuzz target and, over the seed corpus, by `cargo test`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyroll::crypto::wrap::sha256;
use keyroll::store::keystore::canonical;
use keyroll::store::keystore::format::{Document, FormatError};
use keyroll::store::keystore::json::{self, JsonError, Value};
use keyroll::store::keystore::keys::Keys;

/// Reads the bytes as they are, then with a checksum that is right: mutations would seldom get past it otherwise.
pub(crate) fn check(bytes: &[u8]) {
    match Document::parse(bytes) {
        Ok(document) => check_document(&document),
        Err(FormatError::Json(error)) => check_place(bytes, &error),
        Err(_) => {}
    }
    let Ok(mut object) = json::parse(bytes) else {
        return;
    };
    let form = canonical::bytes(&object);
    assert_eq!(
        json::parse(&form).map(|again| canonical::bytes(&again)).as_ref(),
        Ok(&form)
    );

    let checksum = sha256(&canonical::bytes_without(&object, &["checksum"]));
    object.set("checksum", Value::Text(STANDARD.encode(checksum)));
    let mut text = canonical::bytes(&object);
    text.push(b'\n');
    match Document::parse(&text) {
        Ok(document) => check_document(&document),
        Err(error) => assert!(
            !matches!(
                error,
                FormatError::Damaged | FormatError::Truncated | FormatError::Json(_)
            ),
            "{error}"
        ),
    }
}

/// A document comes back as it was written, and no key opens what it did not sign.
fn check_document(document: &Document) {
    let text = document.render();
    assert_eq!(Document::parse(&text).as_ref(), Ok(document));
    let keys = Keys::new(&[0x5A; 32], document.uuid());
    assert!(!document.is_signed_by(&keys));
    assert!(document.keys().iter().all(|record| keys.open(record).is_none()));
    if document.generation() < keyroll::store::keystore::format::LAST_GENERATION {
        let mut signed = document.clone();
        signed.sign(&keys);
        let again = Document::parse(&signed.render()).expect("what was signed is whole");
        assert!(again.is_signed_by(&keys));
        assert_eq!(again.keys(), document.keys());
        assert_eq!(again.generation(), document.generation() + 1);
    }
}

fn check_place(bytes: &[u8], error: &JsonError) {
    let lines = bytes.split(|&byte| byte == b'\n').count();
    assert!(
        (1..=lines).contains(&error.line) && error.column >= 1,
        "{error:?}"
    );
}
