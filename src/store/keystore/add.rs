//! New versions of data keys in a keystore that there is: random ones, and those of another store.

use std::time::SystemTime;

use super::change::Locked;
use super::create::for_keystore;
use super::error::KeystoreError;
use super::file::KeystoreFile;
use super::write::{add_wrapped, random_key};
use crate::crypto::Algorithm;
use crate::durable::replace::{Previous, settle};
use crate::keys::{Comparison, KeyName, KeySet, KeySpec, Ring};
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
            let (mut new, now) = (KeySet::default(), SystemTime::now());
            for name in names(&locked.data_keys)? {
                new.insert_for(name, random_key(spec)?, spec.algorithm);
                new.set_created(name, Some(now));
            }
            Ok(new)
        })
    }

    /// Adds all versions of another store, called `other`, that this one lacks: with their numbers,
    /// bytes, algorithms and times, or this algorithm where that store records none. Nothing else
    /// changes.
    /// `new` is empty if there was nothing to add.
    ///
    /// # Errors
    /// [`KeystoreError::OthersUnderOneName`] if a version that both hold is not the same in both.
    /// Nothing is added then.
    pub fn add_all(&self, other: &str, keys: &KeySet, algorithm: Algorithm) -> Result<KeysAdded, StoreError> {
        let mut meant = for_keystore(keys, algorithm)?;
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
            meant.retain_versions(&compared.first_lacks);
            Ok(meant)
        })
    }

    /// Adds the versions that `new` gives for the keystore as it is under its lock, in one durable
    /// replacement.
    fn append(
        &self,
        known: Option<&Ring>,
        new: impl FnOnce(&Locked) -> Result<KeySet, StoreError>,
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
        add_wrapped(&mut locked.document, &locked.derived, &new)?;
        let names = new.iter().map(|(name, _)| name).collect();
        locked.data_keys.append(new);
        let keys = self.write(&mut locked, Previous::Keep)?;
        self.remembered().remember(&locked.document);
        Ok(KeysAdded { keys, new: names })
    }
}
