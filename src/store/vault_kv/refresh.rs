//! Refreshing from Vault KV: one list and one small answer for each secret, and the bytes of what
//! is new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::client::{Gone, KvClient};
use super::config::SHORTEST_INTERVAL;
use super::{KvError, add};
use crate::keys::{KeyName, KeySet, Ring};
use crate::store::refresh::{ChangeSource, Changes, RefreshPolicy};
use crate::store::{StoreError, Warning};

/// How old answers may become, as wall-clock maxima, in milliseconds. They may be set anew while a
/// look is under way.
#[derive(Debug)]
pub(super) struct Intervals {
    versions: AtomicU64,
    keys: AtomicU64,
}

impl Intervals {
    pub(super) fn new(versions: Duration, keys: Duration) -> Intervals {
        Intervals {
            versions: AtomicU64::new(milliseconds(versions)),
            keys: AtomicU64::new(milliseconds(keys)),
        }
    }

    fn set(&self, policy: RefreshPolicy) {
        self.versions
            .store(milliseconds(policy.version_interval), Ordering::Relaxed);
        self.keys
            .store(milliseconds(policy.key_interval), Ordering::Relaxed);
    }

    fn versions(&self) -> Duration {
        Duration::from_millis(self.versions.load(Ordering::Relaxed))
    }

    fn keys(&self) -> Duration {
        Duration::from_millis(self.keys.load(Ordering::Relaxed))
    }
}

fn milliseconds(interval: Duration) -> u64 {
    u64::try_from(interval.max(SHORTEST_INTERVAL).as_millis()).unwrap_or(u64::MAX)
}

/// The state of the refreshes: what was seen, without key bytes.
#[derive(Debug)]
pub(super) struct KvChanges {
    client: Arc<KvClient>,
    intervals: Arc<Intervals>,
    /// Versions that cannot be read, and why; each is warned about once.
    gone: BTreeMap<KeyName, Gone>,
    /// When the bytes of all versions were last read.
    compared: Instant,
    /// When the token wants to be looked after, seen from now.
    token_due: Option<Instant>,
}

impl KvChanges {
    pub(super) fn new(client: Arc<KvClient>, intervals: Arc<Intervals>) -> KvChanges {
        KvChanges {
            client,
            intervals,
            gone: BTreeMap::new(),
            compared: Instant::now(),
            token_due: Some(Instant::now()),
        }
    }

    fn refresh_key(
        &mut self,
        id: u32,
        ring: &Ring,
        compare: bool,
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        let Some(metadata) = self.client.metadata(id)? else {
            return Ok(());
        };
        for (version, gone) in metadata.versions() {
            let name = KeyName { id, version };
            let is_held = ring.key(id, version).is_some();
            if gone.is_some() || self.gone.contains_key(&name) || (is_held && !compare) {
                continue;
            }
            let found = match self.client.key(name) {
                // A version never changes: it is told once, and does not keep the other keys from
                // being read.
                Err(error @ KvError::NotAKey { .. }) => {
                    self.gone.insert(name, Gone::Missing);
                    let reason = error.to_string();
                    changes.warnings.push(Warning::NotAKey { reason });
                    continue;
                }
                found => found?,
            };
            match found {
                Ok(key) => {
                    add(&mut changes.keys, name, key);
                }
                Err(gone) if !is_held => {
                    self.gone.insert(name, gone);
                }
                Err(_) => {}
            }
        }
        let held = ring.versions_of(id);
        for name in held {
            match metadata.fate(name.version) {
                Some(how) if self.gone.insert(name, how) != Some(how) => {
                    changes.warnings.push(Warning::HeldVersionGone {
                        name,
                        how: how.name(),
                    });
                }
                Some(_) => {}
                // Brought back.
                None => {
                    self.gone.remove(&name);
                }
            }
        }
        Ok(())
    }
}

impl ChangeSource for KvChanges {
    fn refresh(&mut self, ring: &Ring, requested: &BTreeSet<u32>) -> Result<Changes, StoreError> {
        let token_due = self
            .client
            .vault
            .keep_token(self.client.vault.allowance())
            .map_err(KvError::from)?;
        self.token_due = token_due.map(|left| Instant::now() + left);
        let mut changes = Changes {
            keys: KeySet::default(),
            warnings: Vec::new(),
        };
        let compare = self.compared.elapsed() >= self.intervals.keys();
        // Ids that someone waits for come first.
        let listed = self.client.ids()?;
        let known = ring.ids();
        let mut ids: Vec<u32> = requested
            .iter()
            .copied()
            .filter(|id| listed.contains(id))
            .collect();
        ids.extend(listed.iter().filter(|id| !requested.contains(id)));
        for id in &ids {
            self.refresh_key(*id, ring, compare, &mut changes)?;
        }
        for id in known.into_iter().filter(|id| listed.binary_search(id).is_err()) {
            for name in ring.versions_of(id) {
                if self.gone.insert(name, Gone::Missing) != Some(Gone::Missing) {
                    let how = Gone::Missing.name();
                    changes.warnings.push(Warning::HeldVersionGone { name, how });
                }
            }
        }
        if compare {
            self.compared = Instant::now();
        }
        Ok(changes)
    }

    fn interval(&self) -> Duration {
        let token = self
            .token_due
            .map(|at| at.saturating_duration_since(Instant::now()));
        let versions = self.intervals.versions();
        token
            .map_or(versions, |token| token.min(versions))
            .max(SHORTEST_INTERVAL)
    }

    fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync> {
        let client = Arc::clone(&self.client);
        Arc::new(move || client.vault.interrupt())
    }

    fn policy_setter(&self) -> Arc<dyn Fn(RefreshPolicy) + Send + Sync> {
        let (client, intervals) = (Arc::clone(&self.client), Arc::clone(&self.intervals));
        Arc::new(move |policy| {
            client.vault.set_retry_policy(policy.timeout, policy.max_retries);
            intervals.set(policy);
        })
    }
}
