//! Refreshing from Vault KV: one list and one small answer for each secret, and the bytes of what
//! is new. Where the secrets may only be read: the newest version of each secret that is known, and
//! of those that were asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::KvError;
use super::client::KvClient;
use super::config::SHORTEST_INTERVAL;
use super::reading::{VersionRange, unread_warning};
use super::secret::{Found, Gone, Secret, SecretMetadata};
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
    /// Versions that cannot be read now, and why; each that the ring holds is warned about once.
    gone: BTreeMap<KeyName, Gone>,
    /// Versions that are none, which was told: a version never changes.
    no_keys: BTreeSet<KeyName>,
    /// Versions that are to be deleted at some time, and were not when they were last read.
    mortal: BTreeSet<KeyName>,
    /// Keys that may not be read, which was told.
    refused: BTreeSet<u32>,
    /// When the bytes of all versions were last read.
    compared: Instant,
    /// When the token wants to be looked after, seen from now.
    token_due: Option<Instant>,
}

/// One refresh.
struct Look<'r> {
    ring: &'r Ring,
    /// Whether the bytes of all versions are read.
    compares: bool,
    changes: Changes,
    /// Versions to be read.
    names: Vec<KeyName>,
    ranges: Vec<VersionRange>,
    /// Keys of which all versions are read that Vault knows, with the newest one.
    read_wholly: Vec<KeyName>,
}

impl KvChanges {
    pub(super) fn new(client: Arc<KvClient>, intervals: Arc<Intervals>) -> KvChanges {
        KvChanges {
            client,
            intervals,
            gone: BTreeMap::new(),
            no_keys: BTreeSet::new(),
            mortal: BTreeSet::new(),
            refused: BTreeSet::new(),
            compared: Instant::now(),
            token_due: Some(Instant::now()),
        }
    }

    fn look(&mut self, ring: &Ring, requested: &BTreeSet<u32>, compares: bool) -> Result<Changes, KvError> {
        let mut look = Look {
            ring,
            compares,
            changes: Changes::default(),
            names: Vec::new(),
            ranges: Vec::new(),
            read_wholly: Vec::new(),
        };
        let held = ring.ids();
        let ids = match self.client.ids()? {
            Some(listed) => {
                let is_gone = |id: &&u32| listed.binary_search(id).is_err();
                held.iter()
                    .filter(is_gone)
                    .for_each(|id| self.miss(*id, &mut look));
                listed
            }
            None => BTreeSet::from_iter(held.into_iter().chain(requested.iter().copied()))
                .into_iter()
                .collect(),
        };
        let (count, mut refused) = (ids.len(), Vec::new());
        for (id, secret) in self.client.secrets(&ids)? {
            match secret {
                Secret::Missing => self.miss(id, &mut look),
                Secret::Described(metadata) => self.look_at(id, &metadata, &mut look),
                Secret::Newest(version, found) => {
                    self.take(KeyName { id, version }, found, &mut look);
                    self.look_below(KeyName { id, version }, &mut look);
                }
                Secret::Refused(error) => refused.push((id, error)),
            }
        }
        // That is about none of them.
        if refused.len() == count
            && let Some((_, error)) = refused.pop()
        {
            return Err(error);
        }
        for (id, error) in refused {
            self.refuse(id, &error, &mut look);
        }
        let names = std::mem::take(&mut look.names);
        let ranges = std::mem::take(&mut look.ranges);
        let mut found = self.client.keys(&names)?;
        found.append(&mut self.client.keys_in(ranges)?);
        for name in look.not_among(&found) {
            self.tell_of_gone(name, Gone::Missing, &mut look.changes);
        }
        for (name, found) in found {
            self.take(name, found, &mut look);
        }
        Ok(look.changes)
    }

    /// Looks at a key by its metadata.
    fn look_at(&mut self, id: u32, metadata: &SecretMetadata, look: &mut Look<'_>) {
        for (version, gone) in metadata.versions() {
            let name = KeyName { id, version };
            let is_still_gone = self.gone.contains_key(&name) && metadata.fate(version).is_some();
            let is_done = look.holds(name) && !look.compares;
            if gone.is_none() && !is_still_gone && !is_done && !self.no_keys.contains(&name) {
                look.names.push(name);
            }
        }
        for name in look.ring.versions_of(id) {
            match metadata.fate(name.version) {
                // Perhaps at a time to come: the answer to a read tells.
                Some(Gone::Deleted) if !self.gone.contains_key(&name) => {
                    if self.mortal.insert(name) && !look.compares {
                        look.names.push(name);
                    }
                }
                Some(how) => self.tell_of_gone(name, how, &mut look.changes),
                // Brought back.
                None => _ = self.gone.remove(&name),
            }
        }
    }

    /// Looks at the versions below the newest one of a key whose metadata is hidden: at those that
    /// are new, and at all of them, which tells what was deleted or brought back, where bytes are
    /// compared.
    fn look_below(&mut self, newest: KeyName, look: &mut Look<'_>) {
        let id = newest.id;
        let latest = look.ring.latest(id).filter(|_| !look.compares);
        if latest.is_none() {
            look.read_wholly.push(newest);
        }
        let mut lowest = latest.unwrap_or(0).saturating_add(1);
        // Those that were gone a moment ago.
        while lowest < newest.version && latest.is_some() && self.is_known(KeyName { id, version: lowest }) {
            lowest = lowest.saturating_add(1);
        }
        look.ranges
            .extend(VersionRange::of(id, lowest, newest.version.saturating_sub(1)));
    }

    /// Whether it was found out already that there are no bytes to be had.
    fn is_known(&self, name: KeyName) -> bool {
        self.gone.contains_key(&name) || self.no_keys.contains(&name)
    }

    fn take(&mut self, name: KeyName, found: Found, look: &mut Look<'_>) {
        match found {
            Found::Key(key, created) => {
                self.gone.remove(&name);
                self.refused.remove(&name.id);
                look.changes.keys.insert(name, key);
                look.changes.keys.set_created(name, created);
            }
            Found::Gone(gone) if look.holds(name) => self.tell_of_gone(name, gone, &mut look.changes),
            Found::Gone(gone) => _ = self.gone.insert(name, gone),
            // It is told once, and does not keep the other keys from being read.
            Found::NotAKey(error) => {
                if self.no_keys.insert(name) {
                    let reason = error.to_string();
                    look.changes.warnings.push(Warning::NotAKey { reason });
                }
            }
            Found::Refused(error) => self.refuse(name.id, &error, look),
        }
    }

    /// Warns, once, of a key that may not be read.
    fn refuse(&mut self, id: u32, error: &KvError, look: &mut Look<'_>) {
        if self.refused.insert(id) {
            look.changes.warnings.push(unread_warning(id, error));
        }
    }

    /// There is no such secret.
    fn miss(&mut self, id: u32, look: &mut Look<'_>) {
        for name in look.ring.versions_of(id) {
            self.tell_of_gone(name, Gone::Missing, &mut look.changes);
        }
    }

    /// Warns, once, of a version that the ring holds and that is gone.
    fn tell_of_gone(&mut self, name: KeyName, gone: Gone, changes: &mut Changes) {
        if self.gone.insert(name, gone) != Some(gone) {
            let how = gone.name();
            changes.warnings.push(Warning::HeldVersionGone { name, how });
        }
    }
}

impl Look<'_> {
    fn holds(&self, name: KeyName) -> bool {
        self.ring.key(name.id, name.version).is_some()
    }

    /// The versions that the ring holds of the keys that were read wholly, and that Vault does not
    /// know any more.
    fn not_among(&self, found: &[(KeyName, Found)]) -> Vec<KeyName> {
        let found: BTreeSet<KeyName> = found.iter().map(|(name, _)| *name).collect();
        let held = self.read_wholly.iter().flat_map(|newest| {
            let versions = self.ring.versions_of(newest.id).into_iter();
            versions.filter(move |name| name != newest)
        });
        held.filter(|name| !found.contains(name)).collect()
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
        let compares = self.compared.elapsed() >= self.intervals.keys.get();
        if compares {
            self.client.forget_what_is_hidden();
        }
        let looked = self.look(ring, requested, compares);
        match &looked {
            Ok(_) if compares => self.compared = Instant::now(),
            Ok(_) => {}
            // What a token that is no longer valid may not see, the next one may.
            Err(_) => self.client.forget_what_is_hidden(),
        }
        Ok(looked?)
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
