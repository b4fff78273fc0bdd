//! What a key leaves behind, and the search for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use hkdf::Hkdf;
use sha2::Sha256;

/// Bytes in a piece. Memory holds eight random bytes by chance once in 2^64 places.
const PIECE: usize = 8;

/// Every eight bytes that tell of a key, with what they are.
#[derive(Default)]
pub(crate) struct Traces {
    pieces: HashMap<[u8; PIECE], String>,
    /// The first three bytes of all pieces: most places are done with by a look at this.
    begins: Vec<bool>,
}

/// What was found and how often.
pub(crate) type Found = BTreeMap<String, usize>;

impl Traces {
    /// A secret as bytes, as text of hexadecimal digits, and in base64.
    pub(crate) fn add_bytes(&mut self, what: &str, secret: &[u8]) {
        self.add(&format!("{what}, bytes"), secret);
        self.add(&format!("{what}, digits"), hex::encode(secret).as_bytes());
        self.add(&format!("{what}, DIGITS"), hex::encode_upper(secret).as_bytes());
        // Three bytes are four letters: what comes before the key shifts it.
        for shift in 0..3 {
            let letters = base64(&secret[shift..secret.len() - (secret.len() - shift) % 3]);
            self.add(&format!("{what}, base64"), letters.as_bytes());
        }
    }

    /// A key: what [`add_bytes`](Self::add_bytes) adds, the states of HMAC and the round keys of AES, of the
    /// shorter keys that it begins with, too.
    pub(crate) fn add_key(&mut self, what: &str, key: &[u8]) {
        self.add_bytes(what, key);
        for (pad, name) in [(0x36, "inner"), (0x5C, "outer")] {
            let padded: Vec<u8> = key.iter().map(|byte| byte ^ pad).collect();
            self.add(&format!("{what}, {name} pad of HMAC"), &padded);
        }
        for length in [16, 24, 32].into_iter().filter(|length| *length <= key.len()) {
            let keys = round_keys(&key[..length]);
            let bits = 8 * length;
            self.add(&format!("{what}, round keys of AES-{bits}"), &keys);
            let inverse: Vec<u8> = keys.chunks(4).flat_map(inverse_mix_column).collect();
            self.add(
                &format!("{what}, round keys of AES-{bits} for decryption"),
                &inverse,
            );
        }
    }

    /// A data key and what aes_256_xts and aes_256_hctr2 derive from it under these salts.
    pub(crate) fn add_data_key(&mut self, id: u32, version: u32, key: &[u8], salts: &[&[u8]]) {
        let name = format!("version {version} of key {id}");
        self.add_key(&name, key);
        for salt in salts {
            for length in [16, 24, 32] {
                let hkdf = Hkdf::<Sha256>::new(Some(&salt[..length]), key);
                let derive = |label: &str, out: &mut [u8]| {
                    let info = [label.as_bytes(), &id.to_be_bytes(), &version.to_be_bytes()];
                    hkdf.expand_multi_info(&info, out).unwrap();
                };
                let mut add = |what: &str, label: &str, keys: &mut [u8]| {
                    derive(label, keys);
                    for (number, key) in (1..).zip(keys.chunks(32)) {
                        self.add_key(&format!("key {number} of {what} of {name}"), key);
                    }
                };
                add("XTS", "keyroll aes-256-xts v1", &mut [0; 64]);
                add("GCM", "keyroll aes-256-xts gcm v1", &mut [0; 32]);
                add("HCTR2", "keyroll aes-256-hctr2 v1", &mut [0; 32]);
                add("XTS beside HCTR2", "keyroll aes-256-hctr2 xts v1", &mut [0; 64]);
                add("GCM beside HCTR2", "keyroll aes-256-hctr2 gcm v1", &mut [0; 32]);
            }
        }
    }

    /// A keystore key and what is derived from it for the keystore with this UUID.
    pub(crate) fn add_keystore_key(&mut self, name: &str, key: &[u8], uuid: &[u8]) {
        self.add_key(name, key);
        let (pseudorandom, hkdf) = Hkdf::<Sha256>::extract(Some(uuid), key);
        self.add_key(&format!("pseudorandom key of {name}"), &pseudorandom);
        for use_of_key in ["wrapping", "mac"] {
            let mut derived = [0; 32];
            let info = format!("keyroll keystore v1 {use_of_key} key");
            hkdf.expand(info.as_bytes(), &mut derived).unwrap();
            self.add_key(&format!("{use_of_key} key of {name}"), &derived);
        }
    }

    fn add(&mut self, what: &str, bytes: &[u8]) {
        self.begins.resize(1 << 24, false);
        for piece in bytes.as_chunks::<PIECE>().0 {
            self.begins[begin(piece)] = true;
            self.pieces.entry(*piece).or_insert_with(|| what.to_owned());
        }
    }

    /// All that is in these bytes.
    pub(crate) fn search(&self, memory: &[u8]) -> Found {
        let mut found = Found::new();
        for window in memory.windows(PIECE) {
            if self.begins[begin(window)]
                && let Some(what) = self.pieces.get(window)
            {
                *found.entry(what.clone()).or_default() += 1;
            }
        }
        found
    }
}

fn begin(bytes: &[u8]) -> usize {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) as usize
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = bytes.chunks_exact(3).flat_map(|three| {
        let number = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        [18, 12, 6, 0].map(|shift| char::from(LETTERS[(number >> shift) as usize & 63]))
    });
    letters.collect()
}

/// The product in the field of AES (FIPS 197, 4.2).
fn times(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b > 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a = (a << 1) ^ if a & 0x80 == 0 { 0 } else { 0x1B };
        b >>= 1;
    }
    product
}

/// SubBytes (FIPS 197, 5.1.1).
fn substitute(byte: u8) -> u8 {
    static TABLE: LazyLock<[u8; 256]> = LazyLock::new(|| {
        std::array::from_fn(|byte| {
            let inverse = (0..=255).find(|b| times(byte as u8, *b) == 1).unwrap_or(0);
            (0..5).fold(0x63, |sum, turn| sum ^ inverse.rotate_left(turn))
        })
    });
    TABLE[usize::from(byte)]
}

/// InvMixColumns of a column (FIPS 197, 5.3.3).
fn inverse_mix_column(column: &[u8]) -> [u8; 4] {
    std::array::from_fn(|row| {
        [0x0E, 0x0B, 0x0D, 0x09]
            .into_iter()
            .enumerate()
            .fold(0, |sum, (at, factor)| sum ^ times(column[(row + at) % 4], factor))
    })
}

/// KeyExpansion (FIPS 197, 5.2).
pub(crate) fn round_keys(key: &[u8]) -> Vec<u8> {
    let words = key.len() / 4;
    let mut keys = key.to_vec();
    let mut constant = 1;
    for word in words..4 * (words + 7) {
        let mut last = *keys.last_chunk::<4>().unwrap();
        if word % words == 0 {
            last.rotate_left(1);
            last = last.map(substitute);
            last[0] ^= constant;
            constant = times(constant, 2);
        } else if words == 8 && word % 8 == 4 {
            last = last.map(substitute);
        }
        let before = keys.len() - key.len();
        for (at, byte) in last.into_iter().enumerate() {
            keys.push(byte ^ keys[before + at]);
        }
    }
    keys
}
