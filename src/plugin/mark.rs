//! The mark beside the data, as the running plugin keeps it: looked at before a key store is
//! accepted, written after each change of the keys and before they are published.

use std::path::Path;

use super::{MissingKeys, PluginError, Server, Severity};
use crate::keys::{Additions, KeySet, Ring};
use crate::store::mark::format::FormatError;
use crate::store::mark::{Lost, Mark, StoreSeen};
use crate::store::{KeyStore, MarkError, MarkFile};

/// How many lost versions are told one by one.
const TOLD: usize = 20;

/// A key store that was compared with the mark, and what of the mark is given up.
#[derive(Default)]
pub(super) struct Accepted {
    file: Option<MarkFile>,
    lost: Vec<Lost>,
}

/// Compares what a store holds with the mark in the data directory. Without a data directory or a
/// mark there is nothing to compare. With `accept_lost` what is lost is told and given up.
///
/// # Errors
/// The store lacks what the mark knows; a mark that is there and cannot be read.
pub(super) fn accept(
    store: &dyn KeyStore,
    keys: &KeySet,
    accept_lost: bool,
    server: &dyn Server,
) -> Result<Accepted, MarkError> {
    let Some(directory) = server.data_directory() else {
        return Ok(Accepted::default());
    };
    let file = match MarkFile::read(&directory) {
        // One of another version of the format is whole, and says what this one cannot read: it is
        // not passed over.
        Err(MarkError::Unreadable {
            path,
            source: FormatError::Damaged,
        }) => match set_aside(&path, store, server) {
            Some(file) => file,
            None => return Ok(Accepted::default()),
        },
        file => file?,
    };
    let lost = file.mark().lost_in(keys);
    if !lost.is_empty() && !accept_lost {
        return Err(MarkError::store_lacks(
            file.path(),
            StoreSeen::of(store),
            file.mark(),
            lost,
        ));
    }
    if accept_lost {
        tell_given_up(&lost, store, server);
    }
    warn_of_older(file.mark(), store, server);
    Ok(Accepted {
        file: Some(file),
        lost,
    })
}

impl Accepted {
    /// Writes the mark for these keys. A data directory that cannot be written to does not keep a
    /// server from its data.
    pub(super) fn write(self, ring: &Ring, store: &dyn KeyStore, server: &dyn Server) -> Option<MarkFile> {
        let mut file = self.file?;
        let written = file.change(|mark| {
            mark.forget(&self.lost);
            mark.learn(ring.each_key());
            mark.store = StoreSeen::of(store);
        });
        if let Err(error) = written {
            let text = format!(
                "keyroll: the mark could not be written: {error}; an older key store would not be noticed. Hint: {}",
                error.hint()
            );
            server.log(Severity::Warning, &text);
        }
        Some(file)
    }
}

/// Writes what comes to the ring, before it does. Where that is no version, a failure is told and
/// nothing more.
///
/// # Errors
/// The mark does not know the new versions: they are in the store, and must not be used.
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
    if !additions.is_empty() {
        return Err(PluginError::NotMarked {
            store: store.describe(),
            source: error,
        });
    }
    server.log(
        Severity::Warning,
        &format!(
            "keyroll: the mark could not be written: {error}. Hint: {}",
            error.hint()
        ),
    );
    Ok(())
}

/// Moves a damaged mark out of the way. `None` where that cannot be: then there is none, and the
/// damaged one stays.
fn set_aside(path: &Path, store: &dyn KeyStore, server: &dyn Server) -> Option<MarkFile> {
    let (text, file) = match MarkFile::set_aside(path) {
        Ok((aside, file)) => (format!("is kept as {}", aside.display()), Some(file)),
        Err(error) => (
            format!("cannot be moved away ({error}), so that none is kept"),
            None,
        ),
    };
    server.log(
        Severity::Warning,
        &format!(
            "keyroll: the mark {} was damaged and {text}; {} is accepted as it is. Make sure that it is the newest",
            path.display(),
            store.describe()
        ),
    );
    file
}

fn tell_given_up(lost: &[Lost], store: &dyn KeyStore, server: &dyn Server) {
    if lost.is_empty() {
        server.log(
            Severity::Warning,
            "keyroll: keyroll_accept_lost_keys is ON and nothing is lost: take it out of my.cnf, for it hides losses",
        );
    }
    for lost in lost.iter().take(TOLD) {
        let text = format!(
            "keyroll: given up, as keyroll_accept_lost_keys says: {lost} is not in {}; data that needs it cannot be read",
            store.describe()
        );
        server.log(Severity::Warning, &text);
    }
    if lost.len() > TOLD {
        let text = format!("keyroll: given up are {} more versions", lost.len() - TOLD);
        server.log(Severity::Warning, &text);
    }
}

/// An older copy that lacks no data key does no harm to data, but may be opened by a master key of
/// the past.
fn warn_of_older(mark: &Mark, store: &dyn KeyStore, server: &dyn Server) {
    if let (Some(is), Some(was)) = (store.identity(), &mark.store.identity)
        && is.uuid == was.uuid
        && is.generation < was.generation
    {
        let text = format!(
            "keyroll: {} is an older copy, written {} times, and this data has seen {}; no key is missing in it. Put the \
             newest one back if there is one",
            store.describe(),
            is.generation,
            was.generation
        );
        server.log(Severity::Warning, &text);
    }
}
