//! The keystore as a key store.

use std::path::Path;
use std::time::SystemTime;

use super::file::{KIND, KeystoreFile};
use super::open::{check_older, kept_beside};
use super::write::{add_wrapped, read_back};
use crate::durable::{read, replace};
use crate::keys::{KeyName, KeySet, KeySpec, NewVersions, Ring};
use crate::store::new_keys::{first_name, next_names, not_an_id};
use crate::store::{Identity, KeyStore, KeysAdded, Loaded, MasterKeyRotated, Rotate, StoreError};

impl KeyStore for KeystoreFile {
    fn describe(&self) -> String {
        format!("keystore {}", self.config.path.display())
    }

    fn master_key(&self) -> Option<String> {
        self.remembered().master_key()
    }

    fn identity(&self) -> Option<Identity> {
        self.remembered().identity()
    }

    fn wrapped_at(&self) -> Option<SystemTime> {
        self.remembered().wrapped_at()
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        let (keys, warnings) = self.open()?;
        Ok(Loaded::all(keys, warnings))
    }

    fn rotate_keys(
        &self,
        which: Rotate,
        new: NewVersions<'_>,
        known: Option<&Ring>,
    ) -> Result<KeysAdded, StoreError> {
        self.add_random(new.spec, known, |keys| {
            next_names(keys, which, new, || self.describe())
        })
    }

    fn add_key(&self, id: u32, spec: KeySpec, known: Option<&Ring>) -> Result<KeysAdded, StoreError> {
        self.add_random(spec, known, |keys| {
            Ok(vec![first_name(keys, id, || self.describe())?])
        })
    }

    fn creates_keys(&self) -> bool {
        true
    }

    fn create_key(&self, id: u32, spec: KeySpec, known: Option<&Ring>) -> Result<KeysAdded, StoreError> {
        if id == 0 {
            return Err(not_an_id(id));
        }
        self.add_random(spec, known, |keys| {
            Ok(match keys.latest(id) {
                None => vec![KeyName { id, version: 1 }],
                // Someone else has made it meanwhile.
                Some(_) => Vec::new(),
            })
        })
    }

    fn with_master_key(&self, uri: &str) -> Result<Box<dyn KeyStore>, StoreError> {
        Ok(Box::new(self.opened_by(uri)?))
    }

    /// The new file is the next generation of this keystore, under the same keystore key, which its
    /// master key has wrapped.
    fn save(&self, keys: &KeySet, path: &Path) -> Result<(), StoreError> {
        let from_memory = self.remembered().in_memory();
        let (mut document, derived) = from_memory.ok_or_else(|| StoreError::NoMasterKeyHeld {
            store: self.describe(),
        })?;
        add_wrapped(&mut document, &derived, keys)?;
        let text = document.sign(&derived);
        replace::create(path, &KIND, &text, None, self.lock_timeout, || {
            // It would be refused beside a copy of a later change, which may hold more.
            check_older(kept_beside(path).as_ref(), path, &document)?;
            read_back(path, &text, &derived, keys)
        })?;
        // A file elsewhere is not the one that this store goes on with.
        if let (Ok(saved), Ok(own)) = (read::resolve(path), read::resolve(&self.config.path))
            && saved == own
        {
            self.remembered().remember(&document);
        }
        Ok(())
    }

    fn rotate_master_key(&self, known: Option<&Ring>) -> Result<MasterKeyRotated, StoreError> {
        self.make_and_use_new_master_key(known)
    }
}
