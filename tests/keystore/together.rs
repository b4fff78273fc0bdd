//! Several servers and commands at one keystore.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use keyroll::keystore::{KeyStore, NewVersions, Rotate};

use super::faults::{self, driver};
use super::support::{Place, XTS, plain_keys};

#[test]
fn servers_that_rotate_make_keys_and_rotate_the_master_key_at_once_lose_nothing() {
    let place = faults::Place::new();
    let (before, _) = place.keys().unwrap();
    let run = |action: &[&str]| {
        let mut command = Command::new(driver());
        command
            .arg(place.path("keystore"))
            .args([&place.uri("master"), "60000"])
            .args(action);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut children = Vec::new();
    for _ in 0..3 {
        children.push(run(&["rotate", "all", "4"]));
        children.push(run(&["create-key", "9"]));
        children.push(run(&["rotate-master-key"]));
        children.push(run(&["load"]));
    }
    let mut made = BTreeSet::new();
    for (number, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        // Rotations and new keys print what they made, the others all that there is.
        if number % 4 < 2 {
            for line in String::from_utf8(output.stdout).unwrap().lines() {
                assert!(made.insert(line.to_owned()), "{line} twice");
            }
        }
    }
    // Rotations behind the new key have made versions of it, too.
    assert!(made.len() > 3 * 4 * 2 && made.contains("9;1"), "{made:?}");
    let (after, _) = place.keys().unwrap();
    assert!(before.iter().all(|(name, key)| after.get(name) == Some(key)));
    assert_eq!(after.len(), before.len() + made.len());
    let metadata = place.store("master").metadata().unwrap();
    assert_eq!(metadata.key_version, "4");
    assert_eq!(metadata.generation, 2 + 3 * 4 + 1 + 3, "every write counted once");
}

#[test]
fn a_server_asks_the_provider_again_when_another_has_rotated_the_master_key() {
    let place = Place::new();
    let (one, two) = (place.store(), place.store());
    one.load().unwrap();
    let keys = plain_keys(&two.load().unwrap().keys);
    two.rotate_master_key(None).unwrap();
    let (unwraps, ..) = place.master_key.calls();
    assert_eq!(plain_keys(&one.load().unwrap().keys), keys);
    assert_eq!(place.master_key.calls().0, unwraps + 1);
    one.rotate(Rotate::All, NewVersions::DEFAULT, None).unwrap();
    one.create_key(5, XTS, None).unwrap();
    assert_eq!(
        place.master_key.calls().0,
        unwraps + 1,
        "it holds the new one now"
    );
    assert_eq!(two.load().unwrap().keys.len(), 5);
    assert_eq!(place.master_key.calls().0, unwraps + 1);
}
