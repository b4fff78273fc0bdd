//! Several processes at the same file.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::support::Place;
use test_support::programs::{Keys, holds_all, run};

fn rotate_together(place: &Place, processes: usize, times: usize) {
    let words = place.driver(&["rotate", "all", &times.to_string()]);
    let children: Vec<_> = (0..processes)
        .map(|_| {
            Command::new(&words[0])
                .args(&words[1..])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let before = place.keys();
    let mut made = BTreeSet::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let (id, version) = line.split_once(';').unwrap();
            assert!(
                made.insert((id.parse::<u32>().unwrap(), version.parse::<u32>().unwrap())),
                "{line} twice"
            );
        }
    }
    assert_eq!(made.len(), 2 * processes * times);
    let after = place.keys();
    assert!(holds_all(&after, &before));
    assert!(made.iter().all(|name| after.contains_key(name)));
    let different: BTreeSet<&Vec<u8>> = after.values().collect();
    assert_eq!(different.len(), after.len(), "no key was made twice");
    assert_eq!(after.len(), 3 + made.len());
    place.assert_nothing_left_behind();
}

#[test]
fn two_rotators_lose_nothing() {
    rotate_together(&Place::plain(), 2, 10);
}

#[test]
fn eight_rotators_lose_nothing() {
    rotate_together(&Place::encrypted(), 8, 4);
}

#[test]
fn a_reader_sees_the_keys_before_or_after_each_rotation_and_nothing_else() {
    let place = Place::plain();
    let words = place.driver(&["rotate", "all"]);
    let seen_enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let rotations = scope.spawn(|| {
            let mut count = 0;
            while !seen_enough.load(Ordering::Relaxed) {
                assert!(run(&words).status.success());
                count += 1;
            }
            count
        });
        let mut seen: Vec<Keys> = vec![place.keys()];
        let begun = Instant::now();
        while seen.len() < 8 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{} seen", seen.len());
            let keys = place.keys();
            let last = &seen[seen.len() - 1];
            assert!(holds_all(&keys, last), "nothing that was there goes away");
            assert_eq!(keys.len() % 2, 1, "both new versions of a rotation, or none");
            if keys.len() > last.len() {
                seen.push(keys);
            }
        }
        seen_enough.store(true, Ordering::Relaxed);
        let rotations = rotations.join().unwrap();
        assert_eq!(place.keys().len(), 3 + 2 * rotations);
    });
}
