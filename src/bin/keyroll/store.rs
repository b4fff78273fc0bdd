//! The key store that a subcommand works on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use keyroll::crypto::Algorithm;
use keyroll::keys::{KeyName, KeySet, NewVersions};
use keyroll::master_key::{DEFAULT_REQUEST_TIMEOUT, MasterKey, Provider, ProviderOptions, file_of, open};
use keyroll::notify::Notify;
use keyroll::service::aws::KmsSettings;
use keyroll::store::key_file::{KeyFile, KeyFileConfig};
use keyroll::store::keystore::{KeystoreConfig, KeystoreFile};
use keyroll::store::mark::StoreSeen;
use keyroll::store::{KeyStore, KeysAdded, Loaded, MasterKeyRotated, Rotate, StoreError};

use crate::failure::Failure;
use crate::my_cnf::Ciphers;
use crate::server_settings::ServerSettings;
use crate::terminal;

/// Where a key store is and how it opens.
#[derive(Debug)]
pub(crate) enum Place {
    /// A key file, plain or encrypted.
    KeyFile(KeyFileConfig),
    /// A keystore behind a master key.
    Keystore(KeystorePlace),
}

impl Place {
    /// The store's file.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Place::KeyFile(config) => &config.path,
            Place::Keystore(keystore) => &keystore.path,
        }
    }

    /// What the store is called.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Place::KeyFile(_) => "key file",
            Place::Keystore(_) => "keystore",
        }
    }

    /// The store, ready to be read.
    pub(crate) fn open(self) -> Result<OpenStore, Failure> {
        Ok(match self {
            Place::KeyFile(config) => OpenStore::KeyFile(KeyFile::new(config)?),
            Place::Keystore(place) => OpenStore::Keystore {
                envelope: Box::new(place.open()?),
                place: Box::new(place),
            },
        })
    }

    /// Refuses files that others may read or change.
    pub(crate) fn be_strict(&mut self) {
        match self {
            Place::KeyFile(config) => config.strict_permissions = true,
            Place::Keystore(keystore) => keystore.strict_permissions = true,
        }
    }
}

/// Where a keystore is and what unwraps it.
#[derive(Clone, Debug)]
pub(crate) struct KeystorePlace {
    /// The keystore's file.
    pub(crate) path: PathBuf,
    /// The URI of its master key.
    pub(crate) master_key: String,
    /// Milliseconds for one call to the master key's provider; 0 is the default.
    pub(crate) request_timeout: u32,
    /// Refuse a file that others may read.
    pub(crate) strict_permissions: bool,
    /// How AWS KMS is reached, where it holds the master key.
    pub(crate) kms: KmsSettings,
}

impl KeystorePlace {
    /// The master key's file, if it is held in one.
    pub(crate) fn master_key_file(&self) -> Option<&Path> {
        file_of(&self.master_key)
    }

    /// The same keystore behind another master key.
    pub(crate) fn with_master_key(&self, uri: &str) -> KeystorePlace {
        KeystorePlace {
            master_key: uri.to_owned(),
            ..self.clone()
        }
    }

    /// What master keys are opened with.
    pub(crate) fn options(&self) -> ProviderOptions {
        let mut options = ProviderOptions::of_this_process(match self.request_timeout {
            0 => DEFAULT_REQUEST_TIMEOUT,
            milliseconds => Duration::from_millis(milliseconds.into()),
        });
        self.kms.put_into(&mut options.environment);
        options.notify = Notify::new(terminal::say);
        options
    }

    /// The master key; nothing is read or called yet.
    pub(crate) fn provider(&self) -> Result<Box<dyn MasterKey>, Failure> {
        Ok(open(&self.master_key, &self.options())?)
    }

    /// The keystore's settings.
    fn config(&self) -> Result<KeystoreConfig, Failure> {
        Ok(KeystoreConfig {
            path: self.path.clone(),
            master_key: self.provider()?,
            options: self.options(),
            strict_permissions: self.strict_permissions,
        })
    }

    /// The keystore, ready to be read.
    pub(crate) fn open(&self) -> Result<KeystoreFile, Failure> {
        Ok(KeystoreFile::new(self.config()?)?)
    }
}

/// A master key's URI with an absolute path: those of a server, whose working directory is another, have no other.
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

/// A store as arguments or option files name it, and the settings beside it.
#[derive(Debug)]
pub(crate) struct ChosenStore {
    /// Which store.
    pub(crate) place: Place,
    /// The settings of the server's option files, or its defaults.
    pub(crate) settings: ServerSettings,
    /// The data directory of the server whose option files were read.
    pub(crate) datadir: Option<PathBuf>,
}

impl ChosenStore {
    /// The store, ready to be read.
    pub(crate) fn open(self) -> Result<OpenStore, Failure> {
        self.place.open()
    }

    /// The ciphers that the settings name.
    pub(crate) fn ciphers(&self) -> Ciphers {
        Ciphers {
            of_store: self.settings.encryption_algorithm,
            of_new_versions: self.settings.key_spec,
        }
    }
}

/// A store that can be read and changed.
pub(crate) enum OpenStore {
    /// A key file.
    KeyFile(KeyFile),
    /// A keystore.
    Keystore {
        /// The keystore.
        envelope: Box<KeystoreFile>,
        /// Where it is.
        place: Box<KeystorePlace>,
    },
}

impl OpenStore {
    fn store(&self) -> &dyn KeyStore {
        match self {
            OpenStore::KeyFile(key_file) => key_file,
            OpenStore::Keystore { envelope, .. } => envelope.as_ref(),
        }
    }

    /// Does the work; where it takes long, it says what it waits for. What the provider says is passed on.
    fn patiently<T>(&self, work: impl FnOnce(&dyn KeyStore) -> Result<T, StoreError>) -> Result<T, Failure> {
        let waiting = match self {
            OpenStore::KeyFile(_) => "waiting for the key file's lock ...".to_owned(),
            OpenStore::Keystore { place, .. } => format!("waiting for {} ...", in_words(&place.master_key)),
        };
        Ok(terminal::while_waiting(&waiting, || work(self.store()))?)
    }

    /// Reads all keys.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        self.patiently(|store| store.load())
    }

    /// Makes new versions.
    pub(crate) fn rotate_keys(&self, which: Rotate, new: NewVersions<'_>) -> Result<KeysAdded, Failure> {
        self.patiently(|store| store.rotate_keys(which, new, None))
    }

    /// Adds all versions of another store that this one lacks.
    pub(crate) fn add_all(
        &self,
        other: &StoreSeen,
        keys: &KeySet,
        algorithm: Algorithm,
    ) -> Result<KeysAdded, Failure> {
        self.patiently(|store| match self {
            OpenStore::Keystore { envelope, .. } => envelope.add_all(&other.described, keys, algorithm),
            OpenStore::KeyFile(_) => Err(StoreError::NoMasterKey {
                store: store.describe(),
            }),
        })
    }

    /// Which store it is, as it was read last.
    pub(crate) fn seen(&self) -> StoreSeen {
        StoreSeen::of(self.store())
    }

    /// The master key that opened the store, and which version of it; `None` for a key file.
    pub(crate) fn master_key(&self) -> Option<String> {
        self.store().master_key()
    }

    /// Wraps the keystore anew under a new version of its master key.
    pub(crate) fn rotate_master_key(&self) -> Result<MasterKeyRotated, Failure> {
        self.patiently(|store| store.rotate_master_key(None))
    }

    /// Wraps the keystore anew under another master key.
    pub(crate) fn move_to(&self, master_key: &dyn MasterKey) -> Result<MasterKeyRotated, Failure> {
        self.patiently(|store| match self {
            OpenStore::KeyFile(_) => store.rotate_master_key(None),
            OpenStore::Keystore { envelope, .. } => envelope.move_to(master_key, None),
        })
    }

    /// When each version was made, where the store records it.
    pub(crate) fn created(&self) -> Result<BTreeMap<KeyName, String>, Failure> {
        match self {
            OpenStore::KeyFile(_) => Ok(BTreeMap::new()),
            OpenStore::Keystore { envelope, .. } => {
                let versions = envelope.metadata()?.versions;
                Ok(versions
                    .into_iter()
                    .map(|version| (version.name, version.created))
                    .collect())
            }
        }
    }
}

/// Tells what should be mended.
pub(crate) fn say_warnings(loaded: &Loaded) {
    for warning in &loaded.warnings {
        terminal::say(&format!("keyroll: warning: {warning}"));
    }
}
