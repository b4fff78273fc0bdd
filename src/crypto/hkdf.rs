//! HKDF with HMAC-SHA256 (RFC 5869, RFC 2104) in little stack: one state of the hash at a time,
//! which is wiped.
//!
//! For keys that are derived on threads of the server, whose statements may have gone deep before.
//! Where that does not matter the `hkdf` crate does the same.

use sha2::Sha256;
use sha2::digest::Digest;
use zeroize::Zeroizing;

/// What SHA-256 takes at once, in bytes.
const BLOCK: usize = 64;

/// What it gives, in bytes.
const DIGEST: usize = 32;

type Mac = Zeroizing<[u8; DIGEST]>;

/// Fills `out` with what these derive; `false`, and nothing in it, if `out` has more than 255
/// digests or the salt more than 64 bytes.
pub(super) fn derive(salt: &[u8], key: &[u8], info: [&[u8]; 3], out: &mut [u8]) -> bool {
    if salt.len() > BLOCK || out.len() > 255 * DIGEST {
        return false;
    }
    let (mut pseudorandom, mut mac) = (Mac::default(), Mac::default());
    hmac(salt, &[key], &mut pseudorandom);
    let [label, id, version] = info;
    for (number, piece) in (1..=u8::MAX).zip(out.chunks_mut(DIGEST)) {
        let before = mac.clone();
        let before = if number == 1 { &[][..] } else { &before[..] };
        let parts = [before, label, id, version, &[number]];
        hmac(&pseudorandom[..], &parts, &mut mac);
        piece.copy_from_slice(&mac[..piece.len()]);
    }
    true
}

/// The MAC of the parts, one after the other, under a key of at most 64 bytes.
#[inline(never)]
fn hmac(key: &[u8], parts: &[&[u8]], mac: &mut Mac) {
    const INNER: u8 = 0x36;
    const OUTER: u8 = 0x5C;
    let mut block = Zeroizing::new([INNER; BLOCK]);
    for (byte, of_key) in block.iter_mut().zip(key) {
        *byte ^= of_key;
    }
    let mut hash = Sha256::new();
    hash.update(&block[..]);
    for part in parts {
        hash.update(part);
    }
    Digest::finalize_into_reset(&mut hash, (&mut **mac).into());
    for byte in block.iter_mut() {
        *byte ^= INNER ^ OUTER;
    }
    hash.update(&block[..]);
    hash.update(&mac[..]);
    Digest::finalize_into(hash, (&mut **mac).into());
}

#[cfg(test)]
mod tests {
    use ::hkdf::Hkdf;
    use proptest::prelude::*;

    use super::*;

    /// RFC 5869, A.1 and A.3.
    #[test]
    fn the_vectors_of_the_rfc_are_derived() {
        let case = |salt: &str, info: &str, expected: &str| {
            let (salt, info) = (hex::decode(salt).unwrap(), hex::decode(info).unwrap());
            let mut out = [0; 42];
            let (first, rest) = info.split_at(info.len() / 2);
            assert!(derive(&salt, &[0x0B; 22], [first, rest, &[]], &mut out));
            assert_eq!(hex::encode(out), expected);
        };
        case(
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        );
        case(
            "",
            "",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        );
    }

    #[test]
    fn what_it_is_not_made_for_is_refused() {
        let mut out = [7; 255 * DIGEST + 1];
        assert!(!derive(&[], &[], [&[]; 3], &mut out));
        assert!(!derive(&[0; BLOCK + 1], &[], [&[]; 3], &mut out[..1]));
        assert_eq!(out, [7; 255 * DIGEST + 1]);
        assert!(derive(&[0; BLOCK], &[], [&[]; 3], &mut out[1..]));
    }

    proptest! {
        #[test]
        fn it_derives_what_the_hkdf_crate_does(
            salt in prop::collection::vec(any::<u8>(), 0..=BLOCK),
            key in prop::collection::vec(any::<u8>(), 0..200),
            info in prop::array::uniform3(prop::collection::vec(any::<u8>(), 0..40)),
            length in 0..=300_usize,
        ) {
            let info = [&info[0][..], &info[1], &info[2]];
            let (mut ours, mut theirs) = (vec![0; length], vec![0; length]);
            prop_assert!(derive(&salt, &key, info, &mut ours));
            Hkdf::<Sha256>::new(Some(&salt), &key).expand_multi_info(&info, &mut theirs).unwrap();
            prop_assert_eq!(ours, theirs);
        }
    }
}
