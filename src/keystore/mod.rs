//! Key stores: the places where data keys live for good, and the key ring that a server reads.
//!
//! A [`KeyStore`] reads all its keys into a [`KeySet`] and makes new versions durably. A [`Ring`] is the
//! immutable in-memory form with fast lookups. Nothing here knows of C, of system variables or of a server.

pub mod error;
pub mod key_file;
pub mod key_set;
pub mod open;
pub mod ring;

pub use error::{KeyStoreError, Warning};
pub use key_set::{KeyName, KeySet, LAST_VERSION};
pub use open::{StoreConfig, open};
pub use ring::Ring;

/// Which keys a rotation makes a new version of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    /// The key with this id.
    Key(u32),
    /// Every key of the store.
    All,
}

/// How far the number of a new version lies above the latest one: at least 1.
///
/// 2 by default: InnoDB re-encrypts a page only when the page's version plus
/// `innodb_encryption_rotate_key_age` (1 by default) is less than the latest version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionStep(u32);

impl VersionStep {
    /// The step with which one rotation re-encrypts under the server's default settings.
    pub const DEFAULT: VersionStep = VersionStep(2);

    /// The largest step that may be set.
    pub const MAX: u32 = 1_000_000;

    /// A step of `step` versions; `None` unless it is between 1 and [`VersionStep::MAX`].
    pub fn new(step: u32) -> Option<Self> {
        (1..=Self::MAX).contains(&step).then_some(VersionStep(step))
    }

    /// The step as a number.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// What a key store held when it was read.
#[derive(Debug)]
pub struct Loaded {
    /// All data keys of the store.
    pub keys: KeySet,
    /// What a DBA should mend, though the keys could be read.
    pub warnings: Vec<Warning>,
}

/// What a rotation did.
#[derive(Debug)]
pub struct Rotated {
    /// All data keys of the store as read back after the rotation.
    pub keys: KeySet,
    /// The versions that the rotation made, one for each key, in the order of their ids.
    pub new: Vec<KeyName>,
}

/// A place where data keys live for good.
///
/// Contract: no method removes or overwrites a key version. A method that fails has changed nothing, in the
/// store or elsewhere.
pub trait KeyStore: Send {
    /// Kind and place of the store for people, without secrets: `key file /etc/mysql/keys`.
    fn describe(&self) -> String;

    /// Reads all data keys.
    fn load(&self) -> Result<Loaded, KeyStoreError>;

    /// Makes one new random version, of the same length as the latest, of each key that `which` names, and
    /// returns when it is durable and has been read back.
    ///
    /// The store is read anew under its lock. With `known`, a version that the ring holds and the store does
    /// not, or holds with other bytes, and a key that is too short for the ring's cipher fail the rotation.
    fn rotate(
        &self,
        which: Rotate,
        step: VersionStep,
        known: Option<&Ring>,
    ) -> Result<Rotated, KeyStoreError>;
}
