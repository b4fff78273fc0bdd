//! From a file to its data keys, in this order: size, first line, checksum, records; whether it may
//! follow what was there before; the provider, asked once and only for a key that is not
//! remembered; the key check; the MAC; each data key. A damaged file is known before anyone is
//! asked.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::derived_keys::DerivedKeys;
use super::error::KeystoreError;
use super::file::{KIND, KeystoreFile};
use super::format::{Document, SignedText};
use super::remembered::in_words;
use crate::durable::replace::previous_path;
use crate::durable::{FileError, lock, read, replace};
use crate::keys::KeySet;
use crate::master_key::MasterKeyError;
use crate::store::{StoreError, Warning};

impl KeystoreFile {
    /// Reads and opens the whole file.
    pub(super) fn open(&self) -> Result<(KeySet, Vec<Warning>), StoreError> {
        // What is kept of it lies beside the file, not beside a symbolic link to it.
        let path = &self.resolve()?;
        let file = lock::shared_if_possible(path, self.lock_timeout).map_err(|error| missing(path, error))?;
        let warning = Warning::of_permissions(&file, path, self.config.strict_permissions)?;
        let mut warnings = Vec::from_iter(warning);
        let (text, kept) = self.read(path, &file)?;
        if kept.is_some_and(|kept| opens_with_an_older_master_key(&kept, &text.document)) {
            warnings.push(Warning::OlderMasterKeyOpens {
                path: previous_path(path),
            });
        }
        replace::settle(&file, path)?;
        for loose in self.provider.loose_files() {
            warnings.push(Warning::of_loose(loose, self.config.strict_permissions)?);
        }
        // Not while the provider is asked.
        drop(file);
        let keys = self.unwrap(path, &text)?;
        let data_keys = open_all(path, &text.document, &keys)?;
        self.remembered().remember(&text.document);
        Ok((data_keys, warnings))
    }

    /// What the file tells now without its master key. Its checksum is right; that nobody has
    /// changed it shows only in a [`load`](crate::store::KeyStore::load) of the same generation.
    pub fn document(&self) -> Result<Document, StoreError> {
        Document::read(&self.config.path)
    }

    /// The file itself, behind symbolic links.
    pub(super) fn resolve(&self) -> Result<PathBuf, StoreError> {
        let path = &self.config.path;
        read::resolve(path).map_err(|error| missing(path, error))
    }

    /// Reads the file, which is locked as far as can be, and checks that it may follow what was
    /// there before. With it, what the copy beside it says.
    pub(super) fn read(
        &self,
        path: &Path,
        file: &File,
    ) -> Result<(SignedText, Option<Document>), StoreError> {
        // Before the file itself, so that there is never the memory of both at once.
        let kept = kept_beside(path);
        let text = read_text(path, file)?;
        self.remembered().check_successor(path, &text.document)?;
        check_older(kept.as_ref(), path, &text.document)?;
        Ok((text, kept))
    }

    /// The keys of this keystore, whose MAC they prove.
    pub(super) fn unwrap(&self, path: &Path, text: &SignedText) -> Result<DerivedKeys, StoreError> {
        let document = &text.document;
        let remembered = self.remembered().keys(document);
        if let Some(keys) = remembered {
            check_mac(path, text, &keys)?;
            self.remembered().check_not_apart(path, document)?;
            return Ok(keys);
        }
        let master_key = self.provider.as_ref();
        let record = &document.master_key;
        let failed = |source: MasterKeyError| provider_failed(path, document, source);
        let key = master_key
            .unwrap(&record.wrapped, &document.uuid.to_string())
            .map_err(failed)?;
        let keys = DerivedKeys::new(key.expose(), &document.uuid);
        if !keys.is_checked_by(&record.key_check) {
            return Err(failed(MasterKeyError::WrongKey {
                provider: master_key.describe(),
                reason: "what it unwraps is the key of another keystore".into(),
            }));
        }
        check_mac(path, text, &keys)?;
        self.remembered().check_not_apart(path, document)?;
        self.remembered().keep(&key, document);
        Ok(keys)
    }
}

impl Document {
    /// Reads a keystore's file; the errors are those of [`KeystoreFile::document`].
    pub fn read(path: &Path) -> Result<Document, StoreError> {
        let file = lock::shared_if_possible(path, lock::TIMEOUT).map_err(|error| missing(path, error))?;
        Ok(read_text(path, &file)?.document)
    }
}

/// Reads a keystore's text from a file that is open.
pub(super) fn read_text(path: &Path, file: &File) -> Result<SignedText, StoreError> {
    let bytes = read::whole(file, path, &KIND)?;
    SignedText::parse(bytes).map_err(|source| {
        KeystoreError::Unreadable {
            path: path.into(),
            source,
        }
        .into()
    })
}

/// Fails unless someone with the keystore key wrote this.
pub(super) fn check_mac(path: &Path, text: &SignedText, keys: &DerivedKeys) -> Result<(), StoreError> {
    if text.is_signed_by(keys) {
        return Ok(());
    }
    Err(KeystoreError::Changed { path: path.into() }.into())
}

/// Unwraps all data keys.
pub(super) fn open_all(path: &Path, document: &Document, keys: &DerivedKeys) -> Result<KeySet, StoreError> {
    let mut data_keys = KeySet::default();
    for record in &document.keys {
        let key = keys.open(record).ok_or_else(|| KeystoreError::DataKey {
            path: path.into(),
            name: record.name,
        })?;
        // The format refuses a version that stands twice.
        data_keys.insert_for(record.name, key, record.spec.algorithm);
        data_keys.set_created(record.name, record.created());
    }
    Ok(data_keys)
}

/// A file that is not there is another matter than one that cannot be read.
pub(super) fn missing(path: &Path, error: FileError) -> StoreError {
    match error {
        FileError::FileNotFound { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            KeystoreError::Missing {
                path: path.into(),
                previous: previous_path(path).exists(),
            }
            .into()
        }
        error => error.into(),
    }
}

fn provider_failed(path: &Path, document: &Document, source: MasterKeyError) -> StoreError {
    let path = path.into();
    let error = if source.is_wrong_key() {
        KeystoreError::WrongMasterKey {
            path,
            wrapped_by: in_words(&document.master_key),
            source: Box::new(source),
        }
    } else {
        KeystoreError::no_master_key(path, source)
    };
    error.into()
}

/// What the copy tells that a change keeps beside the keystore, without its keys. It is not needed
/// to go on: one that is not there or cannot be read says nothing.
pub(super) fn kept_beside(path: &Path) -> Option<Document> {
    let previous = previous_path(path);
    let file = read::open_regular(&previous).ok()?;
    let bytes = read::whole(&file, &previous, &KIND).ok()?;
    Some(Document::parse(bytes.expose()).ok()?.without_keys())
}

/// The copy is older than the keystore, unless someone put an older keystore in its place.
pub(super) fn check_older(
    kept: Option<&Document>,
    path: &Path,
    document: &Document,
) -> Result<(), KeystoreError> {
    match kept {
        Some(kept) if kept.uuid == document.uuid && kept.generation >= document.generation => {
            Err(KeystoreError::Older {
                path: path.into(),
                generation: document.generation,
                newer: kept.generation,
                in_memory: false,
            })
        }
        _ => Ok(()),
    }
}

/// Whether the copy opens with a master key, or a version of it, that opens the keystore no more.
pub(super) fn opens_with_an_older_master_key(kept: &Document, document: &Document) -> bool {
    kept.uuid == document.uuid && kept.master_key.wrapped != document.master_key.wrapped
}
