//! The names of the versions that a rotation makes.

use super::{Rotate, StoreError};
use crate::keys::{KeyName, KeySet, LAST_VERSION, NewVersions};

/// The names of the versions that a rotation makes. `store` says where, for errors.
///
/// # Errors
/// A key that is not there; a key that has no version number left.
pub(super) fn next_names(
    keys: &KeySet,
    which: Rotate,
    new: NewVersions<'_>,
    store: impl Fn() -> String,
) -> Result<Vec<KeyName>, StoreError> {
    let ids = match which {
        Rotate::All => keys.ids(),
        Rotate::Key(id) => vec![id],
    };
    let next = |id| {
        let latest = keys.latest(id).ok_or_else(|| StoreError::UnknownKey {
            id,
            store: store(),
            ids: keys.ids(),
        })?;
        let latest = KeyName {
            id,
            version: latest.version.max(new.seen.of(id)),
        };
        let step = new.step.get();
        let version = latest
            .version
            .checked_add(step)
            .filter(|&version| version <= LAST_VERSION);
        let version = version.ok_or(StoreError::VersionsUsedUp { latest, step })?;
        Ok(KeyName { id, version })
    };
    ids.into_iter().map(next).collect()
}
