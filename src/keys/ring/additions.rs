//! What a store has and the ring lacks.

use std::time::SystemTime;

use super::Ring;
use crate::crypto::Algorithm;
use crate::keys::set::{KeyName, KeySet};
use crate::secret::{DataKey, KeyBytes};

/// Versions that a ring [lacks](Ring::additions), in ascending order of id, then version.
#[derive(Default)]
pub struct Additions<'k> {
    /// Each of them.
    pub list: Vec<Addition<'k>>,
}

/// One version that a ring lacks.
pub struct Addition<'k> {
    /// What can be told of it.
    pub added: Added,
    /// Its bytes.
    pub key: &'k DataKey,
    /// When it was made, where that is known.
    pub created: Option<SystemTime>,
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
        let list = lacking
            .map(|(name, key)| {
                let before = ring.latest(name.id);
                let added = Added {
                    name,
                    algorithm: keys.algorithm(name).unwrap_or(ring.default_algorithm),
                    before: before.and_then(|version| Some((version, ring.algorithm(name.id, version)?))),
                    latest: keys.latest(name.id) == Some(name),
                };
                Addition {
                    added,
                    key,
                    created: keys.created(name),
                }
            })
            .collect();
        Additions { list }
    }

    /// The bytes of each of them.
    pub fn each_key(&self) -> impl Iterator<Item = (KeyName, KeyBytes<'k>)> {
        let keys = self.list.iter();
        keys.map(|addition| (addition.added.name, addition.key.bytes()))
    }

    /// How many keys (ids) the ring lacks altogether.
    pub(super) fn new_keys(&self) -> usize {
        // All versions of a key follow each other.
        let keys = self.list.chunk_by(|a, b| a.added.name.id == b.added.name.id);
        keys.filter(|versions| versions[0].added.before.is_none()).count()
    }
}
