//! Rotation: what could hinder it is looked at for all keys before anything is written; each version is written by
//! check-and-set and read back.

use super::client::Metadata;
use super::{KvError, VaultKv};
use crate::keystore::new_versions::VersionStep;
use crate::keystore::{KeyName, KeySet, KeyStore, KeyStoreError, LAST_VERSION, Rotated};
use crate::net::vault::VaultError;
use crate::secret::DataKey;

/// What is to be done for one key.
struct Part {
    id: u32,
    /// The latest version in Vault, which may be one that is deleted.
    current: u32,
    /// Bytes of the new versions.
    length: usize,
}

impl VaultKv {
    /// Writes `step` versions of each key, each with bytes of its own; `before` are the keys of now.
    ///
    /// # Errors
    /// Nothing was written, unless it is [`KvError::HalfMade`].
    pub(super) fn rotate_keys(
        &self,
        ids: &[u32],
        before: &KeySet,
        step: VersionStep,
    ) -> Result<Rotated, KeyStoreError> {
        let parts: Vec<Part> = ids
            .iter()
            .map(|id| self.part(*id, before, step))
            .collect::<Result<_, _>>()?;
        let mut written = Vec::new();
        let new: Result<Vec<KeyName>, KeyStoreError> = parts
            .iter()
            .map(|part| self.write(part, step, &mut written))
            .collect();
        let rotated = new.and_then(|new| {
            Ok(Rotated {
                keys: self.load()?.keys,
                new,
            })
        });
        rotated.map_err(|source| match written.is_empty() {
            true => source,
            false => KvError::HalfMade {
                written,
                wanted: ids.len() * step.get() as usize,
                source: Box::new(source),
            }
            .into(),
        })
    }

    fn part(&self, id: u32, before: &KeySet, step: VersionStep) -> Result<Part, KeyStoreError> {
        let metadata = self.client.metadata(id)?.ok_or_else(|| {
            KvError::from(VaultError::NotFound {
                host: self.client.vault.host().into(),
                path: id.to_string(),
            })
        })?;
        let current = metadata.current_version;
        if current
            .checked_add(step.get())
            .is_none_or(|last| last > LAST_VERSION)
        {
            let latest = KeyName { id, version: current };
            return Err(KeyStoreError::VersionsUsedUp {
                latest,
                step: step.get(),
            });
        }
        self.check_room(id, &metadata, step)?;
        let length = before
            .latest(id)
            .and_then(|name| before.get(name))
            .map_or(32, DataKey::len);
        Ok(Part { id, current, length })
    }

    /// Vault drops the oldest versions of a secret, and the data that needs them would be lost.
    fn check_room(&self, id: u32, metadata: &Metadata, step: VersionStep) -> Result<(), KvError> {
        let kept = self.client.kept_versions(metadata)?;
        match metadata.first_lost(kept, step.get()) {
            None => Ok(()),
            Some(version) => Err(KvError::WouldLose {
                store: self.describe(),
                kept,
                new: step.get(),
                lost: KeyName { id, version },
            }),
        }
    }

    /// The last of the new versions; `written` gets each as soon as it is in Vault.
    fn write(
        &self,
        part: &Part,
        step: VersionStep,
        written: &mut Vec<KeyName>,
    ) -> Result<KeyName, KeyStoreError> {
        let mut name = KeyName {
            id: part.id,
            version: part.current,
        };
        for _ in 0..step.get() {
            let key = DataKey::random(part.length)
                .ok_or(KeyStoreError::InvalidNewKey {
                    id: part.id,
                    reason: "no such key length",
                })?
                .map_err(KeyStoreError::NoRandomBytes)?;
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
