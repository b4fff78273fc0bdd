//! What a server's keys cost while they become many, one after the other: alone in its process, because it is the process that
//! is measured.

use std::fs;

use keyroll::crypto::Algorithm;
use keyroll::keys::{KeyName, KeySet, Ring};
use keyroll::secret::DataKey;
use test_support::programs::is_alone;

const KEYS: u32 = 10_000;
const CHANGES: u32 = 1_000;

/// What `/proc/self/status` says of memory, in KiB.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

fn add(keys: &mut KeySet, id: u32, version: u32) {
    keys.insert(KeyName { id, version }, DataKey::random(32).unwrap().unwrap());
}

/// Has the ring take up what these keys add; rings that were replaced are kept, as a server keeps them.
fn take_up(keys: &KeySet, kept: &mut Vec<Ring>) {
    let ring = kept.last().unwrap();
    if let Some(larger) = ring.add(&ring.additions(keys).unwrap()) {
        kept.push(larger);
    }
}

fn started() -> (KeySet, Vec<Ring>) {
    let mut keys = KeySet::default();
    add(&mut keys, 1, 1);
    let ring = Ring::new(&keys, Algorithm::AesCbc).unwrap();
    (keys, vec![ring])
}

#[test]
fn ten_thousand_keys_and_a_thousand_rotations_and_reloads_stay_within_32_mib() {
    if !is_alone(
        "ring_growth::ten_thousand_keys_and_a_thousand_rotations_and_reloads_stay_within_32_mib",
        "",
    ) {
        return;
    }
    let (rss, mapped) = (memory("VmRSS:"), mappings());
    let (mut keys, mut many) = started();
    for id in 2..=KEYS {
        add(&mut keys, id, 1);
        // The keys that come together are as many as changes allow in some seconds.
        if id % 20 == 0 {
            take_up(&keys, &mut many);
        }
    }
    let (mut keys, mut rotated) = started();
    for change in 1..=CHANGES {
        add(&mut keys, 1, 1 + change);
        take_up(&keys, &mut rotated);
        // A reload that brings nothing.
        take_up(&keys, &mut rotated);
    }

    assert_eq!(many.last().unwrap().keys(), KEYS as usize);
    assert_eq!(rotated.last().unwrap().latest(1), Some(1 + CHANGES));
    for kept in [&many, &rotated] {
        assert!(kept.len() <= 16, "{} rings", kept.len());
    }
    let (more, maps) = (memory("VmRSS:").saturating_sub(rss), mappings() - mapped);
    assert!(more < 32 * 1024, "{more} KiB more");
    assert!(maps < 64, "{maps} mappings more");
}
