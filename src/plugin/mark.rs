//! The mark, a file in the data directory that says which key versions the data may need: it is
//! compared with a key store before that is accepted, and written before new keys are published.

use std::path::Path;

use super::log::line;
use super::{MissingKeys, PluginError, Server, Severity};
use crate::keys::{Additions, KeySet, Ring};
use crate::store::mark::format::MarkFormatError;
use crate::store::mark::{Lost, Mark, StoreSeen};
use crate::store::{KeyStore, MarkError, MarkFile};

/// How many lost versions are logged one by one.
const TOLD: usize = 20;

/// Compares what a store holds with the mark in the data directory, and writes the mark for it.
/// With
/// `accept_lost` lost versions are told and forgotten. `None` where there is no data directory, or
/// a damaged mark that cannot be moved away.
///
/// # Errors
/// The store lacks what the mark knows; a mark that is there and cannot be read. A data directory
/// that cannot be written to does not keep a server from its data.
pub(super) fn accept(
    store: &dyn KeyStore,
    keys: &KeySet,
    ring: &Ring,
    accept_lost: bool,
    server: &dyn Server,
) -> Result<Option<MarkFile>, MarkError> {
    let Some(directory) = server.data_directory() else {
        return Ok(None);
    };
    let mut file = match MarkFile::read(&directory) {
        // A mark of another version of the format is whole, and says what this one cannot read: it
        // is not passed over.
        Err(MarkError::Unreadable {
            path,
            source: MarkFormatError::Damaged,
        }) => match set_aside(&path, store, server) {
            Some(file) => file,
            None => return Ok(None),
        },
        file => file?,
    };
    let lost = file.mark().lost_in(keys);
    if accept_lost {
        tell_given_up(&lost, store, server);
    } else if !lost.is_empty() {
        let seen = StoreSeen::of(store);
        return Err(MarkError::store_lacks(file.path(), seen, file.mark(), lost));
    }
    warn_of_older(file.mark(), store, server);
    let written = file.change(|mark| {
        mark.forget(&lost);
        mark.learn(ring.each_key());
        mark.store = StoreSeen::of(store);
    });
    if let Err(error) = written {
        line!(
            server,
            Warning,
            "keyroll: the mark could not be written: {error}; an older key store would not be noticed. Hint: {}",
            error.hint()
        );
    }
    Ok(Some(file))
}

/// Writes into the mark which versions are to be added to the ring. Without new versions a failure
/// is only logged.
///
/// # Errors
/// The mark could not be written: the new versions are in the store, and must not be used.
pub(super) fn note(
    file: &mut MarkFile,
    ring: &Ring,
    additions: &Additions<'_>,
    store: &dyn KeyStore,
    missing: &MissingKeys,
    server: &dyn Server,
) -> Result<(), PluginError> {
    let written = file.change(|mark| {
        mark.learn(ring.each_key().chain(additions.each_key()));
        mark.store = StoreSeen::of(store);
        mark.learn_numbers(|highest| missing.raise(highest));
    });
    let Err(error) = written else {
        return Ok(());
    };
    if !additions.list.is_empty() {
        return Err(PluginError::NotMarked {
            store: store.describe(),
            source: error,
        });
    }
    line!(
        server,
        Warning,
        "keyroll: the mark could not be written: {error}. Hint: {}",
        error.hint()
    );
    Ok(())
}

/// Moves a damaged mark away and begins a new one; `None` where it cannot be moved and stays.
fn set_aside(path: &Path, store: &dyn KeyStore, server: &dyn Server) -> Option<MarkFile> {
    let (text, file) = match MarkFile::set_aside(path) {
        Ok((aside, file)) => (format!("is kept as {}", aside.display()), Some(file)),
        Err(error) => (
            format!("cannot be moved away ({error}), so that none is kept"),
            None,
        ),
    };
    line!(
        server,
        Warning,
        "keyroll: the mark {} was damaged and {text}; {} is accepted as it is. Make sure that it is the newest",
        path.display(),
        store.describe()
    );
    file
}

fn tell_given_up(lost: &[Lost], store: &dyn KeyStore, server: &dyn Server) {
    if lost.is_empty() {
        line!(
            server,
            Warning,
            "keyroll: keyroll_accept_lost_keys is ON and nothing is lost: take it out of my.cnf, for it hides losses"
        );
    }
    for lost in lost.iter().take(TOLD) {
        line!(
            server,
            Warning,
            "keyroll: given up, as keyroll_accept_lost_keys says: {lost} is not in {}; data that needs it cannot be read",
            store.describe()
        );
    }
    if lost.len() > TOLD {
        line!(
            server,
            Warning,
            "keyroll: given up are {} more versions",
            lost.len() - TOLD
        );
    }
}

/// Logs that the keystore is an older copy of the one that the data has seen. It lacks no data key,
/// so it is used, but a master key that was replaced may still open it.
fn warn_of_older(mark: &Mark, store: &dyn KeyStore, server: &dyn Server) {
    if let (Some(is), Some(was)) = (store.identity(), &mark.store.identity)
        && is.uuid == was.uuid
        && is.generation < was.generation
    {
        line!(
            server,
            Warning,
            "keyroll: {} is an older copy, written {} times, and this data has seen {}; no key is missing in it. Put the \
             newest one back if there is one",
            store.describe(),
            is.generation,
            was.generation
        );
    }
}
