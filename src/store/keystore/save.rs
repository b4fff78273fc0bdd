//! Saving what a server still holds: a keystore from memory alone, whatever became of the file and
//! of the provider.

use std::path::Path;
use std::time::SystemTime;

use super::file::{KIND, KeystoreFile};
use super::open::{check_older, kept_beside};
use super::write::{add_wrapped, read_back, with_algorithms};
use crate::clock;
use crate::durable::{read, replace};
use crate::keys::KeySet;
use crate::store::{KeyStore, StoreError};

impl KeystoreFile {
    /// Makes a new file of these keys that is the next generation of this keystore, under the same
    /// keystore key, which its master key has wrapped. Nobody is asked for it.
    ///
    /// # Errors
    /// A file of this name; a copy beside it that is newer; no key in memory; a failing disk. There
    /// is no new file then.
    pub(super) fn save_from_memory(&self, keys: &KeySet, path: &Path) -> Result<(), StoreError> {
        let from_memory = self.remembered().in_memory();
        let (mut document, derived) = from_memory.ok_or_else(|| StoreError::NoMasterKeyHeld {
            store: self.describe(),
        })?;
        let now = clock::rfc3339(SystemTime::now());
        add_wrapped(&mut document, &derived, &now, with_algorithms(keys))?;
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
}
