//! The tweaks of tails, and what four rounds of hashing give, counted: the probability of each
//! difference.

use std::collections::HashSet;

use super::*;

#[test]
fn no_tweak_of_a_tail_is_that_of_a_block_or_of_another_tail_of_the_message() {
    // As multiples of T0: those of the first block and of tails in its place, and of what follows.
    let polynomials = (1..16).flat_map(|n| (0..5).map(move |k| 64 * k + 4 * n + 1));
    let first: HashSet<u128> = polynomials.chain([1]).map(|u| times(1, u)).collect();
    assert_eq!(first.len(), 15 * 5 + 1);
    let mut following = first.clone();
    for blocks in 1..=4096 {
        following = following.into_iter().map(|tweak| times(tweak, 2)).collect();
        assert!(first.is_disjoint(&following), "{blocks} blocks later");
    }
}

/// Counts of the values of a round function for every half, over all keys: [half][value]. Of a key
/// 8n - 1 bits count.
fn counts(bits: u32) -> Vec<Vec<u32>> {
    let size = 1usize << bits;
    let mut counts = vec![vec![0; size]; size];
    for key in 0..1u128 << (2 * bits - 1) {
        let key = key << (65 - bits);
        for (half, counts) in counts.iter_mut().enumerate() {
            let value = product(key, half as u64, bits) as usize & (size - 1);
            counts[value] += 1;
        }
    }
    counts
}

/// Runs one round over the counts of all differences, [low][high].
fn round(counts: &[Vec<u128>], of_function: &[Vec<u32>]) -> Vec<Vec<u128>> {
    let size = counts.len();
    let mut next = vec![vec![0; size]; size];
    for (low, row) in counts.iter().enumerate() {
        for (high, count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
            for (value, times) in of_function[high].iter().enumerate() {
                next[high][low ^ value] += count * u128::from(*times);
            }
        }
    }
    next
}

#[test]
fn a_difference_of_one_byte_behind_a_long_message_becomes_any_other_with_at_most_31_in_4096() {
    let of_function = counts(4);
    let mut most = 0;
    for start in 1..256 {
        let mut differences = vec![vec![0; 16]; 16];
        differences[start % 16][start / 16] = 1;
        for _ in 0..HASHED_ROUNDS {
            differences = round(&differences, &of_function);
        }
        assert_eq!(differences[0][0], 0, "different tails stay different");
        most = most.max(*differences.iter().flatten().max().unwrap());
    }
    // Of 2^7 keys in each of four rounds; 2 / N^2 - 1 / N^3 with N = 16.
    assert_eq!(most * 4096, 31 * (1 << 28));
}

#[test]
fn a_hash_of_a_half_that_is_not_zero_is_uniform() {
    for bits in [4, 8] {
        let counts = counts(bits);
        let each = 1 << (bits - 1);
        assert!(
            counts[1..].iter().flatten().all(|count| *count == each),
            "{bits} bits"
        );
    }
}

#[test]
fn a_difference_of_two_bytes_becomes_any_other_with_at_most_2_to_the_minus_15() {
    const N: usize = 256;
    // In units of N^-4, with the hash uniform for every half but zero, where it is zero.
    let mut most = 0u64;
    let halves = [0, 1, 0x5A, 0x80, 0xFF];
    let starts = halves.iter().flat_map(|low| halves.map(|high| (*low, high)));
    for (low, high) in starts.filter(|start| *start != (0, 0)) {
        let mut differences = vec![vec![0u64; N]; N];
        differences[low][high] = (N as u64).pow(4);
        for _ in 0..HASHED_ROUNDS {
            let mut next = vec![vec![0; N]; N];
            for high in 0..N {
                let all: u64 = differences.iter().map(|row| row[high]).sum();
                if high == 0 {
                    (0..N).for_each(|low| next[0][low] = differences[low][0]);
                } else {
                    next[high].fill(all / N as u64);
                }
            }
            differences = next;
        }
        most = most.max(*differences.iter().flatten().max().unwrap());
    }
    assert_eq!(most, (2 * N as u64 - 1) * N as u64, "2 / N^2 - 1 / N^3");
}
