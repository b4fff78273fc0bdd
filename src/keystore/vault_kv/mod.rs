//! Vault KV: data keys as secrets of HashiCorp Vault or OpenBao, as hashicorp_key_management keeps them.
//!
//! All live versions of all keys are read at the start; from then on a thread of the plugin looks for new ones
//! (`refresh`), and no request is ever made where the server waits for a page.

mod client;
pub mod config;
pub mod error;
mod refresh;

use std::sync::Arc;

pub use client::Gone;
pub use config::{VaultKvConfig, parse_url};
pub use error::KvError;

use super::key_set::Inserted;
use super::new_versions::VersionStep;
use super::watch::Watch;
use super::{
    KeyName, KeySet, KeyStore, KeyStoreError, LAST_VERSION, Loaded, NewVersions, Ring, Rotate, Rotated,
    Warning,
};
use crate::net::vault::VaultError;
use crate::secret::DataKey;
use client::{KvClient, Metadata};

/// Versions are consecutive in Vault, so a step of n writes n secrets; no rotation writes more.
const MOST_AT_ONCE: u32 = 16;

/// The store.
#[derive(Debug)]
pub struct VaultKv {
    client: Arc<KvClient>,
    intervals: refresh::Intervals,
}

impl VaultKv {
    /// Reads certificates; asks nobody yet.
    ///
    /// # Errors
    /// Certificates that cannot be used, or a Vault that would be asked without TLS.
    pub fn new(config: VaultKvConfig) -> Result<VaultKv, KeyStoreError> {
        let intervals = refresh::Intervals::of(&config);
        Ok(VaultKv {
            client: Arc::new(KvClient::new(config)?),
            intervals,
        })
    }

    /// Adds all live versions of a key, and a warning for each version that is gone.
    fn load_key(&self, id: u32, metadata: &Metadata, loaded: &mut Loaded) -> Result<(), KeyStoreError> {
        for (version, gone) in metadata.versions() {
            let name = KeyName { id, version };
            let found = match gone {
                Some(gone) => Err(gone),
                None => self.client.key(name)?,
            };
            match found {
                Ok(key) => {
                    loaded.keys.insert(name, key);
                }
                Err(gone) => loaded.warnings.push(Warning::VersionGone {
                    name,
                    how: gone.name(),
                }),
            }
        }
        Ok(())
    }

    /// Writes `step` versions of a key; each has bytes of its own.
    fn rotate_key(&self, id: u32, length: usize, step: VersionStep) -> Result<KeyName, KeyStoreError> {
        let (client, wanted) = (&self.client, step.get());
        let metadata = client.metadata(id)?.ok_or_else(|| VaultError::NotFound {
            host: client.vault.host().into(),
            path: id.to_string(),
        });
        let metadata = metadata.map_err(KvError::from)?;
        let mut current = metadata.current_version;
        if current.checked_add(wanted).is_none_or(|last| last > LAST_VERSION) {
            let latest = KeyName { id, version: current };
            return Err(KeyStoreError::VersionsUsedUp { latest, step: wanted });
        }
        let kept = client.kept_versions(&metadata)?;
        if let Some(version) = metadata.first_lost(kept, wanted) {
            let (store, lost) = (self.describe(), KeyName { id, version });
            return Err(KvError::WouldLose {
                store,
                kept,
                new: wanted,
                lost,
            }
            .into());
        }
        for made in 0..wanted {
            let key = DataKey::random(length)
                .ok_or(KeyStoreError::InvalidNewKey {
                    id,
                    reason: "no such key length",
                })?
                .map_err(KeyStoreError::NoRandomBytes)?;
            current = client.put(id, current, &key).map_err(|error| match error {
                KvError::Vault(source) if made > 0 => KvError::HalfMade {
                    id,
                    made,
                    wanted,
                    source,
                },
                error => error,
            })?;
            let name = KeyName { id, version: current };
            let is_there = client
                .key(name)?
                .is_ok_and(|found| found.same_bytes(key.expose()));
            if !is_there {
                return Err(KvError::NotReadBack {
                    name,
                    store: self.describe(),
                }
                .into());
            }
        }
        Ok(KeyName { id, version: current })
    }
}

impl KeyStore for VaultKv {
    fn describe(&self) -> String {
        self.client.describe()
    }

    fn load(&self) -> Result<Loaded, KeyStoreError> {
        let mut loaded = Loaded {
            keys: KeySet::default(),
            warnings: Vec::new(),
        };
        for id in self.client.ids()? {
            let Some(metadata) = self.client.metadata(id)? else {
                continue;
            };
            self.load_key(id, &metadata, &mut loaded)?;
        }
        if loaded.keys.is_empty() {
            return Err(KvError::NoKeys {
                store: self.describe(),
            }
            .into());
        }
        Ok(loaded)
    }

    /// Versions that Vault no longer has do not fail a rotation or a reload: the server goes on with its own.
    fn rotate(
        &self,
        which: Rotate,
        new: NewVersions,
        known: Option<&Ring>,
    ) -> Result<Rotated, KeyStoreError> {
        if new.step.get() > MOST_AT_ONCE {
            return Err(KvError::StepTooLarge { step: new.step.get() }.into());
        }
        let before = self.load()?.keys;
        if let Some(ring) = known {
            ring.check_successor(&ring.keys_with(&before)?)?;
        }
        let ids = match which {
            Rotate::All => before.ids(),
            Rotate::Key(id) if before.latest(id).is_some() => vec![id],
            Rotate::Key(id) => {
                return Err(KeyStoreError::UnknownKey {
                    id,
                    store: self.describe(),
                    ids: before.ids(),
                });
            }
        };
        let mut made = Vec::new();
        for id in ids {
            let length = before
                .latest(id)
                .and_then(|name| before.get(name))
                .map_or(32, DataKey::len);
            made.push(self.rotate_key(id, length, new.step)?);
        }
        Ok(Rotated {
            keys: self.load()?.keys,
            new: made,
        })
    }

    fn keeps_versions_that_are_gone(&self) -> bool {
        true
    }

    fn watch(&self) -> Option<Box<dyn Watch>> {
        Some(Box::new(refresh::Refresh::new(
            Arc::clone(&self.client),
            self.intervals,
        )))
    }
}

/// Adds a version that was read; the same name twice is the same version.
fn add(keys: &mut KeySet, name: KeyName, key: DataKey) -> bool {
    keys.insert(name, key) == Inserted::New
}
