//! What a keystore's file tells without its master key.

use std::path::Path;

use super::format::Document;
use super::open::{missing, parse};
use super::{KIND, KeystoreFile};
use crate::durable::{lock, read};
use crate::keys::{KeyName, KeySpec};
use crate::store::StoreError;

/// What is written in the file. Its checksum is right; that nobody has changed it shows only when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
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

impl Metadata {
    /// Reads the file.
    ///
    /// # Errors
    /// A file that is not there, cannot be read or is damaged.
    pub fn read(path: &Path) -> Result<Metadata, StoreError> {
        let file = lock::shared_if_possible(path, lock::TIMEOUT).map_err(|error| missing(path, error))?;
        let bytes = read::whole(&file, path, &KIND)?;
        Ok(Metadata::of(&parse(path, bytes.expose())?))
    }

    fn of(document: &Document) -> Metadata {
        let master_key = document.master_key();
        let versions = document.keys().iter().map(|record| VersionMetadata {
            name: record.name,
            spec: record.spec,
            created: record.created.clone(),
        });
        Metadata {
            uuid: document.uuid().to_string(),
            generation: document.generation(),
            created: document.created().to_owned(),
            provider: master_key.provider.clone(),
            key_version: master_key.wrapped.key_version.clone(),
            wrapped_at: master_key.wrapped_at.clone(),
            versions: versions.collect(),
        }
    }
}

impl KeystoreFile {
    /// What the file tells now. After a [`load`](crate::store::KeyStore::load) of the same generation it is proven.
    ///
    /// # Errors
    /// Those of [`Metadata::read`].
    pub fn metadata(&self) -> Result<Metadata, StoreError> {
        Metadata::read(&self.config.path)
    }
}
