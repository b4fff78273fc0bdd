//! Password-based encryption against the command that administrators encrypt key files with: `openssl enc`.

use std::io::Write;
use std::process::{Command, Stdio};

use keyroll::crypto::CipherError;
use keyroll::crypto::password::{Digest, derive_key_and_iv};
use keyroll::secret::SecretBytes;

const MAGIC: &[u8] = b"Salted__";
const ROUNDS: [u32; 4] = [0, 1, 2, 1000];
const PLAINTEXTS: [usize; 7] = [0, 1, 15, 16, 17, 100, 5000];

/// Runs `openssl enc`; rounds of 0 are without PBKDF2. `None` if it refuses.
fn openssl_enc(way: &str, password: &str, digest: Digest, rounds: u32, input: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::new("openssl");
    command.args(["enc", way, "-aes-256-cbc", "-md", digest.name(), "-k", password]);
    if rounds > 0 {
        command.args(["-pbkdf2", "-iter", &rounds.to_string()]);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the openssl command is installed");
    // It may refuse before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    output.status.success().then_some(output.stdout)
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|i| b"1;0123456789ABCDEF\n"[i % 19]).collect()
}

fn each_case(check: impl Fn(Digest, u32, &[u8])) {
    for digest in Digest::ALL {
        for rounds in ROUNDS {
            for length in PLAINTEXTS {
                check(digest, rounds, &text(length));
            }
        }
    }
}

#[test]
fn what_openssl_enc_encrypts_is_decrypted_for_every_digest_with_and_without_pbkdf2() {
    each_case(|digest, rounds, plaintext| {
        let file = openssl_enc("-e", "a secret", digest, rounds, plaintext).unwrap();
        let (magic, rest) = file.split_at(8);
        assert_eq!(magic, MAGIC);
        let (salt, ciphertext) = rest.split_first_chunk().unwrap();
        let decrypted = derive_key_and_iv(b"a secret", salt, digest, rounds)
            .decrypt(ciphertext)
            .unwrap();
        assert_eq!(decrypted.expose(), plaintext, "{} {rounds}", digest.name());
    });
}

#[test]
fn what_is_encrypted_here_openssl_enc_decrypts_for_every_digest_with_and_without_pbkdf2() {
    each_case(|digest, rounds, plaintext| {
        let salt = [1, 2, 3, 4, 5, 6, 7, 0xFF];
        let derived = derive_key_and_iv(b"a secret", &salt, digest, rounds);
        let ciphertext = derived.encrypt(&SecretBytes::new(plaintext.to_vec())).unwrap();
        let file = [MAGIC, &salt, &ciphertext].concat();
        let decrypted = openssl_enc("-d", "a secret", digest, rounds, &file).unwrap();
        assert_eq!(decrypted, plaintext, "{} {rounds}", digest.name());
    });
}

#[test]
fn passwords_of_256_bytes_and_of_one_work_as_with_openssl_enc() {
    // 256 bytes are longer than any digest's block, where HMAC hashes its key first.
    for password in [
        "x".to_owned(),
        "0123456789abcdef".repeat(16),
        "pässwört ☃".to_owned(),
    ] {
        for digest in Digest::ALL {
            for rounds in [0, 3] {
                let file = openssl_enc("-e", &password, digest, rounds, b"1;00").unwrap();
                let (salt, ciphertext) = file[8..].split_first_chunk().unwrap();
                let derived = derive_key_and_iv(password.as_bytes(), salt, digest, rounds);
                assert_eq!(derived.decrypt(ciphertext).unwrap().expose(), b"1;00");
            }
        }
    }
}

#[test]
fn another_password_salt_digest_or_number_of_rounds_does_not_yield_the_plaintext() {
    let plaintext = text(100);
    let right = derive_key_and_iv(b"a secret", b"saltsalt", Digest::Sha256, 2);
    let ciphertext = right.encrypt(&SecretBytes::new(plaintext.clone())).unwrap();
    for wrong in [
        derive_key_and_iv(b"a secreT", b"saltsalt", Digest::Sha256, 2),
        derive_key_and_iv(b"a secret", b"saltsalT", Digest::Sha256, 2),
        derive_key_and_iv(b"a secret", b"saltsalt", Digest::Sha512, 2),
        derive_key_and_iv(b"a secret", b"saltsalt", Digest::Sha256, 3),
        derive_key_and_iv(b"a secret", b"saltsalt", Digest::Sha256, 0),
        derive_key_and_iv(b"", b"saltsalt", Digest::Sha256, 2),
    ] {
        assert_eq!(wrong.decrypt(&ciphertext).unwrap_err(), CipherError::BadData);
    }
    assert_eq!(right.decrypt(&ciphertext).unwrap().expose(), plaintext);
}

#[test]
fn ciphertext_that_is_empty_or_cut_is_refused() {
    let derived = derive_key_and_iv(b"a secret", b"saltsalt", Digest::Sha1, 0);
    let ciphertext = derived.encrypt(&SecretBytes::new(text(100))).unwrap();
    for length in 0..ciphertext.len() {
        let cut = derived.decrypt(&ciphertext[..length]);
        assert_eq!(cut.unwrap_err(), CipherError::BadData, "{length}");
    }
}

#[test]
fn a_digest_is_found_by_its_exact_name_only() {
    for digest in Digest::ALL {
        assert_eq!(Digest::from_name(digest.name()), Some(digest));
    }
    for wrong in ["", "SHA1", "sha", "sha-256", "md5", "sha512 "] {
        assert_eq!(Digest::from_name(wrong), None, "{wrong:?}");
    }
}

#[test]
fn a_derived_key_is_not_shown_in_debug_output() {
    let derived = derive_key_and_iv(b"a secret", b"saltsalt", Digest::Sha1, 0);
    assert_eq!(format!("{derived:?}"), "Derived(redacted)");
}
