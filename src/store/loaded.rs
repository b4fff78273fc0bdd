//! What a key store held when it was read, and how all keys are read where the store does not tell
//! which it has.

use std::collections::{BTreeMap, BTreeSet};

use super::{KeyStore, StoreError, Warning};
use crate::keys::KeySet;

/// The keys that every server asks for: that of its own data, and that of temporary data.
pub(crate) const OF_EVERY_SERVER: [u32; 2] = [1, 2];

/// What a key store held when it was read.
#[derive(Debug)]
pub struct Loaded {
    /// The data keys.
    pub keys: KeySet,
    /// What a DBA should mend, though the keys could be read.
    pub warnings: Vec<Warning>,
    /// Whether the store has no other keys. Where it does not tell which it has, keys are read by
    /// their ids: [`KeyStore::load`] reads those that every server asks for, and it is no failure
    /// that none of them is there.
    pub is_complete: bool,
    /// Whether the store describes the keys that were read. Of one that does not, it is seen later
    /// that a version was deleted or brought back.
    pub is_described: bool,
    /// The keys that are there, of which no version is read because the store refuses that or holds
    /// something else in their place, and why.
    pub unread: BTreeMap<u32, StoreError>,
}

impl Loaded {
    /// All that a store holds.
    pub fn all(keys: KeySet, warnings: Vec<Warning>) -> Loaded {
        Loaded {
            keys,
            warnings,
            is_complete: true,
            is_described: true,
            unread: BTreeMap::new(),
        }
    }

    /// Adds what was read of other keys of the same store.
    fn append(&mut self, others: Loaded) {
        self.keys.append(others.keys);
        self.warnings.extend(others.warnings);
        self.unread.extend(others.unread);
    }
}

/// Reads all keys of a store. Of one that does not tell which it has: those that every server asks
/// for, and those that `needed` tells.
///
/// # Errors
/// Those of `needed`; whatever keeps the store from being read, and that no key is there.
pub fn load_with<E: From<StoreError>>(
    store: &dyn KeyStore,
    needed: impl FnOnce() -> Result<BTreeSet<u32>, E>,
) -> Result<Loaded, E> {
    let mut loaded = store.load()?;
    if loaded.is_complete {
        return Ok(loaded);
    }
    let mut ids = needed()?;
    ids.retain(|id| !OF_EVERY_SERVER.contains(id));
    let ids: Vec<u32> = ids.into_iter().collect();
    if !ids.is_empty() {
        loaded.append(store.load_keys(&ids)?);
    }
    if !loaded.keys.is_empty() {
        return Ok(loaded);
    }
    let unread = std::mem::take(&mut loaded.unread).into_values().next();
    Err(unread
        .unwrap_or_else(|| StoreError::NoneOfKeys {
            store: store.describe(),
            ids: OF_EVERY_SERVER.into_iter().chain(ids).collect(),
        })
        .into())
}
