//! The server's data directory, whose mark says which key versions its data may need.

use std::path::{Path, PathBuf};

use keyroll::keys::{HighestVersions, KeySet};
use keyroll::store::mark::StoreSeen;
use keyroll::store::{MarkError, MarkFile};

use crate::failure::Failure;
use crate::store::OpenStore;
use crate::store_args::ChosenStore;

#[derive(clap::Args)]
pub(crate) struct DatadirArg {
    /// The server's data directory, whose mark knows the key versions that its data may need
    /// [default: datadir of the server's option files, where they are read]
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    datadir: Option<PathBuf>,
}

impl DatadirArg {
    /// The data directory, if it is known.
    pub(crate) fn directory(&self, chosen: &ChosenStore) -> Option<PathBuf> {
        let of_server = chosen.datadir().filter(|directory| directory.is_dir());
        self.datadir.clone().or(of_server)
    }
}

/// A mark that says nothing against a store.
pub(crate) struct Compared {
    /// How many versions the mark knows.
    pub(crate) known: usize,
    /// Where the store is an older copy: how many times it has been written, and how many times the
    /// one was that the data has seen.
    pub(crate) older: Option<(u64, u64)>,
    /// Numbers that are taken.
    pub(crate) seen: HighestVersions,
}

/// Compares what a store holds with the mark of this data directory, as a server does at its start.
/// `None` where there is no mark: no server has worked there with keyroll, or it is a restored
/// backup.
///
/// # Errors
/// The store lacks what the data knows; a mark that cannot be read.
pub(crate) fn compare(
    directory: &Path,
    store: &OpenStore,
    keys: &KeySet,
) -> Result<Option<Compared>, MarkError> {
    let file = MarkFile::read(directory)?;
    if !file.is_there() {
        return Ok(None);
    }
    let (mark, store) = (file.mark(), store.seen());
    let lost = mark.lost_in(keys);
    if !lost.is_empty() {
        return Err(MarkError::store_lacks(file.path(), store, mark, lost));
    }
    Ok(Some(Compared {
        known: mark.versions().count(),
        older: older(&store, &mark.store),
        seen: mark.highest().clone(),
    }))
}

/// Refuses keys that the data in this directory knows with other bytes under the same names. What
/// they lack is another matter.
pub(crate) fn refuse_other_bytes(
    directory: &Path,
    store: &StoreSeen,
    keys: &KeySet,
) -> Result<(), MarkError> {
    let file = MarkFile::read(directory)?;
    let mut others = file.mark().lost_in(keys);
    others.retain(|lost| lost.found.is_some());
    if others.is_empty() {
        return Ok(());
    }
    Err(MarkError::store_lacks(
        file.path(),
        store.clone(),
        file.mark(),
        others,
    ))
}

fn older(store: &StoreSeen, known: &StoreSeen) -> Option<(u64, u64)> {
    let (is, was) = (store.identity.as_ref()?, known.identity.as_ref()?);
    (is.uuid == was.uuid && is.generation < was.generation).then_some((is.generation, was.generation))
}

/// The numbers that are taken, where a data directory is known.
///
/// # Errors
/// The store lacks what the data knows: a new version might get a number that pages already use.
pub(crate) fn versions_seen(
    directory: Option<PathBuf>,
    store: &OpenStore,
) -> Result<HighestVersions, Failure> {
    let Some(directory) = directory else {
        return Ok(HighestVersions::default());
    };
    let keys = store.load()?.keys;
    let compared = compare(&directory, store, &keys)?;
    Ok(compared.map(|compared| compared.seen).unwrap_or_default())
}
