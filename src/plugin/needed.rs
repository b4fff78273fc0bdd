//! Which keys the data of this server needs, as its files tell.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::{PluginError, Server, log};
use crate::datadir::aria::{self, Table};
use crate::datadir::{self, aria_log, redo_log};
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

/// A table of Aria of which a server that goes on without keys could lose rows; `None` where there
/// is none, or Aria has nothing to recover. The log of a server whose `aria_log_dir_path` is not
/// its data directory is not seen; its tables tell whether they were closed.
pub(crate) fn would_lose_rows(directory: &Path) -> Option<PathBuf> {
    let is_clean = aria_log::is_clean(directory);
    let would_lose = |told: Table| match told {
        Table::Plain => false,
        Table::Encrypted | Table::Unreadable => !is_clean,
        Table::EncryptedInUse => true,
    };
    let (table, _) = aria::tables(directory).find(|(_, told)| would_lose(*told))?;
    Some(table)
}

/// Words for what is encrypted in this data directory, or may be.
fn encrypted(directory: &Path, server: &dyn Server) -> Result<Option<String>, PluginError> {
    if let Some(id) = ids_of_mark(directory)?.first() {
        return Ok(Some(format!("its mark knows key {id}")));
    }
    let of_tables = datadir::key_ids_in_use(directory).map_err(PluginError::DataUnread)?;
    if let Some(table) = of_tables.into_values().next() {
        return Ok(Some(format!("{} is encrypted", log::file_name(&table))));
    }
    if let Some((table, told)) = aria::tables(directory).find(|(_, told)| *told != Table::Plain) {
        let told = match told {
            Table::Unreadable => "cannot be read",
            _ => "is encrypted",
        };
        return Ok(Some(format!("{} {told}", log::file_name(&table))));
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::datadir::aria::tests::{crypt_data, header};
    use crate::datadir::aria_log::tests::write_clean;

    #[test]
    fn rows_can_be_lost_where_aria_recovers_or_an_encrypted_table_was_in_use() {
        let closed = header(394, &crypt_data());
        let mut in_use = closed.clone();
        in_use[25] = 1;
        // Index file, whether rows can be lost with a clean log, and with another one.
        for (file, clean, other) in [
            (header(394, &[0; 22]), false, false),
            (closed, false, true),
            (in_use, true, true),
            (Vec::new(), false, true),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let table = directory.path().join("d/t.MAI");
            fs::create_dir(directory.path().join("d")).unwrap();
            assert_eq!(would_lose_rows(directory.path()), None);
            fs::write(&table, file).unwrap();
            let lost = |is_lost: bool| is_lost.then(|| table.clone());
            assert_eq!(would_lose_rows(directory.path()), lost(other));
            write_clean(directory.path());
            assert_eq!(would_lose_rows(directory.path()), lost(clean));
        }
    }
}
