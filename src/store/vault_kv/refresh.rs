//! Refreshing from Vault KV: one list and one small answer for each secret, and the bytes of what
//! is new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::KvError;
use super::client::{Gone, KvClient};
use super::config::SHORTEST_INTERVAL;
use crate::keys::{KeyName, Ring};
use crate::store::refresh::{ChangeSource, Changes, RefreshPolicy};
use crate::store::{StoreError, Warning};

/// How old answers may become. They may be set anew while a look is under way.
#[derive(Debug, Default)]
pub(super) struct Intervals {
    versions: Interval,
    keys: Interval,
}

/// A time in milliseconds.
#[derive(Debug, Default)]
struct Interval(AtomicU64);

impl Intervals {
    pub(super) fn set(&self, versions: Duration, keys: Duration) {
        self.versions.set(versions);
        self.keys.set(keys);
    }
}

impl Interval {
    fn set(&self, interval: Duration) {
        let milliseconds = interval.max(SHORTEST_INTERVAL).as_millis();
        self.0
            .store(u64::try_from(milliseconds).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
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
                Ok(key) => _ = changes.keys.insert(name, key),
                Err(gone) if !is_held => _ = self.gone.insert(name, gone),
                Err(_) => {}
            }
        }
        for name in ring.versions_of(id) {
            match metadata.fate(name.version) {
                Some(how) => self.tell_of_gone(name, how, changes),
                // Brought back.
                None => _ = self.gone.remove(&name),
            }
        }
        Ok(())
    }

    /// Warns, once, of a version that the ring holds and that is gone.
    fn tell_of_gone(&mut self, name: KeyName, gone: Gone, changes: &mut Changes) {
        if self.gone.insert(name, gone) != Some(gone) {
            let how = gone.name();
            changes.warnings.push(Warning::HeldVersionGone { name, how });
        }
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
        let mut changes = Changes::default();
        let compare = self.compared.elapsed() >= self.intervals.keys.get();
        // Ids that someone waits for come first.
        let listed = self.client.ids()?;
        let (first, rest): (Vec<u32>, Vec<u32>) = listed.iter().partition(|id| requested.contains(id));
        for id in first.into_iter().chain(rest) {
            self.refresh_key(id, ring, compare, &mut changes)?;
        }
        for id in ring
            .ids()
            .into_iter()
            .filter(|id| listed.binary_search(id).is_err())
        {
            for name in ring.versions_of(id) {
                self.tell_of_gone(name, Gone::Missing, &mut changes);
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
        let versions = self.intervals.versions.get();
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
            intervals.set(policy.version_interval, policy.key_interval);
        })
    }
}
