//! Which keys the data of this server needs, as its files tell.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use super::{PluginError, Server, log};
use crate::datadir::{self, aria, redo_log};
use crate::store::mark::format::MarkFormatError;
use crate::store::{MarkError, MarkFile, StoreError};

/// The ids of the keys that the mark knows, and of those that tables are encrypted with: these may
/// come from a server without a mark. mariadb-backup looks at no mark, and goes without what it
/// cannot see.
///
/// # Errors
/// A data directory or a mark that cannot be read.
pub(super) fn key_ids(server: &dyn Server) -> Result<BTreeSet<u32>, PluginError> {
    let of_tables = server.tables_directory().map_or_else(
        || Ok(BTreeMap::new()),
        |directory| datadir::key_ids_in_use(&directory),
    );
    let Some(directory) = server.data_directory() else {
        return Ok(of_tables.unwrap_or_default().into_keys().collect());
    };
    let mut ids = ids_of_mark(&directory)?;
    ids.extend(of_tables.map_err(PluginError::DataUnread)?.into_keys());
    Ok(ids)
}

/// Lets a server start without keys, although the store could not be read: where no data needs one.
/// Without its keys InnoDB does not recover, and Aria's recovery loses what was to be done.
///
/// # Errors
/// `why` the store could not be read, where there is data that needs keys or that cannot be seen.
pub(super) fn start_without(why: StoreError, server: &dyn Server) -> Result<StoreError, PluginError> {
    let Some(directory) = server.data_directory() else {
        return Err(why.into());
    };
    match encrypted(&directory, server)? {
        None => Ok(why),
        Some(what) => Err(PluginError::DataNeedsKeys {
            what,
            source: Box::new(why),
        }),
    }
}

/// Words for what is encrypted in this data directory, or may be.
fn encrypted(directory: &Path, server: &dyn Server) -> Result<Option<String>, PluginError> {
    if let Some(id) = ids_of_mark(directory)?.first() {
        return Ok(Some(format!("its mark knows key {id}")));
    }
    let of_tables = datadir::key_ids_in_use(directory).map_err(PluginError::DataUnread)?;
    let table = of_tables
        .into_values()
        .next()
        .or_else(|| aria::encrypted_table(directory));
    if let Some(table) = table {
        return Ok(Some(format!("{} is encrypted", log::file_name(&table))));
    }
    // A server that is up has its redo log open, under a lock.
    if server.is_up() {
        return Ok(None);
    }
    let seen = match redo_log::key_of(&redo_log::path(directory)) {
        Ok(None) => None,
        Ok(Some(_)) => Some("its redo log is encrypted"),
        // A server that makes its first tables, or whose log lies elsewhere: InnoDB, which then
        // needs a key, does not start without.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => Some("its redo log cannot be read"),
    };
    Ok(seen.map(String::from))
}

/// The keys of which the mark knows a version. A damaged one knows nothing, as at each start.
fn ids_of_mark(directory: &Path) -> Result<BTreeSet<u32>, MarkError> {
    match MarkFile::read(directory) {
        Ok(file) => Ok(file.mark().versions().map(|(name, _)| name.id).collect()),
        Err(MarkError::Unreadable {
            source: MarkFormatError::Damaged,
            ..
        }) => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}
