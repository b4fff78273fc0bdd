//! Published vectors, and ciphertexts and calls that must be refused, each named by its defect.

use std::cell::Cell;

use aes::{Aes256, Aes256Enc};

use super::*;
use crate::crypto::xts::KEYS_LENGTH;
use crate::crypto::{Algorithm, DataKeyRef, RingId, encrypted_length, password};
use crate::secret::KeyBytes;

fn hex(digits: &str) -> Vec<u8> {
    hex::decode(digits).unwrap()
}

thread_local! {
    /// The level of the ciphers that a test makes.
    static LEVEL: Cell<Level> = const { Cell::new(Level::Vaes) };
}

/// A cipher of any algorithm; where keys are derived, from one data key.
fn try_new(
    algorithm: Algorithm,
    padding: Padding,
    direction: Direction,
    key: &[u8],
    iv: &[u8],
) -> Result<PageCipher, CipherError> {
    let data_key = DataKeyRef {
        ring: RingId::new(),
        key_id: 1,
        key_version: 2,
        key: KeyBytes::of(&[0xDA; 32]),
    };
    let message = Message {
        cipher: MessageCipher::of(algorithm, || Some(data_key)).unwrap(),
        padding,
        direction,
        key,
        iv,
    };
    PageCipher::new_at(LEVEL.get(), &message)
}

fn new(algorithm: Algorithm, padding: Padding, direction: Direction, key: &[u8]) -> PageCipher {
    try_new(algorithm, padding, direction, key, &IV).unwrap()
}

#[test]
fn all_that_these_tests_say_holds_at_every_level() {
    for level in Level::ALL {
        LEVEL.set(level);
        the_cbc_vectors_of_sp_800_38a_f_2_hold();
        the_ctr_vectors_of_sp_800_38a_f_5_hold();
        a_tail_in_cbc_without_padding_is_xored_with_the_encrypted_iv();
        encrypted_length_is_exact_in_the_padded_modes();
        keys_of_other_lengths_than_16_24_and_32_bytes_are_refused();
        ivs_of_other_lengths_than_16_bytes_are_refused();
        calls_after_finish_are_refused();
        a_destination_that_is_a_byte_short_is_refused_and_the_call_can_be_repeated();
        cbc_refuses_zero_padding();
        cbc_refuses_padding_of_17_and_of_255();
        cbc_refuses_a_wrong_byte_in_the_padding();
        cbc_accepts_every_right_padding_and_writes_nothing_behind_the_plaintext();
        cbc_refuses_padded_ciphertext_that_is_empty_or_no_whole_number_of_blocks();
        cbc_refuses_to_work_in_place_over_held_bytes_and_goes_on_out_of_place();
        gcm_refuses_each_flipped_bit_of_ciphertext_and_tag();
        gcm_refuses_each_flipped_bit_of_the_iv_nonce_and_additional_data_alike();
        gcm_refuses_ciphertext_that_is_cut_or_extended();
        gcm_wipes_the_destination_when_the_tag_is_wrong();
        gcm_decryption_in_two_updates_is_refused_and_wiped();
        gcm_decryption_without_any_update_is_refused();
    }
}

/// One message in one update. The destination has just the room that the lengths announce.
fn run(mut cipher: PageCipher, input: &[u8]) -> Result<Vec<u8>, CipherError> {
    let mut output = vec![0; cipher.update_length(input.len())];
    let length = cipher.update(input, &mut output)?;
    assert_eq!(length, output.len());
    output.resize(length + cipher.finish_length(), 0);
    let last = cipher.finish(&mut output[length..])?;
    output.truncate(length + last);
    Ok(output)
}

const IV: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const KEY: [u8; 32] = [0x5A; 32];

/// NIST SP 800-38A, appendix F: the keys and the plaintext of every mode.
const NIST_KEYS: [&str; 3] = [
    "2b7e151628aed2a6abf7158809cf4f3c",
    "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
];
const NIST_PLAINTEXT: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
                              30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";

fn check_nist_vectors(algorithm: Algorithm, iv: &str, ciphertexts: [&str; 3]) {
    for (key, ciphertext) in NIST_KEYS.iter().zip(ciphertexts) {
        let new = |direction| try_new(algorithm, Padding::None, direction, &hex(key), &hex(iv)).unwrap();
        let (plaintext, ciphertext) = (hex(NIST_PLAINTEXT), hex(ciphertext));
        assert_eq!(
            run(new(Direction::Encrypt), &plaintext),
            Ok(ciphertext.clone()),
            "{key}"
        );
        assert_eq!(run(new(Direction::Decrypt), &ciphertext), Ok(plaintext), "{key}");
    }
}

#[test]
fn the_cbc_vectors_of_sp_800_38a_f_2_hold() {
    check_nist_vectors(
        Algorithm::AesCbc,
        "000102030405060708090a0b0c0d0e0f",
        [
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2\
             73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
            "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a\
             571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d\
             39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
        ],
    );
}

#[test]
fn the_ctr_vectors_of_sp_800_38a_f_5_hold() {
    check_nist_vectors(
        Algorithm::AesCtr,
        "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        [
            "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff\
             5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee",
            "1abc932417521ca24f2b0459fe7e6e0b090339ec0aa6faefd5ccc2c6f4ce8e94\
             1e36b26bd1ebc670d1bd1d665620abf74f78a7f6d29809585a97daec58c6b050",
            "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5\
             2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6",
        ],
    );
}

#[test]
fn a_tail_in_cbc_without_padding_is_xored_with_the_encrypted_iv() {
    // SP 800-38A F.1.1 (ECB-AES128): its first plaintext block serves as IV here.
    let iv = hex("6bc1bee22e409f96e93d7e117393172a");
    let mask = hex("3ad77bb40d7a3660a89ecaf32466ef97");
    for direction in [Direction::Encrypt, Direction::Decrypt] {
        for length in 0..16 {
            let key = hex(NIST_KEYS[0]);
            let cipher = try_new(Algorithm::AesCbc, Padding::None, direction, &key, &iv).unwrap();
            assert_eq!(run(cipher, &[0; 16][..length]), Ok(mask[..length].to_vec()));
        }
    }
}

#[test]
fn encrypted_length_is_exact_in_the_padded_modes() {
    for algorithm in Algorithm::ALL {
        for length in 0..200 {
            let cipher = new(algorithm, Padding::Padded, Direction::Encrypt, &KEY);
            let ciphertext = run(cipher, &vec![7; length]).unwrap();
            assert_eq!(
                encrypted_length(algorithm, length as u32) as usize,
                ciphertext.len(),
                "{length}"
            );
        }
    }
}

#[test]
fn encrypted_length_saturates_at_4_gib() {
    assert_eq!(encrypted_length(Algorithm::AesCbc, u32::MAX - 16), u32::MAX - 15);
    assert_eq!(encrypted_length(Algorithm::AesCbc, u32::MAX - 15), u32::MAX);
    assert_eq!(encrypted_length(Algorithm::AesCbc, u32::MAX), u32::MAX);
    assert_eq!(encrypted_length(Algorithm::AesCtr, u32::MAX - 17), u32::MAX - 1);
    assert_eq!(encrypted_length(Algorithm::AesCtr, u32::MAX), u32::MAX);
}

#[test]
fn an_algorithm_is_found_by_its_exact_name_only() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
    }
    for wrong in ["", "AES_CBC", "aes_cb", "aes_cbc ", "aes-ctr"] {
        assert_eq!(Algorithm::from_name(wrong), None, "{wrong:?}");
    }
}

/// Runs `check` on every algorithm, padding and direction.
fn each_mode(check: impl Fn(Algorithm, Padding, Direction)) {
    for algorithm in Algorithm::ALL {
        for padding in [Padding::Padded, Padding::None] {
            for direction in [Direction::Encrypt, Direction::Decrypt] {
                check(algorithm, padding, direction);
            }
        }
    }
}

#[test]
fn keys_of_other_lengths_than_16_24_and_32_bytes_are_refused() {
    each_mode(|algorithm, padding, direction| {
        for length in (0..=64).filter(|length| ![16, 24, 32].contains(length)) {
            let refused = try_new(algorithm, padding, direction, &[7; 64][..length], &IV).err();
            assert_eq!(refused, Some(CipherError::KeyLength), "{length}");
        }
    });
}

#[test]
fn ivs_of_other_lengths_than_16_bytes_are_refused() {
    each_mode(|algorithm, padding, direction| {
        for length in [0, 8, 12, 15, 17, 32] {
            let refused = try_new(algorithm, padding, direction, &KEY, &[7; 32][..length]).err();
            assert_eq!(refused, Some(CipherError::IvLength), "{length}");
        }
    });
}

#[test]
fn calls_after_finish_are_refused() {
    each_mode(|algorithm, padding, direction| {
        let mut cipher = new(algorithm, padding, direction, &KEY);
        let _ok_or_bad_data = cipher.finish(&mut [0; 16]);
        assert_eq!(cipher.update(&[1], &mut [0; 32]), Err(CipherError::Finished));
        assert_eq!(cipher.update_in_place(&mut [1]), Err(CipherError::Finished));
        assert_eq!(cipher.finish(&mut [0; 16]), Err(CipherError::Finished));
    });
}

#[test]
fn a_destination_that_is_a_byte_short_is_refused_and_the_call_can_be_repeated() {
    for algorithm in Algorithm::ALL {
        for padding in [Padding::Padded, Padding::None] {
            let ciphertext = run(new(algorithm, padding, Direction::Encrypt, &KEY), &[3; 55]).unwrap();
            let mut cipher = new(algorithm, padding, Direction::Decrypt, &KEY);
            let length = cipher.update_length(ciphertext.len());
            let mut plaintext = vec![0; 55];
            let short = cipher.update(&ciphertext, &mut plaintext[..length - 1]);
            assert_eq!(short, Err(CipherError::DestinationTooSmall));
            assert_eq!(cipher.update(&ciphertext, &mut plaintext), Ok(length));
            if length < 55 {
                let short = cipher.finish(&mut plaintext[length..54]);
                assert_eq!(short, Err(CipherError::DestinationTooSmall));
            }
            assert_eq!(cipher.finish(&mut plaintext[length..]), Ok(55 - length));
            assert_eq!(plaintext, [3; 55]);

            let mut cipher = new(algorithm, padding, Direction::Encrypt, &KEY);
            let mut repeated = vec![0; ciphertext.len()];
            let length = cipher.update(&[3; 55], &mut repeated).unwrap();
            if length < ciphertext.len() {
                let last = repeated.len() - 1;
                let short = cipher.finish(&mut repeated[length..last]);
                assert_eq!(short, Err(CipherError::DestinationTooSmall));
            }
            cipher.finish(&mut repeated[length..]).unwrap();
            assert_eq!(repeated, ciphertext);
        }
    }
}

/// The ciphertext of whole blocks in CBC, without padding added.
fn cbc_blocks(plaintext: &[u8]) -> Vec<u8> {
    assert_eq!(plaintext.len() % 16, 0);
    run(
        new(Algorithm::AesCbc, Padding::None, Direction::Encrypt, &KEY),
        plaintext,
    )
    .unwrap()
}

fn decrypt_padded(algorithm: Algorithm, ciphertext: &[u8]) -> Result<Vec<u8>, CipherError> {
    run(
        new(algorithm, Padding::Padded, Direction::Decrypt, &KEY),
        ciphertext,
    )
}

/// Checks that a plaintext of 48 bytes with these last bytes is refused for its padding.
fn refuses_padding(last: &[u8]) {
    let mut plaintext = [0x77; 48];
    plaintext[48 - last.len()..].copy_from_slice(last);
    let ciphertext = cbc_blocks(&plaintext);
    assert_eq!(
        decrypt_padded(Algorithm::AesCbc, &ciphertext),
        Err(CipherError::BadData),
        "{last:?}"
    );
}

#[test]
fn cbc_refuses_zero_padding() {
    refuses_padding(&[0]);
    refuses_padding(&[0; 16]);
}

#[test]
fn cbc_refuses_padding_of_17_and_of_255() {
    refuses_padding(&[17; 17]);
    refuses_padding(&[255]);
}

#[test]
fn cbc_refuses_a_wrong_byte_in_the_padding() {
    refuses_padding(&[3, 2, 3, 3]);
    refuses_padding(&[2, 3, 3]);
    refuses_padding(&[2, 1, 2]);
    refuses_padding(&[15, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16]);
}

#[test]
fn cbc_accepts_every_right_padding_and_writes_nothing_behind_the_plaintext() {
    for padding in 1..=16u8 {
        let mut plaintext = [0x77; 48];
        plaintext[48 - usize::from(padding)..].fill(padding);
        let decrypted = decrypt_padded(Algorithm::AesCbc, &cbc_blocks(&plaintext)).unwrap();
        assert_eq!(decrypted, plaintext[..48 - usize::from(padding)]);
    }
}

#[test]
fn cbc_refuses_padded_ciphertext_that_is_empty_or_no_whole_number_of_blocks() {
    let ciphertext = cbc_blocks(&[16; 48]);
    for length in (0..48).filter(|length| length % 16 != 0 || *length == 0) {
        let cut = decrypt_padded(Algorithm::AesCbc, &ciphertext[..length]);
        assert_eq!(cut, Err(CipherError::BadData), "{length}");
    }
    let mut never_updated = new(Algorithm::AesCbc, Padding::Padded, Direction::Decrypt, &KEY);
    assert_eq!(never_updated.finish(&mut [0; 16]), Err(CipherError::BadData));
}

#[test]
fn cbc_refuses_to_work_in_place_over_held_bytes_and_goes_on_out_of_place() {
    let expected = run(
        new(Algorithm::AesCbc, Padding::None, Direction::Encrypt, &KEY),
        &[9; 40],
    )
    .unwrap();
    let mut cipher = new(Algorithm::AesCbc, Padding::None, Direction::Encrypt, &KEY);
    let mut output = [9; 40];
    assert_eq!(cipher.update_in_place(&mut output[..20]), Ok(16));
    assert_eq!(cipher.update_in_place(&mut []), Ok(0));
    assert_eq!(cipher.update_in_place(&mut [9; 20]), Err(CipherError::Overlap));
    assert_eq!(cipher.update(&[9; 20], &mut output[16..]), Ok(16));
    assert_eq!(cipher.finish(&mut output[32..]), Ok(8));
    assert_eq!(output[..], expected);
}

#[test]
fn gcm_refuses_each_flipped_bit_of_ciphertext_and_tag() {
    let ciphertext = run(
        new(Algorithm::AesCtr, Padding::Padded, Direction::Encrypt, &KEY),
        &[9; 21],
    )
    .unwrap();
    assert_eq!(decrypt_padded(Algorithm::AesCtr, &ciphertext), Ok(vec![9; 21]));
    for bit in 0..ciphertext.len() * 8 {
        let mut flipped = ciphertext.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            decrypt_padded(Algorithm::AesCtr, &flipped),
            Err(CipherError::BadData),
            "bit {bit}"
        );
    }
}

#[test]
fn gcm_refuses_each_flipped_bit_of_the_iv_nonce_and_additional_data_alike() {
    let ciphertext = run(
        new(Algorithm::AesCtr, Padding::Padded, Direction::Encrypt, &KEY),
        &[9; 21],
    )
    .unwrap();
    for bit in 0..128 {
        let mut iv = IV;
        iv[bit / 8] ^= 1 << (bit % 8);
        let cipher = try_new(Algorithm::AesCtr, Padding::Padded, Direction::Decrypt, &KEY, &iv).unwrap();
        assert_eq!(run(cipher, &ciphertext), Err(CipherError::BadData), "bit {bit}");
    }
}

#[test]
fn gcm_refuses_ciphertext_that_is_cut_or_extended() {
    let mut ciphertext = run(
        new(Algorithm::AesCtr, Padding::Padded, Direction::Encrypt, &KEY),
        &[9; 21],
    )
    .unwrap();
    for length in 0..ciphertext.len() {
        let cut = decrypt_padded(Algorithm::AesCtr, &ciphertext[..length]);
        assert_eq!(cut, Err(CipherError::BadData), "{length}");
    }
    ciphertext.push(0);
    assert_eq!(
        decrypt_padded(Algorithm::AesCtr, &ciphertext),
        Err(CipherError::BadData)
    );
}

#[test]
fn gcm_wipes_the_destination_when_the_tag_is_wrong() {
    let mut ciphertext = run(
        new(Algorithm::AesCtr, Padding::Padded, Direction::Encrypt, &KEY),
        &[9; 21],
    )
    .unwrap();
    ciphertext[36] ^= 1;

    let mut cipher = new(Algorithm::AesCtr, Padding::Padded, Direction::Decrypt, &KEY);
    let mut dst = [0xDD; 30];
    assert_eq!(cipher.update(&ciphertext, &mut dst), Err(CipherError::BadData));
    assert_eq!(dst[..21], [0; 21]);
    assert_eq!(
        dst[21..],
        [0xDD; 9],
        "nothing is touched behind the place of the output"
    );
    assert_eq!(cipher.finish(&mut []), Err(CipherError::BadData));

    let mut cipher = new(Algorithm::AesCtr, Padding::Padded, Direction::Decrypt, &KEY);
    assert_eq!(cipher.update_in_place(&mut ciphertext), Err(CipherError::BadData));
    assert_eq!(ciphertext[..21], [0; 21]);
}

#[test]
fn gcm_decryption_in_two_updates_is_refused_and_wiped() {
    let ciphertext = run(
        new(Algorithm::AesCtr, Padding::Padded, Direction::Encrypt, &KEY),
        &[9; 21],
    )
    .unwrap();
    let mut cipher = new(Algorithm::AesCtr, Padding::Padded, Direction::Decrypt, &KEY);
    let mut dst = [0xDD; 21];
    assert_eq!(cipher.update(&ciphertext, &mut dst), Ok(21));
    assert_eq!(cipher.update(&ciphertext, &mut dst), Err(CipherError::BadData));
    assert_eq!(dst, [0; 21]);
    assert_eq!(cipher.finish(&mut []), Err(CipherError::BadData));

    // A right message after a refused one is refused as well.
    let mut cipher = new(Algorithm::AesCtr, Padding::Padded, Direction::Decrypt, &KEY);
    assert_eq!(
        cipher.update(&ciphertext[..15], &mut dst),
        Err(CipherError::BadData)
    );
    assert_eq!(cipher.update(&ciphertext, &mut dst), Err(CipherError::BadData));
    assert_eq!(cipher.finish(&mut []), Err(CipherError::BadData));
}

#[test]
fn gcm_decryption_without_any_update_is_refused() {
    let mut cipher = new(Algorithm::AesCtr, Padding::Padded, Direction::Decrypt, &KEY);
    assert_eq!(cipher.finish(&mut []), Err(CipherError::BadData));
}

#[test]
fn a_page_cipher_fits_the_stack_of_the_server_and_tells_nothing_in_debug() {
    // The server puts it on a thread's stack with every page it encrypts.
    let (size, align) = (size_of::<PageCipher>(), align_of::<PageCipher>());
    assert!(size <= 2048, "{size} bytes");
    assert!(align <= 16, "aligned to {align}");
    let cipher = new(Algorithm::AesCbc, Padding::None, Direction::Encrypt, &KEY);
    assert_eq!(format!("{cipher:?}"), "PageCipher { .. }");
}

#[test]
fn every_part_that_holds_a_key_wipes_itself_on_drop() {
    fn wipes<T: ZeroizeOnDrop>() {}
    // Compiling is the proof: the crates implement this only with their `zeroize` features
    // (AES-GCM's brings GHASH's along).
    wipes::<::cbc::Encryptor<Aes256Enc>>();
    wipes::<::cbc::Decryptor<Aes256>>();
    wipes::<::ctr::Ctr128BE<Aes256Enc>>();
    wipes::<::ctr::Ctr32BE<Aes256Enc>>();
    wipes::<aes_gcm::AesGcm<Aes256Enc, cipher::consts::U12>>();
    wipes::<sha1::Sha1>();
    wipes::<sha2::Sha512>();
    wipes::<password::Derived>();
    wipes::<PageCipher>();
}

/// The output for a message in XTS under these keys, in one update.
fn run_xts(
    (level, keys): (Level, &[u8; KEYS_LENGTH]),
    direction: Direction,
    iv: &[u8; IV_LENGTH],
    input: &[u8],
) -> Vec<u8> {
    #[repr(align(16))]
    struct Room([u8; 1024]);
    let mut room = Room([0; 1024]);
    XtsKeys::keep(level, keys, &mut room.0).unwrap();
    let mut cipher = PageCipher::idle();
    let keys = XtsKeys::kept(level, &room.0).unwrap();
    cipher.start_xts(keys, direction, iv).unwrap();
    run(cipher, input).unwrap()
}

/// Every level that this processor has.
fn levels() -> impl Iterator<Item = Level> {
    Level::ALL
        .into_iter()
        .filter(|level| *level <= Level::available())
}

#[test]
fn vectors_10_to_14_of_ieee_1619_hold_at_every_level() {
    let keys: [u8; KEYS_LENGTH] = hex(
        "27182818284590452353602874713526624977572470936999595749669676273141592653589793\
                    238462643383279502884197169399375105820974944592",
    )
    .try_into()
    .unwrap();
    let plaintext: Vec<u8> = (0..512).map(|i| i as u8).collect();
    // The number of the data unit, the first and the last block of ciphertext.
    for (unit, first, last) in [
        (
            0xFF,
            "1c3b3a102f770386e4836c99e370cf9b",
            "c4f36ffda9fcea70b9c6e693e148c151",
        ),
        (
            0xFFFF,
            "77a31251618a15e6b92d1d66dffe7b50",
            "a4f9e27b42af8100cb9d59cef9645803",
        ),
        (
            0xFF_FFFF,
            "e387aaa58ba483afa7e8eb469778317e",
            "2263a1eef52dd6888c309f5a7d712826",
        ),
        (
            0xFFFF_FFFF,
            "bf53d2dade78e822a4d949a9bc6766b0",
            "4c82f335abb152c4a93411373aaa8220",
        ),
        (
            0xFF_FFFF_FFFF,
            "64497e5a831e4a932c09be3e5393376d",
            "d609d273ad5b0d59631c531f6a0a57b9",
        ),
    ] {
        let iv = u128::to_le_bytes(unit);
        for level in levels() {
            let ciphertext = run_xts((level, &keys), Direction::Encrypt, &iv, &plaintext);
            assert_eq!(ciphertext[..16], hex(first), "{unit:x} {level:?}");
            assert_eq!(ciphertext[496..], hex(last), "{unit:x} {level:?}");
            let decrypted = run_xts((level, &keys), Direction::Decrypt, &iv, &ciphertext);
            assert_eq!(decrypted, plaintext, "{unit:x} {level:?}");
        }
    }
}
