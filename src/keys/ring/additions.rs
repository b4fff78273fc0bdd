//! What a store has and the ring lacks.

use super::Ring;
use crate::crypto::Algorithm;
use crate::keys::set::{KeyName, KeySet};
use crate::secret::{DataKey, KeyBytes};

/// Versions that a ring [lacks](Ring::additions), in ascending order of id, then version.
#[derive(Default)]
pub struct Additions<'k> {
    list: Vec<Addition<'k>>,
    /// How many keys (ids) of them it lacks altogether.
    new_keys: usize,
}

/// One version that a ring lacks.
pub struct Addition<'k> {
    /// What can be told of it.
    pub added: Added,
    /// Its bytes.
    pub key: &'k DataKey,
}

/// A version that came to a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its name.
    pub name: KeyName,
    /// What it encrypts with.
    pub algorithm: Algorithm,
    /// The latest version of this key in the ring, with its cipher; `None` if the ring lacks the
    /// key.
    pub before: Option<(u32, Algorithm)>,
    /// Whether it is the latest version of its key from now on.
    pub latest: bool,
}

impl<'k> Additions<'k> {
    pub(super) fn of(ring: &Ring, keys: &'k KeySet) -> Additions<'k> {
        let lacking = keys.iter().filter(|(name, _)| ring.find(*name).is_none());
        let list: Vec<Addition<'k>> = lacking
            .map(|(name, key)| {
                let before = ring.latest(name.id);
                let added = Added {
                    name,
                    algorithm: keys.algorithm(name).unwrap_or(ring.default_algorithm),
                    before: before.and_then(|version| Some((version, ring.algorithm(name.id, version)?))),
                    latest: keys.latest(name.id) == Some(name),
                };
                Addition { added, key }
            })
            .collect();
        // All versions of a key follow each other.
        let mut new: Vec<u32> = list
            .iter()
            .filter(|addition| addition.added.before.is_none())
            .map(|addition| addition.added.name.id)
            .collect();
        new.dedup();
        Additions {
            list,
            new_keys: new.len(),
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Addition<'k>> {
        self.list.iter()
    }

    /// The bytes of each of them.
    pub fn each_key(&self) -> impl Iterator<Item = (KeyName, KeyBytes<'k>)> {
        self.iter()
            .map(|addition| (addition.added.name, addition.key.bytes()))
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether the ring lacks nothing.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn new_keys(&self) -> usize {
        self.new_keys
    }
}
