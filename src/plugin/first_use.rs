//! What is asked for and not there: a key is made at its first use, or told to be missing.
//!
//! A key is made for a statement that makes or alters a table alone, and only where no data is encrypted with another key of
//! this id: an older copy of a key store beside newer data lacks keys that the data needs, and another key under their id would
//! make both unreadable in turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Asked, Plugin, PluginError, Published, Server, State, Statement, Status, log};
use crate::datadir::{self, WalkError};
use crate::keystore::{KeyName, KeySpec};

/// The key of the redo log and all else that is not a table's own; the server's number. Its data need not name it.
const OF_SYSTEM_DATA: u32 = 1;

/// The key that temporary data is encrypted with where it exists; the server's number.
const OF_TEMPORARY_DATA: u32 = 2;

/// How long a key that could not be made is not tried again: the server may ask for it many times a second.
pub(super) const CREATE_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl Plugin {
    /// The latest version of a key that is not in the ring, after it was made in the store and published; `None`
    /// where existing data is encrypted with another key of this id, or it failed, which is logged. Call it for a statement that
    /// makes or alters a table alone, where the store [makes keys](Self::makes_keys).
    pub fn first_use(&self, id: u32, spec: KeySpec, server: &dyn Server, status: &Status) -> Option<u32> {
        {
            let state = self.state();
            // Another thread may have been faster.
            if let Some(latest) = state.published.ring.latest(id) {
                return Some(latest);
            }
            if state.has_failed_just_now(id) {
                return None;
            }
        }
        // Reads files, so it holds nothing.
        let in_use = match self.data_under(id, server) {
            Err(PluginError::StatementKilled) => return None,
            in_use => in_use,
        };
        let mut state = self.state();
        // The file that was found may be that of a thread that was faster.
        if let Some(latest) = state.published.ring.latest(id) {
            return Some(latest);
        }
        let used = match in_use {
            Ok(None) => state.make(id, spec, server, status),
            Ok(Some(file)) => state.take_up_existing(id, file, server),
            Err(error) => Err(error),
        };
        match used {
            Ok(()) => {
                state.not_created.remove(&id);
                state.published.ring.latest(id)
            }
            Err(error) => {
                state
                    .not_created
                    .retain(|_, at| at.elapsed() < CREATE_AGAIN_AFTER);
                state.not_created.insert(id, Instant::now());
                log::failed(server, status, &format!("making key {id}"), &error);
                None
            }
        }
    }

    /// Whether the store makes keys at their first use.
    pub fn makes_keys(&self) -> bool {
        self.state().store.creates_keys()
    }

    /// What existing data is encrypted with a key of this id, for people. A key that data knows is never made.
    pub(super) fn data_under(&self, id: u32, server: &dyn Server) -> Result<Option<String>, PluginError> {
        if id == OF_SYSTEM_DATA {
            return Ok(Some("System data (redo log, binary logs)".into()));
        }
        let unseen = |reason| PluginError::DataUnseen { id, reason };
        let directory = server
            .data_directory()
            .ok_or_else(|| unseen("the server does not tell its data directory".into()))?;
        match datadir::file_in_use(&directory, id) {
            Ok(Some(file)) => Ok(Some(log::file_name(&file))),
            // A page has asked for it, wherever it lies, or it is known from before.
            Ok(None) if self.state().versions_seen().of(id) > 0 => {
                Ok(Some("Data that this data directory has or had".into()))
            }
            Ok(None) => Ok(None),
            Err(WalkError::GivenUp) => Err(PluginError::StatementKilled),
            Err(error) => Err(unseen(error.to_string())),
        }
    }

    /// A key was asked for that these keys lack, and that is not to be made now: tells it once, with a file that is encrypted with
    /// it. `is_sought`: a look at the store may still bring it.
    pub fn lacks_key(&self, id: u32, keys: &Published, is_sought: bool, server: &dyn Server) {
        // The server asks for key 2 to see whether there is one for temporary data; a statement may name a key that is not there.
        // Neither says anything of data.
        let speaks_of_data = matches!(server.statement(), Statement::None | Statement::ImportsTablespace);
        let may_be_question = id == OF_TEMPORARY_DATA || !speaks_of_data;
        if !self.asked.is_news(id, id != OF_TEMPORARY_DATA && may_be_question) {
            return;
        }
        let directory = server.data_directory();
        let file = directory.and_then(|directory| datadir::file_in_use(&directory, id).ok()?);
        if file.is_some() || !may_be_question {
            self.asked.key(id, file.as_deref(), keys, is_sought, server);
        }
    }

    /// A version was asked for that these keys lack: tells it unless it was told. `is_sought`: a look at the store may still
    /// bring it.
    pub fn lacks_version(&self, name: KeyName, keys: &Published, is_sought: bool, server: &dyn Server) {
        self.asked.version(name, keys, is_sought, server);
    }

    /// What the server asked for in vain.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }
}

impl State {
    fn has_failed_just_now(&self, id: u32) -> bool {
        let at = self.not_created.get(&id);
        at.is_some_and(|at| at.elapsed() < CREATE_AGAIN_AFTER)
    }

    /// Makes version 1 of a key, or takes up what someone else has made meanwhile.
    fn make(
        &mut self,
        id: u32,
        spec: KeySpec,
        server: &dyn Server,
        status: &Status,
    ) -> Result<(), PluginError> {
        let created = self.store.create_key(id, spec, Some(&self.published.ring));
        log::provider_said(server, self.store.as_ref());
        let created = created?;
        self.publish(&created.keys, server)?;
        status.count_created(created.new.len() as u64);
        log::created(server, &created.new, &self.published);
        Ok(())
    }

    /// Takes up a key that another server on the same store has made, which this file came from.
    fn take_up_existing(&mut self, id: u32, file: String, server: &dyn Server) -> Result<(), PluginError> {
        let loaded = self.store.load();
        log::provider_said(server, self.store.as_ref());
        let loaded = loaded?;
        if !loaded.keys.ids().contains(&id) {
            let store = self.published.source.clone();
            return Err(PluginError::KeyInUse { id, file, store });
        }
        let before = Arc::clone(&self.published);
        self.publish(&loaded.keys, server)?;
        log::noticed(server, &before.ring, &self.published);
        Ok(())
    }
}
