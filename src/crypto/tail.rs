//! The tail of a message in aes_256_xts, the last n bytes (1 to 15) behind its m whole blocks: a
//! permutation of all values of n bytes, another one for each IV, m and last block.
//!
//! ```text
//! Zk      = AES_K1(C XOR Tm * u)       u = 64k + 4n + 1 as a polynomial: a tweak that no block has
//!                                      C = Cm-1, the ciphertext before the tail; 0 if m = 0
//!
//! m < 16    Fi(s) = the low 4n bits of AES_K1(Z0 XOR s XOR 2^64 i)       10, 12 or 20 rounds
//! m >= 16   Wh || A0 || A1 || A2 || A3 = the first 5n bytes of Z0 || Z1 || ...
//!           Fi(s) = bits 4n - 1 to 8n - 2 of Ai times s, without carries  4 rounds
//!           and before them the tail XOR Wh
//!
//! round i   L (4n bits)   H (4n bits)
//!                └──── XOR <── Fi ──┤
//!                       │           │
//!                       └──── X ────┘
//!               the next L     the next H
//! ```
//!
//! Bytes are little-endian numbers, L is the low half of the tail. A round turns (L, H) into
//! (H, L XOR Fi(H)); a decryption takes the rounds backwards.
//!
//! The tweaks are those of XEX* (Rogaway, "Efficient Instantiations of Tweakable Blockciphers and
//! Refinements to Modes OCB and PMAC", 2004) with other multiples of Tm. Short messages are records
//! of the redo log, under IVs that repeat: theirs is a Feistel network with AES in every round, as
//! FF1 (NIST SP 800-38G) has it. In long ones, pages above all, ten calls of AES in a row would
//! take too long. Four rounds of Toeplitz hashing (Krawczyk, "LFSR-based Hashing and
//! Authentication", 1994) under one to five calls side by side are enough for two messages under
//! one IV. `docs/ciphers.md` says what each gives, and why the rounds are as many as they are.

use zeroize::Zeroizing;

use super::Direction;

/// What an implementation brings along. Blocks are little-endian numbers.
pub(super) trait Primitives {
    /// AES_K1 of some blocks, side by side.
    fn encrypt<const W: usize>(&self, blocks: [u128; W]) -> [u128; W];

    /// Bits 64 to 127 of the product without carries of a key and a half, in constant time. The
    /// half has at most so many bits.
    #[inline(always)]
    fn product(&self, key: u128, half: u64, bits: u32) -> u64 {
        product(key, half, bits)
    }
}

/// As [`Primitives::product`], with masks, because a branch or a look-up would tell the half.
#[inline(always)]
fn product(key: u128, half: u64, bits: u32) -> u64 {
    (0..bits).fold(0, |sum, bit| {
        let taken = 0u64.wrapping_sub(half >> bit & 1);
        sum ^ (key >> (64 - bit)) as u64 & taken
    })
}

/// The place of a tail: what its permutation depends on, but for the key.
pub(super) struct Tail {
    /// C, the block of ciphertext before it, or zero.
    pub(super) before: u128,
    /// Tm, the tweak of the block that it does not fill.
    pub(super) tweak: Zeroizing<u128>,
    /// n, its length in bytes: 1 to 15.
    pub(super) length: usize,
    /// m, the number of whole blocks before it.
    pub(super) blocks: usize,
}

/// The number of whole blocks from which on a message is hashed.
const LONG_FROM: usize = 16;

/// Rounds of hashing.
const HASHED_ROUNDS: u8 = 4;

/// Rounds with AES. Known attacks on r of them, with halves of N values, take some N^(r - 4)
/// messages (`docs/ciphers.md`): so many that these are at least 2^64.
fn rounds(length: usize) -> u8 {
    match length {
        1 => 20,
        2 => 12,
        _ => 10,
    }
}

impl Tail {
    /// Encrypts or decrypts the tail, a number of n bytes.
    #[inline(always)]
    pub(super) fn run(&self, parts: &impl Primitives, direction: Direction, text: &mut u128) {
        let bits = 4 * self.length as u32;
        let half = (1u64 << bits) - 1;
        if self.blocks < LONG_FROM {
            let secret = Zeroizing::new(parts.encrypt(self.inputs::<1>(self.length)));
            feistel(text, bits, rounds(self.length), direction, |i, s| {
                let [output] = parts.encrypt([secret[0] ^ u128::from(s) ^ u128::from(i) << 64]);
                output as u64 & half
            });
            return;
        }
        match self.length {
            // That of pages. The compiler reckons with a number that it knows.
            2 => self.hash::<1>(2, parts, direction, text),
            n @ ..=3 => self.hash::<1>(n, parts, direction, text),
            n => self.hash::<5>(n, parts, direction, text),
        }
    }

    /// The four rounds of hashing over n bytes, under keys of 5n bytes out of `W` blocks.
    #[inline(always)]
    fn hash<const W: usize>(
        &self,
        length: usize,
        parts: &impl Primitives,
        direction: Direction,
        text: &mut u128,
    ) {
        let bits = 4 * length as u32;
        let secrets = Zeroizing::new(parts.encrypt(self.inputs::<W>(length)));
        // The n bytes from here on. Where they lie is no secret.
        let from = |at: usize| {
            let (block, byte) = (at / 16, at % 16);
            let next = secrets.get(block + 1).copied().unwrap_or(0);
            let both = secrets[block] >> (8 * byte) | next.unbounded_shl(128 - 8 * byte as u32);
            both & ((1 << (2 * bits)) - 1)
        };
        // Shifted so that what counts of a product begins at bit 64.
        let keys = Zeroizing::new([1, 2, 3, 4].map(|part| from(part * length) << (65 - bits)));
        if direction == Direction::Encrypt {
            *text ^= from(0);
        }
        feistel(text, bits, HASHED_ROUNDS, direction, |i, s| {
            parts.product(keys[usize::from(i)], s, bits) & ((1 << bits) - 1)
        });
        if direction == Direction::Decrypt {
            *text ^= from(0);
        }
    }

    /// What Z0, Z1 and so on are the encryptions of. They wait for nothing but C.
    #[inline(always)]
    fn inputs<const W: usize>(&self, length: usize) -> [u128; W] {
        let base = times(*self.tweak, 4 * length as u32 + 1) ^ self.before;
        let mut inputs = [base; W];
        for (k, input) in (0..).zip(&mut inputs) {
            *input ^= times(*self.tweak, 64 * k);
        }
        inputs
    }
}

/// The tweak times a polynomial of nine coefficients, which is no secret.
#[inline(always)]
fn times(tweak: u128, polynomial: u32) -> u128 {
    let (mut low, mut overflow) = (0, 0);
    for bit in 0..9 {
        let taken = 0u128.wrapping_sub(u128::from(polynomial >> bit & 1));
        low ^= (tweak << bit) & taken;
        overflow ^= tweak.unbounded_shr(128 - bit) & taken;
    }
    low ^ overflow ^ overflow << 1 ^ overflow << 2 ^ overflow << 7
}

/// A balanced Feistel network over halves of so many bits, or its inverse. `function` gives as many
/// bits.
#[inline(always)]
fn feistel(text: &mut u128, bits: u32, rounds: u8, direction: Direction, function: impl Fn(u8, u64) -> u64) {
    let (mut low, mut high) = (*text as u64 & ((1 << bits) - 1), (*text >> bits) as u64);
    match direction {
        Direction::Encrypt => {
            for i in 0..rounds {
                (low, high) = (high, low ^ function(i, high));
            }
        }
        Direction::Decrypt => {
            for i in (0..rounds).rev() {
                (low, high) = (high ^ function(i, low), low);
            }
        }
    }
    *text = u128::from(low) | u128::from(high) << bits;
}

#[cfg(test)]
mod tests;
