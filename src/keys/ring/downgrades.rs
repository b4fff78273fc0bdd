//! Versions that are a downgrade of their key's latest one: which they are, and which of them were
//! reported.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::version_word::{DOWNGRADE, REPORTED, VersionWord};
use super::{Additions, MIXED, Ring, name_of, of_version};
use crate::crypto::Algorithm;
use crate::keys::set::KeyName;

impl Ring {
    /// Whether this version has another algorithm than the key's latest one, and is a
    /// [downgrade](Algorithm::is_downgrade_of) of that.
    pub fn is_downgrade(&self, name: KeyName) -> bool {
        self.find(name).is_some_and(VersionWord::is_downgrade)
    }

    /// The key's latest version and its algorithm.
    pub fn latest_algorithm(&self, id: u32) -> Option<(u32, Algorithm)> {
        let version = self.latest(id)?;
        Some((version, self.algorithm(id, version)?))
    }

    /// From now on [`message_cipher`](Self::message_cipher) does not ask any more to have this
    /// version reported.
    pub fn note_reported(&self, name: KeyName) {
        self.versions.change_bits(of_version(name), REPORTED, 0);
    }

    /// Flags all versions of the keys to which these versions came. Called by whoever adds; what
    /// reads meanwhile may take a version for what it was before.
    pub(super) fn flag_downgrades(&self, additions: &Additions<'_>) {
        if self.only_algorithm.load(Ordering::Acquire) != MIXED {
            return;
        }
        let ids: HashSet<u32> = additions
            .list
            .iter()
            .map(|addition| addition.added.name.id)
            .collect();
        // One look over all, as a start adds every version.
        for (name, word) in self.versions.entries() {
            let id = name_of(name).id;
            if !ids.contains(&id) {
                continue;
            }
            let (Some(place), Some((_, latest))) = (VersionWord::of_word(word), self.latest_algorithm(id))
            else {
                continue;
            };
            match place.algorithm.is_downgrade_of(latest) {
                true => self.versions.change_bits(name, DOWNGRADE, 0),
                false => self.versions.change_bits(name, 0, DOWNGRADE),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeySet;
    use crate::secret::DataKey;

    fn name(version: u32) -> KeyName {
        KeyName { id: 1, version }
    }

    /// A ring whose key 1 has the versions 1, 2, ... of these algorithms, which came one after the
    /// other.
    fn ring(algorithms: &[Algorithm]) -> Ring {
        let mut keys = KeySet::default();
        let mut ring = Ring::new(&keys, Algorithm::AesCbc).unwrap();
        for (version, algorithm) in (1..).zip(algorithms) {
            let key = DataKey::new(&[version as u8; 32]).unwrap();
            keys.insert_for(name(version), key, *algorithm);
            ring = ring.add(&ring.additions(&keys).unwrap()).unwrap_or(ring);
        }
        ring
    }

    /// The versions of key 1 that are downgrades, as an addition flags them, as a start does, and
    /// as the ciphers of messages tell them.
    fn downgrades(algorithms: &[Algorithm]) -> Vec<u32> {
        let grown = ring(algorithms);
        let at_once = Ring::new(&grown.keys_with(&KeySet::default()).unwrap(), Algorithm::AesCbc).unwrap();
        let flagged = |ring: &Ring| -> Vec<u32> {
            let versions = 1..=algorithms.len() as u32;
            versions
                .filter(|version| ring.is_downgrade(name(*version)))
                .collect()
        };
        let unreported = |version: &u32| {
            grown
                .message_cipher(name(*version))
                .unwrap()
                .is_unreported_downgrade
        };
        let told: Vec<u32> = (1..=algorithms.len() as u32).filter(unreported).collect();
        assert_eq!(
            (flagged(&grown), &told),
            (flagged(&at_once), &flagged(&grown)),
            "{algorithms:?}"
        );
        told
    }

    #[test]
    fn a_version_is_a_downgrade_where_the_latest_one_has_another_algorithm_that_is_not_weaker() {
        use Algorithm::{Aes256Hctr2, Aes256Xts, AesCbc, AesCtr};
        for algorithm in Algorithm::ALL {
            assert_eq!(downgrades(&[algorithm]), [0; 0]);
            assert_eq!(downgrades(&[algorithm, algorithm]), [0; 0]);
        }
        assert_eq!(downgrades(&[AesCtr, Aes256Xts]), [1]);
        assert_eq!(downgrades(&[AesCbc, AesCtr, Aes256Xts, Aes256Xts]), [1, 2]);
        assert_eq!(downgrades(&[AesCbc, AesCtr]), [1]);
        assert_eq!(downgrades(&[AesCtr, AesCbc]), [1]);
        assert_eq!(downgrades(&[AesCtr, Aes256Xts, Aes256Hctr2]), [1, 2]);
        assert_eq!(downgrades(&[Aes256Xts, AesCtr]), [0; 0], "it is the stronger one");
        assert_eq!(
            downgrades(&[Aes256Hctr2, Aes256Xts]),
            [0; 0],
            "it is the stronger one"
        );
    }

    #[test]
    fn what_was_a_downgrade_is_none_under_a_latest_version_of_its_own_algorithm() {
        use Algorithm::{Aes256Xts, AesCtr};
        assert_eq!(downgrades(&[AesCtr, Aes256Xts, AesCtr]), [0; 0]);
        assert_eq!(downgrades(&[AesCtr, Aes256Xts, AesCtr, Aes256Xts]), [1, 3]);
    }

    #[test]
    fn what_was_reported_is_asked_for_no_more_also_in_the_larger_ring() {
        use Algorithm::{Aes256Xts, AesCtr};
        let mut algorithms = vec![AesCtr, Aes256Xts];
        let ring = ring(&algorithms);
        let is_asked = |ring: &Ring| ring.message_cipher(name(1)).unwrap().is_unreported_downgrade;
        assert!(is_asked(&ring) && is_asked(&ring));
        ring.note_reported(name(1));
        assert!(!is_asked(&ring) && ring.is_downgrade(name(1)));
        let mut keys = ring.keys_with(&KeySet::default()).unwrap();
        algorithms.extend([Aes256Xts; 40]);
        for (version, algorithm) in (1..).zip(&algorithms).skip(2) {
            keys.insert_for(name(version), DataKey::new(&[9; 32]).unwrap(), *algorithm);
        }
        let larger = ring
            .add(&ring.additions(&keys).unwrap())
            .expect("there is no room");
        assert!(!is_asked(&larger) && larger.is_downgrade(name(1)) && !larger.is_downgrade(name(2)));
    }

    #[test]
    fn another_key_has_a_latest_version_of_its_own() {
        let mut keys = KeySet::default();
        for (id, version, algorithm) in [
            (1, 1, Algorithm::AesCtr),
            (2, 1, Algorithm::Aes256Xts),
            (2, 3, Algorithm::Aes256Xts),
        ] {
            let key = DataKey::new(&[id as u8; 32]).unwrap();
            keys.insert_for(KeyName { id, version }, key, algorithm);
        }
        let ring = Ring::new(&keys, Algorithm::AesCbc).unwrap();
        assert!(ring.held().iter().all(|held| !ring.is_downgrade(held.name)));
        assert!(!ring.is_downgrade(name(7)), "there is no such version");
    }
}
