//! Key stores: the places where data keys live for good.
//!
//! A [`KeyStore`] reads all its keys into a [`KeySet`] and makes new versions durably. Nothing here
//! knows of C, of system variables or of a server.

pub mod aws_key_files;
pub(crate) mod error;
mod hex_digits;
pub mod key_file;
pub mod keystore;
pub(crate) mod kind;
pub(crate) mod loaded;
pub mod mark;
mod new_keys;
pub(crate) mod open;
pub(crate) mod refresh;
pub mod vault_kv;

pub use error::{StoreError, Warning};
pub use kind::StoreFile;
pub use loaded::{Loaded, load_with};
pub use mark::{Identity, MarkError, MarkFile};
pub use open::{StoreConfig, open};
pub use refresh::{ChangeSource, Changes, RefreshPolicy};

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::keys::{KeyName, KeySet, KeySpec, NewVersions, Ring};

/// Which keys a rotation makes a new version of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    /// The key with this id.
    Key(u32),
    /// Every key of the store.
    All,
}

/// What a rotation did.
#[derive(Debug)]
pub struct KeysAdded {
    /// All data keys of the store as read back after the rotation.
    pub keys: KeySet,
    /// The versions that the rotation made, one for each key, in the order of their ids.
    pub new: Vec<KeyName>,
}

/// What a rotation of the master key did.
#[derive(Debug)]
pub struct MasterKeyRotated {
    /// All data keys of the store as read back after the rotation: the same as before.
    pub keys: KeySet,
    /// The master key that wraps now, as [`KeyStore::master_key`] tells it.
    pub master_key: String,
}

/// A place where data keys live for good.
///
/// Contract: no method removes or overwrites a key version. A method that fails has changed
/// nothing, in the store or elsewhere.
pub trait KeyStore: Send + Sync {
    /// Kind and place of the store for people, without secrets: `key file /etc/mysql/keys`.
    fn describe(&self) -> String;

    /// The master key that wraps the store's data keys, for people: `version 3 of master key file
    /// /etc/master`. `None` where there is none, or before the first [`load`](Self::load).
    fn master_key(&self) -> Option<String> {
        None
    }

    /// When that master key last wrapped the store. `None` where there is none, where that is not
    /// known, or before the first [`load`](Self::load).
    fn wrapped_at(&self) -> Option<SystemTime> {
        None
    }

    /// Which keystore it is, and how many times it has been written, as it was last read or
    /// written. `None` for stores without a name of their own, and before the first
    /// [`load`](Self::load).
    fn identity(&self) -> Option<Identity> {
        None
    }

    /// Reads all data keys, or those of which [`Loaded::is_complete`] speaks.
    fn load(&self) -> Result<Loaded, StoreError>;

    /// Reads all live versions of these keys alone, where the store can, and all keys where it
    /// cannot. A key that is not there is not among them.
    fn load_keys(&self, ids: &[u32]) -> Result<Loaded, StoreError> {
        let _ = ids;
        self.load()
    }

    /// The longest that a statement waits for [`load_keys`](Self::load_keys).
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Makes one new random version of each key that `which` names, and returns when it is durable
    /// and has been read back. A store that records algorithms makes it as `new.spec` says; any
    /// other gives it the length of the latest version.
    ///
    /// The store is read anew under its lock. With `known`, a version that the ring holds and the
    /// store does not, or holds with other bytes, and a key that is too short for its cipher fail
    /// the rotation.
    fn rotate_keys(
        &self,
        which: Rotate,
        new: NewVersions<'_>,
        known: Option<&Ring>,
    ) -> Result<KeysAdded, StoreError>;

    /// Makes version 1 of a key that the store does not hold, and returns when it is durable and
    /// has been read back. A store that records algorithms makes it as `spec` says; any other gives
    /// it that length. `known` is as in [`rotate_keys`](Self::rotate_keys).
    ///
    /// # Errors
    /// [`StoreError::KeyExists`]. Whether data is encrypted with another key of this id is for the
    /// caller to see.
    fn add_key(&self, id: u32, spec: KeySpec, known: Option<&Ring>) -> Result<KeysAdded, StoreError>;

    /// Whether [`create_key`](Self::create_key) can make keys in this store.
    fn creates_keys(&self) -> bool {
        false
    }

    /// Makes version 1 of a key that the store does not hold yet, and returns when it is durable
    /// and has been read back. A key that someone else has made meanwhile is taken up: `new` is
    /// empty then.
    fn create_key(&self, id: u32, spec: KeySpec, known: Option<&Ring>) -> Result<KeysAdded, StoreError> {
        let _ = (spec, known);
        Err(StoreError::KeysAreMadeElsewhere {
            id,
            store: self.describe(),
        })
    }

    /// The same store, to be opened with another master key; reads nothing yet.
    fn with_master_key(&self, uri: &str) -> Result<Box<dyn KeyStore>, StoreError> {
        let _ = uri;
        Err(StoreError::NoMasterKey {
            store: self.describe(),
        })
    }

    /// Has the master key provider make or name its newest master key and wraps all data keys anew,
    /// under a new keystore key, in one durable replacement. No data key changes. While the
    /// provider is asked, other calls make and rotate data keys as ever.
    fn rotate_master_key(&self, known: Option<&Ring>) -> Result<MasterKeyRotated, StoreError> {
        let _ = known;
        Err(StoreError::NoMasterKey {
            store: self.describe(),
        })
    }

    /// Writes these keys into a new keystore at this path, never over a file, under the master key
    /// that is in force. Works from memory alone: neither the store nor the provider is asked.
    fn save(&self, keys: &KeySet, path: &Path) -> Result<(), StoreError> {
        let _ = (keys, path);
        Err(StoreError::NoMasterKeyHeld {
            store: self.describe(),
        })
    }

    /// Whether the server goes on with versions that the store no longer has, instead of an error:
    /// others may remove them there, and data still needs them.
    fn keeps_versions_that_are_gone(&self) -> bool {
        false
    }

    /// Whether a server may start although the store could not be read, for this reason: its keys
    /// are taken up when they are there. Only where no data needs one.
    fn may_come_later(&self, why: &StoreError) -> bool {
        let _ = why;
        false
    }

    /// What reads the changes of others; `None` where keys are only added by reloads and rotations.
    fn change_source(&self) -> Option<Box<dyn ChangeSource>> {
        None
    }
}
