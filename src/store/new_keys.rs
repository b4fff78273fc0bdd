//! What all stores need to make keys: names of new versions, random bytes, and what is refused.

use super::{Rotate, StoreError};
use crate::keys::{KeyName, KeySet, LAST_VERSION, NewVersions};
use crate::secret::DataKey;

/// The names of the versions that a rotation makes. `store` says where, for errors.
pub(super) fn next_names(
    keys: &KeySet,
    which: Rotate,
    new: NewVersions<'_>,
    store: impl Fn() -> String,
) -> Result<Vec<KeyName>, StoreError> {
    let next = |latest: KeyName| {
        let latest = KeyName {
            version: latest.version.max(new.seen.of(latest.id)),
            ..latest
        };
        let step = new.step.get();
        match latest.version.checked_add(step) {
            Some(version) if version <= LAST_VERSION => Ok(KeyName { version, ..latest }),
            _ => Err(StoreError::VersionsUsedUp { latest, step }),
        }
    };
    latest_of(keys, which, store)?.into_iter().map(next).collect()
}

/// The name of a key's first version. `store` says where, for errors.
pub(super) fn first_name(keys: &KeySet, id: u32, store: impl Fn() -> String) -> Result<KeyName, StoreError> {
    match keys.latest(id) {
        _ if id == 0 => Err(not_an_id(id)),
        Some(_) => Err(StoreError::KeyExists { id, store: store() }),
        None => Ok(KeyName { id, version: 1 }),
    }
}

/// The latest version of each key that is to be rotated. `store` says where, for errors.
pub(super) fn latest_of(
    keys: &KeySet,
    which: Rotate,
    store: impl Fn() -> String,
) -> Result<Vec<KeyName>, StoreError> {
    let ids = match which {
        Rotate::All => keys.ids(),
        Rotate::Key(id) => vec![id],
    };
    let latest = |id| {
        keys.latest(id).ok_or_else(|| StoreError::UnknownKey {
            id,
            store: store(),
            ids: keys.ids(),
        })
    };
    ids.into_iter().map(latest).collect()
}

/// Random bytes for a new version of this key.
pub(super) fn random_key(id: u32, bits: u32) -> Result<DataKey, StoreError> {
    match DataKey::random(bits as usize / 8) {
        Some(key) if bits.is_multiple_of(8) => key.map_err(StoreError::NoRandomBytes),
        _ => Err(StoreError::InvalidNewKey {
            id,
            reason: "a key has 128, 192 or 256 bits",
        }),
    }
}

/// The error of an id that is 0.
pub(super) fn not_an_id(id: u32) -> StoreError {
    StoreError::InvalidNewKey {
        id,
        reason: "a key id is a number from 1 to 4294967295",
    }
}

/// The error of an id that two new keys have.
pub(super) fn named_twice(id: u32) -> StoreError {
    StoreError::InvalidNewKey {
        id,
        reason: "it is named twice",
    }
}
