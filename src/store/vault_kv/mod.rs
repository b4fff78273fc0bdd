//! Vault KV: data keys as secrets of HashiCorp Vault or OpenBao, as hashicorp_key_management keeps
//! them.
//!
//! All live versions of all keys are read at the start; from then on a thread of the plugin looks
//! for new ones (`refresh`). A statement that needs a key which is not there has that one read.

mod client;
pub(crate) mod config;
pub(crate) mod error;
mod refresh;
mod rotation;

use std::sync::Arc;
use std::time::Duration;

pub use client::Gone;
pub use config::{VaultKvConfig, parse_url};
pub use error::KvError;

use super::refresh::ChangeSource;
use super::{KeyStore, KeysAdded, Loaded, Rotate, StoreError, Warning};
use crate::keys::{KeyName, KeySet, NewVersions, Ring};
use client::KvClient;

/// Versions are consecutive in Vault, so a step of n writes n secrets; no rotation writes more.
const MOST_AT_ONCE: u32 = 16;

/// The store.
#[derive(Debug)]
pub struct VaultKv {
    client: Arc<KvClient>,
    intervals: Arc<refresh::Intervals>,
    strict_permissions: bool,
}

impl VaultKv {
    /// Reads certificates; asks nobody yet.
    pub fn new(config: VaultKvConfig) -> Result<VaultKv, StoreError> {
        let intervals = Arc::<refresh::Intervals>::default();
        intervals.set(config.version_interval, config.key_interval);
        Ok(VaultKv {
            strict_permissions: config.strict_permissions,
            client: Arc::new(KvClient::new(config)?),
            intervals,
        })
    }
}

impl KeyStore for VaultKv {
    fn describe(&self) -> String {
        self.client.describe()
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        let loaded = self.load_keys(&self.client.ids()?)?;
        if loaded.keys.is_empty() {
            let is_gone = |warning: &Warning| matches!(warning, Warning::VersionGone { .. });
            return Err(match loaded.warnings.iter().any(is_gone) {
                true => KvError::NothingLeft {
                    store: self.describe(),
                },
                false => self.client.no_keys(),
            }
            .into());
        }
        Ok(loaded)
    }

    fn load_keys(&self, ids: &[u32]) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::all(KeySet::default(), Vec::new());
        for loose in self.client.vault.access().loose_files() {
            let warning = Warning::of_loose(loose, self.strict_permissions)?;
            loaded.warnings.push(warning);
        }
        for &id in ids {
            let Some(metadata) = self.client.metadata(id)? else {
                continue;
            };
            for (version, gone) in metadata.versions() {
                let name = KeyName { id, version };
                let key = match gone {
                    Some(gone) => Err(gone),
                    None => self.client.key(name)?,
                };
                match key {
                    Ok(key) => _ = loaded.keys.insert(name, key),
                    Err(gone) => {
                        let how = gone.name();
                        loaded.warnings.push(Warning::VersionGone { name, how });
                    }
                }
            }
        }
        Ok(loaded)
    }

    fn patience(&self) -> Duration {
        self.client.vault.allowance().allowed()
    }

    /// Versions that Vault no longer has do not fail a rotation or a reload: the server goes on
    /// with its own.
    fn rotate_keys(
        &self,
        which: Rotate,
        new: NewVersions<'_>,
        known: Option<&Ring>,
    ) -> Result<KeysAdded, StoreError> {
        if new.step.get() > MOST_AT_ONCE {
            return Err(KvError::StepTooLarge { step: new.step.get() }.into());
        }
        let before = self.load()?.keys;
        if let Some(ring) = known {
            ring.check_successor(&ring.keys_with(&before)?)?;
        }
        self.write_versions(which, &before, new)
    }

    fn keeps_versions_that_are_gone(&self) -> bool {
        true
    }

    fn change_source(&self) -> Option<Box<dyn ChangeSource>> {
        Some(Box::new(refresh::KvChanges::new(
            Arc::clone(&self.client),
            Arc::clone(&self.intervals),
        )))
    }
}
