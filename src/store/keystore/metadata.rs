//! What a keystore's file tells without its master key.

use std::path::Path;

use super::file::KeystoreFile;
use super::format::Document;
use super::open::{missing, read_text};
use crate::durable::lock;
use crate::keys::{KeyName, KeySpec};
use crate::store::StoreError;

/// What is written in the file. Its checksum is right; that nobody has changed it shows only when
/// it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeystoreMetadata {
    /// The keystore's UUID.
    pub uuid: String,
    /// How many times it has been written.
    pub generation: u64,
    /// When it was made, as RFC 3339 in UTC.
    pub created: String,
    /// The provider whose master key wrapped it last, as it described itself.
    pub provider: String,
    /// The version of the master key, in the provider's words; empty where it names none.
    pub key_version: String,
    /// When it was wrapped.
    pub wrapped_at: String,
    /// All versions of all data keys, in the order in which they were made.
    pub versions: Vec<VersionMetadata>,
}

/// What is written about a version of a data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionMetadata {
    /// Its id and version.
    pub name: KeyName,
    /// Its algorithm and length.
    pub spec: KeySpec,
    /// When it was made, as RFC 3339 in UTC; for an imported one, when it was imported.
    pub created: String,
}

impl KeystoreMetadata {
    /// Reads the file.
    ///
    /// # Errors
    /// A file that is not there, cannot be read or is damaged.
    pub fn read(path: &Path) -> Result<KeystoreMetadata, StoreError> {
        let file = lock::shared_if_possible(path, lock::TIMEOUT).map_err(|error| missing(path, error))?;
        Ok(KeystoreMetadata::of(read_text(path, &file)?.document()))
    }

    fn of(document: &Document) -> KeystoreMetadata {
        let master_key = &document.master_key;
        let versions = document.keys.iter().map(|record| VersionMetadata {
            name: record.name,
            spec: record.spec,
            created: record.created.clone(),
        });
        KeystoreMetadata {
            uuid: document.uuid.to_string(),
            generation: document.generation,
            created: document.created.clone(),
            provider: master_key.provider.clone(),
            key_version: master_key.wrapped.key_version.clone(),
            wrapped_at: master_key.wrapped_at.clone(),
            versions: versions.collect(),
        }
    }
}

impl KeystoreFile {
    /// What the file tells now. After a [`load`](crate::store::KeyStore::load) of the same
    /// generation it is proven.
    ///
    /// # Errors
    /// Those of [`KeystoreMetadata::read`].
    pub fn metadata(&self) -> Result<KeystoreMetadata, StoreError> {
        KeystoreMetadata::read(&self.config.path)
    }
}
