//! Several servers and commands at one keystore.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyroll::keys::NewVersions;
use keyroll::master_key::{MasterKey, MasterKeyError, Wrapped};
use keyroll::secret::KeystoreKey;
use keyroll::store::keystore::KeystoreError;
use keyroll::store::{KeyStore, Rotate, StoreError};

use super::faults::{self, driver};
use super::support::{Handle, Place, XTS, plain_keys};

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
    let document = place.store("master").document().unwrap();
    assert_eq!(document.master_key.wrapped.key_version, "4");
    assert_eq!(document.generation, 2 + 3 * 4 + 1 + 3, "every write counted once");
}

/// A master key that lets something happen when it has wrapped.
struct Overtaken {
    inner: Handle,
    then: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl MasterKey for Overtaken {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        let wrapped = self.inner.wrap(key, keystore);
        if let Some(then) = self.then.lock().unwrap().take() {
            then();
        }
        wrapped
    }

    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError> {
        self.inner.unwrap(wrapped, keystore)
    }

    fn rotate(&self) -> Result<(), MasterKeyError> {
        self.inner.rotate()
    }
}

#[test]
fn a_rotation_of_the_master_key_that_was_overtaken_never_brings_an_older_version_back() {
    let place = Place::new();
    let (other, keys) = (place.store(), place.keys());
    let slow = Overtaken {
        inner: Handle(Arc::clone(&place.master_key)),
        then: Mutex::new(Some(Box::new(move || {
            other.rotate_master_key(None).unwrap();
            other.create_key(9, XTS, None).unwrap();
        }))),
    };
    let slow = place.store_behind(slow);
    // The slow one wraps with version 2; before it writes, the other one has written with version 3.
    slow.rotate_master_key(None).unwrap();
    assert_eq!(
        place.store().document().unwrap().master_key.wrapped.key_version,
        "3"
    );
    let mut after = place.keys();
    after.remove(&(9, 1)).unwrap();
    assert_eq!(after, keys);
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
    one.rotate_keys(Rotate::All, NewVersions::DEFAULT, None).unwrap();
    one.create_key(5, XTS, None).unwrap();
    assert_eq!(
        place.master_key.calls().0,
        unwraps + 1,
        "it holds the new one now"
    );
    assert_eq!(two.load().unwrap().keys.len(), 5);
    assert_eq!(place.master_key.calls().0, unwraps + 1);
}

/// A provider whose first answer comes when it is let go.
struct Late {
    good: Handle,
    held_back: Arc<Mutex<Option<Receiver<()>>>>,
}

impl MasterKey for Late {
    fn describe(&self) -> String {
        self.good.describe()
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        self.good.wrap(key, keystore)
    }

    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError> {
        let held_back = self.held_back.lock().unwrap().take();
        if let Some(held_back) = held_back {
            held_back.recv().unwrap();
        }
        self.good.unwrap(wrapped, keystore)
    }

    fn rotate(&self) -> Result<(), MasterKeyError> {
        self.good.rotate()
    }
}

#[test]
fn a_late_answer_of_the_provider_does_not_make_a_server_forget_what_it_has_written_since() {
    let place = Place::new();
    let old = fs::read(&place.path).unwrap();
    let (let_go, held_back) = channel();
    let held_back = Arc::new(Mutex::new(Some(held_back)));
    let store = place.store_behind(Late {
        good: Handle(Arc::clone(&place.master_key)),
        held_back: Arc::clone(&held_back),
    });
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| store.load().map(drop));
        while held_back.lock().unwrap().is_some() {
            std::thread::sleep(Duration::from_millis(1));
        }
        store
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .unwrap();
        let_go.send(()).unwrap();
        loading.join().unwrap().unwrap();
    });
    fs::write(&place.path, old).unwrap();
    fs::remove_file(place.directory.path().join("keystore.previous")).unwrap();
    let error = store.load().map(drop).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Keystore(KeystoreError::Older { in_memory: true, .. })
        ),
        "{error}"
    );
}
