//! The tables of AES by vector permutations, derived from the field's arithmetic when this is compiled.
//!
//! GF(2^8), the field of AES, is GF(2^4) with a root t of t^2 + t + z, where z = t (t + 1) lies in GF(2^4). Write
//! x = i t + j (t + 1) = i + k (t + 1) with i, j, k = i + j in GF(2^4). Its norm is n = i j + z k^2, and
//! 1/x = (i (t + 1) + j t) / n. With the divisions of GF(2^4) looked up, where 1/0 is an infinity:
//!
//! ```text
//! p = 1 / (1/i + 1/(z k)) + j = n / (i + z k)        1/x = (t + 1 + z) / p + (t + z) / q
//! q = 1 / (1/j + 1/(z k)) + i = n / (j + z k)
//! ```
//!
//! So 1/x, and whatever is linear in it, is the sum of a look-up by p and one by q. The infinity is the byte
//! 0x80, which as an index gives zero. A state is kept as bytes with i in the high nibble and k in the low one.

use super::super::blocks::Bytes;

/// A table for each byte of a map.
type Map = [u8; 256];

/// The product of two bytes in the field of AES (FIPS 197, 4.2).
const fn times(a: u8, b: u8) -> u8 {
    let (mut product, mut a, mut b) = (0, a, b);
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a = (a << 1) ^ if a & 0x80 != 0 { 0x1B } else { 0 };
        b >>= 1;
    }
    product
}

/// The square of the square.
const fn to_the_4(x: u8) -> u8 {
    let square = times(x, x);
    times(square, square)
}

/// A root of w^4 + w + 1: its powers 0 to 3 are the basis of GF(2^4).
const W: u8 = {
    let mut w = 0;
    while to_the_4(w) != w ^ 1 {
        w += 1;
    }
    w
};

/// t, whose conjugate t^16 is t + 1.
const T: u8 = {
    let mut t = 0;
    while to_the_4(to_the_4(t)) != t ^ 1 {
        t += 1;
    }
    t
};

const Z: u8 = times(T, T ^ 1);

/// The elements of GF(2^4) as elements of GF(2^8), by their coefficients.
const SUBFIELD: Bytes = {
    let mut elements = [0; 16];
    let mut at = 0;
    while at < 16 {
        let (mut power, mut bit) = (1, 0);
        while bit < 4 {
            if at >> bit & 1 == 1 {
                elements[at] ^= power;
            }
            power = times(power, W);
            bit += 1;
        }
        at += 1;
    }
    elements
};

/// i and k of each byte.
const ENCODE: Map = {
    let mut encode = [0; 256];
    let mut code = 0;
    while code < 256 {
        let byte = SUBFIELD[code >> 4] ^ times(SUBFIELD[code & 15], T ^ 1);
        encode[byte as usize] = code as u8;
        code += 1;
    }
    encode
};

/// 1/(c n) in GF(2^4) for each n.
const fn inverses_of_multiples(c: u8) -> Bytes {
    let mut inverses = [0x80; 16];
    let mut n = 1;
    while n < 16 {
        let mut inverse = 1;
        while times(times(SUBFIELD[n], c), SUBFIELD[inverse]) != 1 {
            inverse += 1;
        }
        inverses[n] = inverse as u8;
        n += 1;
    }
    inverses
}

/// What is linear in SubBytes (FIPS 197, 5.1.1), and its inverse (5.3.2).
const fn linear(x: u8) -> u8 {
    x ^ x.rotate_left(1) ^ x.rotate_left(2) ^ x.rotate_left(3) ^ x.rotate_left(4)
}
const fn linear_inverse(x: u8) -> u8 {
    x.rotate_left(1) ^ x.rotate_left(3) ^ x.rotate_left(6)
}

/// The constant of SubBytes.
const CONSTANT: u8 = 0x63;

/// The pair of look-ups that sum up to a linear map.
#[repr(C, align(16))]
pub(super) struct Pair(pub(super) Bytes, pub(super) Bytes);

/// A linear map of a byte, by its low nibble and its high one.
const fn by_nibbles(map: &Map) -> Pair {
    let mut pair = Pair([0; 16], [0; 16]);
    let mut n = 0;
    while n < 16 {
        pair.0[n] = map[n];
        pair.1[n] = map[n << 4];
        n += 1;
    }
    pair
}

/// A linear map of 1/x, by p and by q.
const fn by_quotients(map: &Map) -> Pair {
    let mut pair = Pair([0; 16], [0; 16]);
    let inverses = inverses_of_multiples(1);
    let mut n = 1;
    while n < 16 {
        let inverse = SUBFIELD[inverses[n] as usize];
        pair.0[n] = map[times(inverse, T ^ 1 ^ Z) as usize];
        pair.1[n] = map[times(inverse, T ^ Z) as usize];
        n += 1;
    }
    pair
}

/// `c` times SubBytes of the inverse, as a state.
const fn substituted(c: u8) -> Map {
    let mut map = [0; 256];
    let mut x = 0;
    while x < 256 {
        map[x] = ENCODE[times(c, linear(x as u8)) as usize];
        x += 1;
    }
    map
}

/// `c` times a byte as a state of the decryption: the linear part of its InvSubBytes already done.
const fn unsubstituted(c: u8) -> Map {
    let mut map = [0; 256];
    let mut x = 0;
    while x < 256 {
        map[x] = ENCODE[linear_inverse(times(c, x as u8)) as usize];
        x += 1;
    }
    map
}

/// The linear part of SubBytes if `is_linear`, else nothing.
const fn plain(is_linear: bool) -> Map {
    let mut map = [0; 256];
    let mut x = 0;
    while x < 256 {
        map[x] = if is_linear { linear(x as u8) } else { x as u8 };
        x += 1;
    }
    map
}

/// ShiftRows (FIPS 197, 5.1.2) `times` times, as indexes for a shuffle. Four times it is nothing.
const fn shift_rows(times: usize) -> Bytes {
    let mut indexes = [0; 16];
    let mut at = 0;
    while at < 16 {
        let (row, column) = (at % 4, at / 4);
        indexes[at] = (4 * ((column + times * row) % 4) + row) as u8;
        at += 1;
    }
    indexes
}

/// Each column turned by `rows`, amid ShiftRows done `times` times before and undone after.
const fn turned(rows: usize, times: usize) -> Bytes {
    let (before, after) = (shift_rows(times), shift_rows(4 - times));
    let mut indexes = [0; 16];
    let mut at = 0;
    while at < 16 {
        let to = after[at] as usize;
        indexes[at] = before[to / 4 * 4 + (to + rows) % 4];
        at += 1;
    }
    indexes
}

/// For each number of rounds modulo 4.
const fn by_round(rows: usize) -> [Bytes; 4] {
    [turned(rows, 0), turned(rows, 1), turned(rows, 2), turned(rows, 3)]
}

/// All tables.
#[repr(C, align(16))]
pub(super) struct Tables {
    /// 1/n in GF(2^4).
    pub(super) inverse: Bytes,
    /// 1/(z n).
    pub(super) inverse_of_multiple: Bytes,
    /// A byte as a state of the encryption, and of the decryption.
    pub(super) encode: Pair,
    pub(super) encode_inverse: Pair,
    /// Once and twice SubBytes, as states.
    pub(super) once: Pair,
    pub(super) twice: Pair,
    /// SubBytes as bytes.
    pub(super) last: Pair,
    /// Products with InvSubBytes, as states: the coefficients of InvMixColumns (FIPS 197, 5.3.3).
    pub(super) times_9: Pair,
    pub(super) times_11: Pair,
    pub(super) times_13: Pair,
    pub(super) times_14: Pair,
    /// InvSubBytes as bytes.
    pub(super) last_inverse: Pair,
    /// ShiftRows by number of times.
    pub(super) shift_rows: [Bytes; 4],
    /// Columns turned by one row and by three, by the number of ShiftRows that the state still lacks.
    pub(super) turn_1: [Bytes; 4],
    pub(super) turn_3: [Bytes; 4],
    /// The constant of SubBytes.
    pub(super) constant: Bytes,
}

pub(super) static TABLES: Tables = Tables {
    inverse: inverses_of_multiples(1),
    inverse_of_multiple: inverses_of_multiples(Z),
    encode: by_nibbles(&ENCODE),
    encode_inverse: by_nibbles(&unsubstituted(1)),
    once: by_quotients(&substituted(1)),
    twice: by_quotients(&substituted(2)),
    last: by_quotients(&plain(true)),
    times_9: by_quotients(&unsubstituted(9)),
    times_11: by_quotients(&unsubstituted(11)),
    times_13: by_quotients(&unsubstituted(13)),
    times_14: by_quotients(&unsubstituted(14)),
    last_inverse: by_quotients(&plain(false)),
    shift_rows: [shift_rows(0), shift_rows(1), shift_rows(2), shift_rows(3)],
    turn_1: by_round(1),
    turn_3: by_round(3),
    constant: [CONSTANT; 16],
};

#[cfg(test)]
mod tests {
    use super::*;

    /// 1/x of the encoded byte, by the look-ups of the module's head.
    fn inverse(x: u8) -> u8 {
        let look_up = |table: &Bytes, at: u8| {
            if at & 0x80 == 0 {
                table[at as usize & 15]
            } else {
                0
            }
        };
        let (i, k) = (ENCODE[x as usize] >> 4, ENCODE[x as usize] & 15);
        let (inverses, j) = (&TABLES.inverse, i ^ k);
        let of_k = look_up(&TABLES.inverse_of_multiple, k);
        let p = look_up(inverses, look_up(inverses, i) ^ of_k) ^ j;
        let q = look_up(inverses, look_up(inverses, j) ^ of_k) ^ i;
        look_up(&TABLES.last_inverse.0, p) ^ look_up(&TABLES.last_inverse.1, q)
    }

    #[test]
    fn the_look_ups_invert_every_byte_and_leave_zero() {
        assert_eq!(inverse(0), 0);
        for x in 1..=255 {
            assert_eq!(times(x, inverse(x)), 1, "{x:02x}");
        }
    }

    #[test]
    fn the_linear_parts_undo_each_other_and_the_products_are_those_of_fips_197() {
        assert!((0..=255).all(|x| linear_inverse(linear(x)) == x));
        assert_eq!(times(0x57, 0x83), 0xC1);
        // SubBytes of {53} (5.1.1).
        assert_eq!(linear(inverse(0x53)) ^ CONSTANT, 0xED);
    }

    #[test]
    fn every_state_is_that_of_one_byte() {
        let mut states = ENCODE;
        states.sort_unstable();
        assert!(states.iter().enumerate().all(|(at, state)| at == *state as usize));
    }
}
