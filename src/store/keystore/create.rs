//! New keystores.

use std::time::SystemTime;

use uuid::Builder;

use super::error::KeystoreError;
use super::file::{KIND, KeystoreFile};
use super::format::Document;
use super::write::{NewKeystoreKey, add_wrapped, random_key, read_back, spec_of};
use crate::clock;
use crate::crypto::Algorithm;
use crate::durable::{FileError, replace};
use crate::keys::set::Inserted;
use crate::keys::{KeyName, KeySet, KeySpec, KeysError};
use crate::secret::DataKey;
use crate::store::StoreError;
use crate::store::new_keys::{named_twice, not_an_id};

/// A key that [`KeystoreFile::create`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// The key id, 1..=2^32-1.
    pub id: u32,
    /// Algorithm and length of its version 1.
    pub spec: KeySpec,
}

impl KeystoreFile {
    /// Makes the keystore's file, of mode 0600, with version 1 of each of these keys, durably, and
    /// reads it back. It may have no key: keys can be made when they are first used. `owner` is a
    /// user id and a group id; without, the file belongs to who makes it.
    ///
    /// # Errors
    /// A file of this name, keys that cannot be (two of one id, an impossible length), a master key
    /// that is not to be had, a failing disk. There is no new file then.
    pub fn create(&self, keys: &[NewKey], owner: Option<(u32, u32)>) -> Result<KeySet, StoreError> {
        let (mut meant, now) = (KeySet::default(), SystemTime::now());
        for &NewKey { id, spec } in keys {
            if id == 0 {
                return Err(not_an_id(id));
            }
            let name = KeyName { id, version: 1 };
            if meant.insert_for(name, random_key(spec)?, spec.algorithm) != Inserted::New {
                return Err(named_twice(id));
            }
            meant.set_created(name, Some(now));
        }
        self.make(&meant, owner)
    }

    /// Makes the keystore's file, as [`create`](Self::create) does, of keys that there are: ids,
    /// versions and bytes stay as they are. Versions whose store records no algorithm get this one;
    /// those of which no time is known have none here either.
    pub fn import(
        &self,
        keys: &KeySet,
        algorithm: Algorithm,
        owner: Option<(u32, u32)>,
    ) -> Result<KeySet, StoreError> {
        let meant = for_keystore(keys, algorithm)?;
        self.make(&meant, owner)
    }

    fn make(&self, meant: &KeySet, owner: Option<(u32, u32)>) -> Result<KeySet, StoreError> {
        let path = &self.config.path;
        // Told before the provider is asked for anything.
        if path.symlink_metadata().is_ok() {
            return Err(FileError::FileExists { path: path.clone() }.into());
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(StoreError::NoRandomBytes)?;
        let uuid = Builder::from_random_bytes(bytes).into_uuid();
        let new = NewKeystoreKey::wrapped_by(self.provider.as_ref(), path, &uuid).map_err(not_made)?;
        let now = clock::rfc3339(SystemTime::now());
        let mut document = Document::new(uuid, now, new.record);
        add_wrapped(&mut document, &new.derived, meant)?;
        let text = document.sign(&new.derived);
        let keys = replace::create(path, &KIND, &text, owner, self.lock_timeout, || {
            read_back(path, &text, &new.derived, meant)
        })?;
        let mut remembered = self.remembered();
        remembered.keep(&new.key, &document);
        remembered.remember(&document);
        Ok(keys)
    }
}

/// There is no keystore yet whose master key could be missing.
fn not_made(error: StoreError) -> StoreError {
    match error {
        StoreError::Keystore(KeystoreError::NoMasterKey { path, source }) => {
            KeystoreError::NotMade { path, source }.into()
        }
        error => error,
    }
}

/// A copy of keys in which each version has an algorithm; this one where none is recorded.
pub(super) fn for_keystore(keys: &KeySet, algorithm: Algorithm) -> Result<KeySet, StoreError> {
    let mut meant = KeySet::default();
    for (name, key) in keys.iter() {
        let algorithm = keys.algorithm(name).unwrap_or(algorithm);
        let bits = key.len() * 8;
        if algorithm.derives_keys() && !spec_of(key, algorithm).is_possible() {
            return Err(KeysError::KeyTooShort {
                name,
                bits,
                algorithm,
            }
            .into());
        }
        // The bytes of a data key are those of a data key.
        if let Some(copy) = DataKey::new(key.expose()) {
            meant.insert_for(name, copy, algorithm);
            meant.set_created(name, keys.created(name));
        }
    }
    Ok(meant)
}
