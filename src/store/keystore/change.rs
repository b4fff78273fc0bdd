//! A change of a keystore: under its lock, from what it holds then, in one durable replacement that
//! is read back.

use std::path::PathBuf;

use super::derived_keys::DerivedKeys;
use super::file::{KIND, KeystoreFile};
use super::format::Document;
use super::open::{open_all, opens_with_an_older_master_key};
use super::write::read_back;
use crate::crypto::scrub;
use crate::durable::lock;
use crate::durable::replace::{Previous, Replacement, remove_previous, replace};
use crate::keys::{KeySet, Ring};
use crate::secret::SecretBytes;
use crate::store::StoreError;

/// A keystore that nobody else can change, open.
pub(super) struct Locked {
    pub(super) path: PathBuf,
    pub(super) file: lock::Exclusive,
    pub(super) old: SecretBytes,
    pub(super) document: Document,
    pub(super) derived: DerivedKeys,
    pub(super) data_keys: KeySet,
}

impl KeystoreFile {
    /// Locks the file, reads it anew and opens it; fails if it lacks what is known.
    ///
    /// What that leaves of keys on the stack is wiped at once: errors that are made there later,
    /// with room that they do not use, would take pieces of it along into the heap.
    pub(super) fn lock(&self, known: Option<&Ring>) -> Result<Locked, StoreError> {
        scrub::around(|| self.lock_and_open(known))
    }

    fn lock_and_open(&self, known: Option<&Ring>) -> Result<Locked, StoreError> {
        // Asks the provider, if it has to be asked, while others can still read and write.
        if !self.remembered().has_key() {
            self.open()?;
        }
        // The file that a symbolic link names is replaced, not the link.
        let path = self.resolve()?;
        let file = lock::exclusive(&path, &KIND, self.lock_timeout)?;
        let (text, kept) = self.read(&path, &file)?;
        let derived = self.unwrap(&path, &text)?;
        let data_keys = open_all(&path, &text.document, &derived)?;
        if let Some(ring) = known {
            ring.check_successor(&data_keys)?;
        }
        // A change of the master key was killed before it removed it.
        if kept.is_some_and(|kept| opens_with_an_older_master_key(&kept, &text.document))
            && let Err(error) = remove_previous(&path, &KIND)
        {
            self.tell_of(&error);
        }
        Ok(Locked {
            path,
            file,
            old: text.bytes,
            document: text.document,
            derived,
            data_keys,
        })
    }

    /// Signs what is in `document` and puts it in the file's place.
    pub(super) fn write(&self, locked: &mut Locked, previous: Previous) -> Result<KeySet, StoreError> {
        let text = locked.document.sign(&locked.derived);
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
            read_back(&locked.path, &text, &locked.derived, meant)
        })?;
        if let Err(error) = replaced.copy {
            self.tell_of(&error);
        }
        Ok(replaced.read_back)
    }
}
