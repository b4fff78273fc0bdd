//! A key, or a version of one, that the ring lacks, looked for in the store while a statement
//! waits: where others add keys to the store, one is there the moment that it is in the store.

use std::time::{Duration, Instant};

use super::first_use::OF_TEMPORARY_DATA;
use super::missing::Missing;
use super::single_flight::{Answered, InPause};
use super::{Plugin, PluginError, Server, Statement, Status, log};
use crate::cancel;
use crate::keys::Ring;
use crate::store::{Changes, KeyStore};

/// How much longer than the store allows itself a statement waits: the store's own error says more.
const GRACE: Duration = Duration::from_secs(1);

/// The longest that a statement waits, whatever the settings say: InnoDB may have locked its
/// dictionary meanwhile, and ends a server in which a thread waits ten minutes for that
/// (`innodb_fatal_semaphore_wait_threshold`).
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What came of looking for a key in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookedUp {
    /// Lookups find it now.
    Found,
    /// The store has none.
    Missing,
    /// Nobody was asked, or there was no answer.
    Unknown,
}

impl Plugin {
    /// What can be said of a key that these lack without a look in the store; `None` where that
    /// [is](Self::look_up) to be made: for a statement, which can wait, and where others add keys
    /// to the store. `is_there` tells whether lookups find it by now. Waits for nothing and takes
    /// little stack.
    pub(crate) fn known_without_look(
        &self,
        missing: Missing,
        statement: Statement,
        ring: &Ring,
        is_there: &dyn Fn() -> bool,
    ) -> Option<LookedUp> {
        let can_look = self.shared_store.is_some() && statement != Statement::None;
        if !can_look || !missing.is_plausible(ring) || is_mere_question(missing, statement) {
            return Some(LookedUp::Unknown);
        }
        let earlier = match in_pause(missing, statement) {
            InPause::TakeIt => self.lookups.earlier(missing.id),
            InPause::AskAfterIt => None,
        };
        earlier.map(|answer| match answer {
            // Another thread was faster: what it finds it publishes before it answers.
            Ok(true) if is_there() => LookedUp::Found,
            Ok(_) => LookedUp::Missing,
            Err(_) => LookedUp::Unknown,
        })
    }

    /// Looks in the store for what the ring lacks; the second answer is a warning for the
    /// statement. `is_there` tells whether lookups find it by now.
    ///
    /// It takes as long as the settings let a statement wait for the store. One request serves all
    /// who ask for a key at one moment. Within a second of its answer nobody asks again: a
    /// statement that makes, alters or imports a table waits for that second to end, as its key
    /// may have been added meanwhile, and any other takes the answer. Lookups of keys that are in
    /// the ring go on.
    pub(crate) fn look_up(
        &self,
        missing: Missing,
        statement: Statement,
        is_there: &dyn Fn() -> bool,
        server: &dyn Server,
        status: &Status,
    ) -> (LookedUp, Option<String>) {
        let Some(store) = &self.shared_store else {
            return (LookedUp::Unknown, None);
        };
        // Another thread may have been faster.
        if is_there() {
            return (LookedUp::Found, None);
        }
        // Of the key as a whole, as others share it.
        let failed = |error: &PluginError| {
            let version = None;
            let key = Missing { version, ..missing };
            status.remember_error(format!("{key}: {error}"));
            log::not_to_be_had(key, error)
        };
        let ask = || match self.take_up(store.as_ref(), missing.id, server) {
            Ok(is_there) => Ok(is_there),
            // Nobody waits for it any more.
            Err(_) if cancel::is_cancelled() => Err(String::new()),
            Err(error) => Err(failed(&error)),
        };
        let (began, patience) = (Instant::now(), store.patience().min(LONGEST_WAIT) + GRACE);
        let in_pause = in_pause(missing, statement);
        let answered = cancel::within(patience, || self.lookups.ask(missing, in_pause, ask));
        if is_there() {
            return (LookedUp::Found, None);
        }
        if cancel::is_cancelled() {
            return (LookedUp::Unknown, None);
        }
        match answered {
            Ok(Answered::Now(Ok(_))) => {
                let (store, why) = (self.source.clone(), Vec::new());
                let text = log::not_to_be_had(missing, &PluginError::NotInStore { store, why });
                (LookedUp::Missing, Some(text))
            }
            Ok(Answered::Before(Ok(_))) => (LookedUp::Missing, None),
            Ok(Answered::Before(Err(_))) => (LookedUp::Unknown, None),
            Ok(Answered::Now(Err(text))) if began.elapsed() < patience => (LookedUp::Unknown, Some(text)),
            Ok(Answered::Now(Err(_))) | Err(_) => {
                let (store, waited) = (self.source.clone(), patience);
                let text = failed(&PluginError::NoAnswer { store, waited });
                (LookedUp::Unknown, Some(text))
            }
        }
    }

    /// Reads all versions of a key and publishes them; whether there is one.
    fn take_up(&self, store: &dyn KeyStore, id: u32, server: &dyn Server) -> Result<bool, PluginError> {
        let mut loaded = store.load_keys(&[id])?;
        if let Some(error) = loaded.unread.remove(&id) {
            return Err(error.into());
        }
        let is_there = loaded.keys.latest(id).is_some();
        if !is_there && !loaded.warnings.is_empty() {
            return Err(PluginError::NotInStore {
                store: self.source.clone(),
                why: loaded.warnings.iter().map(ToString::to_string).collect(),
            });
        }
        let changes = Changes {
            keys: loaded.keys,
            warnings: Vec::new(),
        };
        if self.apply(&changes, server)? {
            // Not each time: a page may ask for a version again and again.
            log::warnings(server, &loaded.warnings);
            server.request_reencryption();
        }
        Ok(is_there)
    }
}

/// Whether nothing comes of it if the key is not there: the server asks for the key of temporary
/// data whenever it writes such data, and goes on with another one.
fn is_mere_question(missing: Missing, statement: Statement) -> bool {
    let names_keys = statement == Statement::MakesOrAltersTable;
    missing.id == OF_TEMPORARY_DATA && missing.version.is_none() && !names_keys
}

/// A statement that makes or alters a table, or imports one, asks for its key before InnoDB locks
/// what others wait for. For temporary data it may ask many times.
fn in_pause(missing: Missing, statement: Statement) -> InPause {
    match (statement, missing.version) {
        (Statement::MakesOrAltersTable, None) if missing.id != OF_TEMPORARY_DATA => InPause::AskAfterIt,
        (Statement::ImportsTablespace, _) => InPause::AskAfterIt,
        _ => InPause::TakeIt,
    }
}
