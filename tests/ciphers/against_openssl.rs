//! The page ciphers against OpenSSL, which is what the server and its own plugins call.

use keyroll::crypto::{
    Algorithm, CipherError, Direction, Level, Message, MessageCipher, Padding, PageCipher, encrypted_length,
};
use openssl::cipher::{Cipher, CipherRef};
use openssl::cipher_ctx::CipherCtx;
use proptest::collection::vec;
use proptest::prelude::*;

const BLOCK: usize = 16;
const KEY_LENGTHS: [usize; 3] = [16, 24, 32];
/// Those whose bytes are OpenSSL's as they are; aes_256_xts and aes_256_hctr2 have tests of their own.
const CIPHERS: [MessageCipher; 2] = [MessageCipher::AesCbc, MessageCipher::AesCtr];
const PADDINGS: [Padding; 2] = [Padding::Padded, Padding::None];

/// OpenSSL's cipher for a key length: `[CBC, CTR, GCM, ECB][mode]`.
fn openssl_cipher(mode: &str, key_length: usize) -> &'static CipherRef {
    match (mode, key_length) {
        ("cbc", 16) => Cipher::aes_128_cbc(),
        ("cbc", 24) => Cipher::aes_192_cbc(),
        ("cbc", 32) => Cipher::aes_256_cbc(),
        ("ctr", 16) => Cipher::aes_128_ctr(),
        ("ctr", 24) => Cipher::aes_192_ctr(),
        ("ctr", 32) => Cipher::aes_256_ctr(),
        ("gcm", 16) => Cipher::aes_128_gcm(),
        ("gcm", 24) => Cipher::aes_192_gcm(),
        ("gcm", 32) => Cipher::aes_256_gcm(),
        ("ecb", 16) => Cipher::aes_128_ecb(),
        ("ecb", 24) => Cipher::aes_192_ecb(),
        ("ecb", 32) => Cipher::aes_256_ecb(),
        _ => panic!("no AES-{key_length}-{mode}"),
    }
}

/// A cipher of OpenSSL at the start of a message.
fn openssl_ctx(mode: &str, direction: Direction, key: &[u8], iv: Option<&[u8]>) -> CipherCtx {
    let cipher = Some(openssl_cipher(mode, key.len()));
    let mut ctx = CipherCtx::new().unwrap();
    match direction {
        Direction::Encrypt => ctx.encrypt_init(cipher, Some(key), iv).unwrap(),
        Direction::Decrypt => ctx.decrypt_init(cipher, Some(key), iv).unwrap(),
    }
    ctx
}

/// What the server's own plugin makes of a message, computed with OpenSSL.
fn reference(message: &Message<'_>, input: &[u8]) -> Vec<u8> {
    let Message {
        direction, key, iv, ..
    } = *message;
    let mut out = Vec::new();
    match (message.cipher, message.padding) {
        (MessageCipher::AesCbc, Padding::Padded) => {
            let mut ctx = openssl_ctx("cbc", direction, key, Some(iv));
            ctx.cipher_update_vec(input, &mut out).unwrap();
            ctx.cipher_final_vec(&mut out).unwrap();
        }
        (MessageCipher::AesCbc, Padding::None) => {
            let (blocks, tail) = input.split_at(input.len() - input.len() % BLOCK);
            let mut ctx = openssl_ctx("cbc", direction, key, Some(iv));
            ctx.set_padding(false);
            ctx.cipher_update_vec(blocks, &mut out).unwrap();
            ctx.cipher_final_vec(&mut out).unwrap();
            let mut mask = Vec::new();
            let mut ecb = openssl_ctx("ecb", Direction::Encrypt, key, None);
            ecb.set_padding(false);
            ecb.cipher_update_vec(iv, &mut mask).unwrap();
            out.extend(tail.iter().zip(&mask).map(|(byte, mask)| byte ^ mask));
        }
        (MessageCipher::AesCtr, Padding::None) => {
            let mut ctx = openssl_ctx("ctr", direction, key, Some(iv));
            ctx.cipher_update_vec(input, &mut out).unwrap();
            ctx.cipher_final_vec(&mut out).unwrap();
        }
        (MessageCipher::AesCtr, Padding::Padded) => {
            let mut ctx = openssl_ctx("gcm", direction, key, Some(&iv[..12]));
            ctx.cipher_update(&iv[12..], None).unwrap();
            let mut tag = [0; 16];
            match direction {
                Direction::Encrypt => {
                    ctx.cipher_update_vec(input, &mut out).unwrap();
                    ctx.cipher_final_vec(&mut out).unwrap();
                    ctx.tag(&mut tag).unwrap();
                    out.extend(tag);
                }
                Direction::Decrypt => {
                    let (ciphertext, tag) = input.split_at(input.len() - 16);
                    ctx.set_tag(tag).unwrap();
                    ctx.cipher_update_vec(ciphertext, &mut out).unwrap();
                    ctx.cipher_final_vec(&mut out).unwrap();
                }
            }
        }
        (MessageCipher::Aes256Xts(_) | MessageCipher::Aes256Hctr2(_), _) => {
            panic!("no cipher of OpenSSL's alone")
        }
    }
    out
}

/// Cuts `input` after each of the lengths, over and over until it is used up.
fn pieces<'a>(mut input: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for length in lengths.iter().copied().cycle().take(10_000) {
        let (piece, rest) = input.split_at(length.min(input.len()));
        pieces.push(piece);
        input = rest;
        if input.is_empty() {
            break;
        }
    }
    if !input.is_empty() {
        pieces.push(input);
    }
    pieces
}

/// Our output for a message in these pieces, out of place, and the number of bytes that each update
/// gave. Every destination has exactly the announced length.
fn stream(mut cipher: PageCipher, pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<usize>), CipherError> {
    let (mut out, mut lengths) = (Vec::new(), Vec::new());
    for piece in pieces {
        let start = out.len();
        out.resize(start + cipher.update_length(piece.len()), 0);
        lengths.push(cipher.update(piece, &mut out[start..])?);
        assert_eq!(start + lengths[lengths.len() - 1], out.len());
    }
    let start = out.len();
    out.resize(start + cipher.finish_length(), 0);
    let last = cipher.finish(&mut out[start..])?;
    out.truncate(start + last);
    Ok((out, lengths))
}

/// Our output for a message in these pieces, each worked on in its own place.
fn stream_in_place(mut cipher: PageCipher, pieces: &[&[u8]]) -> Result<Vec<u8>, CipherError> {
    let mut out = Vec::new();
    for piece in pieces {
        let mut data = piece.to_vec();
        let length = cipher.update_in_place(&mut data)?;
        out.extend(&data[..length]);
    }
    let mut last = [0; BLOCK];
    let length = cipher.finish(&mut last)?;
    out.extend(&last[..length]);
    Ok(out)
}

/// Pseudo-random bytes (xorshift64*), the same in every run.
struct Bytes(u64);

impl Bytes {
    fn take(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 24
    }

    /// The lengths of up to 4 updates, some of them empty.
    fn splits(&mut self) -> Vec<usize> {
        let mut lengths = vec![1 + self.next() as usize % 40];
        for _ in 0..self.next() % 4 {
            lengths.push(self.next() as usize % 70);
        }
        lengths
    }
}

/// An IV whose last bytes are so full that the counter wraps within `blocks` blocks at a random one
/// of 8, 32, 64, 96 or 128 bits; or any IV.
fn iv(bytes: &mut Bytes) -> Vec<u8> {
    let mut iv = bytes.take(BLOCK);
    let full = [0, 1, 4, 8, 12, 16][bytes.next() as usize % 6];
    iv[BLOCK - full..].fill(0xFF);
    if full > 0 {
        iv[BLOCK - 1] -= bytes.next() as u8 % 8;
    }
    iv
}

/// A message to be encrypted.
fn message<'a>(cipher: MessageCipher<'a>, padding: Padding, key: &'a [u8], iv: &'a [u8]) -> Message<'a> {
    Message {
        cipher,
        padding,
        direction: Direction::Encrypt,
        key,
        iv,
    }
}

/// Which algorithm this is.
fn algorithm(cipher: MessageCipher<'_>) -> Algorithm {
    match cipher {
        MessageCipher::AesCbc => Algorithm::AesCbc,
        MessageCipher::AesCtr => Algorithm::AesCtr,
        MessageCipher::Aes256Xts(_) => Algorithm::Aes256Xts,
        MessageCipher::Aes256Hctr2(_) => Algorithm::Aes256Hctr2,
    }
}

/// The same message, to be encrypted or decrypted.
fn turned<'a>(message: &Message<'a>, direction: Direction) -> Message<'a> {
    Message {
        direction,
        ..*message
    }
}

/// Checks a message in both directions and in all ways that a server can hand it over, at every
/// level that the processor has.
fn check(message: &Message<'_>, plaintext: &[u8], splits: &[usize]) {
    let ciphertext = reference(&turned(message, Direction::Encrypt), plaintext);
    assert_eq!(
        reference(&turned(message, Direction::Decrypt), &ciphertext),
        plaintext
    );
    match message.padding {
        Padding::None => assert_eq!(ciphertext.len(), plaintext.len()),
        Padding::Padded => {
            let length = encrypted_length(algorithm(message.cipher), plaintext.len() as u32);
            assert_eq!(ciphertext.len(), length as usize);
        }
    }
    for level in Level::ALL {
        check_at(level, message, [plaintext, &ciphertext], splits);
    }
}

fn check_at(level: Level, message: &Message<'_>, [plaintext, ciphertext]: [&[u8]; 2], splits: &[usize]) {
    let (algorithm, padding) = (algorithm(message.cipher), message.padding);
    let (name, length) = (algorithm.name(), plaintext.len());
    let what = format!("{name} {padding:?}, {length} bytes, level {}", level.name());
    let new = |direction| PageCipher::new_at(level, &turned(message, direction)).unwrap();
    for (direction, input, expected) in [
        (Direction::Encrypt, plaintext, ciphertext),
        (Direction::Decrypt, ciphertext, plaintext),
    ] {
        let whole = [input];
        let (out, _) = stream(new(direction), &whole).unwrap();
        assert!(out == expected, "{what}, {direction:?}, in one update");
        let out = stream_in_place(new(direction), &whole).unwrap();
        assert!(out == expected, "{what}, {direction:?}, in one update in place");

        let tagged = algorithm == Algorithm::AesCtr && padding == Padding::Padded;
        if tagged && direction == Direction::Decrypt {
            continue; // takes one update only
        }
        let pieces = pieces(input, splits);
        let (out, _) = stream(new(direction), &pieces).unwrap();
        assert!(out == expected, "{what}, {direction:?}, in updates of {splits:?}");
        if algorithm == Algorithm::AesCtr {
            let out = stream_in_place(new(direction), &pieces).unwrap();
            assert!(
                out == expected,
                "{what}, {direction:?}, in place in updates of {splits:?}"
            );
        }
    }
}

fn check_lengths(lengths: impl Iterator<Item = usize> + Clone, seed: u64) {
    let mut bytes = Bytes(seed);
    for cipher in CIPHERS {
        for padding in PADDINGS {
            for key_length in KEY_LENGTHS {
                for length in lengths.clone() {
                    let (key, iv) = (bytes.take(key_length), iv(&mut bytes));
                    let (plaintext, splits) = (bytes.take(length), bytes.splits());
                    check(&message(cipher, padding, &key, &iv), &plaintext, &splits);
                }
            }
        }
    }
}

#[test]
fn every_length_up_to_600_bytes_is_as_openssl_has_it() {
    check_lengths(0..=600, 0x5EED_0001);
}

#[test]
fn pages_are_as_openssl_has_them() {
    // 16,354: what InnoDB encrypts of a page of 16 KiB; 65,536: the largest page.
    check_lengths(
        [4096, 16_354, 16_383, 16_384, 16_385, 65_536].into_iter(),
        0x5EED_0002,
    );
}

#[test]
fn counters_that_wrap_at_32_64_and_128_bits_are_as_openssl_has_them() {
    let mut bytes = Bytes(0x5EED_0003);
    for wrapping_bytes in [1, 2, 4, 8, 12, 16] {
        for blocks_before in 0..=9 {
            for key_length in KEY_LENGTHS {
                let (key, mut iv) = (bytes.take(key_length), bytes.take(BLOCK));
                iv[BLOCK - wrapping_bytes..].fill(0xFF);
                iv[BLOCK - 1] -= blocks_before;
                let (plaintext, splits) = (bytes.take(333), bytes.splits());
                for padding in PADDINGS {
                    let message = message(MessageCipher::AesCtr, padding, &key, &iv);
                    check(&message, &plaintext, &splits);
                }
            }
        }
    }
}

#[test]
fn the_redo_logs_way_of_updates_in_place_gives_every_whole_block_back_at_once() {
    // Many updates of whole blocks, a last one of less than a block, then finish.
    let mut bytes = Bytes(0x5EED_0004);
    for cipher in CIPHERS {
        for tail in 0..BLOCK {
            let (key, iv) = (bytes.take(16), iv(&mut bytes));
            let input = bytes.take(16 + 48 + 512 + tail);
            let pieces = [&input[..16], &input[16..64], &input[64..576], &input[576..]];
            for direction in [Direction::Encrypt, Direction::Decrypt] {
                let message = turned(&message(cipher, Padding::None, &key, &iv), direction);
                let mut cipher = PageCipher::new(&message).unwrap();
                for piece in &pieces[..3] {
                    assert_eq!(cipher.update_in_place(&mut piece.to_vec()), Ok(piece.len()));
                }
                let cipher = PageCipher::new(&message).unwrap();
                let out = stream_in_place(cipher, &pieces).unwrap();
                assert_eq!(out, reference(&message, &input));
            }
        }
    }
}

fn key_strategy() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 16), vec(any::<u8>(), 24), vec(any::<u8>(), 32)]
}

fn splits_strategy() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![0..50usize, Just(16), Just(32)], 0..12)
}

proptest! {
    #[test]
    fn updates_of_any_split_are_as_openssl_has_them(
        cbc in any::<bool>(),
        padded in any::<bool>(),
        key in key_strategy(),
        iv in any::<[u8; 16]>(),
        plaintext in vec(any::<u8>(), 0..600),
        splits in splits_strategy(),
    ) {
        let cipher = if cbc { MessageCipher::AesCbc } else { MessageCipher::AesCtr };
        let padding = if padded { Padding::Padded } else { Padding::None };
        check(&message(cipher, padding, &key, &iv), &plaintext, &splits);
    }

    #[test]
    fn each_update_in_cbc_gives_as_many_bytes_as_openssls(
        padded in any::<bool>(),
        decrypt in any::<bool>(),
        key in key_strategy(),
        iv in any::<[u8; 16]>(),
        blocks in vec(any::<[u8; 16]>(), 0..20),
        splits in splits_strategy(),
    ) {
        let padding = if padded { Padding::Padded } else { Padding::None };
        let direction = if decrypt { Direction::Decrypt } else { Direction::Encrypt };
        let message = turned(&message(MessageCipher::AesCbc, padding, &key, &iv), direction);
        let mut cipher = PageCipher::new(&message).unwrap();
        let mut ctx = openssl_ctx("cbc", direction, &key, Some(&iv));
        ctx.set_padding(padded);
        for piece in pieces(&blocks.concat(), &splits) {
            let mut ours = vec![0; cipher.update_length(piece.len())];
            let length = cipher.update(piece, &mut ours).unwrap();
            let mut theirs = Vec::new();
            prop_assert_eq!(ctx.cipher_update_vec(piece, &mut theirs).unwrap(), length);
            prop_assert_eq!(ours, theirs);
        }
        // Random blocks seldom have a right padding: both must say so alike.
        let (mut ours, mut theirs) = ([0; BLOCK], Vec::new());
        match (cipher.finish(&mut ours), ctx.cipher_final_vec(&mut theirs)) {
            (Ok(length), Ok(_)) => prop_assert_eq!(&ours[..length], &theirs[..]),
            (Err(CipherError::BadData), Err(_)) => prop_assert!(padded && decrypt),
            (ours, theirs) => prop_assert!(false, "{:?}, but OpenSSL {:?}", ours, theirs),
        }
    }
}
