//! The mark beside the data: what a data directory knows of the key versions that its data may
//! need.
//!
//! A small file, `keyroll.mark`, in the server's data directory. It travels with the data, so that
//! a key store that is older than the data, or another one, shows at the start, and not when a page
//! cannot be read. It holds no secret.

mod error;
mod file;
pub mod format;

use std::collections::BTreeMap;
use std::fmt;

pub use error::{MarkError, Mismatch};
pub use file::{FILE_NAME, KIND, MarkFile};

use super::KeyStore;
use crate::keys::{Fingerprint, HighestVersions, KeyName, KeySet};
use crate::secret::KeyBytes;

/// The keystore among the key stores: which one, and how many times it has been written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields say what they hold")]
pub struct Identity {
    pub uuid: String,
    pub generation: u64,
}

/// Which store the data was last worked on with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreSeen {
    /// Kind and place, for people.
    pub described: String,
    /// Which one, where the store has a name of its own.
    pub identity: Option<Identity>,
}

impl StoreSeen {
    /// This store, as it was read or written last.
    pub fn of(store: &dyn KeyStore) -> StoreSeen {
        StoreSeen {
            described: store.describe(),
            identity: store.identity(),
        }
    }
}

/// What a mark knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The store.
    pub store: StoreSeen,
    versions: BTreeMap<KeyName, Fingerprint>,
    highest: HighestVersions,
}

/// A version that the mark knows and a store does not have as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields say what they hold")]
pub struct Lost {
    pub name: KeyName,
    /// Its bytes, as the data knows them.
    pub known: Fingerprint,
    /// The bytes that the store has under the name; `None` if it has none.
    pub found: Option<Fingerprint>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lost { name, known, found } = self;
        match found {
            None => write!(f, "{name} (fingerprint {known})"),
            Some(found) => write!(f, "{name} (fingerprint {known}, there {found})"),
        }
    }
}

impl Mark {
    /// The versions that the mark knows and these keys lack, or have with other bytes, in order.
    pub fn lost_in(&self, keys: &KeySet) -> Vec<Lost> {
        let lost = |(&name, &known): (&KeyName, &Fingerprint)| {
            let found = keys.get(name).map(|key| Fingerprint::of(key.expose()));
            (found != Some(known)).then_some(Lost { name, known, found })
        };
        self.versions.iter().filter_map(lost).collect()
    }

    /// Adds these versions. Nothing that is known is forgotten.
    pub fn learn<'k>(&mut self, keys: impl IntoIterator<Item = (KeyName, KeyBytes<'k>)>) {
        for (name, key) in keys {
            self.versions
                .entry(name)
                .or_insert_with(|| key.with(Fingerprint::of));
            self.highest.raise(name);
        }
    }

    /// Remembers numbers of versions that were asked for, whatever their bytes.
    pub fn learn_numbers(&mut self, learn: impl FnOnce(&mut HighestVersions)) {
        learn(&mut self.highest);
    }

    /// Forgets versions that are lost for good. Their numbers stay taken.
    pub fn forget(&mut self, lost: &[Lost]) {
        for Lost { name, .. } in lost {
            self.versions.remove(name);
        }
    }

    /// The highest number of each key that was ever seen.
    pub fn highest(&self) -> &HighestVersions {
        &self.highest
    }

    /// Every version that it knows, in ascending order.
    pub fn versions(&self) -> impl Iterator<Item = (KeyName, Fingerprint)> {
        self.versions
            .iter()
            .map(|(&name, &fingerprint)| (name, fingerprint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::DataKey;

    fn keys(versions: &[(u32, u32, u8)]) -> KeySet {
        let mut keys = KeySet::default();
        for &(id, version, byte) in versions {
            keys.insert(KeyName { id, version }, DataKey::new(&[byte; 32]).unwrap());
        }
        keys
    }

    fn learn(mark: &mut Mark, versions: &[(u32, u32, u8)]) {
        mark.learn(keys(versions).iter().map(|(name, key)| (name, key.bytes())));
    }

    fn mark_of(versions: &[(u32, u32, u8)]) -> Mark {
        let mut mark = Mark::default();
        learn(&mut mark, versions);
        mark
    }

    fn lost(mark: &Mark, store: &[(u32, u32, u8)]) -> Vec<(u32, u32, bool)> {
        let lost = mark.lost_in(&keys(store));
        lost.iter()
            .map(|l| (l.name.id, l.name.version, l.found.is_some()))
            .collect()
    }

    #[test]
    fn a_store_that_holds_all_that_is_known_has_lost_nothing() {
        let mark = mark_of(&[(1, 1, 1), (1, 3, 2), (2, 1, 3)]);
        assert_eq!(lost(&mark, &[(1, 1, 1), (1, 3, 2), (2, 1, 3)]), []);
        assert_eq!(
            lost(&mark, &[(1, 1, 1), (1, 3, 2), (1, 5, 9), (2, 1, 3), (7, 1, 9)]),
            []
        );
        assert_eq!(lost(&Mark::default(), &[]), []);
    }

    #[test]
    fn what_is_missing_and_what_is_different_are_told_apart() {
        let mark = mark_of(&[(1, 1, 1), (1, 3, 2), (2, 1, 3)]);
        assert_eq!(
            lost(&mark, &[(1, 1, 1), (2, 1, 4)]),
            [(1, 3, false), (2, 1, true)]
        );
    }

    #[test]
    fn what_is_known_stays_known_when_a_smaller_ring_comes() {
        let mut mark = mark_of(&[(1, 1, 1), (1, 3, 2)]);
        learn(&mut mark, &[(1, 1, 1)]);
        assert_eq!(lost(&mark, &[(1, 1, 1)]), [(1, 3, false)]);
        assert_eq!(mark.highest().of(1), 3);
    }

    #[test]
    fn numbers_of_versions_that_are_given_up_stay_taken() {
        let mut mark = mark_of(&[(1, 1, 1), (7, 5, 2)]);
        let gone = mark.lost_in(&keys(&[(1, 1, 1)]));
        mark.forget(&gone);
        assert_eq!(mark.lost_in(&keys(&[(1, 1, 1)])), []);
        assert_eq!((mark.highest().of(7), mark.highest().of(8)), (5, 0));
        mark.learn_numbers(|highest| highest.raise(KeyName { id: 8, version: 2 }));
        assert_eq!(mark.highest().of(8), 2);
    }
}
