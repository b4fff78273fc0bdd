//! A data key, or a version of one, that the server asked for and the store lacks.

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

impl Missing {
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
