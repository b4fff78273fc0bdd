//! What cannot be made is refused, and nothing is written for it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keyroll::crypto::Algorithm;
use keyroll::durable::{FileError, lock};
use keyroll::keys::{KeyName, KeySet, KeySpec, LAST_VERSION, NewVersions, VersionStep};
use keyroll::master_key::{MAX_KEY_VERSION, MAX_WRAPPED, MasterKey, MasterKeyError, Wrapped};
use keyroll::secret::{DataKey, KeystoreKey};
use keyroll::store::keystore::{KeystoreError, NewKey};
use keyroll::store::{KeyStore, Rotate, StoreError};

use super::support::{CTR_128, Handle, Place, TestMasterKey, XTS, plain_keys};

const XTS_128: KeySpec = KeySpec {
    algorithm: Algorithm::Aes256Xts,
    bits: 128,
};

#[test]
fn an_impossible_length_is_refused_everywhere() {
    let place = Place::new();
    let store = place.store();
    let before = fs::read(&place.path).unwrap();
    let odd = KeySpec { bits: 129, ..CTR_128 };
    for spec in [XTS_128, odd, KeySpec { bits: 0, ..CTR_128 }] {
        let new = NewVersions {
            step: VersionStep::DEFAULT,
            spec,
            ..NewVersions::DEFAULT
        };
        let errors = [
            store.rotate_keys(Rotate::All, new, None).unwrap_err(),
            store.create_key(9, spec, None).unwrap_err(),
            Place::empty()
                .store()
                .create(&[NewKey { id: 1, spec }], None)
                .unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, StoreError::ImpossibleSpec { .. }), "{error}");
        }
    }
    assert_eq!(fs::read(&place.path).unwrap(), before);

    let mut short = KeySet::default();
    short.insert(KeyName { id: 1, version: 1 }, DataKey::new(&[1; 16]).unwrap());
    let empty = Place::empty();
    let error = empty
        .store()
        .import(&short, Algorithm::Aes256Xts, None)
        .unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Keys(keyroll::keys::KeysError::KeyTooShort { bits: 128, .. })
        ),
        "{error}"
    );
    assert!(empty.names().is_empty());
}

#[test]
fn key_ids_are_numbers_from_1_and_named_once() {
    let place = Place::new();
    assert!(matches!(
        place.store().create_key(0, XTS, None),
        Err(StoreError::InvalidNewKey { id: 0, .. })
    ));
    for keys in [[0, 1], [2, 2]] {
        let keys = keys.map(|id| NewKey { id, spec: XTS });
        let empty = Place::empty();
        assert!(matches!(
            empty.store().create(&keys, None),
            Err(StoreError::InvalidNewKey { .. })
        ));
        assert!(empty.names().is_empty());
    }
    let empty = Place::empty();
    assert!(empty.store().create(&[], None).unwrap().is_empty());
    assert_eq!(
        empty.store().create_key(u32::MAX, XTS, None).unwrap().new.len(),
        1
    );
    assert_eq!(empty.keys().len(), 1);
}

#[test]
fn a_key_whose_versions_are_used_up_is_not_rotated() {
    let place = Place::empty();
    let mut keys = KeySet::default();
    let last = KeyName {
        id: 1,
        version: LAST_VERSION - 1,
    };
    keys.insert(last, DataKey::new(&[1; 32]).unwrap());
    place.store().import(&keys, Algorithm::AesCbc, None).unwrap();
    let before = fs::read(&place.path).unwrap();
    let error = place
        .store()
        .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, None)
        .unwrap_err();
    assert!(
        matches!(error, StoreError::VersionsUsedUp { latest, step: 2 } if latest == last),
        "{error}"
    );
    assert_eq!(fs::read(&place.path).unwrap(), before);
    let one = NewVersions {
        step: VersionStep::new(1).unwrap(),
        ..NewVersions::DEFAULT
    };
    let new = place.store().rotate_keys(Rotate::Key(1), one, None).unwrap().new;
    assert_eq!(new[0].version, LAST_VERSION);
    assert!(place.store().rotate_keys(Rotate::Key(1), one, None).is_err());
    assert_eq!(place.keys().len(), 2);
}

/// A provider that does what it should not.
struct Broken {
    good: Handle,
    wrap: fn(Wrapped) -> Wrapped,
    rotations: AtomicUsize,
}

impl Broken {
    fn new(place: &Place, wrap: fn(Wrapped) -> Wrapped) -> Broken {
        Broken {
            good: Handle(place.master_key.clone()),
            wrap,
            rotations: AtomicUsize::new(0),
        }
    }
}

impl MasterKey for Broken {
    fn describe(&self) -> String {
        "broken master key".into()
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        self.good.wrap(key, keystore).map(self.wrap)
    }

    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError> {
        // Without authentication, as a command of one's own may be.
        match self.good.unwrap(wrapped, keystore) {
            Err(_) => Ok(KeystoreKey::new(&[7; 32]).unwrap()),
            key => key,
        }
    }

    fn rotate(&self) -> Result<(), MasterKeyError> {
        self.rotations.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn a_provider_that_wraps_so_that_nothing_unwraps_it_ruins_no_keystore() {
    type Case = (fn(Wrapped) -> Wrapped, &'static str);
    let cases: [Case; 5] = [
        (
            |mut wrapped| {
                wrapped.bytes[20] ^= 1;
                wrapped
            },
            "it does not unwrap what it has just wrapped",
        ),
        (
            |mut wrapped| {
                wrapped.bytes.clear();
                wrapped
            },
            "its ciphertext is empty",
        ),
        (
            |mut wrapped| {
                wrapped.bytes.resize(16 * 1024 + 1, 0);
                wrapped
            },
            "its ciphertext has more than 16384 bytes",
        ),
        (
            |mut wrapped| {
                wrapped.key_version = "\n".into();
                wrapped
            },
            "its key_version is not at most 512 printable ASCII characters",
        ),
        (
            |mut wrapped| {
                wrapped.key_version = "x".repeat(513);
                wrapped
            },
            "its key_version is not at most 512 printable ASCII characters",
        ),
    ];
    for (wrap, wanted) in cases {
        let place = Place::new();
        let before = fs::read(&place.path).unwrap();
        let store = place.store_behind(Broken::new(&place, wrap));
        let error = store.rotate_master_key(None).unwrap_err();
        assert!(
            matches!(error, StoreError::MasterKeyRotationUnfinished { .. }),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains(wanted) && text.contains("broken master key"),
            "{text}"
        );
        assert!(
            text.ends_with("may hold a new version of the master key that nothing uses"),
            "{text}"
        );

        let error = place
            .store()
            .move_to(&Broken::new(&place, wrap), None)
            .unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Keystore(KeystoreError::UnusableProvider { .. })
            ),
            "{error}"
        );
        assert_eq!(fs::read(&place.path).unwrap(), before);
        assert_eq!(place.names(), ["keystore"]);
        assert_eq!(place.keys().len(), 2);
    }
}

#[test]
fn a_provider_without_authentication_is_found_out_by_the_key_check() {
    let place = Place::new();
    let other = Place::new();
    let store = place.store_behind(Broken {
        good: Handle(TestMasterKey::new("another")),
        ..Broken::new(&other, |wrapped| wrapped)
    });
    let error = store.load().unwrap_err();
    assert!(
        matches!(error, StoreError::Keystore(KeystoreError::WrongMasterKey { .. })),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .ends_with("what it unwraps is the key of another keystore"),
        "{error}"
    );
}

#[test]
fn a_provider_that_is_away_stops_a_rotation_of_the_master_key_and_nothing_else() {
    let place = Place::new();
    let store = place.store();
    store.load().unwrap();
    place.master_key.away.store(true, Ordering::Relaxed);
    let before = fs::read(&place.path).unwrap();
    let error = store.rotate_master_key(None).unwrap_err();
    assert!(
        matches!(error, StoreError::Keystore(KeystoreError::NoMasterKey { .. })),
        "{error}"
    );
    assert_eq!(fs::read(&place.path).unwrap(), before);
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
    store.load().unwrap();
}

#[test]
fn debug_output_of_an_open_keystore_shows_no_key() {
    let place = Place::new();
    let store = place.store();
    store.load().unwrap();
    let shown = format!("{store:?}");
    assert!(
        shown.contains("LockedMemory(redacted)") && shown.contains("test master key one"),
        "{shown}"
    );
}

/// A provider that takes all the room that there is.
struct Roomy(Handle);

impl MasterKey for Roomy {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        let mut wrapped = self.0.wrap(key, keystore)?;
        let length = wrapped.bytes.len() as u8;
        wrapped.bytes.resize(MAX_WRAPPED - 1, 0);
        wrapped.bytes.push(length);
        wrapped.key_version = "~".repeat(MAX_KEY_VERSION);
        Ok(wrapped)
    }

    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError> {
        let mut wrapped = wrapped.clone();
        let length = wrapped.bytes[MAX_WRAPPED - 1];
        wrapped.bytes.truncate(length.into());
        self.0.unwrap(&wrapped, keystore)
    }

    fn rotate(&self) -> Result<(), MasterKeyError> {
        self.0.rotate()
    }
}

#[test]
fn a_provider_may_take_all_the_room_that_it_has() {
    let place = Place::new();
    let keys = place.keys();
    let roomy = || Roomy(Handle(place.master_key.clone()));
    place.store().move_to(&roomy(), None).unwrap();
    let store = place.store_behind(roomy());
    assert_eq!(plain_keys(&store.load().unwrap().keys), keys);
}

#[test]
fn a_keystore_that_cannot_be_opened_is_not_said_to_be_missing() {
    let place = Place::empty();
    symlink("keystore", &place.path).unwrap();
    let error = place.refused();
    assert!(
        matches!(&error, StoreError::File(FileError::FileNotFound { .. })),
        "{error}"
    );
    fs::remove_file(&place.path).unwrap();
    let error = place.refused();
    assert!(
        matches!(
            error,
            StoreError::Keystore(KeystoreError::Missing { previous: false, .. })
        ),
        "{error}"
    );
}

#[test]
fn a_stuck_lock_holder_ends_the_change_and_the_load_in_the_time_that_was_set() {
    let place = Place::new();
    let holder = File::open(&place.path).unwrap();
    holder.lock().unwrap();
    let store = place.store().with_lock_timeout(Duration::from_millis(100));
    let begin = Instant::now();
    for error in [
        store
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .unwrap_err(),
        store.load().unwrap_err(),
    ] {
        assert!(
            error
                .to_string()
                .ends_with("is locked by another process, for more than 0.1 s"),
            "{error}"
        );
    }
    assert!(begin.elapsed() < lock::TIMEOUT);
    drop(holder);
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
}
