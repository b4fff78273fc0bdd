//! A data key, or a version of one, that the server asked for and the store lacks.

use std::cmp::Ordering;

use crate::keys::Ring;

/// How far above the latest version a version may lie that a key may have had: no rotation goes
/// farther at once. A damaged page asks for any number.
pub(crate) const FARTHEST: u32 = 1_000_000;

/// The keys of the store, as far as lookups know.
#[derive(Clone, Copy)]
pub struct StoreContents<'a> {
    /// Its keys.
    pub ring: &'a Ring,
    /// Its kind and place.
    pub source: &'a str,
}

/// The name of what is missing: a version of a key, or the key where there is none of that id.
/// `version` is the one asked for first then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The key.
    pub id: u32,
    /// The version; `None` where only the key was asked for.
    pub version: Option<u32>,
    /// Whether there are other versions of the key.
    is_known: bool,
}

impl Missing {
    /// A key of which no version was named.
    pub(crate) fn key(id: u32) -> Missing {
        Missing {
            id,
            version: None,
            is_known: false,
        }
    }

    /// A version of a key; `latest` is the latest one that is there.
    pub(crate) fn version(id: u32, version: u32, latest: Option<u32>) -> Missing {
        Missing {
            id,
            version: Some(version),
            is_known: latest.is_some(),
        }
    }

    /// Whether the store has it after all.
    pub(crate) fn is_in(&self, ring: &Ring) -> bool {
        match self.version {
            Some(version) => ring.key(self.id, version).is_some(),
            None => ring.latest(self.id).is_some(),
        }
    }

    fn identity(self) -> (u32, Option<u32>) {
        (self.id, self.version.filter(|_| self.is_known))
    }
}

impl Ord for Missing {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl PartialOrd for Missing {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether no key can have had this version, as far as the latest one tells.
pub(crate) fn is_implausible(version: u32, latest: Option<u32>) -> bool {
    version.saturating_sub(latest.unwrap_or(0)) > FARTHEST
}
