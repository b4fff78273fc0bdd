//! The first use of a key that is not there: it is made, or reported as missing.
//!
//! A key is made only for a statement that makes or alters a table, and only where no data is
//! encrypted with a key of this id: an older copy of a key store may lack keys that the data needs.

use std::time::{Duration, Instant};

use super::missing::StoreContents;
use super::{Plugin, PluginError, Server, State, Statement, Status, log};
use crate::cancel;
use crate::datadir::{self, WalkError};
use crate::keys::{KeySpec, Ring};

/// The server's id of the key for the redo log and all else that is no table. Its data need not
/// name it.
const OF_SYSTEM_DATA: u32 = 1;

/// The server's id of the key for temporary data, which is encrypted where there is this key.
pub(super) const OF_TEMPORARY_DATA: u32 = 2;

/// The pause after a key could not be made: the server may ask for it many times a second.
pub(super) const CREATE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The id in [`State::not_created`] of a failure that holds for every key; no key has it.
const EVERY_KEY: u32 = 0;

/// How keys are made at their first use.
#[derive(Clone, Copy, Debug)]
pub struct NewKeys {
    /// Algorithm and length.
    pub spec: KeySpec,
    /// How many are made between two starts, at most.
    pub limit: u32,
}

impl Plugin {
    /// Makes a key that is not in the ring, and publishes it; its latest version, or `None` where
    /// making it failed just now, or nobody waits for it any more. Only for a statement that makes
    /// or alters a table, where the store makes keys.
    ///
    /// # Errors
    /// It failed; the text is for the statement.
    pub fn first_use(
        &self,
        id: u32,
        new: NewKeys,
        server: &dyn Server,
        status: &Status,
    ) -> Result<Option<u32>, String> {
        match self.make_or_take_up(id, new, server, status) {
            // Nobody waits for it any more, and the next who asks may have it.
            Err(_) if cancel::is_cancelled() => Ok(None),
            made => made.map_err(|error| log::not_made(server, status, id, &error)),
        }
    }

    fn make_or_take_up(
        &self,
        id: u32,
        new: NewKeys,
        server: &dyn Server,
        status: &Status,
    ) -> Result<Option<u32>, PluginError> {
        // Another thread may have been faster, here and below.
        let state = self.state()?;
        let latest = state.published.ring.latest(id);
        if latest.is_some() || state.has_failed_just_now(id) {
            return Ok(latest);
        }
        // Reading files takes long.
        drop(state);
        let in_use = self.data_under(id, server);
        let mut state = self.state()?;
        if let Some(latest) = state.published.ring.latest(id) {
            return Ok(Some(latest));
        }
        let used = match in_use {
            Ok(None) => state.make(id, new, server, status),
            Ok(Some(file)) => state.take_up_existing(id, file, server),
            Err(error) => Err(error),
        };
        match &used {
            Ok(()) => {
                state.not_created.remove(&id);
            }
            Err(_) if cancel::is_cancelled() => {}
            Err(error) => {
                let id = match error {
                    PluginError::TooManyCreated { .. } => EVERY_KEY,
                    _ => id,
                };
                let failed = &mut state.not_created;
                failed.retain(|_, at| at.elapsed() < CREATE_AGAIN_AFTER);
                failed.insert(id, Instant::now());
            }
        }
        used.map(|()| state.published.ring.latest(id))
    }

    /// Words for existing data that is encrypted with a key of this id, which is never made then.
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
            Ok(None) if self.state()?.versions_seen().of(id) > 0 => {
                Ok(Some("Data that this data directory has or had".into()))
            }
            Ok(None) => Ok(None),
            Err(WalkError::GivenUp) => Err(PluginError::StatementKilled),
            Err(error) => Err(unseen(error.to_string())),
        }
    }

    /// Whether to [report](Self::report_missing_key) a key that this statement asked for and that
    /// is not made now. Waits for nothing and takes little stack.
    pub fn should_report_key(&self, id: u32, statement: Statement) -> bool {
        self.missing
            .should_search(id, id != OF_TEMPORARY_DATA && may_be_question(id, statement))
    }

    /// Reports once that a key is missing, with a file that is encrypted with it. `is_requested`: a
    /// refresh of the store may still bring it.
    pub fn report_missing_key(
        &self,
        id: u32,
        statement: Statement,
        ring: &Ring,
        is_requested: bool,
        server: &dyn Server,
    ) {
        let directory = server.data_directory();
        let file = directory.and_then(|directory| datadir::file_in_use(&directory, id).ok()?);
        if (file.is_some() || !may_be_question(id, statement))
            && let Some(report) = self.missing.add_key(id, is_requested)
        {
            report.log(self.contents(ring), file.as_deref(), server);
        }
    }

    /// These keys, with the place of the store. Waits for nothing.
    pub(crate) fn contents<'a>(&'a self, ring: &'a Ring) -> StoreContents<'a> {
        StoreContents {
            ring,
            source: &self.source,
        }
    }

    /// Reports what the refresh that has ended was to bring and did not. The keys to request again.
    pub fn after_refresh(&self, server: &dyn Server) -> Vec<u32> {
        let ring = self.published().ring;
        self.missing.after_refresh(self.contents(&ring), server)
    }
}

/// Whether asking for this key says nothing of data: the server asks for key 2 to see whether there
/// is one for temporary data, and a statement may name a key that is not there.
fn may_be_question(id: u32, statement: Statement) -> bool {
    let speaks_of_data = matches!(statement, Statement::None | Statement::ImportsTablespace);
    id == OF_TEMPORARY_DATA || !speaks_of_data
}

impl State {
    fn has_failed_just_now(&self, id: u32) -> bool {
        let failed = [id, EVERY_KEY].map(|id| self.not_created.get(&id));
        failed
            .iter()
            .flatten()
            .any(|at| at.elapsed() < CREATE_AGAIN_AFTER)
    }

    /// Makes version 1 of a key, or takes up what someone else has made meanwhile.
    fn make(
        &mut self,
        id: u32,
        NewKeys { spec, limit }: NewKeys,
        server: &dyn Server,
        status: &Status,
    ) -> Result<(), PluginError> {
        if status.created.get() >= u64::from(limit) {
            return Err(PluginError::TooManyCreated { limit });
        }
        let created = self.store.create_key(id, spec, Some(&self.published.ring))?;
        self.publish(&created.keys, server)?;
        status.created.add(created.new.len() as u64);
        log::created(server, &created.new, &self.published);
        Ok(())
    }

    /// Takes up a key that another server on the same store has made, which this file came from.
    fn take_up_existing(&mut self, id: u32, file: String, server: &dyn Server) -> Result<(), PluginError> {
        let loaded = self.store.load()?;
        if !loaded.keys.ids().contains(&id) {
            let store = self.published.source.clone();
            return Err(PluginError::KeyInUse { id, file, store });
        }
        let added = self.publish(&loaded.keys, server)?;
        log::noticed(server, &added, &self.published);
        Ok(())
    }
}
