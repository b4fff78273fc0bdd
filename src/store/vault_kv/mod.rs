//! Vault KV: data keys as secrets of HashiCorp Vault or OpenBao, as hashicorp_key_management keeps
//! them.
//!
//! All live versions of the keys are read at the start (`reading`); from then on a thread of the
//! plugin looks for new ones (`refresh`). A statement that needs a key which is not there has that
//! one read. A token that may list the secrets shows all keys; one that may only read them, those
//! whose ids are known.

mod client;
pub(crate) mod config;
pub(crate) mod error;
mod parallel;
mod reading;
mod refresh;
mod rotation;
mod secret;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use config::{VaultKvConfig, parse_url};
pub use error::KvError;
pub use secret::Gone;

use super::loaded::{OF_EVERY_SERVER, load_with};
use super::refresh::ChangeSource;
use super::{KeyStore, KeysAdded, Loaded, Rotate, StoreError, Warning};
use crate::keys::{KeySpec, NewVersions, Ring};
use client::KvClient;

/// Versions are consecutive in Vault, so a step of n writes n secrets; no rotation writes more.
const MOST_WRITTEN: u32 = 16;

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

    /// Why no key was read of secrets that are listed.
    fn why_empty(&self, loaded: Loaded) -> StoreError {
        let is_gone = |warning: &Warning| matches!(warning, Warning::VersionGone { .. });
        match loaded.unread.into_values().next() {
            Some(error) => error,
            None if loaded.warnings.iter().any(is_gone) => KvError::NothingLeft {
                store: self.describe(),
            }
            .into(),
            None => self.client.no_keys().into(),
        }
    }

    /// All keys, or, where they may not be listed, those that are known and the one that is to be
    /// rotated.
    fn load_known(&self, which: Rotate, known: Option<&Ring>) -> Result<Loaded, StoreError> {
        load_with(self, || {
            let mut ids = BTreeSet::from_iter(known.map(Ring::ids).unwrap_or_default());
            match which {
                Rotate::Key(id) => _ = ids.insert(id),
                Rotate::All if known.is_none() => {
                    return Err(KvError::NotListed {
                        store: self.describe(),
                    }
                    .into());
                }
                Rotate::All => {}
            }
            Ok(ids)
        })
    }

    /// The same, before anything is written: what is there must go with the keys in use. Versions
    /// that Vault no longer has are no hindrance; that none of them is made a second time is for
    /// the caller to see.
    fn load_beside(&self, which: Rotate, known: Option<&Ring>) -> Result<Loaded, StoreError> {
        let before = self.load_known(which, known)?;
        if let Some(ring) = known {
            ring.check_successor(&ring.keys_with(&before.keys)?)?;
        }
        Ok(before)
    }
}

impl KeyStore for VaultKv {
    fn describe(&self) -> String {
        self.client.describe()
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        let mut warnings = Vec::new();
        for loose in self.client.vault.access().loose_files() {
            warnings.push(Warning::of_loose(loose, self.strict_permissions)?);
        }
        self.client.forget_what_is_hidden();
        let ids = self.client.ids()?;
        let mut loaded = self.client.load(ids.as_deref().unwrap_or(&OF_EVERY_SERVER))?;
        loaded.is_complete = ids.is_some();
        loaded.is_described = !self.client.hides_metadata();
        warnings.append(&mut loaded.warnings);
        loaded.warnings = warnings;
        match loaded.is_complete && loaded.keys.is_empty() {
            true => Err(self.why_empty(loaded)),
            false => Ok(loaded),
        }
    }

    fn load_keys(&self, ids: &[u32]) -> Result<Loaded, StoreError> {
        Ok(self.client.load(ids)?)
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
        if new.step.get() > MOST_WRITTEN {
            return Err(KvError::StepTooLarge { step: new.step.get() }.into());
        }
        let before = self.load_beside(which, known)?;
        self.write_versions(which, before, new, known)
    }

    fn add_key(&self, id: u32, spec: KeySpec, known: Option<&Ring>) -> Result<KeysAdded, StoreError> {
        self.write_first(id, spec.bits, known)
    }

    fn keeps_versions_that_are_gone(&self) -> bool {
        true
    }

    /// As hashicorp_key_management, which asks nobody then.
    fn may_come_later(&self, why: &StoreError) -> bool {
        let is_of_vault = matches!(why, StoreError::VaultKv(_) | StoreError::NoneOfKeys { .. });
        is_of_vault && !self.client.checks_kv_version()
    }

    fn change_source(&self) -> Option<Box<dyn ChangeSource>> {
        Some(Box::new(refresh::KvChanges::new(
            Arc::clone(&self.client),
            Arc::clone(&self.intervals),
        )))
    }
}
