//! aes_256_xts against vectors that a script made without keyroll's code, and against OpenSSL.

use keyroll::crypto::{Algorithm, Direction, Level, Padding, RingId};
use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::md::Md;
use openssl::pkey::Id;
use openssl::pkey_ctx::PkeyCtx;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Deserialize;

use super::vectors::{Case, Defect, RejectStart, check_refused, check_refused_starts, plaintext, run};

pub(super) const XTS: Algorithm = Algorithm::Aes256Xts;

/// `tests/ciphers/vectors/aes_256_xts.json`, made by `tests/ciphers/vectors/make_aes_256_xts.py`.
#[derive(Deserialize)]
struct Vectors {
    accept: Vec<Accept>,
    reject_ciphertext: Vec<Defect>,
    reject_start: Vec<RejectStart>,
}

#[derive(Deserialize)]
struct Accept {
    #[serde(flatten)]
    case: Case,
    padded: bool,
    length: usize,
    ciphertext: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors/aes_256_xts.json")).unwrap()
}

#[test]
fn the_vectors_of_the_script_hold_in_both_directions() {
    let vectors = vectors().accept;
    assert!(vectors.len() > 160);
    let ring = RingId::new();
    for Accept {
        case,
        padded,
        length,
        ciphertext,
    } in vectors
    {
        let padding = if padded { Padding::Padded } else { Padding::None };
        let plaintext = plaintext(length);
        let ciphertext = hex::decode(ciphertext).unwrap();
        let name = format!("{padding:?}, {length} bytes, a salt of {}", case.salt.len());
        for _derived_then_cached in 0..2 {
            let encrypt = case
                .cipher_in(XTS, ring, Level::Vaes, padding, Direction::Encrypt)
                .unwrap();
            let decrypt = case
                .cipher_in(XTS, ring, Level::Vaes, padding, Direction::Decrypt)
                .unwrap();
            assert!(run(encrypt, [&plaintext[..]]).unwrap() == ciphertext, "{name}");
            assert!(run(decrypt, [&ciphertext[..]]).unwrap() == plaintext, "{name}");
        }
    }
}

#[test]
fn every_defect_of_a_padded_message_is_refused() {
    let vectors = vectors().reject_ciphertext;
    assert!(vectors.len() > 20);
    check_refused(XTS, &vectors);
}

#[test]
fn keys_and_ivs_of_wrong_length_are_refused_for_what_they_are() {
    let vectors = vectors().reject_start;
    assert!(vectors.len() > 20);
    check_refused_starts(XTS, &vectors);
}

/// HKDF-SHA256 by OpenSSL.
pub(super) fn hkdf(case: &Case, label: &str, length: usize) -> Vec<u8> {
    let mut ctx = PkeyCtx::new_id(Id::HKDF).unwrap();
    ctx.derive_init().unwrap();
    ctx.set_hkdf_md(Md::sha256()).unwrap();
    ctx.set_hkdf_salt(&case.salt).unwrap();
    ctx.set_hkdf_key(&case.data_key).unwrap();
    let info = [
        label.as_bytes(),
        &case.key_id.to_be_bytes(),
        &case.key_version.to_be_bytes(),
    ]
    .concat();
    ctx.add_hkdf_info(&info).unwrap();
    let mut out = vec![0; length];
    ctx.derive(Some(&mut out)).unwrap();
    out
}

pub(super) fn ecb(key: &[u8], block: &[u8]) -> Vec<u8> {
    let (mut ctx, mut out) = (CipherCtx::new().unwrap(), Vec::new());
    ctx.encrypt_init(Some(Cipher::aes_256_ecb()), Some(key), None)
        .unwrap();
    ctx.set_padding(false);
    ctx.cipher_update_vec(block, &mut out).unwrap();
    out
}

/// The whole algorithm without padding by OpenSSL; the tweak behind m blocks by m doublings, bit by
/// bit.
fn reference(case: &Case, plaintext: &[u8]) -> Vec<u8> {
    let keys = hkdf(case, "keyroll aes-256-xts v1", 64);
    let (blocks, tail) = plaintext.split_at(plaintext.len() / 16 * 16);
    let mut out = Vec::new();
    if !blocks.is_empty() {
        let mut ctx = CipherCtx::new().unwrap();
        ctx.encrypt_init(Some(Cipher::aes_256_xts()), Some(&keys), Some(&case.iv))
            .unwrap();
        ctx.cipher_update_vec(blocks, &mut out).unwrap();
    }
    let mut tweak = ecb(&keys[32..], &case.iv);
    for _ in 0..blocks.len() / 16 {
        let mut carry = 0;
        for byte in &mut tweak {
            let out_of_it = *byte >> 7;
            *byte = (*byte << 1) | carry;
            carry = out_of_it;
        }
        tweak[0] ^= carry * 0x87;
    }
    if tail.is_empty() {
        return out;
    }
    let before = out.last_chunk::<16>().copied().unwrap_or_default();
    out.extend(tail_reference(
        &keys[..32],
        &tweak,
        &before,
        blocks.len() / 16,
        tail,
    ));
    out
}

/// The tail's ciphertext by OpenSSL's AES, its halves as bits, the lowest first.
fn tail_reference(k1: &[u8], tweak: &[u8], before: &[u8], blocks: usize, tail: &[u8]) -> Vec<u8> {
    let bits_of = |bytes: &[u8]| -> Vec<bool> {
        (0..8 * bytes.len())
            .map(|bit| bytes[bit / 8] >> (bit % 8) & 1 == 1)
            .collect()
    };
    let bytes_of = |bits: &[bool]| -> Vec<u8> {
        let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
        bits.chunks(8).map(byte).collect()
    };
    let n = tail.len();
    let z = |k: usize| {
        let polynomial = 64 * k + 4 * n + 1;
        let mut input = bits_of(before);
        for (power, coefficient) in bits_of(tweak).into_iter().enumerate() {
            for shift in (0..9).filter(|shift| polynomial >> shift & 1 == 1) {
                // Bits 0, 1, 2 and 7 of the modulus take up what overflows.
                let at = power + shift;
                if at < 128 {
                    input[at] ^= coefficient;
                } else {
                    [0, 1, 2, 7]
                        .iter()
                        .for_each(|bit| input[at - 128 + bit] ^= coefficient);
                }
            }
        }
        bits_of(&ecb(k1, &bytes_of(&input)))
    };
    let z0 = z(0);
    let stream: Vec<bool> = (0..5).flat_map(z).collect();
    let long = blocks >= 16;
    let rounds = match (long, n) {
        (true, _) => 4,
        (false, 1) => 20,
        (false, 2) => 12,
        (false, _) => 10,
    };
    let mut text = bits_of(tail);
    if long {
        text.iter_mut().zip(&z0).for_each(|(a, b)| *a ^= b);
    }
    let (mut low, mut high) = (text[..4 * n].to_vec(), text[4 * n..].to_vec());
    for i in 0..rounds {
        let output: Vec<bool> = if long {
            let key = &stream[8 * n * (1 + i)..];
            let product = |bit: usize| (0..4 * n).fold(false, |sum, at| sum ^ (high[at] && key[bit - at]));
            (4 * n - 1..8 * n - 1).map(product).collect()
        } else {
            let mut input = z0.clone();
            input.iter_mut().zip(&high).for_each(|(a, b)| *a ^= b);
            let mut input = bytes_of(&input);
            input[8] ^= i as u8;
            bits_of(&ecb(k1, &input))[..4 * n].to_vec()
        };
        low.iter_mut().zip(output).for_each(|(a, b)| *a ^= b);
        (low, high) = (high, low);
    }
    bytes_of(&[low, high].concat())
}

fn check(case: &Case, plaintext: &[u8], splits: &[usize]) {
    let ciphertext = reference(case, plaintext);
    for (direction, input, expected) in [
        (Direction::Encrypt, plaintext, &ciphertext[..]),
        (Direction::Decrypt, &ciphertext, plaintext),
    ] {
        let what = format!(
            "{direction:?} of {} bytes, splits {splits:?}, {case:?}",
            input.len()
        );
        let new = || case.cipher(XTS, Padding::None, direction).unwrap();
        assert!(run(new(), [input]).unwrap() == expected, "whole: {what}");

        let mut rest = input;
        let mut pieces: Vec<&[u8]> = Vec::new();
        for split in splits {
            let (piece, behind) = rest.split_at((*split).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces.push(rest);
        assert!(run(new(), pieces).unwrap() == expected, "in pieces: {what}");

        // In place, in pieces of whole blocks but for the last.
        let (mut cipher, mut data) = (new(), input.to_vec());
        let mut at = 0;
        for split in splits {
            let end = (at + split * 16).min(data.len() / 16 * 16);
            assert_eq!(cipher.update_in_place(&mut data[at..end]), Ok(end - at));
            at = end;
        }
        at += cipher.update_in_place(&mut data[at..]).unwrap();
        assert_eq!(cipher.finish(&mut data[at..]), Ok(input.len() - at));
        assert!(data == expected, "in place: {what}");
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let salt = prop_oneof![vec(any::<u8>(), 16), vec(any::<u8>(), 24), vec(any::<u8>(), 32)];
    let keys = (vec(any::<u8>(), 32), salt, vec(any::<u8>(), 16));
    (any::<u32>(), any::<u32>(), keys).prop_map(|(key_id, key_version, (data_key, salt, iv))| Case {
        key_id,
        key_version,
        data_key,
        salt,
        iv,
    })
}

proptest! {
    #[test]
    fn updates_of_any_split_are_as_openssl_has_them(
        case in cases(),
        plaintext in vec(any::<u8>(), 0..700),
        splits in vec(prop_oneof![0..50usize, Just(16), Just(48)], 0..12),
    ) {
        check(&case, &plaintext, &splits);
    }

    #[test]
    fn long_messages_are_as_openssl_has_them(
        case in cases(),
        length in 700..20_000usize,
        splits in vec(0..3000usize, 0..6),
    ) {
        let plaintext: Vec<u8> = (0..length).map(|i| ((i * 31) >> 3) as u8).collect();
        check(&case, &plaintext, &splits);
    }

    #[test]
    fn padded_messages_are_openssls_gcm_under_the_derived_key(
        case in cases(),
        plaintext in vec(any::<u8>(), 0..100),
    ) {
        let key = hkdf(&case, "keyroll aes-256-xts gcm v1", 32);
        let (mut ctx, mut expected, mut tag) = (CipherCtx::new().unwrap(), Vec::new(), [0; 16]);
        ctx.encrypt_init(Some(Cipher::aes_256_gcm()), Some(&key), Some(&case.iv[..12])).unwrap();
        ctx.cipher_update(&case.iv[12..], None).unwrap();
        ctx.cipher_update_vec(&plaintext, &mut expected).unwrap();
        ctx.cipher_final_vec(&mut expected).unwrap();
        ctx.tag(&mut tag).unwrap();
        expected.extend(tag);
        let cipher = case.cipher(XTS, Padding::Padded, Direction::Encrypt).unwrap();
        prop_assert_eq!(run(cipher, [&plaintext[..]]).unwrap(), expected);
    }
}
