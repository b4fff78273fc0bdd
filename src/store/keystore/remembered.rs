//! What a process remembers of the keystore between calls: its key, so that only a first load asks
//! the provider, and what may not come after it.

use std::path::Path;

use uuid::Uuid;

use super::derived_keys::DerivedKeys;
use super::error::KeystoreError;
use super::format::Document;
use super::records::MasterKeyRecord;
use crate::crypto::wrap::DIGEST_LENGTH;
use crate::secret::{KeystoreKey, LockedMemory};
use crate::store::Identity;

/// The last keystore that was opened or written, and its key. Empty before the first load.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    seen: Option<Seen>,
    key: Option<RememberedKey>,
}

#[derive(Clone, Debug)]
struct Seen {
    uuid: Uuid,
    generation: u64,
    mac: [u8; DIGEST_LENGTH],
    created: String,
    master_key: String,
}

/// The keystore key, and what the file says of how it is wrapped: it serves for that file alone.
#[derive(Debug)]
struct RememberedKey {
    record: MasterKeyRecord,
    key: LockedMemory,
}

/// All that a keystore's file needs beside its data keys, from memory alone.
pub(super) struct FromMemory {
    /// The document without data keys, of the last generation that was seen.
    pub(super) document: Document,
    /// The keys of the keystore.
    pub(super) derived: DerivedKeys,
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
            Some(seen) if seen.generation == document.generation && seen.mac != *document.mac() => {
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
        let is_newer = |seen: &Seen| seen.uuid == document.uuid && seen.generation > document.generation;
        if self.seen.as_ref().is_some_and(is_newer) {
            return;
        }
        self.seen = Some(Seen {
            uuid: document.uuid,
            generation: document.generation,
            mac: *document.mac(),
            created: document.created.clone(),
            master_key: in_words(&document.master_key),
        });
    }

    /// The master key of the last keystore that was opened or written.
    pub(super) fn master_key(&self) -> Option<String> {
        self.seen.as_ref().map(|seen| seen.master_key.clone())
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
        let held = self.key.as_ref()?;
        if held.record.wrapped.bytes != document.master_key.wrapped.bytes {
            return None;
        }
        Some(DerivedKeys::new(held.key.first_chunk()?, &document.uuid))
    }

    /// The keystore as it was last opened or written, without its data keys; `None` before that.
    pub(super) fn in_memory(&self) -> Option<FromMemory> {
        let (seen, held) = (self.seen.as_ref()?, self.key.as_ref()?);
        let mut document = Document::new(seen.uuid, seen.created.clone(), held.record.clone());
        document.generation = seen.generation;
        Some(FromMemory {
            document,
            derived: DerivedKeys::new(held.key.first_chunk()?, &seen.uuid),
        })
    }

    /// Keeps the key to what the document holds wrapped.
    pub(super) fn keep(&mut self, key: &KeystoreKey, document: &Document) {
        self.key = Some(RememberedKey {
            record: document.master_key.clone(),
            key: LockedMemory::copy_of(key.expose()),
        });
    }
}

/// `version 3 of master key file /etc/keyroll/master`.
pub(super) fn in_words(record: &MasterKeyRecord) -> String {
    match record.wrapped.key_version.as_str() {
        "" => record.provider.clone(),
        version => format!("version {version} of {}", record.provider),
    }
}
