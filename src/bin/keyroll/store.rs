//! The key store that a subcommand works on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll::keystore::key_file::{KeyFile, KeyFileConfig};
use keyroll::keystore::{KeyStore, Loaded};

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
}

/// A store as arguments or option files name it, and the settings beside it.
#[derive(Debug)]
pub(crate) struct ChosenStore {
    /// Which store.
    pub(crate) place: Place,
    /// The settings of the server's option files, or its defaults.
    pub(crate) settings: ServerSettings,
}

impl ChosenStore {
    /// The store, ready to be read.
    pub(crate) fn open(self) -> Result<Box<dyn KeyStore>, Failure> {
        Ok(match self.place {
            Place::KeyFile(config) => Box::new(KeyFile::new(config)?),
            Place::Keystore(keystore) => Box::new(keystore.open()?),
        })
    }

    /// The ciphers that the settings name.
    pub(crate) fn ciphers(&self) -> Ciphers {
        Ciphers {
            of_store: self.settings.encryption_algorithm,
            of_new_versions: self.settings.key_spec,
        }
    }
}

/// Tells what should be mended.
pub(crate) fn say_warnings(loaded: &Loaded) {
    for warning in &loaded.warnings {
        terminal::say(&format!("keyroll: warning: {warning}"));
    }
}
