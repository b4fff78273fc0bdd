//! The key ring: all data keys in memory, made for lookups that cost a few nanoseconds.
//!
//! ```text
//! latest:   [ id, latest version ]                              open addressing, half of the slots free
//! versions: [ id, version | room, length, algorithm, flags ]    the same
//!                            └─ KeyMemory: locked in memory, left out of core dumps
//! ```
//!
//! It only grows, while it is read: a version is put into its room, then under its name, and
//! becomes the latest of its key at last. Where a table is full, a new ring has tables of twice the
//! size and the same rooms; so all tables that there ever were take no more than twice the last
//! ones.

mod additions;
mod downgrades;
mod message;
mod table;
mod version_word;

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

pub(crate) use additions::Addition;
pub use additions::{Added, Additions};
pub use message::VersionCipher;
use table::Table;
use version_word::VersionWord;

use super::error::KeysError;
use super::set::{Inserted, KeyName, KeySet};
use crate::crypto::derive::DATA_KEY_LENGTH;
use crate::crypto::{Algorithm, RingId};
use crate::secret::{KeyBytes, KeyMemory};

/// All data keys of a server.
pub struct Ring {
    /// The latest version of each id.
    latest: Table,
    /// The [`VersionWord`] of each version.
    versions: Table,
    memory: Arc<KeyMemory>,
    /// When each version was made, by its room. For people: no lookup reads it.
    created: Arc<Mutex<Vec<Option<SystemTime>>>>,
    /// Held by whoever adds.
    adding: Mutex<()>,
    /// The cipher of versions of a store that records none.
    default_algorithm: Algorithm,
    /// The cipher of all versions, where it is one: then none has to be looked up to know it.
    only_algorithm: AtomicU8,
    /// The same in all rings that were made from each other: in them a version never changes its
    /// bytes.
    id: RingId,
}

/// More than one cipher, as `only_algorithm` says it.
const MIXED: u8 = u8::MAX;

/// What a ring tells of a key version: everything but its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields say what they hold")]
pub struct VersionInfo {
    pub name: KeyName,
    /// Its length in bytes.
    pub len: usize,
    pub algorithm: Algorithm,
    pub latest: bool,
    /// When it was made; `None` where the store does not tell.
    pub created: Option<SystemTime>,
}

impl Ring {
    /// A ring of these keys. Versions whose store records no algorithm have this one.
    pub fn new(keys: &KeySet, default_algorithm: Algorithm) -> Result<Ring, KeysError> {
        let empty = Ring {
            latest: Table::with_room_for(0),
            versions: Table::with_room_for(0),
            memory: Arc::default(),
            created: Arc::default(),
            adding: Mutex::new(()),
            default_algorithm,
            only_algorithm: AtomicU8::new(default_algorithm.number()),
            id: RingId::new(),
        };
        let all = empty.additions(keys)?;
        Ok(empty.add(&all).unwrap_or(empty))
    }

    /// What these keys add to the ring, of which they must have all.
    pub fn additions<'k>(&self, keys: &'k KeySet) -> Result<Additions<'k>, KeysError> {
        self.check_successor(keys)?;
        Ok(Additions::of(self, keys))
    }

    /// Takes keys up that this ring [lacks](Self::additions). Where it has no room for them, they
    /// are in the ring that is returned, with all that is in this one, and not in this one.
    #[must_use = "the keys may be in the new ring alone"]
    pub fn add(&self, additions: &Additions<'_>) -> Option<Ring> {
        let _alone = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = self.keys() + additions.new_keys();
        let versions = self.versions() + additions.list.len();
        if self.latest.has_room_for(keys) && self.versions.has_room_for(versions) {
            self.put(additions);
            return None;
        }
        let larger = Ring {
            latest: self.latest.copy_with_room_for(keys),
            versions: self.versions.copy_with_room_for(versions),
            memory: Arc::clone(&self.memory),
            created: Arc::clone(&self.created),
            adding: Mutex::new(()),
            default_algorithm: self.default_algorithm,
            only_algorithm: AtomicU8::new(self.only_algorithm.load(Ordering::Acquire)),
            id: self.id,
        };
        larger.put(additions);
        Some(larger)
    }

    /// In this order: what is found is whole, and no version is told to be the latest before it is
    /// found.
    fn put(&self, additions: &Additions<'_>) {
        for Addition { added, key, created } in &additions.list {
            let Added { name, algorithm, .. } = *added;
            self.mix(algorithm);
            let place = VersionWord::new(self.next_room(), key.len() as u8, algorithm);
            self.note_created(place.room, *created);
            self.memory.put(place.room, key);
            self.versions.insert(of_version(name), place.to_word());
            if self.latest(name.id) < Some(name.version) {
                self.latest.insert(of_id(name.id), name.version.into());
            }
        }
        self.flag_downgrades(additions);
    }

    fn note_created(&self, room: u32, at: Option<SystemTime>) {
        let mut created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        let room = room as usize;
        if created.len() <= room {
            created.resize(room + 1, None);
        }
        created[room] = at;
    }

    /// The first room that is free: each version has one, in the order in which they came.
    fn next_room(&self) -> u32 {
        // The limits of the stores' files and the memory of a machine keep every count far below
        // 2^32.
        u32::try_from(self.versions()).unwrap_or(u32::MAX)
    }

    /// A version with this cipher comes.
    fn mix(&self, algorithm: Algorithm) {
        let only = match self.versions() {
            0 => algorithm.number(),
            _ if self.only_algorithm.load(Ordering::Acquire) == algorithm.number() => return,
            _ => MIXED,
        };
        self.only_algorithm.store(only, Ordering::Release);
    }

    /// The latest version of the key, or `None` if there is no such key.
    #[inline(always)]
    pub fn latest(&self, id: u32) -> Option<u32> {
        self.latest.get(of_id(id)).map(|latest| latest as u32)
    }

    /// The bytes of this version of the key, or `None` if there is no such version.
    #[inline(always)]
    pub fn key(&self, id: u32, version: u32) -> Option<KeyBytes<'_>> {
        let place = self.find(KeyName { id, version })?;
        self.memory.get(place.room, place.length)
    }

    /// The cipher of this version of the key, or `None` if there is no such version; where all
    /// versions have the same cipher it is told without a look.
    #[inline]
    pub fn algorithm(&self, id: u32, version: u32) -> Option<Algorithm> {
        Algorithm::from_number(self.only_algorithm.load(Ordering::Acquire))
            .or_else(|| self.find(KeyName { id, version }).map(|place| place.algorithm))
    }

    /// The bytes of each version, in no order.
    pub fn each_key(&self) -> impl Iterator<Item = (KeyName, KeyBytes<'_>)> {
        self.versions.entries().filter_map(|(name, word)| {
            let place = VersionWord::of_word(word)?;
            Some((name_of(name), self.memory.get(place.room, place.length)?))
        })
    }

    /// The key ids in ascending order.
    pub fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.latest.entries().map(|(name, _)| name as u32).collect();
        ids.sort_unstable();
        ids
    }

    /// All versions of a key in ascending order.
    pub fn versions_of(&self, id: u32) -> Vec<KeyName> {
        let names = self.versions.entries().map(|(name, _)| name_of(name));
        let mut versions: Vec<KeyName> = names.filter(|name| name.id == id).collect();
        versions.sort_unstable();
        versions
    }

    /// All keys of the ring and those that it lacks.
    pub fn keys_with(&self, more: &KeySet) -> Result<KeySet, KeysError> {
        let mut all = KeySet::default();
        let own = self.held().into_iter().filter_map(|held| {
            let key = self.key(held.name.id, held.name.version)?.to_data_key()?;
            Some((held.name, key, held.algorithm, held.created))
        });
        let others = more.iter().filter_map(|(name, key)| {
            let algorithm = more.algorithm(name).unwrap_or(self.default_algorithm);
            Some((name, key.bytes().to_data_key()?, algorithm, more.created(name)))
        });
        for (name, key, algorithm, created) in own.chain(others) {
            match all.insert_for(name, key, algorithm) {
                Inserted::New => all.set_created(name, created),
                Inserted::Same => {}
                Inserted::Conflict => return Err(KeysError::KnownVersionDiffers { name }),
            }
        }
        Ok(all)
    }

    /// The number of keys (ids).
    pub fn keys(&self) -> usize {
        self.latest.len()
    }

    /// The number of key versions.
    pub fn versions(&self) -> usize {
        self.versions.len()
    }

    /// Every version, in ascending order of id, then version.
    pub fn held(&self) -> Vec<VersionInfo> {
        let created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held: Vec<VersionInfo> = self
            .versions
            .entries()
            .filter_map(|(name, word)| {
                let (name, place) = (name_of(name), VersionWord::of_word(word)?);
                Some(VersionInfo {
                    name,
                    len: place.length.into(),
                    algorithm: place.algorithm,
                    latest: self.latest(name.id) == Some(name.version),
                    created: created.get(place.room as usize).copied().flatten(),
                })
            })
            .collect();
        drop(created);
        held.sort_unstable_by_key(|held| held.name);
        held
    }

    /// When the latest version of each key was made, as far as it is known, in no order.
    pub fn latest_created(&self) -> Vec<Option<SystemTime>> {
        let latest = self.latest.entries().filter_map(|(id, _)| {
            let id = id as u32;
            let version = self.latest(id)?;
            self.find(KeyName { id, version })
        });
        let rooms: Vec<usize> = latest.map(|place| place.room as usize).collect();
        let created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |room| created.get(room).copied().flatten();
        rooms.into_iter().map(at).collect()
    }

    /// Fails if these keys cannot take the place of this ring's: if they lack a version of it or
    /// hold it with other bytes or for another cipher, or if one is too short for its cipher.
    pub fn check_successor(&self, keys: &KeySet) -> Result<(), KeysError> {
        check_lengths(keys, self.default_algorithm)?;
        for VersionInfo { name, algorithm, .. } in self.held() {
            let held = self.key(name.id, name.version);
            match (keys.get(name), held) {
                (None, _) => return Err(KeysError::KnownVersionMissing { name }),
                (Some(found), Some(held)) if held.with(|bytes| found.same_bytes(bytes)) => {}
                (Some(_), _) => return Err(KeysError::KnownVersionDiffers { name }),
            }
            let found = keys.algorithm(name).unwrap_or(self.default_algorithm);
            if found != algorithm {
                return Err(KeysError::KnownAlgorithmDiffers {
                    name,
                    held: algorithm,
                    found,
                });
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn find(&self, name: KeyName) -> Option<VersionWord> {
        self.versions.get(of_version(name)).and_then(VersionWord::of_word)
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ring({} keys, {} versions)", self.keys(), self.versions())
    }
}

/// A key's name in its table; 0, which is free, for the id that no key has.
#[inline]
fn of_id(id: u32) -> u64 {
    id.into()
}

/// A version's name in its table. The id 0 names nothing, whatever its version.
#[inline(always)]
fn of_version(name: KeyName) -> u64 {
    match name.id {
        0 => 0,
        id => u64::from(id) << 32 | u64::from(name.version),
    }
}

fn name_of(word: u64) -> KeyName {
    KeyName {
        id: (word >> 32) as u32,
        version: word as u32,
    }
}

/// Refuses keys that are too short for their algorithm.
fn check_lengths(keys: &KeySet, default_algorithm: Algorithm) -> Result<(), KeysError> {
    for (name, key) in keys.iter() {
        let algorithm = keys.algorithm(name).unwrap_or(default_algorithm);
        if algorithm.derives_keys() && key.len() != DATA_KEY_LENGTH {
            return Err(KeysError::KeyTooShort {
                name,
                bits: key.len() * 8,
                algorithm,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::DataKey;

    fn name(id: u32, version: u32) -> KeyName {
        KeyName { id, version }
    }

    fn key(byte: u8, len: usize) -> DataKey {
        DataKey::new(&vec![byte; len]).unwrap()
    }

    fn mixed() -> KeySet {
        let mut keys = KeySet::default();
        keys.insert_for(name(1, 1), key(1, 32), Algorithm::AesCbc);
        keys.insert_for(name(1, 3), key(2, 32), Algorithm::Aes256Xts);
        keys.insert_for(name(2, 1), key(3, 16), Algorithm::AesCtr);
        keys
    }

    #[test]
    fn each_version_has_the_algorithm_that_it_was_made_for() {
        let ring = Ring::new(&mixed(), Algorithm::AesCbc).unwrap();
        assert_eq!(ring.algorithm(1, 1), Some(Algorithm::AesCbc));
        assert_eq!(ring.algorithm(1, 3), Some(Algorithm::Aes256Xts));
        assert_eq!(ring.algorithm(2, 1), Some(Algorithm::AesCtr));
        assert_eq!(ring.algorithm(2, 2), None);
        let latest: Vec<KeyName> = ring.held().iter().filter(|v| v.latest).map(|v| v.name).collect();
        assert_eq!(latest, [name(1, 3), name(2, 1)]);
    }

    #[test]
    fn each_version_keeps_its_time_in_larger_rings_too() {
        let at = |version: u32| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(version.into());
        let known = |version: u32| version.is_multiple_of(2).then(|| at(version));
        let mut keys = KeySet::default();
        keys.insert(name(1, 100), key(1, 16));
        keys.set_created(name(1, 100), known(100));
        let mut ring = Ring::new(&keys, Algorithm::AesCbc).unwrap();
        for version in 1..100 {
            let mut more = KeySet::default();
            more.insert(name(1, version), key(version as u8, 16));
            more.set_created(name(1, version), known(version));
            let all = ring.keys_with(&more).unwrap();
            if let Some(larger) = ring.add(&ring.additions(&all).unwrap()) {
                ring = larger;
            }
        }
        assert_eq!(ring.held().len(), 100);
        for held in ring.held() {
            assert_eq!(held.created, known(held.name.version), "{}", held.name);
        }
        let mut other_time = KeySet::default();
        other_time.insert(name(1, 2), key(2, 16));
        other_time.set_created(name(1, 2), Some(at(7)));
        let all = ring.keys_with(&other_time).unwrap();
        assert_eq!(all.created(name(1, 2)), Some(at(2)));
    }

    #[test]
    fn versions_of_a_store_that_records_no_algorithm_have_the_default() {
        let mut keys = KeySet::default();
        keys.insert(name(1, 1), key(1, 16));
        let ring = Ring::new(&keys, Algorithm::AesCtr).unwrap();
        assert_eq!(ring.algorithm(1, 1), Some(Algorithm::AesCtr));
        // One cipher for all: told without a look, as ciphers without derived keys need no data
        // key.
        assert_eq!(ring.algorithm(9, 9), Some(Algorithm::AesCtr));
    }

    #[test]
    fn one_cipher_of_all_versions_is_told_without_a_look_until_another_one_comes() {
        let mut keys = KeySet::default();
        for version in [1, 2] {
            keys.insert_for(name(1, version), key(version as u8, 16), Algorithm::AesCtr);
        }
        let ring = Ring::new(&keys, Algorithm::AesCbc).unwrap();
        assert_eq!(ring.algorithm(9, 9), Some(Algorithm::AesCtr));
        keys.insert_for(name(1, 3), key(3, 16), Algorithm::AesCbc);
        assert!(ring.add(&ring.additions(&keys).unwrap()).is_none());
        assert_eq!(ring.algorithm(9, 9), None);
    }

    #[test]
    fn what_is_added_leaves_every_version_with_its_bytes_and_its_algorithm() {
        let ring = Ring::new(&mixed(), Algorithm::AesCbc).unwrap();
        let mut keys = mixed();
        keys.insert_for(name(2, 3), key(4, 32), Algorithm::Aes256Xts);
        let additions = ring.additions(&keys).unwrap();
        let added: Vec<Added> = additions.list.iter().map(|addition| addition.added).collect();
        let expected = Added {
            name: name(2, 3),
            algorithm: Algorithm::Aes256Xts,
            before: Some((1, Algorithm::AesCtr)),
            latest: true,
        };
        assert_eq!(added, [expected]);
        assert!(ring.add(&additions).is_none(), "there is room");
        let bytes = |id, version| ring.key(id, version).unwrap().with(<[u8]>::to_vec);
        assert_eq!((bytes(1, 1), bytes(2, 3)), (vec![1; 32], vec![4; 32]));
        assert_eq!(ring.algorithm(2, 3), Some(Algorithm::Aes256Xts));
        assert_eq!((ring.latest(2), ring.keys(), ring.versions()), (Some(3), 2, 4));
        assert!(matches!(
            ring.additions(&mixed()).map(|_| ()),
            Err(KeysError::KnownVersionMissing { name: lost }) if lost == name(2, 3)
        ));

        let mut other = KeySet::default();
        for held in ring.held() {
            let key = ring
                .key(held.name.id, held.name.version)
                .unwrap()
                .to_data_key()
                .unwrap();
            other.insert_for(held.name, key, Algorithm::AesCtr);
        }
        assert!(matches!(
            ring.additions(&other).map(|_| ()),
            Err(KeysError::KnownAlgorithmDiffers { name: changed, .. }) if changed == name(1, 1)
        ));
    }

    #[test]
    fn a_ring_grows_by_new_tables_that_are_few_and_keeps_every_version() {
        let mut ring = Ring::new(&mixed(), Algorithm::AesCbc).unwrap();
        let (mut keys, mut replaced) = (mixed(), 0);
        let (last, step) = if cfg!(miri) { (100, 10) } else { (2000, 50) };
        for id in 3..=last {
            for version in 1..=id % 3 {
                keys.insert_for(name(id, version), key(id as u8, 16), Algorithm::AesCbc);
            }
            if id % step == 0 {
                let larger = ring.add(&ring.additions(&keys).unwrap());
                if let Some(larger) = larger {
                    (ring, replaced) = (larger, replaced + 1);
                }
                ring.check_successor(&keys).unwrap();
                assert_eq!((ring.keys(), ring.versions()), (keys.ids().len(), keys.len()));
                assert!(ring.additions(&keys).unwrap().list.is_empty());
            }
        }
        assert!((3..=10).contains(&replaced), "{replaced}");
        assert_eq!(ring.latest(55), Some(1));
        assert_eq!(ring.versions_of(56), [name(56, 1), name(56, 2)]);
        assert_eq!(ring.ids().len(), ring.keys());
        assert_eq!(ring.each_key().count(), ring.versions());
    }

    #[test]
    fn a_ring_grows_where_one_key_has_many_versions() {
        let mut keys = KeySet::default();
        let mut ring = Ring::new(&keys, Algorithm::AesCbc).unwrap();
        for version in 1..=200 {
            keys.insert(name(1, version), key(version as u8, 16));
            ring = ring.add(&ring.additions(&keys).unwrap()).unwrap_or(ring);
            assert!(ring.versions.has_room_for(ring.versions()));
        }
        assert_eq!((ring.keys(), ring.versions()), (1, 200));
    }

    #[test]
    fn whoever_reads_while_keys_are_added_sees_whole_ones() {
        let ring = Ring::new(&KeySet::default(), Algorithm::AesCbc).unwrap();
        let ring = ring.add(&Additions::default()).unwrap_or(ring);
        let all: Vec<KeySet> = (1..=4)
            .map(|latest| {
                let mut keys = KeySet::default();
                (1..=latest).for_each(|version| {
                    keys.insert(name(1, version), key(version as u8, 32));
                });
                keys
            })
            .collect();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = 0;
                while seen < 4 {
                    let latest = ring.latest(1).unwrap_or(0);
                    assert!(latest >= seen, "it never goes back");
                    seen = latest;
                    if latest > 0 {
                        let key = ring.key(1, latest).expect("what is told is there");
                        key.with(|bytes| assert_eq!(bytes, [latest as u8; 32]));
                    }
                }
            });
            for keys in &all {
                assert!(ring.add(&ring.additions(keys).unwrap()).is_none());
            }
            reader.join().unwrap();
        });
    }

    #[test]
    fn a_key_too_short_for_its_own_algorithm_is_refused() {
        let mut keys = mixed();
        keys.insert_for(name(3, 1), key(5, 16), Algorithm::Aes256Xts);
        assert!(matches!(
            Ring::new(&keys, Algorithm::AesCbc),
            Err(KeysError::KeyTooShort { name: short, bits: 128, .. }) if short == name(3, 1)
        ));
    }

    #[test]
    fn every_key_of_a_crowded_ring_is_found_and_no_other() {
        for count in 1..if cfg!(miri) { 10 } else { 200 } {
            let ids: Vec<u32> = (1..=count).map(|n| n * 7).collect();
            let mut keys = KeySet::default();
            for &id in &ids {
                keys.insert(name(id, id + 1), key(id as u8, 16));
            }
            let ring = Ring::new(&keys, Algorithm::AesCbc).unwrap();
            assert_eq!(ring.ids(), ids);
            for id in 0..=count * 7 + 1 {
                let there = ids.contains(&id);
                assert_eq!(ring.latest(id), there.then_some(id + 1), "{id} of {count}");
                let bytes = ring.key(id, id + 1).map(|key| key.with(<[u8]>::to_vec));
                assert_eq!(bytes, there.then(|| vec![id as u8; 16]));
            }
        }
    }

    #[test]
    fn a_ring_shows_no_key() {
        let ring = Ring::new(&mixed(), Algorithm::AesCbc).unwrap();
        assert_eq!(format!("{ring:?}"), "Ring(2 keys, 3 versions)");
    }
}
