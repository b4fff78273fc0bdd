//! The published vectors, on all implementations, and what a repeated IV and a change show.

use serde::Deserialize;

use super::*;
use crate::crypto::portable::PortableHctr2;
use crate::crypto::xts::KEYS_LENGTH;
#[cfg(target_arch = "x86_64")]
use crate::crypto::{
    Level,
    x86_64::{NativeHctr2, NativeHctr2Key},
};

#[derive(Deserialize)]
struct Published {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    #[serde(with = "hex")]
    key: Vec<u8>,
    #[serde(with = "hex")]
    tweak: Vec<u8>,
    #[serde(with = "hex")]
    plaintext: Vec<u8>,
    #[serde(with = "hex")]
    ciphertext: Vec<u8>,
}

fn published() -> Vec<Vector> {
    let text = include_str!("../../../tests/ciphers/vectors/hctr2_published.json");
    serde_json::from_str::<Published>(text).unwrap().vectors
}

fn run_over(primitives: &impl Primitives, direction: Direction, iv: &Block, input: &[u8]) -> Vec<u8> {
    let mut apart = vec![0; input.len()];
    run(
        primitives,
        direction,
        iv,
        InOutBuf::new(input, &mut apart).unwrap(),
    );
    let mut in_place = input.to_vec();
    run(primitives, direction, iv, in_place.as_mut_slice().into());
    assert_eq!(apart, in_place);
    apart
}

/// The output of each implementation and level that there is here.
fn on_all(key: &[u8; KEY_LENGTH], direction: Direction, iv: &Block, input: &[u8]) -> Vec<Vec<u8>> {
    let portable = PortableHctr2::start(key, &[0; KEYS_LENGTH], direction, SALT_LENGTH, iv);
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(unused_mut, reason = "there is one level")
    )]
    let mut outputs = vec![run_over(&portable.primitives, direction, iv, input)];
    #[cfg(target_arch = "x86_64")]
    for level in [Level::AesNi, Level::Vaes] {
        if level <= Level::available() {
            let message = NativeHctr2::blank(level, direction, SALT_LENGTH, iv).unwrap();
            let mut bytes = vec![0; NativeHctr2Key::ROOM + 16];
            let start = bytes.as_ptr().align_offset(16);
            let bytes = &mut bytes[start..][..NativeHctr2Key::ROOM];
            NativeHctr2Key::expand(key, bytes).unwrap();
            let mut primitives = message.primitives;
            NativeHctr2Key::kept_in(bytes).unwrap().copy_to(&mut primitives);
            outputs.push(run_over(&primitives, direction, iv, input));
        }
    }
    outputs
}

#[test]
fn the_vectors_of_hctr2s_authors_hold_in_every_implementation() {
    let vectors = published();
    assert_eq!(vectors.len(), 7);
    for vector in vectors {
        let (key, iv) = (vector.key.try_into().unwrap(), vector.tweak.try_into().unwrap());
        for output in on_all(&key, Direction::Encrypt, &iv, &vector.plaintext) {
            assert_eq!(output, vector.ciphertext, "{} bytes", vector.plaintext.len());
        }
        for output in on_all(&key, Direction::Decrypt, &iv, &vector.ciphertext) {
            assert_eq!(output, vector.plaintext, "{} bytes", vector.plaintext.len());
        }
    }
}

/// How many bits differ.
fn distance(a: &[u8], b: &[u8]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

#[test]
fn a_flipped_bit_anywhere_changes_half_of_all_bits_in_both_directions() {
    let (key, iv) = ([0x3C; KEY_LENGTH], [0x77; IV_LENGTH]);
    for direction in [Direction::Encrypt, Direction::Decrypt] {
        let message = vec![0x55; 1000];
        let output = on_all(&key, direction, &iv, &message).remove(0);
        for bit in (0..8000).step_by(37).chain([7999]) {
            let mut flipped = message.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let other = on_all(&key, direction, &iv, &flipped).remove(0);
            // 4,000 of 8,000 with a standard deviation of 45: more than seven of them away.
            let changed = distance(&output, &other);
            assert!((3_680..4_320).contains(&changed), "bit {bit}: {changed}");
            let equal_blocks = output.chunks_exact(16).zip(other.chunks_exact(16));
            assert_eq!(equal_blocks.filter(|(a, b)| a == b).count(), 0, "bit {bit}");
        }
    }
}

#[test]
fn a_first_update_is_a_whole_message_where_the_redo_log_never_has_it() {
    for length in 0..=1000 {
        let of_redo_log = length < 16 || length % 16 == 0 && length <= 256;
        assert_eq!(comes_whole(length), !of_redo_log, "{length}");
    }
}
