//! The tail of aes_256_xts, the bytes behind its whole blocks: a permutation, another one for each IV, length and
//! last block; and what attacks on XORed tails find here.

use std::collections::HashSet;
use std::sync::LazyLock;

use keyroll::crypto::{Direction, Level, Padding, RingId};
use openssl::sha::sha256;

use super::aes_256_xts::{XTS, ecb, hkdf};
use super::vectors::{Case, run};

/// Blocks in front of a tail: none, few, the most of a short message, the fewest of a long one, a page's.
const BEHIND: [usize; 5] = [0, 3, 15, 16, 1022];

/// One ring, so that keys are derived once: every case has the same.
static RING: LazyLock<RingId> = LazyLock::new(RingId::new);

fn case(iv: usize) -> Case {
    Case {
        key_id: 1,
        key_version: 1,
        data_key: vec![0xDA; 32],
        salt: vec![0x5A; 16],
        iv: sha256(&iv.to_le_bytes())[..16].to_vec(),
    }
}

/// Bytes that look random, the same in every run.
fn bytes(name: usize, length: usize) -> Vec<u8> {
    (0usize..)
        .flat_map(|part| sha256(&[name, part].map(usize::to_le_bytes).concat()))
        .take(length)
        .collect()
}

impl Case {
    fn crypt(&self, direction: Direction, input: &[u8]) -> Vec<u8> {
        let cipher = self.cipher_in(XTS, *RING, Level::Vaes, Padding::None, direction);
        run(cipher.unwrap(), [input]).unwrap()
    }

    /// The tail's ciphertext behind so many blocks, always the same.
    fn encrypt_tail(&self, blocks: usize, tail: &[u8]) -> Vec<u8> {
        let message = [&bytes(7, 16 * blocks), tail].concat();
        self.crypt(Direction::Encrypt, &message).split_off(16 * blocks)
    }

    fn decrypt_tail(&self, blocks: usize, tail: &[u8]) -> Vec<u8> {
        let before = self.crypt(Direction::Encrypt, &bytes(7, 16 * blocks));
        self.crypt(Direction::Decrypt, &[&before, tail].concat())
            .split_off(16 * blocks)
    }
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

#[test]
fn all_values_of_one_byte_encrypt_to_all_values() {
    for blocks in BEHIND {
        let values: HashSet<_> = (0..=u8::MAX)
            .map(|value| case(1).encrypt_tail(blocks, &[value]))
            .collect();
        assert_eq!(values.len(), 256, "behind {blocks} blocks");
    }
}

#[test]
fn all_values_of_two_bytes_encrypt_to_all_values() {
    for blocks in [0, 16] {
        let values: HashSet<_> = (0..=u16::MAX)
            .map(|value| case(1).encrypt_tail(blocks, &value.to_le_bytes()))
            .collect();
        assert_eq!(values.len(), 65_536, "behind {blocks} blocks");
    }
}

#[test]
fn every_length_is_the_same_at_every_level_in_any_pieces_and_decrypts_again() {
    for length in 0..=600 {
        let (case, text) = (case(length), bytes(length, length));
        let whole = case.crypt(Direction::Encrypt, &text);
        assert_eq!(whole.len(), length);
        for level in Level::ALL {
            let pieces = |step: usize| {
                move |input: &[u8]| -> Vec<Vec<u8>> { input.chunks(step).map(<[u8]>::to_vec).collect() }
            };
            for step in [1 + length % 47, 256, 700] {
                for (direction, input, expected) in [
                    (Direction::Encrypt, &text, &whole),
                    (Direction::Decrypt, &whole, &text),
                ] {
                    let cipher = case
                        .cipher_in(XTS, *RING, level, Padding::None, direction)
                        .unwrap();
                    let pieces = pieces(step)(input);
                    let output = run(cipher, pieces.iter().map(Vec::as_slice)).unwrap();
                    assert!(
                        output == *expected,
                        "{length} bytes by {step}, {direction:?}, {}",
                        level.name()
                    );
                }
            }
        }
    }
}

/// How many of so many IVs a test tries.
const IVS: usize = 1500;

#[test]
fn a_flipped_bit_of_a_tail_flips_each_bit_of_its_plaintext_about_half_the_time() {
    for (blocks, n) in [(0, 1), (16, 1), (3, 2), (16, 2), (0, 15), (16, 15)] {
        // The lowest, the highest, and one of either half.
        for flipped in [0, 4 * n - 1, 4 * n, 8 * n - 1] {
            let mut flips = vec![0; 8 * n];
            let mut same = 0;
            for iv in 0..IVS {
                let case = case(iv);
                let text = bytes(iv, n);
                let mut changed = case.encrypt_tail(blocks, &text);
                changed[flipped / 8] ^= 1 << (flipped % 8);
                let difference = xor(&case.decrypt_tail(blocks, &changed), &text);
                for (bit, flips) in flips.iter_mut().enumerate() {
                    *flips += usize::from(difference[bit / 8] >> (bit % 8) & 1);
                }
                let mut only_the_flipped = vec![0; n];
                only_the_flipped[flipped / 8] ^= 1 << (flipped % 8);
                same += usize::from(difference == only_the_flipped);
            }
            let what = format!("bit {flipped} of {n} bytes behind {blocks} blocks: {flips:?}, {same}");
            // Half, give or take five standard deviations.
            let (least, most) = (IVS / 2 - 100, IVS / 2 + 100);
            assert!(flips.iter().all(|flips| (least..=most).contains(flips)), "{what}");
            // Of one byte one in 255, at most one in 132; of two bytes one in 32,768.
            assert!(same <= if n == 1 { 30 } else { 2 }, "{what}");
        }
    }
}

#[test]
fn under_one_iv_and_last_block_two_tails_do_not_show_their_xor() {
    for blocks in BEHIND {
        for n in 1..16 {
            let same = (0..60).filter(|iv| {
                let (case, a, b) = (case(*iv), bytes(2 * iv, n), bytes(2 * iv + 1, n));
                let ciphertexts = xor(&case.encrypt_tail(blocks, &a), &case.encrypt_tail(blocks, &b));
                a != b && ciphertexts == xor(&a, &b)
            });
            assert!(
                same.count() <= if n == 1 { 5 } else { 0 },
                "{n} bytes behind {blocks} blocks"
            );
        }
    }
}

#[test]
fn a_changed_last_block_changes_the_permutation_of_the_tail_behind_it() {
    for blocks in [3, 15, 16, 1022] {
        for n in 4..16 {
            let (case, mut message) = (case(n), bytes(n, 16 * blocks + n));
            let first = case.crypt(Direction::Encrypt, &message);
            message[16 * blocks - 1] ^= 1;
            let second = case.crypt(Direction::Encrypt, &message);
            assert_ne!(
                first[16 * blocks..],
                second[16 * blocks..],
                "{n} bytes behind {blocks} blocks"
            );
            // And so does a change of the ciphertext alone.
            let mut changed = first.clone();
            changed[16 * blocks - 16] ^= 1;
            let decrypted = case.crypt(Direction::Decrypt, &changed);
            message[16 * blocks - 1] ^= 1;
            assert_ne!(
                decrypted[16 * blocks..],
                message[16 * blocks..],
                "{n} bytes behind {blocks} blocks"
            );
        }
    }
}

/// What a chosen block tells of the tweak of the block behind `blocks` others. An attacker has a message with a known
/// tail of 15 bytes behind them and, under the same IV, one that goes on with the block P = Cm-1. Of tails that are
/// XORed with AES(K1, Cm-1 XOR Tm) this is Tm.
fn tweak_by_a_chosen_block(goes_on: &[u8], blocks: usize, tail: &[u8], encrypted_tail: &[u8]) -> Vec<u8> {
    xor(&goes_on[16 * blocks..][..15], &xor(tail, encrypted_tail))
}

#[test]
fn a_chosen_block_that_is_the_ciphertext_before_it_shows_nothing_of_a_tail() {
    for blocks in [0, 3, 15, 16] {
        let (case, before, tail) = (case(blocks), bytes(7, 16 * blocks), bytes(9, 15));
        let ciphertext = case.crypt(Direction::Encrypt, &before);
        let last = ciphertext.last_chunk::<16>().copied().unwrap_or_default();
        let goes_on = case.crypt(Direction::Encrypt, &[&before[..], &last].concat());

        let keys = hkdf(&case, "keyroll aes-256-xts v1", 64);
        let mut tweak = u128::from_le_bytes(ecb(&keys[32..], &case.iv).try_into().unwrap());
        for _ in 0..blocks {
            tweak = (tweak << 1) ^ ((tweak >> 127) * 0x87);
        }
        let tweak = tweak.to_le_bytes();
        // The attack is one: it reads the tweak where a tail is XORed with that.
        let mask = ecb(&keys[..32], &xor(&last, &tweak));
        let masked = xor(&tail, &mask[..15]);
        assert_eq!(
            tweak_by_a_chosen_block(&goes_on, blocks, &tail, &masked),
            tweak[..15]
        );

        let encrypted = case.encrypt_tail(blocks, &tail);
        let shown = tweak_by_a_chosen_block(&goes_on, blocks, &tail, &encrypted);
        let equal = shown.iter().zip(&tweak).filter(|(a, b)| a == b).count();
        assert!(equal < 4, "{equal} bytes of the tweak behind {blocks} blocks");
        // Nor is it another constant under this IV and last block.
        let other = bytes(11, 15);
        let encrypted = case.encrypt_tail(blocks, &other);
        assert_ne!(
            tweak_by_a_chosen_block(&goes_on, blocks, &other, &encrypted),
            shown
        );
    }
}

#[test]
fn under_one_iv_and_last_block_long_messages_show_linear_relations_of_tails_and_short_ones_none() {
    for (blocks, linear) in [(0, false), (15, false), (16, true), (1022, true)] {
        for n in 2..16 {
            let (case, tails) = (case(n), [1, 2, 3].map(|name| bytes(name, n)));
            let [a, b, c] = tails.each_ref().map(|tail| case.encrypt_tail(blocks, tail));
            let sum = xor(&xor(&tails[0], &tails[1]), &tails[2]);
            let shown = case.encrypt_tail(blocks, &sum) == xor(&xor(&a, &b), &c);
            assert_eq!(shown, linear, "{n} bytes behind {blocks} blocks");
        }
    }
}
