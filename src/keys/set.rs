//! All data keys of a store, in order, as read from it or to be written to it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::time::SystemTime;

use crate::crypto::Algorithm;
use crate::secret::DataKey;

/// The highest version a key may have: 2^32-1 means "invalid" to the server
/// (`ENCRYPTION_KEY_VERSION_INVALID`).
pub const LAST_VERSION: u32 = u32::MAX - 1;

/// The name of one version of a data key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName {
    /// The key id, 1..=2^32-1.
    pub id: u32,
    /// The key version, 1..=[`LAST_VERSION`].
    pub version: u32,
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} of key {}", self.version, self.id)
    }
}

/// What [`KeySet::insert`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The version is new in the set.
    New,
    /// The set held the same version with the same bytes for the same algorithm.
    Same,
    /// The set holds the same version with OTHER bytes or for another algorithm; it keeps what it
    /// had.
    Conflict,
}

/// Data keys by id and version.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: BTreeMap<KeyName, Version>,
}

#[derive(Debug)]
struct Version {
    key: DataKey,
    algorithm: Option<Algorithm>,
    created: Option<SystemTime>,
}

impl Version {
    fn new(key: DataKey, algorithm: Option<Algorithm>) -> Version {
        Version {
            key,
            algorithm,
            created: None,
        }
    }
}

impl KeySet {
    /// Adds a version of a store that records no algorithms; never replaces one.
    pub fn insert(&mut self, name: KeyName, key: DataKey) -> Inserted {
        self.add(name, Version::new(key, None))
    }

    /// Adds a version that was made for this algorithm; never replaces one.
    pub fn insert_for(&mut self, name: KeyName, key: DataKey, algorithm: Algorithm) -> Inserted {
        self.add(name, Version::new(key, Some(algorithm)))
    }

    fn add(&mut self, name: KeyName, version: Version) -> Inserted {
        match self.keys.entry(name) {
            Entry::Vacant(place) => {
                place.insert(version);
                Inserted::New
            }
            Entry::Occupied(held) => {
                let held = held.get();
                let same = held.key.same_bytes(version.key.expose()) && held.algorithm == version.algorithm;
                if same { Inserted::Same } else { Inserted::Conflict }
            }
        }
    }

    /// The version's key.
    pub fn get(&self, name: KeyName) -> Option<&DataKey> {
        self.keys.get(&name).map(|version| &version.key)
    }

    /// The algorithm that the version was made for; `None` where the store records none.
    pub fn algorithm(&self, name: KeyName) -> Option<Algorithm> {
        self.keys.get(&name).and_then(|version| version.algorithm)
    }

    /// When the version was made; `None` where that is not known.
    pub fn created(&self, name: KeyName) -> Option<SystemTime> {
        self.keys.get(&name).and_then(|version| version.created)
    }

    /// Says when a version of the set was made, where that is known. It is no part of what tells
    /// two versions apart.
    pub fn set_created(&mut self, name: KeyName, created: Option<SystemTime>) {
        if let Some(version) = self.keys.get_mut(&name) {
            version.created = created;
        }
    }

    /// The highest version of the key, or `None` if there is no such key.
    pub fn latest(&self, id: u32) -> Option<KeyName> {
        let name = |version| KeyName { id, version };
        self.keys
            .range(name(0)..=name(u32::MAX))
            .next_back()
            .map(|(&name, _)| name)
    }

    /// The length of the key's latest version in bits; 0 if there is no such key.
    pub fn latest_bits(&self, id: u32) -> u32 {
        let latest = self.latest(id).and_then(|name| self.get(name));
        latest.map_or(0, |key| key.len() as u32 * 8)
    }

    /// The key ids in ascending order.
    pub fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.keys.keys().map(|name| name.id).collect();
        ids.dedup();
        ids
    }

    /// All versions in ascending order of id, then version.
    pub fn iter(&self) -> impl Iterator<Item = (KeyName, &DataKey)> {
        self.keys.iter().map(|(&name, version)| (name, &version.key))
    }

    /// Adds the versions of another set that this one lacks; never replaces one.
    pub fn append(&mut self, others: KeySet) {
        for (name, version) in others.keys {
            self.keys.entry(name).or_insert(version);
        }
    }

    /// Leaves nothing in the set but these versions, which are in ascending order.
    pub fn retain_versions(&mut self, names: &[KeyName]) {
        self.keys.retain(|name, _| names.binary_search(name).is_ok());
    }

    /// Leaves nothing in the set but the versions of these keys.
    pub fn retain_ids(&mut self, ids: &[u32]) {
        self.keys.retain(|name, _| ids.contains(&name.id));
    }

    /// The number of key versions.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether the set holds no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> DataKey {
        DataKey::new(&[byte; 16]).unwrap()
    }

    #[test]
    fn a_version_is_never_replaced() {
        let mut set = KeySet::default();
        let name = KeyName { id: 1, version: 1 };
        assert_eq!(set.insert(name, key(1)), Inserted::New);
        assert_eq!(set.insert(name, key(1)), Inserted::Same);
        assert_eq!(set.insert(name, key(2)), Inserted::Conflict);
        assert!(set.get(name).unwrap().same_bytes(&[1; 16]));
    }

    #[test]
    fn a_time_is_that_of_one_version_and_stays_with_it() {
        let (old, new) = (KeyName { id: 1, version: 1 }, KeyName { id: 1, version: 3 });
        let mut set = KeySet::default();
        set.insert(old, key(1));
        set.insert_for(new, key(3), Algorithm::AesCtr);
        assert_eq!(set.created(new), None);
        set.set_created(new, Some(SystemTime::UNIX_EPOCH));
        set.set_created(KeyName { id: 2, version: 1 }, Some(SystemTime::UNIX_EPOCH));
        assert_eq!(set.insert_for(new, key(3), Algorithm::AesCtr), Inserted::Same);
        let mut all = KeySet::default();
        all.append(set);
        assert_eq!(
            (all.created(old), all.created(new)),
            (None, Some(SystemTime::UNIX_EPOCH))
        );
        assert_eq!(all.len(), 2);
        all.retain_versions(&[new]);
        assert_eq!((all.get(old).is_none(), all.len()), (true, 1));
    }

    #[test]
    fn the_versions_of_some_keys_remain() {
        let mut set = KeySet::default();
        for (id, version) in [(1, 1), (2, 1), (2, 3), (7, 1)] {
            set.insert(KeyName { id, version }, key(0));
        }
        set.retain_ids(&[2, 7, 9]);
        assert_eq!((set.ids(), set.len()), (vec![2, 7], 3));
    }

    #[test]
    fn a_set_takes_up_what_it_lacks_of_another_and_replaces_nothing() {
        let name = |id| KeyName { id, version: 1 };
        let (mut set, mut others) = (KeySet::default(), KeySet::default());
        set.insert(name(1), key(1));
        others.insert(name(1), key(2));
        others.insert(name(7), key(3));
        set.append(others);
        assert_eq!(set.ids(), [1, 7]);
        assert!(set.get(name(1)).unwrap().same_bytes(&[1; 16]));
    }

    #[test]
    fn the_latest_version_is_the_highest_of_its_own_key() {
        let mut set = KeySet::default();
        for (id, version) in [(1, 3), (1, 1), (2, 9), (7, 1)] {
            set.insert(KeyName { id, version }, key(0));
        }
        assert_eq!(set.latest(1), Some(KeyName { id: 1, version: 3 }));
        assert_eq!(set.latest(2), Some(KeyName { id: 2, version: 9 }));
        assert_eq!(set.latest(3), None);
        assert_eq!(set.ids(), [1, 2, 7]);
    }

    #[test]
    fn a_set_is_empty_until_a_version_is_in_it() {
        let mut set = KeySet::default();
        assert!(set.is_empty());
        set.insert(KeyName { id: 1, version: 1 }, key(0));
        assert!(!set.is_empty());
    }
}
