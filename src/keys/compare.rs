//! Two stores side by side: what each lacks, and what they hold differently under one name.

use std::fmt;

use super::{Fingerprint, KeyName, KeySet};
use crate::crypto::Algorithm;

/// How two stores differ. All lists are in the order of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// How many versions both hold, with the same bytes and no other algorithm.
    pub same: usize,
    /// What the second one holds and the first one does not.
    pub first_lacks: Vec<KeyName>,
    /// What the first one holds and the second one does not.
    pub second_lacks: Vec<KeyName>,
    /// What is not the same in both though it has one name.
    pub differing: Vec<Differing>,
}

/// A version that two stores hold with other bytes, or with the same bytes for another algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields say what they hold")]
pub struct Differing {
    pub name: KeyName,
    pub first: Content,
    pub second: Content,
}

/// What a store holds under a name, as far as it may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// What tells its bytes from others.
    pub fingerprint: Fingerprint,
    /// What it encrypts with, where the store records it.
    pub algorithm: Option<Algorithm>,
}

impl Content {
    /// What the set holds under this name.
    pub fn of(keys: &KeySet, name: KeyName) -> Option<Content> {
        keys.get(name).map(|key| Content {
            fingerprint: Fingerprint::of(key.expose()),
            algorithm: keys.algorithm(name),
        })
    }
}

impl Differing {
    /// Whether the bytes differ, and not the algorithm alone.
    pub fn has_other_bytes(&self) -> bool {
        self.first.fingerprint != self.second.fingerprint
    }
}

/// `version 1 of key 2 (fingerprints 0bf3cef2f500eb9e and e3494b0f7d8563c5)`, the first store's
/// first.
impl fmt::Display for Differing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Differing { name, first, second } = self;
        if self.has_other_bytes() {
            return write!(
                f,
                "{name} (fingerprints {} and {})",
                first.fingerprint, second.fingerprint
            );
        }
        let named = |content: &Content| content.algorithm.map_or("no algorithm", Algorithm::name);
        write!(
            f,
            "{name} (fingerprint {}, for {} and {})",
            first.fingerprint,
            named(first),
            named(second)
        )
    }
}

impl Comparison {
    /// Compares two stores. Algorithms are compared where both record one.
    pub fn of(first: &KeySet, second: &KeySet) -> Comparison {
        let mut found = Comparison::default();
        for (name, key) in first.iter() {
            let (Some(other), Some(one), Some(two)) = (
                second.get(name),
                Content::of(first, name),
                Content::of(second, name),
            ) else {
                found.second_lacks.push(name);
                continue;
            };
            let algorithms = one.algorithm.zip(two.algorithm);
            let is_for_another = algorithms.is_some_and(|(one, two)| one != two);
            // The bytes themselves decide, not the 8 bytes that are shown.
            if key.same_bytes(other.expose()) && !is_for_another {
                found.same += 1;
            } else {
                found.differing.push(Differing {
                    name,
                    first: one,
                    second: two,
                });
            }
        }
        let lacking = second.iter().filter(|(name, _)| first.get(*name).is_none());
        found.first_lacks = lacking.map(|(name, _)| name).collect();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::DataKey;

    fn keys(versions: &[(u32, u32, u8, Option<Algorithm>)]) -> KeySet {
        let mut keys = KeySet::default();
        for &(id, version, byte, algorithm) in versions {
            let (name, key) = (KeyName { id, version }, DataKey::new(&[byte; 32]).unwrap());
            match algorithm {
                Some(algorithm) => keys.insert_for(name, key, algorithm),
                None => keys.insert(name, key),
            };
        }
        keys
    }

    fn names(names: &[KeyName]) -> Vec<(u32, u32)> {
        names.iter().map(|name| (name.id, name.version)).collect()
    }

    #[test]
    fn what_each_lacks_and_what_differs_are_told_apart() {
        use Algorithm::{AesCbc, AesCtr};
        let first = keys(&[
            (1, 1, 1, Some(AesCbc)),
            (1, 3, 2, Some(AesCbc)),
            (2, 1, 3, Some(AesCbc)),
            (5, 1, 4, Some(AesCbc)),
            (7, 1, 5, Some(AesCbc)),
        ]);
        let second = keys(&[
            (1, 1, 1, Some(AesCbc)),
            (2, 1, 9, Some(AesCbc)),
            (5, 1, 4, Some(AesCtr)),
            (7, 1, 5, None),
            (8, 2, 6, None),
        ]);
        let found = Comparison::of(&first, &second);
        assert_eq!(found.same, 2);
        assert_eq!(names(&found.first_lacks), [(8, 2)]);
        assert_eq!(names(&found.second_lacks), [(1, 3)]);
        let differing: Vec<_> = found
            .differing
            .iter()
            .map(|d| (d.name.id, d.has_other_bytes()))
            .collect();
        assert_eq!(differing, [(2, true), (5, false)]);
        let shown = |byte| Fingerprint::of(&[byte; 32]);
        assert_eq!(
            found.differing[0].to_string(),
            format!("version 1 of key 2 (fingerprints {} and {})", shown(3), shown(9))
        );
        assert_eq!(
            found.differing[1].to_string(),
            format!(
                "version 1 of key 5 (fingerprint {}, for aes_cbc and aes_ctr)",
                shown(4)
            )
        );
    }

    #[test]
    fn a_store_has_what_it_is_compared_with_if_that_is_itself() {
        let all = keys(&[(1, 1, 1, None), (1, 2, 2, Some(Algorithm::AesCtr))]);
        let found = Comparison::of(&all, &all);
        assert_eq!(
            found,
            Comparison {
                same: 2,
                ..Comparison::default()
            }
        );
    }
}
