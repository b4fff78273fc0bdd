//! New versions of data keys in a keystore that there is: random ones, and those of another store.

use std::time::SystemTime;

use super::change::Locked;
use super::create::for_keystore;
use super::error::KeystoreError;
use super::file::KeystoreFile;
use super::write::{add_wrapped, random_key};
use crate::clock;
use crate::crypto::Algorithm;
use crate::durable::replace::{Previous, settle};
use crate::keys::{Comparison, KeyName, KeySet, KeySpec, Ring};
use crate::secret::DataKey;
use crate::store::{KeysAdded, StoreError};

impl KeystoreFile {
    /// Adds a random version with each of the names that `names` gives for the keys that there are.
    pub(super) fn add_random(
        &self,
        spec: KeySpec,
        known: Option<&Ring>,
        names: impl FnOnce(&KeySet) -> Result<Vec<KeyName>, StoreError>,
    ) -> Result<KeysAdded, StoreError> {
        if !spec.is_possible() {
            let KeySpec { algorithm, bits } = spec;
            return Err(StoreError::ImpossibleSpec { bits, algorithm });
        }
        self.append(known, |locked| {
            let random = |name| Ok((name, random_key(spec)?, spec.algorithm));
            names(&locked.data_keys)?.into_iter().map(random).collect()
        })
    }

    /// Adds all versions of another store, called `other`, that this one lacks: with their numbers,
    /// bytes and algorithms, or this algorithm where that store records none. Nothing else changes.
    /// `new` is empty if there was nothing to add.
    ///
    /// # Errors
    /// [`KeystoreError::OthersUnderOneName`] if a version that both hold is not the same in both.
    /// Nothing is added then.
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

    /// Adds the versions that `new` gives for the keystore as it is under its lock, in one durable
    /// replacement.
    fn append(
        &self,
        known: Option<&Ring>,
        new: impl FnOnce(&Locked) -> Result<Vec<(KeyName, DataKey, Algorithm)>, StoreError>,
    ) -> Result<KeysAdded, StoreError> {
        let mut locked = self.lock(known)?;
        let new = new(&locked)?;
        if new.is_empty() {
            settle(&locked.file, &locked.path)?;
            self.remembered().remember(&locked.document);
            return Ok(KeysAdded {
                keys: locked.data_keys,
                new: Vec::new(),
            });
        }
        let created = clock::rfc3339(SystemTime::now());
        let keys = new.iter().map(|(name, key, algorithm)| (*name, key, *algorithm));
        add_wrapped(&mut locked.document, &locked.derived, &created, keys)?;
        let names = new.iter().map(|(name, ..)| *name).collect();
        for (name, key, algorithm) in new {
            locked.data_keys.insert_for(name, key, algorithm);
        }
        let keys = self.write(&mut locked, Previous::Keep)?;
        self.remembered().remember(&locked.document);
        Ok(KeysAdded { keys, new: names })
    }
}
