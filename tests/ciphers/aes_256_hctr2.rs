//! aes_256_hctr2 against vectors that a script made without keyroll's code.

use keyroll::crypto::{Algorithm, CipherError, Direction, Level, Padding, RingId};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Deserialize;

use super::vectors::{Case, Defect, RejectStart, check_refused, check_refused_starts, plaintext, run};

const HCTR2: Algorithm = Algorithm::Aes256Hctr2;

/// `tests/ciphers/vectors/aes_256_hctr2.json`, made by `tests/ciphers/vectors/make_aes_256_hctr2.py`.
#[derive(Deserialize)]
struct Vectors {
    accept: Vec<Accept>,
    decrypt_to_something_else: Vec<Defect>,
    reject_ciphertext: Vec<Defect>,
    reject_start: Vec<RejectStart>,
}

/// How a message is handed over.
#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Whole,
    Streamed,
    Padded,
}

#[derive(Deserialize)]
struct Accept {
    #[serde(flatten)]
    case: Case,
    kind: Kind,
    length: usize,
    ciphertext: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors/aes_256_hctr2.json")).unwrap()
}

/// A case with a salt of this length.
fn case(salt_length: usize) -> Case {
    Case {
        key_id: 3,
        key_version: 5,
        data_key: vec![0xDA; 32],
        salt: vec![0x5A; salt_length],
        iv: vec![0x1F; 16],
    }
}

#[test]
fn the_vectors_of_the_script_hold_in_both_directions_at_every_level() {
    let vectors = vectors().accept;
    for kind in [Kind::Whole, Kind::Streamed, Kind::Padded] {
        assert!(vectors.iter().filter(|vector| vector.kind == kind).count() > 20);
    }
    for level in Level::ALL {
        let ring = RingId::new();
        for Accept {
            case,
            kind,
            length,
            ciphertext,
        } in &vectors
        {
            let padding = match kind {
                Kind::Padded => Padding::Padded,
                Kind::Whole | Kind::Streamed => Padding::None,
            };
            let (plaintext, ciphertext) = (plaintext(*length), hex::decode(ciphertext).unwrap());
            let name = format!("{kind:?}, {length} bytes, a salt of {}", case.salt.len());
            for _derived_then_cached in 0..2 {
                let cipher = |direction| case.cipher_in(HCTR2, ring, level, padding, direction).unwrap();
                let encrypted = run(cipher(Direction::Encrypt), [&plaintext[..]]);
                assert!(encrypted.unwrap() == ciphertext, "{name}");
                let decrypted = run(cipher(Direction::Decrypt), [&ciphertext[..]]);
                assert!(decrypted.unwrap() == plaintext, "{name}");
            }
        }
    }
}

#[test]
fn no_block_of_a_whole_message_survives_a_defect() {
    let vectors = vectors().decrypt_to_something_else;
    assert!(vectors.len() >= 10);
    for Defect {
        defect,
        case,
        ciphertext,
    } in vectors
    {
        let decrypted = run(
            case.cipher(HCTR2, Padding::None, Direction::Decrypt).unwrap(),
            [&ciphertext[..]],
        )
        .unwrap();
        let expected = plaintext(ciphertext.len());
        assert!(decrypted.len() >= 99);
        for (block, expected) in decrypted.chunks(16).zip(expected.chunks(16)) {
            // The last one has 3 or 4 bytes.
            assert_ne!(block, expected, "{defect}");
        }
    }
}

#[test]
fn every_defect_of_a_padded_message_is_refused() {
    let vectors = vectors().reject_ciphertext;
    assert!(vectors.len() > 15);
    check_refused(HCTR2, &vectors);
}

#[test]
fn keys_and_ivs_of_wrong_length_are_refused_for_what_they_are() {
    let vectors = vectors().reject_start;
    assert!(vectors.len() > 20);
    check_refused_starts(HCTR2, &vectors);
}

#[test]
fn bytes_behind_a_whole_message_are_refused_and_nothing_is_written() {
    for level in Level::ALL {
        for direction in [Direction::Encrypt, Direction::Decrypt] {
            for more in [1, 16, 17, 300] {
                let new = || {
                    case(16)
                        .cipher_in(HCTR2, RingId::new(), level, Padding::None, direction)
                        .unwrap()
                };
                let mut cipher = new();
                assert_eq!(cipher.update(&[7; 300], &mut [0; 300]), Ok(300));
                assert_eq!(cipher.update(&[], &mut []), Ok(0));
                assert_eq!(cipher.update_length(more), 0);
                let mut out = vec![0xC3; more];
                assert_eq!(cipher.update(&vec![7; more], &mut out), Err(CipherError::BadData));
                assert!(out.iter().all(|byte| *byte == 0xC3));
                assert_eq!(cipher.update_in_place(&mut out), Err(CipherError::BadData));
                assert!(out.iter().all(|byte| *byte == 0xC3));

                let mut cipher = new();
                assert_eq!(
                    cipher.update(&[], &mut []),
                    Ok(0),
                    "an empty update tells nothing"
                );
                assert_eq!(cipher.update(&[7; 300], &mut [0; 300]), Ok(300));
                assert_eq!(cipher.finish(&mut []), Ok(0));
            }
        }
    }
}

/// As the redo log has it: at most 256 bytes of whole blocks to an update, then less than a block.
#[test]
fn the_redo_log_gets_every_whole_block_back_at_once_and_decrypts_in_other_pieces() {
    for length in (0..700).step_by(7) {
        let text = plaintext(length);
        let whole = length / 16 * 16;
        let encrypt = |step: usize| {
            let mut cipher = case(16).cipher(HCTR2, Padding::None, Direction::Encrypt).unwrap();
            let mut out = Vec::new();
            for piece in text[..whole].chunks(step) {
                assert_eq!(cipher.update_length(piece.len()), piece.len());
                out.resize(out.len() + piece.len(), 0);
                let start = out.len() - piece.len();
                assert_eq!(cipher.update(piece, &mut out[start..]), Ok(piece.len()));
            }
            let mut last = [0; 16];
            let now = cipher.update(&text[whole..], &mut last).unwrap();
            let then = cipher.finish(&mut last[now..]).unwrap();
            assert_eq!(now + then, length - whole);
            out.extend(&last[..now + then]);
            out
        };
        let ciphertext = encrypt(256);
        assert_eq!(encrypt(16), ciphertext);
        assert_eq!(encrypt(48), ciphertext);
        let decrypt = case(16).cipher(HCTR2, Padding::None, Direction::Decrypt).unwrap();
        let (blocks, rest) = ciphertext.split_at(whole);
        assert_eq!(run(decrypt, blocks.chunks(32).chain([rest])).unwrap(), text);
    }
}

/// A binary log's event is encrypted in updates of 15 bytes, some more, and 4, and decrypted in one.
/// Its salt is the data key.
#[test]
fn an_event_of_a_binary_log_that_was_encrypted_in_pieces_decrypts_in_one() {
    for length in [19, 24, 36, 270, 300, 1000] {
        let text = plaintext(length);
        let (header, rest) = text.split_at(15);
        let (body, checksum) = rest.split_at(length - 19);
        let encrypt = || case(32).cipher(HCTR2, Padding::None, Direction::Encrypt).unwrap();
        let ciphertext = run(encrypt(), [header, body, checksum]).unwrap();
        let decrypt = case(32).cipher(HCTR2, Padding::None, Direction::Decrypt).unwrap();
        assert_eq!(run(decrypt, [&ciphertext[..]]).unwrap(), text);
        assert_eq!(run(encrypt(), [&text[..]]).unwrap(), ciphertext);
    }
}

proptest! {
    #[test]
    fn a_repeated_iv_shows_no_block_of_two_whole_messages_that_differ_in_a_bit(
        text in vec(any::<u8>(), 257..3000),
        bit in any::<usize>(),
    ) {
        let encrypt = || case(16).cipher(HCTR2, Padding::None, Direction::Encrypt).unwrap();
        let mut other = text.clone();
        let bit = bit % (text.len() * 8);
        other[bit / 8] ^= 1 << (bit % 8);
        let (a, b) = (run(encrypt(), [&text[..]]).unwrap(), run(encrypt(), [&other[..]]).unwrap());
        prop_assert_eq!(run(encrypt(), [&text[..]]).unwrap(), &a[..]);
        let equal = a.chunks_exact(16).zip(b.chunks_exact(16)).filter(|(a, b)| a == b);
        prop_assert_eq!(equal.count(), 0);
    }
}
