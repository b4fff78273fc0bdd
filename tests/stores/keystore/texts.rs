//! `vectors/texts.json`: what a reader of keystores must read, and what it must refuse; keyroll's and the second one.
//!
//! Each makes a text of the example's (`vectors/keystore`): `find`, which stands there as said, becomes `replace` (or the bytes
//! `replace_hex`). `kind` is what is done then:
//!
//! ```text
//! signed        the change is before the MAC, and MAC and checksum are made anew
//! checksummed   the checksum is made anew
//! raw           nothing: the text is as it is
//! appended      nothing is replaced, but `replace` stands behind the text
//! cut           nothing is replaced, but the last byte is missing
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use keyroll::crypto::wrap::sha256;
use keyroll::secret::SecretBytes;
use keyroll::store::keystore::derived_keys::DerivedKeys;
use keyroll::store::keystore::format::{Document, SignedText};
use serde::Deserialize;

use super::second_reader::{EXAMPLE, KEYSTORE_KEY, second_reader, unhex};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    what: String,
    kind: String,
    find: String,
    replace: Option<String>,
    replace_hex: Option<String>,
    reads: bool,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("vectors/texts.json")).unwrap()
}

fn keys() -> DerivedKeys {
    let document = Document::parse(EXAMPLE.as_bytes()).unwrap();
    DerivedKeys::new(&unhex(KEYSTORE_KEY), &document.uuid)
}

/// The index of the last line but `n`.
fn last_line(text: &str, n: usize) -> usize {
    text.lines()
        .rev()
        .take(n + 1)
        .fold(text.len(), |at, line| at - line.len() - 1)
}

fn push_digest(text: &mut Vec<u8>, label: &str, digest: [u8; 32]) {
    text.extend(format!("{label} {}\n", hex::encode(digest)).into_bytes());
}

impl Vector {
    fn text(&self) -> Vec<u8> {
        let replace = match (&self.replace, &self.replace_hex) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(digits)) => hex::decode(digits).unwrap(),
            _ => panic!("{}", self.what),
        };
        let part = match self.kind.as_str() {
            "signed" => &EXAMPLE[..last_line(EXAMPLE, 1)],
            "checksummed" => &EXAMPLE[..last_line(EXAMPLE, 0)],
            "raw" => EXAMPLE,
            "appended" => return [EXAMPLE.as_bytes(), &replace].concat(),
            "cut" => return EXAMPLE.as_bytes()[..EXAMPLE.len() - 1].to_vec(),
            kind => panic!("{kind}"),
        };
        let (before, after) = part.split_once(&self.find).expect(&self.what);
        let mut text = [before.as_bytes(), &replace, after.as_bytes()].concat();
        assert_eq!(text == part.as_bytes(), self.find.is_empty(), "{}", self.what);
        if self.kind == "signed" {
            let mac = keys().mac().sign(&text);
            push_digest(&mut text, "mac", mac);
        }
        if self.kind != "raw" {
            let checksum = sha256(&text);
            push_digest(&mut text, "checksum", checksum);
        }
        text
    }
}

fn reads(text: &[u8]) -> bool {
    let Ok(text) = SignedText::parse(SecretBytes::new(text.to_vec())) else {
        return false;
    };
    let document = &text.document;
    let keys = DerivedKeys::new(&unhex(KEYSTORE_KEY), &document.uuid);
    keys.is_checked_by(&document.master_key.key_check)
        && text.is_signed_by(&keys)
        && document.keys.iter().all(|record| keys.open(record).is_some())
}

#[test]
fn keyroll_reads_and_refuses_each_text_as_the_vectors_say() {
    let vectors = vectors();
    let read = vectors.iter().filter(|vector| vector.reads).count();
    assert!(
        read > 30 && vectors.len() - read > 150,
        "{read} of {}",
        vectors.len()
    );
    let names: BTreeSet<&str> = vectors.iter().map(|vector| vector.what.as_str()).collect();
    assert_eq!(names.len(), vectors.len(), "each has a name of its own");
    let wrong: Vec<&str> = vectors
        .iter()
        .filter(|vector| reads(&vector.text()) != vector.reads)
        .map(|vector| vector.what.as_str())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_second_reader_agrees_on_each_text() {
    let directory = tempfile::tempdir().unwrap();
    let vectors = vectors();
    let paths: Vec<PathBuf> = (0..vectors.len())
        .map(|number| directory.path().join(number.to_string()))
        .collect();
    for (vector, path) in vectors.iter().zip(&paths) {
        fs::write(path, vector.text()).unwrap();
    }
    let files: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let output = String::from_utf8(second_reader(&files, KEYSTORE_KEY).stdout).unwrap();
    let mut rest = output.as_str();
    let mut wrong = Vec::new();
    for (vector, path) in vectors.iter().zip(&paths) {
        let (said, behind) = rest
            .split_once(&format!("end of {}\n", path.display()))
            .expect(&vector.what);
        rest = behind;
        if said.starts_with("refused: ") == vector.reads {
            wrong.push(format!("{}: {said}", vector.what));
        }
    }
    assert!(rest.is_empty() && wrong.is_empty(), "{rest} {wrong:#?}");
}
