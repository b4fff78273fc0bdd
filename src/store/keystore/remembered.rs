//! What a process remembers of the keystore between calls: its key, so that only a first load asks
//! the provider, and what may not come after it.

use std::path::Path;
use std::time::SystemTime;

use super::derived_keys::DerivedKeys;
use super::error::KeystoreError;
use super::format::Document;
use super::records::MasterKeyRecord;
use crate::secret::{KeystoreKey, LockedMemory};
use crate::store::Identity;

/// The last keystore that was opened or written, and its key. Empty before the first load.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// Without its data keys.
    seen: Option<Document>,
    /// The keystore key, and what the file says of how it is wrapped: it serves for that file
    /// alone.
    key: Option<(MasterKeyRecord, LockedMemory)>,
}

impl Remembered {
    /// Fails if the file is another keystore or an older copy of this one.
    pub(super) fn check_successor(&self, path: &Path, document: &Document) -> Result<(), KeystoreError> {
        let Some(seen) = &self.seen else { return Ok(()) };
        if seen.uuid != document.uuid {
            return Err(KeystoreError::Foreign {
                path: path.into(),
                found: document.uuid,
                known: seen.uuid,
            });
        }
        if seen.generation > document.generation {
            return Err(KeystoreError::Older {
                path: path.into(),
                generation: document.generation,
                newer: seen.generation,
                in_memory: true,
            });
        }
        Ok(())
    }

    /// Fails if the file, whose MAC is right, is another copy of this keystore that was changed as
    /// often. Every change counts, so that of one generation there is one content.
    pub(super) fn check_not_apart(&self, path: &Path, document: &Document) -> Result<(), KeystoreError> {
        match &self.seen {
            Some(seen) if seen.generation == document.generation && seen.mac != document.mac => {
                Err(KeystoreError::GrewApart {
                    path: path.into(),
                    generation: seen.generation,
                })
            }
            _ => Ok(()),
        }
    }

    /// Remembers a keystore that was opened or written.
    pub(super) fn remember(&mut self, document: &Document) {
        // Whoever waited for the provider may come after a thread that has written a newer one.
        let is_newer = |seen: &Document| seen.uuid == document.uuid && seen.generation > document.generation;
        if self.seen.as_ref().is_some_and(is_newer) {
            return;
        }
        self.seen = Some(document.without_keys());
    }

    /// The master key of the last keystore that was opened or written.
    pub(super) fn master_key(&self) -> Option<String> {
        self.seen.as_ref().map(|seen| in_words(&seen.master_key))
    }

    /// When that master key wrapped it.
    pub(super) fn wrapped_at(&self) -> Option<SystemTime> {
        self.seen.as_ref().and_then(|seen| seen.master_key.wrapped_at())
    }

    /// The last keystore that was opened or written.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.seen.as_ref().map(|seen| Identity {
            uuid: seen.uuid.to_string(),
            generation: seen.generation,
        })
    }

    /// Whether there is a key.
    pub(super) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The same for a store that has to ask another provider.
    pub(super) fn without_key(&self) -> Remembered {
        Remembered {
            seen: self.seen.clone(),
            key: None,
        }
    }

    /// The keys of this keystore, if its key is held.
    pub(super) fn keys(&self, document: &Document) -> Option<DerivedKeys> {
        let (record, key) = self.key.as_ref()?;
        if record.wrapped.bytes != document.master_key.wrapped.bytes {
            return None;
        }
        Some(DerivedKeys::new(key.first_chunk()?, &document.uuid))
    }

    /// The keystore as it was last opened or written, without its data keys, and the keys of it;
    /// `None` before that.
    pub(super) fn in_memory(&self) -> Option<(Document, DerivedKeys)> {
        let (seen, (record, key)) = (self.seen.as_ref()?, self.key.as_ref()?);
        let mut document = seen.clone();
        document.master_key = record.clone();
        Some((document, DerivedKeys::new(key.first_chunk()?, &seen.uuid)))
    }

    /// Keeps the key to what the document holds wrapped.
    pub(super) fn keep(&mut self, key: &KeystoreKey, document: &Document) {
        self.key = Some((document.master_key.clone(), LockedMemory::copy_of(key.expose())));
    }
}

/// `version 3 of master key file /etc/keyroll/master`.
pub(super) fn in_words(record: &MasterKeyRecord) -> String {
    match record.wrapped.key_version.as_str() {
        "" => record.provider.clone(),
        version => format!("version {version} of {}", record.provider),
    }
}
