//! What `docs/stores.md` shows and states of a key file is what keyroll reads.

use std::fs;
use std::path::Path;
use std::process::Command;

use keyroll::secret::SecretBytes;
use keyroll::store::KeyStore;
use keyroll::store::key_file::format::KeyText;
use keyroll::store::key_file::{FILE_SIZE_LIMIT, KeyFile};
use openssl::hash::{MessageDigest, hash};
use openssl::symm::{Cipher, decrypt};
use test_support::blocks;
use test_support::documented::rows;

use super::support::{PASSWORD, Place, TEXT, config};

const PAGE: &str = include_str!("../../../docs/stores.md");
const KEY: &str = "00112233445566778899aabbccddeeff";
const OTHER: &str = "ffeeddccbbaa99887766554433221100";

fn parse(text: &[u8]) -> Result<String, String> {
    let parsed =
        KeyText::parse(SecretBytes::new(text.to_vec())).map_err(|error| error.at(Path::new("FILE")))?;
    let names = parsed
        .keys
        .iter()
        .map(|(name, _)| format!("key {} version {}", name.id, name.version));
    Ok(names.collect::<Vec<_>>().join(", "))
}

#[test]
fn the_example_of_a_key_file_is_read_as_it_stands() {
    let (_, section) = PAGE.split_once("\n## Key file\n").unwrap();
    let (_, example) = section.split_once("```\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    assert_eq!(
        parse(example.as_bytes()).unwrap(),
        "key 1 version 1, key 1 version 3, key 2 version 1"
    );
}

#[test]
fn each_text_of_the_table_is_read_or_refused_as_it_says() {
    let mut read = 0;
    let rows = rows("stores.md", "| text of the key file | keyroll |", KEY, OTHER);
    for row in &rows {
        let shown = row.text.escape_ascii();
        if row.says.starts_with("key ") {
            assert_eq!(parse(&row.text).unwrap(), row.says, "{shown}");
            read += 1;
        } else {
            assert_eq!(parse(&row.text).unwrap_err(), row.says, "{shown}");
        }
    }
    assert!(read > 15 && rows.len() - read > 15, "{read} of {}", rows.len());
}

#[test]
fn the_limit_that_the_page_names_is_that_of_the_code() {
    assert_eq!(FILE_SIZE_LIMIT, 33_554_432);
    assert!(PAGE.contains("At most 32 MiB (33,554,432 bytes)"));
}

#[test]
fn an_encrypted_file_opens_with_the_derivation_that_the_page_draws() {
    let file = Place::encrypted().bytes();
    let (salt, ciphertext) = file.strip_prefix(b"Salted__").unwrap().split_at(8);
    let mut derived: Vec<u8> = Vec::new();
    let mut last: Vec<u8> = Vec::new();
    while derived.len() < 48 {
        let input = [&last, PASSWORD.as_bytes(), salt].concat();
        last = hash(MessageDigest::sha1(), &input).unwrap().to_vec();
        derived.extend(&last);
    }
    let text = decrypt(
        Cipher::aes_256_cbc(),
        &derived[..32],
        Some(&derived[32..48]),
        ciphertext,
    )
    .unwrap();
    assert_eq!(text, TEXT.as_bytes());
}

#[test]
fn the_two_commands_that_encrypt_a_key_file_anew_do_so_and_keep_a_copy() {
    let commands: Vec<&str> = blocks(PAGE, "sh")
        .into_iter()
        .filter(|block| block.contains("openssl enc -d"))
        .collect();
    assert_eq!(commands.len(), 2);
    for (command, password, digest) in [
        (commands[0], format!("{PASSWORD}\n"), "md5"),
        (commands[1], format!("{PASSWORD}\r\n"), "sha1"),
    ] {
        let place = Place::plain();
        let file = |name: &str| place.directory.path().join(name);
        fs::write(file("password"), password).unwrap();
        fs::rename(&place.path, file("plain")).unwrap();
        let shell = |command: &str| {
            let words = [("KEYS", "keys"), ("PASSWORD", "password")];
            let command = words.iter().fold(command.to_owned(), |command, (word, name)| {
                command.replace(word, name)
            });
            let ran = Command::new("sh")
                .args(["-c", &command])
                .current_dir(place.directory.path())
                .output()
                .unwrap();
            ran.status.success()
        };
        let made = format!("openssl enc -aes-256-cbc -md {digest} -pass file:PASSWORD -in plain -out KEYS");
        assert!(shell(&made));
        let before = place.bytes();
        let setting = format!("FILE:{}", file("password").display());
        let store = KeyFile::new(config(&place.path, &setting)).unwrap();
        let refused = store.load().unwrap_err();
        let is_told = refused.hint().contains("docs/stores.md says how to encrypt the");
        assert!(
            is_told || refused.hint().contains("a wrong filekey"),
            "{}",
            refused.hint()
        );
        assert!(shell(command));
        assert_eq!(store.load().unwrap().keys.len(), 3);
        assert_eq!(fs::read(file("keys.old")).unwrap(), before);
        // A password that does not open it changes nothing.
        let now = place.bytes();
        fs::write(file("password"), "another\n").unwrap();
        let _ = shell(&command.replace("-d -aes", "-d -base64 -aes"));
        assert_eq!(place.bytes(), now);
    }
}
