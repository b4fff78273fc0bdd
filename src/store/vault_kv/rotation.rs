//! Rotation: what could hinder it is looked at for all keys before anything is written; each
//! version is written by check-and-set and read back.

use super::{KvError, MOST_AT_ONCE, VaultKv};
use crate::keys::{KeyName, KeySet, LAST_VERSION, NewVersions};
use crate::service::vault::Refusal;
use crate::store::new_keys::{latest_of, random_key};
use crate::store::{KeyStore, KeysAdded, Rotate, StoreError};

/// What is to be done for one key.
struct Part {
    id: u32,
    /// The latest version in Vault, which may be one that is deleted.
    current: u32,
    /// How many versions are to be written: the last one shall lie above all that were seen.
    count: u32,
    /// The length of the new versions.
    bits: u32,
}

impl VaultKv {
    /// Writes `new.step` versions of each key, each with bytes of its own; `before` are the keys of
    /// now. More where the number would not lie above every one that was seen.
    ///
    /// # Errors
    /// Nothing was written, unless it is [`StoreError::KeyRotationUnfinished`].
    pub(super) fn write_versions(
        &self,
        which: Rotate,
        before: &KeySet,
        new: NewVersions<'_>,
    ) -> Result<KeysAdded, StoreError> {
        let parts: Vec<Part> = latest_of(before, which, || self.describe())?
            .into_iter()
            .map(|latest| self.part(latest.id, before, new))
            .collect::<Result<_, _>>()?;
        let mut written = Vec::new();
        let wanted = parts.iter().map(|part| part.count as usize).sum();
        let new: Result<Vec<KeyName>, StoreError> =
            parts.iter().map(|part| self.write(part, &mut written)).collect();
        let rotated = new.and_then(|new| {
            Ok(KeysAdded {
                keys: self.load()?.keys,
                new,
            })
        });
        rotated.map_err(|source| match written.is_empty() {
            true => source,
            false => StoreError::KeyRotationUnfinished {
                written,
                wanted,
                source: Box::new(source),
            },
        })
    }

    fn part(&self, id: u32, before: &KeySet, new: NewVersions<'_>) -> Result<Part, StoreError> {
        let metadata = self.client.metadata(id)?;
        let metadata = metadata.ok_or_else(|| {
            let vault = &self.client.vault;
            KvError::from(vault.refused(&id.to_string(), Refusal::NotFound))
        })?;
        let current = metadata.current_version;
        let step = new.step.get();
        let seen = KeyName {
            id,
            version: new.seen.of(id),
        };
        let count = seen.version.saturating_sub(current).saturating_add(step);
        if count > step && count > MOST_AT_ONCE {
            return Err(KvError::NumbersTaken {
                store: self.describe(),
                latest: current,
                seen,
            }
            .into());
        }
        if current.checked_add(count).is_none_or(|last| last > LAST_VERSION) {
            let latest = KeyName { id, version: current };
            return Err(StoreError::VersionsUsedUp { latest, step });
        }
        // Vault drops the oldest versions of a secret, and the data that needs them would be lost.
        let kept = self.client.kept_versions(&metadata)?;
        if let Some(version) = metadata.first_lost(kept, count) {
            return Err(KvError::WouldLose {
                store: self.describe(),
                kept,
                new: count,
                lost: KeyName { id, version },
            }
            .into());
        }
        Ok(Part {
            id,
            current,
            count,
            bits: before.latest_bits(id),
        })
    }

    /// The last of the new versions; `written` gets each as soon as it is in Vault.
    fn write(&self, part: &Part, written: &mut Vec<KeyName>) -> Result<KeyName, StoreError> {
        let mut name = KeyName {
            id: part.id,
            version: part.current,
        };
        for _ in 0..part.count {
            let key = random_key(part.id, part.bits)?;
            name.version = self.client.put(part.id, name.version, &key)?;
            written.push(name);
            let found = self.client.key(name)?;
            if !found.is_ok_and(|found| found.same_bytes(key.expose())) {
                return Err(KvError::NotReadBack {
                    name,
                    store: self.describe(),
                }
                .into());
            }
        }
        Ok(name)
    }
}
