//! Changes of a keystore: under its lock, from what it holds then, in one durable replacement that is read back.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::create::{for_keystore, spec_of};
use super::error::KeystoreError;
use super::format::{Document, MasterKeyRecord};
use super::keys::Keys;
use super::open::{Read, check_mac, open_all, parse};
use super::uuid::Uuid;
use super::{KIND, KeystoreFile};
use crate::clock;
use crate::crypto::{Algorithm, scrub};
use crate::durable::replace::{Previous, Replacement, remove_previous, replace, settle};
use crate::durable::step::{DiskState, Step};
use crate::durable::{FileError, failpoint, lock, read};
use crate::keys::{Comparison, KeyName, KeySet, KeySpec, Ring};
use crate::master_key::MasterKey;
use crate::secret::{DataKey, KeystoreKey, SecretBytes};
use crate::store::{KeysAdded, MasterKeyRotated, StoreError};

/// Points in a rotation of the master key beside those of the file, for tests; see [`failpoint`].
pub const FAILPOINTS: &[&str] = &["keystore:rotated-master-key", "keystore:wrapped"];

/// A keystore that nobody else can change, open.
struct Locked {
    path: PathBuf,
    file: lock::Exclusive,
    old: SecretBytes,
    document: Document,
    keys: Keys,
    data_keys: KeySet,
}

/// A keystore that could be changed just now, and is locked no more.
struct Changeable {
    path: PathBuf,
    uuid: Uuid,
    /// What wraps it.
    wrapped: MasterKeyRecord,
}

/// A keystore key that a master key has wrapped.
pub(super) struct NewKeystoreKey {
    pub(super) key: KeystoreKey,
    pub(super) keys: Keys,
    pub(super) record: MasterKeyRecord,
}

impl KeystoreFile {
    /// Adds a random version with each of the names that `names` gives for the keys that there are.
    pub(super) fn add(
        &self,
        spec: KeySpec,
        known: Option<&Ring>,
        names: impl FnOnce(&KeySet) -> Result<Vec<KeyName>, StoreError>,
    ) -> Result<KeysAdded, StoreError> {
        check_spec(spec)?;
        self.append(known, |locked| {
            let random = |name| Ok((name, random_key(spec)?, spec.algorithm));
            names(&locked.data_keys)?.into_iter().map(random).collect()
        })
    }

    /// Adds all versions of another store, called `other`, that this one lacks: with their numbers, bytes and algorithms, or
    /// this algorithm where that store records none. Nothing else changes. `new` is empty if there was nothing to add.
    ///
    /// # Errors
    /// [`KeystoreError::OthersUnderOneName`] if a version that both hold is not the same in both. Nothing is added then.
    pub fn add_all(&self, other: &str, keys: &KeySet, algorithm: Algorithm) -> Result<KeysAdded, StoreError> {
        let meant = for_keystore(keys, algorithm)?;
        self.append(None, |locked| {
            let compared = Comparison::of(&locked.data_keys, &meant);
            if !compared.differing.is_empty() {
                return Err(KeystoreError::OthersUnderOneName {
                    path: locked.path.clone(),
                    other: other.into(),
                    differing: compared.differing,
                }
                .into());
            }
            let copy = |name| {
                let key = DataKey::new(meant.get(name)?.expose())?;
                Some((name, key, meant.algorithm(name)?))
            };
            Ok(compared.first_lacks.into_iter().filter_map(copy).collect())
        })
    }

    /// Adds the versions that `new` gives for the keystore as it is under its lock, in one durable replacement.
    fn append(
        &self,
        known: Option<&Ring>,
        new: impl FnOnce(&Locked) -> Result<Vec<(KeyName, DataKey, Algorithm)>, StoreError>,
    ) -> Result<KeysAdded, StoreError> {
        let mut locked = self.lock(known)?;
        let new = new(&locked)?;
        if new.is_empty() {
            settle(&locked.file, &locked.path)?;
            self.held().remember(&locked.document);
            return Ok(KeysAdded {
                keys: locked.data_keys,
                new: Vec::new(),
            });
        }
        let created = clock::rfc3339(SystemTime::now());
        let mut names = Vec::with_capacity(new.len());
        for (name, key, algorithm) in new {
            let record = locked
                .keys
                .seal(name, spec_of(&key, algorithm), &created, &key)
                .map_err(|source| KeystoreError::CannotSeal { name, source })?;
            locked.document.add(record);
            locked.data_keys.insert_for(name, key, algorithm);
            names.push(name);
        }
        let keys = self.write(&mut locked, Previous::Keep)?;
        self.held().remember(&locked.document);
        Ok(KeysAdded { keys, new: names })
    }

    /// Wraps the keystore anew for another master key, under a new keystore key, in one durable replacement. No data
    /// key changes. This store goes on without asking its own provider; [`with_master_key`](crate::store::KeyStore::with_master_key)
    /// makes one that asks the new one.
    ///
    /// # Errors
    /// The keystore has not changed then.
    pub fn move_to(&self, new: &dyn MasterKey, known: Option<&Ring>) -> Result<MasterKeyRotated, StoreError> {
        self.rewrap(new, self.changeable(known)?, known)
    }

    /// Has the provider make or name its newest master key, then does as [`move_to`](Self::move_to) does with it.
    pub(super) fn rotate_and_rewrap(&self, known: Option<&Ring>) -> Result<MasterKeyRotated, StoreError> {
        let master_key = self.config.master_key.as_ref();
        // Before the provider makes anything: whatever keeps the keystore from being changed shows here.
        let before = self.changeable(known)?;
        master_key
            .rotate()
            .map_err(|source| KeystoreError::no_master_key(before.path.clone(), source))?;
        reach(FAILPOINTS[0], &before.path)
            .and_then(|()| self.rewrap(master_key, before, known))
            .map_err(|source| StoreError::MasterKeyRotationUnfinished {
                provider: master_key.describe(),
                source: Box::new(source),
            })
    }

    fn changeable(&self, known: Option<&Ring>) -> Result<Changeable, StoreError> {
        let locked = self.lock(known)?;
        Ok(Changeable {
            uuid: *locked.document.uuid(),
            wrapped: locked.document.master_key().clone(),
            path: locked.path,
        })
    }

    /// The lock is not held while the provider is asked: others make and rotate data keys meanwhile.
    fn rewrap(
        &self,
        master_key: &dyn MasterKey,
        before: Changeable,
        known: Option<&Ring>,
    ) -> Result<MasterKeyRotated, StoreError> {
        let mut new = NewKeystoreKey::wrapped_by(master_key, &before.path, &before.uuid)?;
        reach(FAILPOINTS[1], &before.path)?;
        let mut locked = self.lock(known)?;
        if *locked.document.master_key() != before.wrapped {
            // Someone else was faster, perhaps with a newer master key. An older one must not take its place: it may be taken
            // out of service. This once the provider is asked under the lock.
            new = NewKeystoreKey::wrapped_by(master_key, &locked.path, &before.uuid)?;
        }
        let mut records = locked.document.keys().to_vec();
        for record in &mut records {
            let name = record.name;
            // Every record was opened into the set under this lock.
            let key = locked.data_keys.get(name).ok_or(KeystoreError::DataKey {
                path: locked.path.clone(),
                name,
            })?;
            *record = new
                .keys
                .seal(name, record.spec, &record.created, key)
                .map_err(|source| KeystoreError::CannotSeal { name, source })?;
        }
        locked.document.rewrap(new.record, records);
        locked.keys = new.keys;
        // A copy under the old master key would open with it.
        let keys = self.write(&mut locked, Previous::Remove)?;
        let mut held = self.held();
        held.keep(&new.key, &locked.document);
        held.remember(&locked.document);
        Ok(MasterKeyRotated {
            keys,
            master_key: held.master_key().unwrap_or_default(),
        })
    }

    /// Locks the file, reads it anew and opens it; fails if it lacks what is known.
    ///
    /// What that leaves of keys on the stack is wiped at once: errors that are made there later, with room that they do not
    /// use, would take pieces of it along into the heap.
    fn lock(&self, known: Option<&Ring>) -> Result<Locked, StoreError> {
        scrub::around(|| self.lock_and_open(known))
    }

    fn lock_and_open(&self, known: Option<&Ring>) -> Result<Locked, StoreError> {
        // Asks the provider, if it has to be asked, while others can still read and write.
        if !self.held().has_key() {
            self.open()?;
        }
        // The file that a symbolic link names is replaced, not the link.
        let path = self.resolve()?;
        let file = lock::exclusive(&path, &KIND, self.lock_timeout)?;
        let Read {
            bytes: old,
            document,
            kept,
        } = self.read(&path, &file)?;
        let keys = self.unwrap(&path, &document)?;
        let data_keys = open_all(&path, &document, &keys)?;
        if let Some(ring) = known {
            ring.check_successor(&data_keys)?;
        }
        // A change of the master key was killed before it removed it.
        if kept.is_some_and(|kept| kept.opens_with_an_older_master_key(&document))
            && let Err(error) = remove_previous(&path, &KIND)
        {
            self.tell_of(&error);
        }
        Ok(Locked {
            path,
            file,
            old,
            document,
            keys,
            data_keys,
        })
    }

    /// Signs what is in `document` and puts it in the file's place.
    fn write(&self, locked: &mut Locked, previous: Previous) -> Result<KeySet, StoreError> {
        locked.document.sign(&locked.keys);
        let text = locked.document.render();
        let replacement = Replacement {
            path: &locked.path,
            kind: &KIND,
            locked: &locked.file,
            old: locked.old.expose(),
            new: &text,
            previous,
        };
        let meant = &locked.data_keys;
        let replaced = replace(&replacement, || {
            read_back(&locked.path, &text, &locked.keys, meant)
        })?;
        if let Err(error) = replaced.copy {
            self.tell_of(&error);
        }
        Ok(replaced.read_back)
    }
}

impl NewKeystoreKey {
    /// A new random keystore key, wrapped, and unwrapped again to be sure that it can be.
    pub(super) fn wrapped_by(
        master_key: &dyn MasterKey,
        path: &Path,
        uuid: &Uuid,
    ) -> Result<NewKeystoreKey, StoreError> {
        let failed = |source| KeystoreError::no_master_key(path.into(), source);
        let unusable = |reason: &str| KeystoreError::UnusableProvider {
            provider: master_key.describe(),
            reason: reason.into(),
        };
        let key = KeystoreKey::random().map_err(StoreError::NoRandomBytes)?;
        let context = uuid.to_string();
        let wrapped = master_key.wrap(&key, &context).map_err(failed)?;
        wrapped.check(&key).map_err(|reason| unusable(&reason))?;
        let again = master_key.unwrap(&wrapped, &context).map_err(failed)?;
        let keys = Keys::new(key.expose(), uuid);
        if !Keys::new(again.expose(), uuid).is_checked_by(&keys.check()) {
            return Err(unusable("it does not unwrap what it has just wrapped").into());
        }
        let record = MasterKeyRecord {
            provider: master_key.describe(),
            wrapped,
            wrapped_at: clock::rfc3339(SystemTime::now()),
            key_check: keys.check(),
        };
        Ok(NewKeystoreKey { key, keys, record })
    }
}

/// Reads the file anew, not through the lock, which a change holds on this very file, and compares it with what was
/// meant, byte by byte and key by key.
pub(super) fn read_back(
    path: &Path,
    written: &[u8],
    keys: &Keys,
    meant: &KeySet,
) -> Result<KeySet, StoreError> {
    let file = read::open_regular(path)?;
    let bytes = read::whole(&file, path, &KIND)?;
    let document = parse(path, bytes.expose())?;
    check_mac(path, &document, keys)?;
    let found = open_all(path, &document, keys)?;
    let same_keys = found.len() == meant.len()
        && meant.iter().all(|(name, key)| {
            found.get(name).is_some_and(|k| k.same_bytes(key.expose()))
                && found.algorithm(name) == meant.algorithm(name)
        });
    if bytes.expose() != written || !same_keys {
        return Err(FileError::NotAsWritten { path: path.into() }.into());
    }
    Ok(found)
}

pub(super) fn check_spec(spec: KeySpec) -> Result<(), StoreError> {
    if spec.is_possible() {
        return Ok(());
    }
    let KeySpec { algorithm, bits } = spec;
    Err(StoreError::ImpossibleSpec { bits, algorithm })
}

/// A random key as the spec says, which must be a possible one.
pub(super) fn random_key(spec: KeySpec) -> Result<DataKey, StoreError> {
    let KeySpec { algorithm, bits } = spec;
    DataKey::random(bits as usize / 8)
        .ok_or(StoreError::ImpossibleSpec { bits, algorithm })?
        .map_err(StoreError::NoRandomBytes)
}

fn reach(name: &str, path: &Path) -> Result<(), StoreError> {
    let failed = |source: io::Error| FileError::NotWritten {
        step: Step::Write,
        path: path.into(),
        source,
        state: DiskState::AsItWas,
        kind: &KIND,
    };
    Ok(failpoint::reach(name).map_err(failed)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::master_key::DEFAULT_REQUEST_TIMEOUT;
    use crate::master_key::file::MasterKeyFile;
    use crate::master_key::{self, ProviderOptions};
    use crate::store::KeyStore;
    use crate::store::keystore::{KeystoreConfig, NewKey};

    #[test]
    fn what_is_read_back_must_be_the_text_and_the_keys_that_were_meant() {
        let directory = tempfile::tempdir().unwrap();
        let (path, master) = (directory.path().join("keystore"), directory.path().join("master"));
        MasterKeyFile::create(&master, None).unwrap();
        let options = ProviderOptions::of_this_process(DEFAULT_REQUEST_TIMEOUT);
        let store = KeystoreFile::new(KeystoreConfig {
            path: path.clone(),
            master_key: master_key::open(&format!("file:{}", master.display()), &options).unwrap(),
            options,
            strict_permissions: false,
        })
        .unwrap();
        let spec = KeySpec::DEFAULT;
        store.create(&[NewKey { id: 1, spec }], None).unwrap();
        let held = store.load().unwrap().keys;
        let text = fs::read(&path).unwrap();
        let document = parse(&path, &text).unwrap();
        let keys = store.unwrap(&path, &document).unwrap();

        let name = KeyName { id: 1, version: 1 };
        let key = || DataKey::new(held.get(name).unwrap().expose()).unwrap();
        let other = || DataKey::new(&[1; 32]).unwrap();
        let next = KeyName { id: 1, version: 3 };
        let set = |versions: Vec<(KeyName, DataKey, Algorithm)>| {
            let mut set = KeySet::default();
            for (name, key, algorithm) in versions {
                set.insert_for(name, key, algorithm);
            }
            set
        };
        let as_meant = |text: &[u8], meant: &KeySet| match read_back(&path, text, &keys, meant) {
            Ok(_) => true,
            Err(StoreError::File(FileError::NotAsWritten { .. })) => false,
            Err(error) => panic!("{error}"),
        };
        let xts = Algorithm::Aes256Xts;
        assert!(as_meant(&text, &held));
        assert!(!as_meant(&[&text[..], b" "].concat(), &held), "another text");
        assert!(!as_meant(&text, &KeySet::default()), "one more");
        assert!(
            !as_meant(&text, &set(vec![(name, key(), xts), (next, key(), xts)])),
            "one less"
        );
        assert!(!as_meant(&text, &set(vec![(next, key(), xts)])), "another name");
        assert!(!as_meant(&text, &set(vec![(name, other(), xts)])), "other bytes");
        let algorithm = Algorithm::AesCtr;
        assert!(
            !as_meant(&text, &set(vec![(name, key(), algorithm)])),
            "another cipher"
        );
    }
}
