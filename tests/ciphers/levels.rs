//! What is written by hand for a processor's instructions, against the portable implementation.

use std::ops::Range;

use keyroll::crypto::{
    self, Algorithm, CipherError, DataKeyRef, Direction, Level, MessageCipher, Padding, PageCipher, RingId,
};
use keyroll::secret::KeyBytes;
use proptest::collection::vec;
use proptest::prelude::*;

/// The levels by hand. One that the processor lacks gives the highest that it has.
const BY_HAND: [Level; 2] = [Level::AesNi, Level::Vaes];

/// What a server may ask for, and how it hands the message over.
#[derive(Debug, Clone)]
struct Message {
    algorithm: Algorithm,
    padding: Padding,
    direction: Direction,
    key: Vec<u8>,
    iv: [u8; 16],
    input: Vec<u8>,
    /// Lengths of updates, used over and over.
    steps: Vec<usize>,
    /// Where source and destination begin in their memory.
    offsets: (usize, usize),
}

impl Message {
    fn cipher(&self, level: Level) -> PageCipher {
        let data_key = DataKeyRef {
            ring: RingId::new(),
            key_id: 1,
            key_version: 1,
            key: KeyBytes::of(&[0xDA; 32]),
        };
        let message = crypto::Message {
            cipher: MessageCipher::of(self.algorithm, || Some(data_key)).unwrap(),
            padding: self.padding,
            direction: self.direction,
            key: &self.key,
            iv: &self.iv,
        };
        PageCipher::new_at(level, &message).unwrap()
    }

    /// Whether more may not come after the first update: by its length in HCTR2, which its two
    /// directions have alike.
    fn comes_whole(&self) -> bool {
        let first = self.steps.iter().find(|step| **step > 0);
        let first = self.input.len().min(*first.unwrap_or(&0));
        self.algorithm == Algorithm::Aes256Hctr2
            && self.padding == Padding::None
            && self.key.len() == 16
            && (first > 256 || first > 16 && first % 16 != 0)
    }

    /// The pieces of the input. A tagged message is decrypted in one.
    fn pieces(&self) -> Vec<Range<usize>> {
        let tagged = self.algorithm != Algorithm::AesCbc && self.padding == Padding::Padded;
        let all = [self.input.len()];
        let steps: &[usize] = if tagged && self.direction == Direction::Decrypt || self.comes_whole() {
            &all
        } else {
            &self.steps
        };
        let (mut pieces, mut at) = (Vec::new(), 0);
        for step in steps.iter().cycle() {
            let end = (at + step).min(self.input.len());
            pieces.push(at..end);
            at = end;
            if at == self.input.len() {
                break;
            }
        }
        pieces
    }

    /// The output, or why there is none. Nothing around the destination may change.
    fn run(&self, level: Level) -> Result<Vec<u8>, CipherError> {
        const GUARD: u8 = 0xC3;
        let (from, to) = self.offsets;
        let mut src = vec![GUARD; from];
        src.extend(&self.input);
        let mut dst = vec![GUARD; to + self.input.len() + 64];
        let (mut cipher, mut at) = (self.cipher(level), to);
        for piece in self.pieces() {
            let room = cipher.update_length(piece.len());
            let piece = &src[from + piece.start..from + piece.end];
            assert_eq!(cipher.update(piece, &mut dst[at..at + room])?, room);
            at += room;
        }
        let room = cipher.finish_length();
        at += cipher.finish(&mut dst[at..at + room])?;
        assert!(dst[..to].iter().chain(&dst[at..]).all(|byte| *byte == GUARD));
        Ok(dst[to..at].to_vec())
    }

    /// As `run`, each piece in its own place, until the cipher refuses that because it holds bytes
    /// back.
    fn run_in_place(&self, level: Level) -> Result<Vec<u8>, CipherError> {
        let (from, _) = self.offsets;
        let mut memory = vec![0; from];
        memory.extend(&self.input);
        let (mut cipher, mut output) = (self.cipher(level), Vec::new());
        for piece in self.pieces() {
            let data = &mut memory[from + piece.start..from + piece.end];
            let length = cipher.update_in_place(data)?;
            output.extend(&data[..length]);
        }
        let mut last = [0; 16];
        let length = cipher.finish(&mut last)?;
        output.extend(&last[..length]);
        Ok(output)
    }

    fn check(&self) {
        let expected = self.run(Level::Portable);
        let expected_in_place = self.run_in_place(Level::Portable);
        for level in BY_HAND {
            assert_eq!(self.run(level), expected, "{}", level.name());
            assert_eq!(
                self.run_in_place(level),
                expected_in_place,
                "{} in place",
                level.name()
            );
        }
    }
}

/// Any IV, or one whose counter wraps at 32, 64 or 128 bits within the next 40 blocks.
fn iv() -> impl Strategy<Value = [u8; 16]> {
    let full = prop_oneof![Just(0), Just(4), Just(8), Just(16)];
    (any::<[u8; 16]>(), full, 0..40u8).prop_map(|(mut iv, full, before)| {
        iv[16 - full..].fill(0xFF);
        if full > 0 {
            iv[15] -= before;
        }
        iv
    })
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 16), vec(any::<u8>(), 24), vec(any::<u8>(), 32)]
}

/// Lengths around the widths of the loops, and any.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        0..80usize,
        0..1200usize,
        (0..8usize, 0..40usize).prop_map(|(a, b)| a * 512 + b)
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let what = (0..Algorithm::ALL.len(), any::<bool>(), any::<bool>());
    let input = length().prop_flat_map(|length| vec(any::<u8>(), length));
    let step = prop_oneof![0..20usize, Just(16), Just(64), 1..700usize];
    let steps = vec(step, 1..6).prop_map(|mut steps| {
        steps.push(33);
        steps
    });
    (what, key(), iv(), input, steps, (0..70usize, 0..70usize)).prop_map(
        |((algorithm, padded, encrypt), key, iv, input, steps, offsets)| Message {
            algorithm: Algorithm::ALL[algorithm],
            padding: if padded { Padding::Padded } else { Padding::None },
            direction: if encrypt {
                Direction::Encrypt
            } else {
                Direction::Decrypt
            },
            key,
            iv,
            input,
            steps,
            offsets,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn messages_of_any_length_split_and_offset_are_as_the_portable_implementation_has_them(
        message in message()
    ) {
        message.check();
    }

    #[test]
    fn what_was_encrypted_at_one_level_decrypts_at_every_other(message in message()) {
        let encrypt = Message { direction: Direction::Encrypt, ..message };
        for from in Level::ALL {
            let ciphertext = encrypt.run(from).unwrap();
            for to in Level::ALL {
                let decrypt = Message {
                    direction: Direction::Decrypt,
                    input: ciphertext.clone(),
                    ..encrypt.clone()
                };
                prop_assert_eq!(&decrypt.run(to).unwrap(), &encrypt.input);
            }
        }
    }

    #[test]
    fn a_changed_bit_is_refused_or_decrypts_alike_at_every_level(
        message in message(),
        bit in any::<usize>(),
    ) {
        let encrypt = Message { direction: Direction::Encrypt, padding: Padding::Padded, ..message };
        let mut input = encrypt.run(Level::Portable).unwrap();
        let bit = bit % (input.len() * 8);
        input[bit / 8] ^= 1 << (bit % 8);
        Message { direction: Direction::Decrypt, input, ..encrypt }.check();
    }
}

#[test]
fn a_counter_that_wraps_at_any_block_of_a_long_message_carries_through_all_128_bits() {
    // 70 blocks and 5 bytes: more than two groups of the widest loop.
    for wrapping_bytes in [4, 8, 12, 16] {
        for blocks_before in 0..72u8 {
            let mut iv = [0x42; 16];
            iv[16 - wrapping_bytes..].fill(0xFF);
            iv[15] -= blocks_before;
            let message = Message {
                algorithm: Algorithm::AesCtr,
                padding: Padding::None,
                direction: Direction::Encrypt,
                key: vec![0x17; 32],
                iv,
                input: vec![0; 70 * 16 + 5],
                steps: vec![70 * 16 + 5],
                offsets: (0, 0),
            };
            message.check();
            Message {
                steps: vec![9, 600],
                ..message
            }
            .check();
        }
    }
}

#[test]
fn every_length_up_to_three_groups_is_as_the_portable_implementation_has_it() {
    let text: Vec<u8> = (0..1600).map(|at| (at * 7 % 251) as u8).collect();
    for algorithm in [Algorithm::AesCbc, Algorithm::AesCtr, Algorithm::Aes256Hctr2] {
        for padding in [Padding::Padded, Padding::None] {
            for direction in [Direction::Encrypt, Direction::Decrypt] {
                for length in 0..text.len() {
                    let message = Message {
                        algorithm,
                        padding,
                        direction,
                        key: match algorithm {
                            Algorithm::Aes256Hctr2 => vec![0x17; 16],
                            _ => vec![0x17; [16, 24, 32][length % 3]],
                        },
                        iv: [0xA5; 16],
                        input: text[..length].to_vec(),
                        steps: vec![length.max(1)],
                        offsets: (length % 64, 1),
                    };
                    message.check();
                }
            }
        }
    }
}

#[test]
fn this_processor_runs_at_the_level_of_its_instructions() {
    let expected = if !cfg!(target_arch = "x86_64") {
        Level::Portable
    } else {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let flags = cpu.lines().find(|line| line.starts_with("flags")).unwrap();
        let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
        let has_all = |all: &[&str]| all.iter().all(|flag| has(flag));
        if !has_all(&["ssse3", "aes", "pclmulqdq"]) {
            Level::Portable
        } else if !has_all(&["avx512f", "avx512bw", "vaes", "vpclmulqdq"]) {
            Level::AesNi
        } else {
            Level::Vaes
        }
    };
    assert_eq!(Level::available(), expected);
}
