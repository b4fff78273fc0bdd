//! The running plugin: settings in, running state out; rotation and reload. No C types.

mod add_key;
pub(crate) mod downgrades;
pub(crate) mod error;
mod first_use;
pub(crate) mod log;
pub(crate) mod lookup;
mod mark;
pub(crate) mod missing;
pub(crate) mod missing_keys;
pub(crate) mod needed;
pub(crate) mod own_stack;
pub(crate) mod refresher;
pub(crate) mod reload_throttle;
mod save;
pub(crate) mod server;
mod single_flight;
pub(crate) mod status;

#[cfg(test)]
mod keystore_tests;
#[cfg(test)]
mod lookup_tests;
#[cfg(test)]
mod mark_tests;
#[cfg(test)]
mod save_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use downgrades::Downgrades;
pub use error::PluginError;
pub use first_use::NewKeys;
pub use lookup::LookedUp;
use missing_keys::MissingKeys;
pub use own_stack::on_own_stack;
pub use refresher::{RefreshTarget, Refresher};
pub use server::{Server, Severity, Statement, Wake};
use single_flight::SingleFlight;
pub use status::Status;

use crate::cancel::{Mutex, MutexGuard};
use crate::keys::{Added, HighestVersions, KeySet, NewVersions, Ring, VersionStep};
use crate::master_key;
use crate::settings::Settings;
use crate::store::{ChangeSource, Changes, KeyStore, Loaded, MarkFile, Rotate, load_with};

/// How long a statement waits for others that work on the keys.
const TURN_TIMEOUT: Duration = Duration::from_secs(60);

/// The keys in force, and where they come from.
#[derive(Clone, Debug)]
pub struct Published {
    /// All data keys, with their cipher: what every lookup reads.
    pub ring: Arc<Ring>,
    /// Where they live for good.
    pub source: String,
    /// What wraps them there, or nothing.
    pub master_key: String,
    /// When that was, where it is known.
    pub wrapped_at: Option<SystemTime>,
}

/// The plugin between a successful start and the shutdown of the server. Its methods can be called
/// from any thread.
pub struct Plugin {
    state: Mutex<State>,
    /// Held while the master key is changed: that asks a key service, which nothing else waits for.
    master_key_changes: Mutex<()>,
    pub(crate) missing: Arc<MissingKeys>,
    pub(crate) downgrades: Downgrades,
    /// Where the keys live for good.
    source: String,
    /// Whether the store makes keys at their first use.
    pub(crate) makes_keys: bool,
    /// The store, where others add keys to it: it is asked without the state, which a rotation may
    /// hold meanwhile.
    shared_store: Option<Arc<dyn KeyStore>>,
    lookups: SingleFlight,
}

/// What changes, always as a whole. Rotations of data keys and reloads hold it to their end.
struct State {
    store: Arc<dyn KeyStore>,
    published: Published,
    /// The URI of the master key in force.
    master_key: String,
    /// The mark beside the data; `None` where there is no data directory.
    mark: Option<MarkFile>,
    missing: Arc<MissingKeys>,
    /// Keys that could not be made, and when.
    not_created: HashMap<u32, Instant>,
}

impl Plugin {
    /// Reads all keys and publishes them; of a store that does not tell which it has, those that
    /// the data needs.
    ///
    /// # Errors
    /// Whatever keeps the keys from being read whole; nothing is published then.
    pub fn start(settings: Settings, server: &dyn Server) -> Result<Plugin, PluginError> {
        let algorithm = settings.algorithm();
        let accept_lost = settings.accept_lost_keys;
        let refuses_downgrades = settings.refuses_downgrades();
        let master_key = String::from_utf8_lossy(&settings.master_key).into_owned();
        let store: Arc<dyn KeyStore> = settings.open_store_of_server()?.into();
        let (loaded, is_without) = match load(store.as_ref(), accept_lost, server) {
            Err(PluginError::KeyStore(why)) if store.may_come_later(&why) => {
                let why = needed::start_without(why, server)?;
                (Loaded::all(KeySet::default(), Vec::new()), Some(why))
            }
            loaded => (loaded?, None),
        };
        log::warnings(server, &loaded.warnings);
        let ring = Ring::new(&loaded.keys, algorithm)?;
        if refuses_downgrades {
            downgrades::check_redo_log(&ring, server)?;
        }
        let mark = mark::accept(store.as_ref(), &loaded.keys, &ring, accept_lost, server)?;
        let source = store.describe();
        let published = Published {
            ring: Arc::new(ring),
            source: source.clone(),
            master_key: store.master_key().unwrap_or_default(),
            wrapped_at: store.wrapped_at(),
        };
        match is_without {
            None => log::loaded(server, &published),
            Some(why) => log::started_without(server, &why),
        }
        match (loaded.is_complete, loaded.is_described) {
            (false, _) => log::not_listed(server, &published),
            (true, false) => log::not_described(server, &published),
            (true, true) => {}
        }
        server.publish(&published);
        let missing = Arc::new(MissingKeys::default());
        let others_add_keys = store.change_source().is_some();
        Ok(Plugin {
            makes_keys: store.creates_keys(),
            shared_store: others_add_keys.then(|| Arc::clone(&store)),
            lookups: SingleFlight::default(),
            state: Mutex::new(State {
                store,
                published,
                master_key,
                mark,
                missing: Arc::clone(&missing),
                not_created: HashMap::new(),
            }),
            master_key_changes: Mutex::new(()),
            missing,
            downgrades: Downgrades::default(),
            source,
        })
    }

    /// Makes a new version of the key with the id `request`, or of all keys if it is -1, and
    /// publishes it once it is durable.
    ///
    /// # Errors
    /// Nothing has changed then, on disk or in memory.
    pub fn rotate_keys(
        &self,
        request: i64,
        new: NewVersions<'_>,
        server: &dyn Server,
        status: &Status,
    ) -> Result<(), PluginError> {
        let which = rotation_of(request)?;
        let mut state = self.state()?;
        let seen = state.versions_seen();
        let new = NewVersions { seen: &seen, ..new };
        let rotated = state.store.rotate_keys(which, new, Some(&state.published.ring))?;
        let added = state.publish(&rotated.keys, server)?;
        status.key_rotations.add(1);
        log::keys_rotated(server, &rotated.new, &added, &state.published);
        Ok(())
    }

    /// Wraps the keystore anew, under a new version of the master key. Data and data keys stay as
    /// they are, and new ones can be made while the master key's provider is asked.
    ///
    /// # Errors
    /// The keystore has not changed then, unless it is [`PluginError::NotShown`].
    pub fn rotate_master_key(&self, server: &dyn Server, status: &Status) -> Result<(), PluginError> {
        let _no_other = self.change_master_key()?;
        let (store, known) = {
            let state = self.state()?;
            (Arc::clone(&state.store), Arc::clone(&state.published.ring))
        };
        let rotated = store.rotate_master_key(Some(&known))?;
        status.master_key_rotations.add(1);
        let mut state = self.state().map_err(|error| PluginError::NotShown {
            master_key: rotated.master_key.clone(),
            source: Box::new(error),
        })?;
        // What others have added to the store meanwhile comes with it.
        state.publish_more(&rotated.keys, server)?;
        log::master_key_rotated(server, &state.published);
        Ok(())
    }

    /// Goes on with another master key, after the keystore was moved to it. It must open the
    /// keystore.
    ///
    /// # Errors
    /// The master key and the keys in use stay as they are.
    pub fn adopt_master_key(&self, uri: &str, server: &dyn Server) -> Result<(), PluginError> {
        let _no_other = self.change_master_key()?;
        let store: Arc<dyn KeyStore> = {
            let state = self.state()?;
            state.check_by_statement(uri)?;
            state.store.with_master_key(uri)?.into()
        };
        let loaded = store.load()?;
        let mut state = self.state()?;
        let before = std::mem::replace(&mut state.store, store);
        if let Err(error) = state.publish_more(&loaded.keys, server) {
            state.store = before;
            return Err(error);
        }
        state.master_key = uri.into();
        log::master_key_adopted(server, &state.published);
        Ok(())
    }

    /// Reads all keys anew and publishes what was added; of a store that does not tell which it
    /// has, those that are known.
    ///
    /// # Errors
    /// A known version that is gone or has other bytes, and whatever keeps the keys from being read
    /// whole; the keys in use stay as they are.
    pub fn reload(&self, server: &dyn Server, status: &Status) -> Result<(), PluginError> {
        self.reload_and(None, server, status)
    }

    /// The same, and this key is among those that are known.
    pub fn reload_for(&self, id: u32, server: &dyn Server, status: &Status) -> Result<(), PluginError> {
        self.reload_and(Some(id), server, status)
    }

    fn reload_and(&self, also: Option<u32>, server: &dyn Server, status: &Status) -> Result<(), PluginError> {
        let mut state = self.state()?;
        let known = || Ok::<_, PluginError>(state.ids_seen().into_iter().chain(also).collect());
        let loaded = load_with(state.store.as_ref(), known)?;
        log::warnings(server, &loaded.warnings);
        let added = state.publish(&loaded.keys, server)?;
        status.reloads.add(1);
        log::reloaded(server, &state.published, added.len());
        Ok(())
    }

    /// The reader of what others add, where the store is one that others add keys to.
    pub fn change_source(&self) -> Option<Box<dyn ChangeSource>> {
        self.state.lock_without_end().store.change_source()
    }

    /// What is published now.
    pub fn published(&self) -> Published {
        self.state.lock_without_end().published.clone()
    }

    /// Publishes what a refresh of the store has read; whether there were new versions.
    ///
    /// # Errors
    /// A version that has other bytes in the store; the keys in use stay as they are.
    pub fn apply(&self, changes: &Changes, server: &dyn Server) -> Result<bool, PluginError> {
        let mut state = self.state()?;
        log::warnings(server, &changes.warnings);
        let ring = &state.published.ring;
        // Also compares what the ring holds already.
        let all = ring.keys_with(&changes.keys)?;
        if all.len() == ring.versions() {
            return Ok(false);
        }
        let added = state.publish(&all, server)?;
        log::noticed(server, &added, &state.published);
        Ok(true)
    }

    // Each change is one assignment, so that a panic leaves it whole.
    fn state(&self) -> Result<MutexGuard<'_, State>, PluginError> {
        Ok(self.state.lock(TURN_TIMEOUT)?)
    }

    fn change_master_key(&self) -> Result<MutexGuard<'_, ()>, PluginError> {
        Ok(self.master_key_changes.lock(TURN_TIMEOUT)?)
    }
}

impl State {
    fn check_by_statement(&self, uri: &str) -> Result<(), PluginError> {
        master_key::check_by_statement(uri, &self.master_key).map_err(|reason| PluginError::ByStatement {
            uri: uri.into(),
            reason,
        })
    }

    /// The highest version of each key that the data knows or that this server was asked for.
    fn versions_seen(&self) -> HighestVersions {
        let mark = self.mark.as_ref();
        let mut seen = mark.map(|file| file.mark().highest().clone()).unwrap_or_default();
        self.missing.raise(&mut seen);
        seen
    }

    /// The keys that the server holds, or was asked for.
    fn ids_seen(&self) -> BTreeSet<u32> {
        let seen = self.versions_seen();
        let held = self.published.ring.ids().into_iter();
        held.chain(seen.iter().map(|name| name.id)).collect()
    }

    /// Publishes what a store held a while ago: keys that were made since then stay.
    fn publish_more(&mut self, keys: &KeySet, server: &dyn Server) -> Result<(), PluginError> {
        let all = self.published.ring.keys_with(keys)?;
        self.publish(&all, server).map(drop)
    }

    /// Publishes these keys to the lookups; what they add.
    fn publish(&mut self, keys: &KeySet, server: &dyn Server) -> Result<Vec<Added>, PluginError> {
        let ring = &self.published.ring;
        let with_gone;
        let mut keys = keys;
        if self.store.keeps_versions_that_are_gone() {
            with_gone = ring.keys_with(keys)?;
            keys = &with_gone;
        }
        let additions = ring.additions(keys)?;
        // The data must know a version before a page can be encrypted with it.
        if let Some(file) = &mut self.mark {
            mark::note(file, ring, &additions, self.store.as_ref(), &self.missing, server)?;
        }
        if let Some(larger) = ring.add(&additions) {
            self.published.ring = Arc::new(larger);
        }
        self.published.master_key = self.store.master_key().unwrap_or_default();
        self.published.wrapped_at = self.store.wrapped_at();
        server.publish(&self.published);
        Ok(additions.list.iter().map(|addition| addition.added).collect())
    }
}

/// Reads the keys that a server starts with.
///
/// # Errors
/// Whatever keeps them from being read, one that the data needs above all; with `accept_lost` that
/// is given up.
fn load(store: &dyn KeyStore, accept_lost: bool, server: &dyn Server) -> Result<Loaded, PluginError> {
    let mut loaded = load_with(store, || needed::key_ids(server))?;
    if !loaded.unread.is_empty() && !accept_lost {
        let needed = needed::key_ids(server)?;
        let unread = loaded.unread.keys().find(|id| needed.contains(id)).copied();
        if let Some(error) = unread.and_then(|id| loaded.unread.remove(&id)) {
            return Err(error.into());
        }
    }
    Ok(loaded)
}

/// Wakes InnoDB's encryption threads after new versions came into force, and logs what a DBA must
/// know about it. Call it without holding anything: it runs SQL.
pub fn start_reencryption(server: &dyn Server, step: VersionStep) {
    log::woken(server, server.wake_encryption_threads(), step);
}

fn rotation_of(request: i64) -> Result<Rotate, PluginError> {
    match (request, u32::try_from(request)) {
        (-1, _) => Ok(Rotate::All),
        (_, Ok(id)) if id > 0 => Ok(Rotate::Key(id)),
        _ => Err(PluginError::NotAKeyId {
            request,
            or_all: true,
        }),
    }
}
