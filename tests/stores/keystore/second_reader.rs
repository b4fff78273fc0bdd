//! The format as `docs/keystore-format.md` has it: its example, and a second reader that was written from it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use keyroll::crypto::wrap::derive;
use keyroll::keys::{KeySpec, NewVersions};
use keyroll::master_key::MasterKey;
use keyroll::secret::SecretBytes;
use keyroll::store::keystore::derived_keys::DerivedKeys;
use keyroll::store::keystore::format::{Document, SignedText};
use keyroll::store::keystore::{KeystoreConfig, KeystoreFile};
use keyroll::store::{KeyStore, Rotate};
use openssl::symm::{Cipher, encrypt_aead};

use super::support::{Handle, Keys, Place, TestMasterKey, options, plain_keys};

pub(super) const EXAMPLE: &str = include_str!("vectors/keystore");
const DOCUMENT: &str = include_str!("../../../docs/keystore-format.md");
const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
pub(super) const KEYSTORE_KEY: &str = "2b420b53612420dd57d6dd3a4021c67a86ef2b174543efe75a48dc960d57bbc7";

pub(super) fn unhex<const N: usize>(digits: &str) -> [u8; N] {
    hex::decode(digits).unwrap().try_into().unwrap()
}

/// The hexadecimal digits beside a name in the document's table of secrets.
fn secret(name: &str) -> String {
    let (_, table) = DOCUMENT.split_once("| secret | hexadecimal |").unwrap();
    let row = table
        .lines()
        .find(|line| line.starts_with(&format!("| {name}")))
        .expect(name);
    let (_, digits) = row.split_once("| `").unwrap();
    digits.trim_end_matches("` |").to_owned()
}

pub(super) fn second_reader(files: &[&Path], keystore_key: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/keystore/vectors/read_keystore.py");
    Command::new("python3")
        .arg("-B")
        .arg(script)
        .args(files)
        .arg(keystore_key)
        .output()
        .unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn as_printed(keys: &Keys) -> Vec<String> {
    keys.iter()
        .map(|((id, version), (bytes, algorithm))| {
            format!(
                "{id};{version};{};{}",
                algorithm.unwrap().name(),
                hex::encode(bytes)
            )
        })
        .collect()
}

#[test]
fn the_example_opens_with_its_master_key_to_the_keys_that_the_document_names() {
    assert!(DOCUMENT.contains(EXAMPLE), "the document shows the file");
    let directory = tempfile::tempdir().unwrap();
    let (path, master) = (directory.path().join("keystore"), directory.path().join("master"));
    fs::write(&path, EXAMPLE).unwrap();
    fs::write(&master, format!("1;{MASTER_KEY}\n")).unwrap();
    fs::set_permissions(&master, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(secret("master key, version 1"), MASTER_KEY);
    let options = options();
    let store = KeystoreFile::new(KeystoreConfig {
        path: path.clone(),
        master_key: format!("file:{}", master.display()),
        options,
        strict_permissions: false,
    })
    .unwrap();
    let keys = store.load().unwrap().keys;
    assert_eq!(keys.len(), 3);
    for (name, key) in keys.iter() {
        let named = format!("data key {}, version {}", name.id, name.version);
        assert_eq!(hex::encode(key.expose()), secret(&named));
    }
    assert_eq!(Document::read(&path).unwrap().generation, 2);
}

#[test]
fn the_example_is_what_openssl_and_the_document_make_of_its_secrets() {
    let document = Document::parse(EXAMPLE.as_bytes()).unwrap();
    let keystore_key: [u8; 32] = unhex(KEYSTORE_KEY);
    assert_eq!(secret("keystore key"), KEYSTORE_KEY);
    let derived =
        |info: &str| -> [u8; 32] { *derive(&keystore_key, document.uuid.as_bytes(), info.as_bytes()) };
    let wrapping_key = derived("keyroll keystore v1 wrapping key");
    assert_eq!(hex::encode(wrapping_key), secret("wrapping key"));
    assert_eq!(
        hex::encode(derived("keyroll keystore v1 mac key")),
        secret("MAC key")
    );
    let keys = DerivedKeys::new(&keystore_key, &document.uuid);
    assert_eq!(hex::encode(keys.check()), secret("key check"));
    assert!(keys.is_checked_by(&document.master_key.key_check));
    let text = SignedText::parse(SecretBytes::new(EXAMPLE.into())).unwrap();
    assert!(text.is_signed_by(&keys));
    let mut again = document.clone();
    again.generation -= 1;
    assert_eq!(
        again.sign(&keys),
        EXAMPLE.as_bytes(),
        "there is one way to write it"
    );
    for record in &document.keys {
        let aad = format!(
            "{} {} {} {} {} {}",
            document.uuid,
            record.name.id,
            record.name.version,
            record.spec.algorithm.name(),
            record.spec.bits,
            record.created,
        );
        if (record.name.id, record.name.version) == (1, 1) {
            assert!(DOCUMENT.contains(&format!("```\n{aad}\n```")), "{aad}");
        }
        let opened = keys.open(record).unwrap();
        let mut tag = [0; 16];
        let nonce = Some(&record.sealed.nonce[..]);
        let mut sealed = encrypt_aead(
            Cipher::aes_256_gcm(),
            &wrapping_key,
            nonce,
            aad.as_bytes(),
            opened.expose(),
            &mut tag,
        )
        .unwrap();
        sealed.extend_from_slice(&tag);
        assert_eq!(sealed, record.sealed.ciphertext);
    }
}

#[test]
fn a_second_reader_opens_the_example_as_the_document_shows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/keystore/vectors/keystore");
    let output = printed(&second_reader(&[&path], KEYSTORE_KEY));
    assert!(
        DOCUMENT.contains(&format!("{KEYSTORE_KEY}\n{output}```")),
        "{output}"
    );
    let refused = second_reader(&[&path], &"00".repeat(32));
    assert_eq!(
        String::from_utf8_lossy(&refused.stderr),
        "refused: the keystore key is another one\n"
    );
}

#[test]
fn a_second_reader_opens_what_has_been_through_every_kind_of_write() {
    let place = Place::new();
    let store = place.store();
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    store.create_key(u32::MAX, KeySpec::DEFAULT, None).unwrap();
    store.rotate_master_key(None).unwrap();
    let other = TestMasterKey::new("other");
    let keys = plain_keys(&store.move_to(&Handle(other.clone()), None).unwrap().keys);

    let document = Document::parse(place.text().as_bytes()).unwrap();
    let key = Handle(other)
        .unwrap(&document.master_key.wrapped, &document.uuid.to_string())
        .unwrap();
    let output = printed(&second_reader(&[&place.path], &hex::encode(key.expose())));
    let mut lines: Vec<&str> = output.lines().collect();
    lines.sort_unstable();
    let mut wanted = as_printed(&keys);
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
}

#[test]
fn sha256sum_tells_the_checksum() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/keystore/vectors/keystore");
    let shown = "head -n -1 tests/stores/keystore/vectors/keystore | sha256sum";
    assert!(DOCUMENT.contains(shown), "the document shows the command");
    let output = Command::new("sh")
        .args(["-c", "head -n -1 \"$0\" | sha256sum"])
        .arg(example)
        .output()
        .unwrap();
    let digest = printed(&output).split_once(' ').unwrap().0.to_owned();
    assert!(EXAMPLE.ends_with(&format!("\nchecksum {digest}\n")));
}
