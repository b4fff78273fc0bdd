//! The key store that a subcommand works on, opened.

use std::collections::BTreeSet;
use std::path::{PathBuf, absolute};

use keyroll::datadir::key_ids_in_use;
use keyroll::master_key::Provider;
use keyroll::store::StoreConfig;
use keyroll::store::keystore::KeystoreConfig;
use keyroll::store::keystore::KeystoreFile;
use keyroll::store::mark::StoreSeen;
use keyroll::store::{self, KeyStore, Loaded, MarkFile, StoreError};

use crate::failure::Failure;
use crate::terminal;

/// The keystore, ready to be read.
pub(crate) fn open_keystore(keystore: &KeystoreConfig) -> Result<KeystoreFile, Failure> {
    Ok(KeystoreFile::new(keystore.clone())?)
}

/// A master key's URI with an absolute path: those of a server, whose working directory is another,
/// have no other.
pub(crate) fn absolute_uri(uri: &str) -> Result<String, Failure> {
    match Provider::of(uri) {
        Some((provider, path)) if provider.takes_path() && !path.is_empty() => {
            let path = absolute(path).map_err(Failure::NoWorkingDirectory)?;
            Ok(format!("{}:{}", provider.scheme, path.display()))
        }
        _ => Ok(uri.to_owned()),
    }
}

/// The master key for people who wait for it.
pub(crate) fn in_words(uri: &str) -> String {
    format!("the master key {}", uri.escape_debug())
}

/// A store that can be read and changed.
pub(crate) struct OpenStore {
    kind: Kind,
    /// What is waited for while it works.
    waiting: String,
    /// The data whose keys are read of a store that does not tell which it has.
    directory: Option<PathBuf>,
}

/// Keystores can do more than other stores.
enum Kind {
    Keystore(Box<KeystoreFile>),
    Other(Box<dyn KeyStore>),
}

impl OpenStore {
    /// The store that settings name, ready to be read.
    pub(crate) fn new(settings: StoreConfig) -> Result<OpenStore, Failure> {
        let waited_for = match &settings {
            StoreConfig::KeyFile(_) => "the key file's lock".to_owned(),
            StoreConfig::Keystore(keystore) => in_words(&keystore.master_key),
            StoreConfig::VaultKv(config) => format!("Vault at {}", config.vault.address.authority()),
        };
        let kind = match settings {
            StoreConfig::Keystore(keystore) => Kind::Keystore(Box::new(open_keystore(&keystore)?)),
            other => Kind::Other(store::open(other)?),
        };
        Ok(OpenStore {
            kind,
            waiting: format!("waiting for {waited_for} ..."),
            directory: None,
        })
    }

    /// The same, for the data in this directory.
    pub(crate) fn beside(self, directory: Option<PathBuf>) -> OpenStore {
        OpenStore { directory, ..self }
    }

    fn store(&self) -> &dyn KeyStore {
        match &self.kind {
            Kind::Keystore(keystore) => keystore.as_ref(),
            Kind::Other(store) => store.as_ref(),
        }
    }

    /// Does the work; where it takes long, it says what it waits for.
    pub(crate) fn patiently<T>(
        &self,
        work: impl FnOnce(&dyn KeyStore) -> Result<T, StoreError>,
    ) -> Result<T, Failure> {
        Ok(terminal::while_waiting(&self.waiting, || work(self.store()))?)
    }

    /// Does work that a keystore alone can do.
    pub(crate) fn patiently_in_keystore<T>(
        &self,
        work: impl FnOnce(&KeystoreFile) -> Result<T, StoreError>,
    ) -> Result<T, Failure> {
        self.patiently(|store| match &self.kind {
            Kind::Keystore(keystore) => work(keystore),
            Kind::Other(_) => Err(StoreError::NoMasterKey {
                store: store.describe(),
            }),
        })
    }

    /// Reads all keys; of a store that does not tell which it has those that the data needs, and
    /// says so.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        let loaded = self.patiently(|store| store::load_with(store, || Ok(self.ids_of_data())))?;
        if !loaded.is_complete {
            let those = match &self.directory {
                Some(directory) => format!("those that the data in {} needs", directory.display()),
                None => "no others: the data directory, which names more, is not known".into(),
            };
            terminal::warn(format!(
                "{} does not let its keys be listed: here are keys 1 and 2 and {those}. With `list` on MOUNT/metadata/* in the \
                 policy all are",
                self.store().describe()
            ));
        }
        Ok(loaded)
    }

    /// The keys that the mark knows and those that tables are encrypted with, as far as this user
    /// may read them.
    fn ids_of_data(&self) -> BTreeSet<u32> {
        let mut ids = BTreeSet::new();
        if let Some(directory) = &self.directory {
            if let Ok(file) = MarkFile::read(directory) {
                ids.extend(file.mark().versions().map(|(name, _)| name.id));
            }
            ids.extend(key_ids_in_use(directory).unwrap_or_default().into_keys());
        }
        ids
    }

    /// Which store it is, as it was read last.
    pub(crate) fn seen(&self) -> StoreSeen {
        StoreSeen::of(self.store())
    }

    /// The master key that opened the store, and which version of it; `None` where there is none.
    pub(crate) fn master_key(&self) -> Option<String> {
        self.store().master_key()
    }
}

/// Tells what should be mended.
pub(crate) fn say_warnings(loaded: &Loaded) {
    loaded.warnings.iter().for_each(terminal::warn);
}
