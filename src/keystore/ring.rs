//! The key ring: all data keys in memory, immutable, made for lookups that cost a few nanoseconds.
//!
//! ```text
//! ids:      [ id | latest | first | count ]   open addressing, a power of two of slots, id 0 = free
//!                            │       └─ that many
//! versions: [ version | len, algorithm | page | offset ] ascending within a key
//!                                          └─ pages: 4 KiB and up, locked in memory, left out of core dumps
//! ```
//!
//! A changed store makes a new ring. It shares the pages of the ring before it, so that a rotation copies no
//! key and an old ring that is kept alive costs its two tables alone.

use std::fmt;
use std::sync::Arc;

use super::error::KeyStoreError;
use super::key_set::{Inserted, KeyName, KeySet};
use crate::crypto::Algorithm;
use crate::crypto::derive::{DATA_KEY_LENGTH, Origin, RingId};
use crate::secret::{DataKey, LockedMemory, MAX_DATA_KEY_LENGTH};

/// Room for one key in a page, in bytes.
const KEY_ROOM: usize = MAX_DATA_KEY_LENGTH;

/// All data keys of a server at one moment.
pub struct Ring {
    ids: Box<[IdSlot]>,
    /// 32 minus the binary logarithm of the number of slots: what the hash is shifted by.
    shift: u32,
    versions: Box<[Version]>,
    pages: Vec<Arc<LockedMemory>>,
    keys: usize,
    /// The cipher of versions of a store that records none.
    default_algorithm: Algorithm,
    /// The cipher of all versions, where it is one: then none has to be looked up to know it.
    only_algorithm: Option<Algorithm>,
    /// The same in all rings that were made from each other: in them a version never changes its bytes.
    id: RingId,
}

#[derive(Clone, Copy, Default)]
struct IdSlot {
    id: u32,
    latest: u32,
    first: u32,
    count: u32,
}

#[derive(Clone, Copy)]
struct Version {
    version: u32,
    len: u8,
    algorithm: Algorithm,
    page: u32,
    offset: u32,
}

/// What a ring tells of a key version: everything but its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub name: KeyName,
    /// Its length in bytes.
    pub len: usize,
    /// What it encrypts with.
    pub algorithm: Algorithm,
    /// Whether it is the latest version of its key.
    pub latest: bool,
}

impl Ring {
    /// A ring of these keys. Versions whose store records no algorithm have this one.
    ///
    /// # Errors
    /// A key that is too short for its cipher.
    pub fn new(keys: &KeySet, default_algorithm: Algorithm) -> Result<Ring, KeyStoreError> {
        check_lengths(keys, default_algorithm)?;
        Ok(Ring::build(keys, default_algorithm, None))
    }

    /// A ring of these keys that takes the place of this one and shares its pages.
    ///
    /// # Errors
    /// Those of [`check_successor`](Self::check_successor).
    pub fn successor(&self, keys: &KeySet) -> Result<Ring, KeyStoreError> {
        self.check_successor(keys)?;
        Ok(Ring::build(keys, self.default_algorithm, Some(self)))
    }

    fn build(keys: &KeySet, default_algorithm: Algorithm, before: Option<&Ring>) -> Ring {
        let mut pages = before.map(|ring| ring.pages.clone()).unwrap_or_default();
        let fresh: Vec<(KeyName, &DataKey)> = keys
            .iter()
            .filter(|(name, _)| before.is_none_or(|ring| ring.find(*name).is_none()))
            .collect();
        let fresh_page = pages.len();
        if !fresh.is_empty() {
            pages.push(Arc::new(page_of(&fresh)));
        }

        let ids = keys.ids();
        let slots = (ids.len() * 2).next_power_of_two().max(8);
        let mut ring = Ring {
            ids: vec![IdSlot::default(); slots].into_boxed_slice(),
            shift: 32 - slots.trailing_zeros(),
            versions: Box::default(),
            pages,
            keys: ids.len(),
            default_algorithm,
            only_algorithm: only_algorithm(keys, default_algorithm),
            id: before.map_or_else(RingId::new, |ring| ring.id),
        };
        let mut versions: Vec<Version> = Vec::with_capacity(keys.len());
        let mut next_fresh = 0;
        for (name, key) in keys.iter() {
            let place = match before.and_then(|ring| ring.find(name)) {
                Some(known) => *known,
                None => {
                    let offset = next_fresh * KEY_ROOM;
                    next_fresh += 1;
                    Version {
                        version: name.version,
                        len: key.len() as u8,
                        algorithm: keys.algorithm(name).unwrap_or(default_algorithm),
                        page: as_u32(fresh_page),
                        offset: as_u32(offset),
                    }
                }
            };
            let first = as_u32(versions.len());
            versions.push(place);
            let slot = ring.slot_for(name.id);
            if slot.id == 0 {
                *slot = IdSlot {
                    id: name.id,
                    first,
                    ..IdSlot::default()
                };
            }
            slot.latest = name.version;
            slot.count += 1;
        }
        ring.versions = versions.into_boxed_slice();
        ring
    }

    /// The latest version of the key, or `None` if there is no such key.
    #[inline]
    pub fn latest(&self, id: u32) -> Option<u32> {
        self.slot(id).map(|slot| slot.latest)
    }

    /// The bytes of this version of the key, or `None` if there is no such version.
    #[inline]
    pub fn key(&self, id: u32, version: u32) -> Option<&[u8]> {
        self.find(KeyName { id, version }).map(|place| self.bytes(place))
    }

    /// The cipher of this version of the key, or `None` if there is no such version; where all versions have the
    /// same cipher it is told without a look.
    #[inline]
    pub fn algorithm(&self, id: u32, version: u32) -> Option<Algorithm> {
        match self.only_algorithm {
            Some(algorithm) => Some(algorithm),
            None => self.find(KeyName { id, version }).map(|place| place.algorithm),
        }
    }

    /// This version of the key, for ciphers that derive their keys from it; `None` if there is no such version.
    #[inline]
    pub fn origin(&self, id: u32, version: u32) -> Option<Origin<'_>> {
        Some(Origin {
            ring: self.id,
            key_id: id,
            key_version: version,
            data_key: self.key(id, version)?,
        })
    }

    /// The key ids in ascending order.
    pub fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self
            .ids
            .iter()
            .map(|slot| slot.id)
            .filter(|id| *id != 0)
            .collect();
        ids.sort_unstable();
        ids
    }

    /// All versions of a key in ascending order.
    pub fn versions_of(&self, id: u32) -> Vec<KeyName> {
        let Some(slot) = self.slot(id) else {
            return Vec::new();
        };
        self.versions[slot.first as usize..][..slot.count as usize]
            .iter()
            .map(|v| KeyName {
                id,
                version: v.version,
            })
            .collect()
    }

    /// All keys of the ring and those that it lacks.
    ///
    /// # Errors
    /// [`KeyStoreError::KnownVersionDiffers`] if a version that both have differs.
    pub fn keys_with(&self, more: &KeySet) -> Result<KeySet, KeyStoreError> {
        let mut all = KeySet::default();
        let held = self.held();
        let own = held.iter().filter_map(|held| {
            let bytes = self.key(held.name.id, held.name.version)?;
            Some((held.name, bytes, held.algorithm))
        });
        let others = more.iter().map(|(name, key)| {
            let algorithm = more.algorithm(name).unwrap_or(self.default_algorithm);
            (name, key.expose(), algorithm)
        });
        for (name, bytes, algorithm) in own.chain(others) {
            let conflicts = DataKey::new(bytes)
                .is_some_and(|key| all.insert_for(name, key, algorithm) == Inserted::Conflict);
            if conflicts {
                return Err(KeyStoreError::KnownVersionDiffers { name });
            }
        }
        Ok(all)
    }

    /// The number of keys (ids).
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// The number of key versions.
    pub fn versions(&self) -> usize {
        self.versions.len()
    }

    /// Every version, in ascending order of id, then version.
    pub fn held(&self) -> Vec<Held> {
        let mut slots: Vec<&IdSlot> = self.ids.iter().filter(|slot| slot.id != 0).collect();
        slots.sort_unstable_by_key(|slot| slot.id);
        slots
            .into_iter()
            .flat_map(|slot| {
                self.versions[slot.first as usize..][..slot.count as usize]
                    .iter()
                    .map(|v| Held {
                        name: KeyName {
                            id: slot.id,
                            version: v.version,
                        },
                        len: usize::from(v.len),
                        algorithm: v.algorithm,
                        latest: v.version == slot.latest,
                    })
            })
            .collect()
    }

    /// Whether all key bytes are locked in memory, so that they are never swapped out.
    pub fn is_locked_in_memory(&self) -> bool {
        self.pages.iter().all(|page| page.is_locked())
    }

    /// Fails if these keys cannot take the place of this ring's: if they lack a version of it or hold it with
    /// other bytes or for another cipher, or if one is too short for its cipher.
    pub fn check_successor(&self, keys: &KeySet) -> Result<(), KeyStoreError> {
        check_lengths(keys, self.default_algorithm)?;
        for Held { name, algorithm, .. } in self.held() {
            let held = self.find(name).map(|place| self.bytes(place));
            match (keys.get(name), held) {
                (None, _) => return Err(KeyStoreError::KnownVersionMissing { name }),
                (Some(found), Some(held)) if found.same_bytes(held) => {}
                (Some(_), _) => return Err(KeyStoreError::KnownVersionDiffers { name }),
            }
            let found = keys.algorithm(name).unwrap_or(self.default_algorithm);
            if found != algorithm {
                return Err(KeyStoreError::KnownAlgorithmDiffers {
                    name,
                    held: algorithm,
                    found,
                });
            }
        }
        Ok(())
    }

    #[inline]
    fn bytes(&self, place: &Version) -> &[u8] {
        let page: &[u8] = &self.pages[place.page as usize];
        &page[place.offset as usize..][..usize::from(place.len)]
    }

    #[inline]
    fn find(&self, name: KeyName) -> Option<&Version> {
        let slot = self.slot(name.id)?;
        let versions = &self.versions[slot.first as usize..][..slot.count as usize];
        if name.version == slot.latest {
            return versions.last();
        }
        versions
            .binary_search_by_key(&name.version, |v| v.version)
            .ok()
            .map(|at| &versions[at])
    }

    #[inline]
    fn slot(&self, id: u32) -> Option<&IdSlot> {
        let slot = &self.ids[self.probe(id)];
        (slot.id == id && id != 0).then_some(slot)
    }

    fn slot_for(&mut self, id: u32) -> &mut IdSlot {
        let at = self.probe(id);
        &mut self.ids[at]
    }

    /// The slot of this id, or the free one where it would be. Half of the slots are free, so it ends.
    #[inline]
    fn probe(&self, id: u32) -> usize {
        // Multiplicative hashing (Knuth, TAOCP 6.4), 2^32 divided by the golden ratio.
        let mask = self.ids.len() - 1;
        let mut at = (id.wrapping_mul(0x9E37_79B9) >> self.shift) as usize & mask;
        loop {
            let slot = &self.ids[at];
            if slot.id == id || slot.id == 0 {
                return at;
            }
            at = (at + 1) & mask;
        }
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ring({} keys, {} versions)", self.keys, self.versions.len())
    }
}

/// The cipher of all versions, if it is one.
fn only_algorithm(keys: &KeySet, default_algorithm: Algorithm) -> Option<Algorithm> {
    let mut of_each = keys
        .iter()
        .map(|(name, _)| keys.algorithm(name).unwrap_or(default_algorithm));
    let first = of_each.next().unwrap_or(default_algorithm);
    of_each.all(|algorithm| algorithm == first).then_some(first)
}

/// Refuses keys that are too short for their algorithm.
fn check_lengths(keys: &KeySet, default_algorithm: Algorithm) -> Result<(), KeyStoreError> {
    for (name, key) in keys.iter() {
        let algorithm = keys.algorithm(name).unwrap_or(default_algorithm);
        if algorithm.derives_keys() && key.len() != DATA_KEY_LENGTH {
            return Err(KeyStoreError::KeyTooShort {
                name,
                bits: key.len() * 8,
                algorithm,
            });
        }
    }
    Ok(())
}

/// The limits of the stores' files and the memory of a machine keep every count far below 2^32.
fn as_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The memory of some keys, [`KEY_ROOM`] for each.
fn page_of(keys: &[(KeyName, &DataKey)]) -> LockedMemory {
    let mut page = LockedMemory::new(keys.len() * KEY_ROOM);
    for ((_, key), room) in keys.iter().zip(page.chunks_exact_mut(KEY_ROOM)) {
        room[..key.len()].copy_from_slice(key.expose());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn versions_of_a_store_that_records_no_algorithm_have_the_default() {
        let mut keys = KeySet::default();
        keys.insert(name(1, 1), key(1, 16));
        let ring = Ring::new(&keys, Algorithm::AesCtr).unwrap();
        assert_eq!(ring.algorithm(1, 1), Some(Algorithm::AesCtr));
        // One cipher for all: told without a look, as ciphers without derived keys need no data key.
        assert_eq!(ring.algorithm(9, 9), Some(Algorithm::AesCtr));
    }

    #[test]
    fn a_successor_keeps_every_version_with_its_bytes_and_its_algorithm() {
        let ring = Ring::new(&mixed(), Algorithm::AesCbc).unwrap();
        let mut keys = mixed();
        keys.insert_for(name(2, 3), key(4, 32), Algorithm::Aes256Xts);
        let next = ring.successor(&keys).unwrap();
        assert_eq!(next.key(1, 1), Some(&[1; 32][..]));
        assert_eq!(next.key(2, 3), Some(&[4; 32][..]));
        assert_eq!(next.algorithm(2, 3), Some(Algorithm::Aes256Xts));
        assert!(matches!(
            next.successor(&mixed()),
            Err(KeyStoreError::KnownVersionMissing { name: lost }) if lost == name(2, 3)
        ));

        let mut other = KeySet::default();
        for held in ring.held() {
            let key = DataKey::new(ring.key(held.name.id, held.name.version).unwrap()).unwrap();
            other.insert_for(held.name, key, Algorithm::AesCtr);
        }
        assert!(matches!(
            ring.successor(&other),
            Err(KeyStoreError::KnownAlgorithmDiffers { name: changed, .. }) if changed == name(1, 1)
        ));
    }

    #[test]
    fn a_key_too_short_for_its_own_algorithm_is_refused() {
        let mut keys = mixed();
        keys.insert_for(name(3, 1), key(5, 16), Algorithm::Aes256Xts);
        assert!(matches!(
            Ring::new(&keys, Algorithm::AesCbc),
            Err(KeyStoreError::KeyTooShort { name: short, bits: 128, .. }) if short == name(3, 1)
        ));
    }

    #[test]
    fn every_key_of_a_crowded_ring_is_found_and_no_other() {
        for count in 1..200 {
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
                assert_eq!(ring.key(id, id + 1), there.then_some(&[id as u8; 16][..]));
            }
        }
    }

    #[test]
    fn a_ring_shows_no_key_and_is_locked_where_memory_can_be() {
        let ring = Ring::new(&mixed(), Algorithm::AesCbc).unwrap();
        assert_eq!(format!("{ring:?}"), "Ring(2 keys, 3 versions)");
        assert_eq!(ring.is_locked_in_memory(), LockedMemory::new(1).is_locked());
    }
}
