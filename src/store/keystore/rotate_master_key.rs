//! Rotation of the master key: a new keystore key, wrapped by the newest master key, and all data
//! keys wrapped anew.

use std::io;
use std::path::{Path, PathBuf};

use super::error::KeystoreError;
use super::file::{KIND, KeystoreFile};
use super::format::Document;
use super::write::NewKeystoreKey;
use crate::durable::replace::Previous;
use crate::durable::step::{DiskState, Step};
use crate::durable::{FileError, failpoint};
use crate::keys::Ring;
use crate::master_key::MasterKey;
use crate::store::{MasterKeyRotated, StoreError};

/// Points in a rotation of the master key beside those of the file, for tests; see [`failpoint`].
pub const FAILPOINTS: &[&str] = &["keystore:rotated-master-key", "keystore:wrapped"];

impl KeystoreFile {
    /// Wraps the keystore anew for another master key, under a new keystore key, in one durable
    /// replacement. No data key changes. This store goes on without asking its own provider;
    /// [`with_master_key`](crate::store::KeyStore::with_master_key) makes one that asks the new
    /// one.
    ///
    /// # Errors
    /// The keystore has not changed then.
    pub fn move_to(&self, new: &dyn MasterKey, known: Option<&Ring>) -> Result<MasterKeyRotated, StoreError> {
        self.wrap_anew(new, self.changeable(known)?, known)
    }

    /// Has the provider make or name its newest master key, then does as [`move_to`](Self::move_to)
    /// does with it.
    pub(super) fn make_and_use_new_master_key(
        &self,
        known: Option<&Ring>,
    ) -> Result<MasterKeyRotated, StoreError> {
        let master_key = self.provider.as_ref();
        // Before the provider makes anything: whatever keeps the keystore from being changed shows
        // here.
        let before = self.changeable(known)?;
        master_key
            .rotate()
            .map_err(|source| KeystoreError::no_master_key(before.0.clone(), source))?;
        reach(FAILPOINTS[0], &before.0)
            .and_then(|()| self.wrap_anew(master_key, before, known))
            .map_err(|source| StoreError::MasterKeyRotationUnfinished {
                provider: master_key.describe(),
                source: Box::new(source),
            })
    }

    /// Path and content, without keys, of a keystore that could be changed just now.
    fn changeable(&self, known: Option<&Ring>) -> Result<(PathBuf, Document), StoreError> {
        let locked = self.lock(known)?;
        Ok((locked.path, locked.document.without_keys()))
    }

    /// The lock is not held while the provider is asked: others make and rotate data keys
    /// meanwhile.
    fn wrap_anew(
        &self,
        master_key: &dyn MasterKey,
        (path, before): (PathBuf, Document),
        known: Option<&Ring>,
    ) -> Result<MasterKeyRotated, StoreError> {
        let mut new = NewKeystoreKey::wrapped_by(master_key, &path, &before.uuid)?;
        reach(FAILPOINTS[1], &path)?;
        let mut locked = self.lock(known)?;
        if locked.document.master_key != before.master_key {
            // Someone else was faster, perhaps with a newer master key. An older one must not take
            // its place: it may be taken out of service. This once the provider is asked under the
            // lock.
            new = NewKeystoreKey::wrapped_by(master_key, &locked.path, &before.uuid)?;
        }
        for record in &mut locked.document.keys {
            let name = record.name;
            // Every record was opened into the set under this lock.
            let key = locked.data_keys.get(name).ok_or(KeystoreError::DataKey {
                path: locked.path.clone(),
                name,
            })?;
            *record = new
                .derived
                .seal(name, record.spec, &record.created, key)
                .map_err(|source| KeystoreError::CannotSeal { name, source })?;
        }
        locked.document.master_key = new.record;
        locked.derived = new.derived;
        // A copy under the old master key would open with it.
        let keys = self.write(&mut locked, Previous::Remove)?;
        let mut remembered = self.remembered();
        remembered.keep(&new.key, &locked.document);
        remembered.remember(&locked.document);
        Ok(MasterKeyRotated {
            keys,
            master_key: remembered.master_key().unwrap_or_default(),
        })
    }
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
