//! Why a key store is refused for this data, and what helps in which case.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::format::FormatError;
use super::{Lost, Mark, StoreSeen};
use crate::durable::FileError;
use crate::durable::permissions::shell_word;

/// How many lost versions are named in a message.
const SHOWN: usize = 3;

/// A key store that may not be used with this data, or a mark that says nothing.
#[derive(Debug, Error)]
pub enum MarkError {
    /// The mark's file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),

    /// The mark's text is none.
    #[error("the mark {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FormatError,
    },

    /// The store lacks versions that the data knows, or has other bytes under their names.
    #[error("{} {}", .0.store.described, problem(&.0.lost))]
    StoreLacks(Box<Mismatch>),
}

/// A key store, and the data that needs what it does not have.
#[derive(Debug)]
pub struct Mismatch {
    /// The mark's file.
    pub path: PathBuf,
    /// The store that was refused.
    pub store: StoreSeen,
    /// The store that the data was last worked on with.
    pub known: StoreSeen,
    /// What it lacks: at least one version.
    pub lost: Vec<Lost>,
}

impl MarkError {
    /// The error for what this store lacks of what the mark knows.
    pub fn store_lacks(path: &Path, store: StoreSeen, mark: &Mark, lost: Vec<Lost>) -> MarkError {
        MarkError::StoreLacks(Box::new(Mismatch {
            path: path.into(),
            store,
            known: mark.store.clone(),
            lost,
        }))
    }

    /// What a DBA can do about it. `give_up` is how to start all the same.
    pub fn hint(&self) -> String {
        match self {
            MarkError::File(error) => error.hint(),
            MarkError::Unreadable { path, .. } => {
                let path = shell_word(path);
                format!(
                    "install the keyroll that wrote it; or `mv --backup=numbered {path} {path}.unreadable`, which has the store \
                     accepted as it is: make sure that it is the newest"
                )
            }
            MarkError::StoreLacks(mismatch) => format!(
                "{}; drop and repair nothing. If they are lost for good: start once with keyroll_accept_lost_keys=ON, \
                 which gives up all data that needs them",
                mismatch.remedy()
            ),
        }
    }
}

fn problem(lost: &[Lost]) -> String {
    let shown: Vec<String> = lost.iter().take(SHOWN).map(Lost::to_string).collect();
    let more = match lost.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let lacks = match lost.iter().all(|lost| lost.found.is_some()) {
        true => "holds other bytes than this data knows for",
        false => "lacks key versions that this data knows:",
    };
    format!("{lacks} {}{more}", shown.join(", "))
}

impl Mismatch {
    /// What is right in this case.
    fn remedy(&self) -> String {
        let Mismatch {
            store, known, lost, ..
        } = self;
        match (&store.identity, &known.identity) {
            (Some(is), Some(was))
                if is.uuid == was.uuid
                    && is.generation < was.generation
                    && lost.iter().all(|lost| lost.found.is_none()) =>
            {
                format!(
                    "it is an older copy, written {} times, and the data has seen {}: put the newest one back",
                    is.generation, was.generation
                )
            }
            (Some(is), Some(was)) if is.uuid == was.uuid => {
                "it has grown apart from the one that the data was worked on with: put that one back".into()
            }
            (_, Some(was)) => format!(
                "put the one with UUID {} back, last seen as {}",
                was.uuid, known.described
            ),
            (_, None) if lost.iter().any(|lost| lost.found.is_some()) => {
                format!("it is another store than {}: put that one back", known.described)
            }
            (_, None) if known.described.starts_with("key file") => {
                format!(
                    "put the lines that are missing, or the newest copy of {}, back",
                    known.described
                )
            }
            (_, None) => format!(
                "bring the versions back into {}, in Vault by `vault kv undelete -versions=VERSION MOUNT/ID`",
                known.described
            ),
        }
    }
}
