//! The keystore as a key store.

use std::path::Path;

use super::create::not_an_id;
use super::file::KeystoreFile;
use crate::keys::{KeyName, KeySet, KeySpec, NewVersions, Ring};
use crate::store::next_names::next_names;
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

    fn load(&self) -> Result<Loaded, StoreError> {
        let (keys, warnings) = self.open()?;
        Ok(Loaded { keys, warnings })
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

    fn creates_keys(&self) -> bool {
        true
    }

    fn create_key(&self, id: u32, spec: KeySpec, known: Option<&Ring>) -> Result<KeysAdded, StoreError> {
        if id == 0 {
            return Err(not_an_id(id));
        }
        self.add_random(spec, known, |keys| {
            // Someone else may have made it meanwhile.
            let missing = keys.latest(id).is_none();
            Ok(missing
                .then_some(KeyName { id, version: 1 })
                .into_iter()
                .collect())
        })
    }

    fn with_master_key(&self, uri: &str) -> Result<Box<dyn KeyStore>, StoreError> {
        Ok(Box::new(self.opened_by(uri)?))
    }

    fn save(&self, keys: &KeySet, path: &Path) -> Result<(), StoreError> {
        self.save_from_memory(keys, path)
    }

    fn rotate_master_key(&self, known: Option<&Ring>) -> Result<MasterKeyRotated, StoreError> {
        self.make_and_use_new_master_key(known)
    }
}
