//! Rotation: what could hinder it is looked at for all keys before anything is written; each
//! version is written by check-and-set and read back.

use super::parallel::ask_all;
use super::secret::{Found, Secret, SecretMetadata};
use super::{Gone, KvError, MOST_WRITTEN, VaultKv};
use crate::keys::{KeyName, KeysError, LAST_VERSION, NewVersions, Ring};
use crate::service::vault::Refusal;
use crate::store::new_keys::{first_name, latest_of, random_key};
use crate::store::{KeyStore, KeysAdded, Loaded, Rotate, StoreError, Warning};

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
        mut before: Loaded,
        new: NewVersions<'_>,
        known: Option<&Ring>,
    ) -> Result<KeysAdded, StoreError> {
        if let Rotate::Key(id) = which
            && let Some(error) = before.unread.remove(&id)
        {
            return Err(error);
        }
        let latest = latest_of(&before.keys, which, || self.describe())?;
        let parts = ask_all(&latest, |latest| self.part(latest.id, &before, new, known))?;
        let mut written = Vec::new();
        let wanted = parts.iter().map(|part| part.count as usize).sum();
        let new: Result<Vec<KeyName>, StoreError> =
            parts.iter().map(|part| self.write(part, &mut written)).collect();
        let rotated = new.and_then(|new| {
            Ok(KeysAdded {
                keys: self.load_known(which, known)?.keys,
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

    /// Writes the first version of a key, where there is none and never was.
    pub(super) fn write_first(
        &self,
        id: u32,
        bits: u32,
        known: Option<&Ring>,
    ) -> Result<KeysAdded, StoreError> {
        let mut before = self.load_keys(&[id])?;
        if let Some(error) = before.unread.remove(&id) {
            return Err(error);
        }
        let name = first_name(&before.keys, id, || self.describe())?;
        if let Some(warning) = before.warnings.first() {
            // A deleted version is one, too: data may need it.
            return Err(KvError::NotFirst {
                name,
                store: self.describe(),
                found: warning.to_string(),
            }
            .into());
        }
        refuse_known_above(0, id, known)?;
        // What cannot be published must not be written. An empty ring goes with every key, and
        // beside it the store may be empty, too.
        if known.is_some_and(|ring| ring.keys() > 0) {
            self.load_beside(Rotate::Key(id), known)?;
        }
        let mut written = Vec::new();
        let part = Part {
            id,
            current: 0,
            count: 1,
            bits,
        };
        let made = self.write(&part, &mut written).and_then(|name| {
            Ok(KeysAdded {
                keys: self.load_known(Rotate::Key(id), known)?.keys,
                new: vec![name],
            })
        });
        made.map_err(|source| match written.is_empty() {
            true => source,
            false => StoreError::KeyRotationUnfinished {
                written,
                wanted: 1,
                source: Box::new(source),
            },
        })
    }

    fn part(
        &self,
        id: u32,
        before: &Loaded,
        new: NewVersions<'_>,
        known: Option<&Ring>,
    ) -> Result<Part, StoreError> {
        let (metadata, is_hidden) = match self.client.secret(id)? {
            Secret::Described(metadata) => (metadata, false),
            Secret::Newest(current, _) => {
                let oldest = oldest_in(before, id);
                (SecretMetadata::of_hidden(current, oldest), true)
            }
            Secret::Refused(error) => return Err(error.into()),
            Secret::Missing => {
                let refused = self.client.vault.refused(&id.to_string(), Refusal::NotFound);
                return Err(KvError::from(refused).into());
            }
        };
        let current = metadata.current_version;
        refuse_known_above(current, id, known)?;
        let step = new.step.get();
        let seen = KeyName {
            id,
            version: new.seen.of(id),
        };
        let count = seen.version.saturating_sub(current).saturating_add(step);
        if count > step && count > MOST_WRITTEN {
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
                is_hidden,
            }
            .into());
        }
        Ok(Part {
            id,
            current,
            count,
            bits: before.keys.latest_bits(id),
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
            let is_there = match self.client.key(name)? {
                Found::Key(found, _) => found.same_bytes(key.expose()),
                Found::Refused(error) => return Err(error.into()),
                Found::Gone(_) | Found::NotAKey(_) => false,
            };
            if !is_there {
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

/// Refuses to go on from the version `current`, 0 for none, where a later one is in use: Vault is
/// an older copy, or the secret was removed, and would give that one's number to other bytes.
fn refuse_known_above(current: u32, id: u32, known: Option<&Ring>) -> Result<(), KeysError> {
    match known.and_then(|ring| ring.latest(id)) {
        Some(version) if version > current => Err(KeysError::KnownVersionMissing {
            name: KeyName { id, version },
        }),
        _ => Ok(()),
    }
}

/// The oldest version of a key that can be had or brought back.
fn oldest_in(before: &Loaded, id: u32) -> u32 {
    let deleted = before.warnings.iter().filter_map(|warning| match warning {
        Warning::VersionGone { name, how } if *how == Gone::Deleted.name() => Some(*name),
        _ => None,
    });
    let names = before.keys.iter().map(|(name, _)| name).chain(deleted);
    let versions = names.filter(|name| name.id == id).map(|name| name.version);
    versions.min().unwrap_or(1)
}
