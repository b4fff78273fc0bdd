//! A data key, or a version of one, that the server asked for and the store lacks.

use std::fmt;

use crate::keys::Ring;

/// How far above the latest version a plausible one may lie: no rotation goes farther at once, but
/// a damaged page asks for any number.
pub(crate) const FARTHEST: u32 = 1_000_000;

/// The keys of the store, as far as lookups know, and its kind and place.
#[derive(Clone, Copy)]
pub(crate) struct StoreContents<'a> {
    pub ring: &'a Ring,
    pub source: &'a str,
}

/// A version of a key that is missing, or the key where there is none of that id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing {
    pub id: u32,
    /// The version that was asked for first; `None` where only the key was asked for.
    pub version: Option<u32>,
    /// Whether there are other versions of the key.
    pub is_known: bool,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "version {version} of key {}", self.id),
            None => write!(f, "key {}", self.id),
        }
    }
}

impl Missing {
    /// A key of this id, or this version of it, which these keys lack.
    pub(crate) fn of(id: u32, version: Option<u32>, ring: &Ring) -> Missing {
        let is_known = version.is_some() && ring.latest(id).is_some();
        Missing {
            id,
            version,
            is_known,
        }
    }

    /// Whether there may be such a key: not where the number means something else to the server, or
    /// is one that only a damaged page asks for.
    pub(crate) fn is_plausible(&self, ring: &Ring) -> bool {
        let is_version = |version| version != 0 && version != u32::MAX;
        let latest = ring.latest(self.id);
        let may_be = |version| is_version(version) && !is_implausible(version, latest);
        self.id != 0 && self.version.is_none_or(may_be)
    }

    /// Whether the store has it after all.
    pub(crate) fn is_in(&self, ring: &Ring) -> bool {
        match self.version {
            Some(version) => ring.key(self.id, version).is_some(),
            None => ring.latest(self.id).is_some(),
        }
    }

    /// What is reported once: the version of a key of which there are others, or else the key.
    pub(crate) fn what(self) -> (u32, Option<u32>) {
        (self.id, self.version.filter(|_| self.is_known))
    }
}

/// Whether no key can have had this version, as far as the latest one tells.
pub(crate) fn is_implausible(version: u32, latest: Option<u32>) -> bool {
    version.saturating_sub(latest.unwrap_or(0)) > FARTHEST
}
