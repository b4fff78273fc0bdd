//! Several processes at the same file.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use super::support::{Keys, Place, holds_all};

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
    let words = place.driver(&["rotate", "all", "20"]);
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut seen: Vec<Keys> = vec![place.keys()];
    while child.try_wait().unwrap().is_none() {
        let keys = place.keys();
        assert!(
            holds_all(&keys, &seen[seen.len() - 1]),
            "nothing that was there goes away"
        );
        assert_eq!(keys.len() % 2, 1, "both new versions of a rotation, or none");
        seen.push(keys);
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(place.keys().len(), 43);
    assert!(seen.len() > 5, "{}", seen.len());
}
