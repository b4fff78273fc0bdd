//! Why a key store is refused for this data, and what helps in which case.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::format::FormatError;
use super::{Lost, Mark, StoreSeen};
use crate::durable::FileError;

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
                let path = path.display();
                format!(
                    "install the keyroll that wrote it; or `mv {path} {path}.unreadable`, which has the store accepted as it is: \
                     make sure that it is the newest"
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
                "bring the versions back into {}, in Vault by `kv undelete`",
                known.described
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Identity;
    use super::*;
    use crate::keystore::{Fingerprint, KeyName};

    /// A store, with its UUID and generation where it is a keystore.
    fn store(described: &str, keystore: Option<(&str, u64)>) -> StoreSeen {
        StoreSeen {
            described: described.into(),
            identity: keystore.map(|(uuid, generation)| Identity {
                uuid: uuid.into(),
                generation,
            }),
        }
    }

    /// So many versions of key 1 that are missing, or have other bytes.
    fn lost(versions: u32, has_other_bytes: bool) -> Vec<Lost> {
        let lost = |version| Lost {
            name: KeyName { id: 1, version },
            known: Fingerprint::of(&[1; 16]),
            found: has_other_bytes.then(|| Fingerprint::of(&[2; 16])),
        };
        (1..=versions).map(lost).collect()
    }

    fn error(is: StoreSeen, was: StoreSeen, lost: Vec<Lost>) -> MarkError {
        let mark = Mark {
            store: was,
            ..Mark::default()
        };
        MarkError::store_lacks(Path::new("/data/keyroll.mark"), is, &mark, lost)
    }

    #[test]
    fn each_case_has_the_remedy_that_is_right_in_it() {
        let keystore = |uuid, generation| store("keystore /k", Some((uuid, generation)));
        let older = "it is an older copy, written 3 times, and the data has seen 7: put the newest one back";
        let apart = "it has grown apart from the one that the data was worked on with: put that one back";
        let another = "put the one with UUID a back, last seen as keystore /k";
        let (key_file, vault) = (store("key file /f", None), store("Vault", None));
        for (is, was, has_other_bytes, remedy) in [
            (keystore("a", 3), keystore("a", 7), false, older),
            (keystore("a", 3), keystore("a", 7), true, apart),
            (keystore("a", 7), keystore("a", 7), false, apart),
            (keystore("a", 8), keystore("a", 7), false, apart),
            (keystore("b", 3), keystore("a", 7), false, another),
            (keystore("b", 8), keystore("a", 7), true, another),
            (key_file.clone(), keystore("a", 7), false, another),
            (
                keystore("b", 3),
                key_file.clone(),
                true,
                "it is another store than key file /f: put that one back",
            ),
            (
                key_file.clone(),
                key_file,
                false,
                "put the lines that are missing, or the newest copy of key file /f, back",
            ),
            (
                vault.clone(),
                vault,
                false,
                "bring the versions back into Vault, in Vault by `kv undelete`",
            ),
        ] {
            let hint = error(is.clone(), was.clone(), lost(1, has_other_bytes)).hint();
            assert!(
                hint.starts_with(&format!("{remedy}; drop and repair nothing.")),
                "{is:?} after {was:?}: {hint}"
            );
        }
    }

    #[test]
    fn three_versions_are_named_and_more_are_counted() {
        let said = |versions, has_other_bytes| {
            let (is, was) = (store("a store", None), store("another", None));
            error(is, was, lost(versions, has_other_bytes)).to_string()
        };
        let known = Fingerprint::of(&[1; 16]);
        let named: Vec<String> = (1..=3)
            .map(|version| format!("version {version} of key 1 (fingerprint {known})"))
            .collect();
        let three = format!(
            "a store lacks key versions that this data knows: {}",
            named.join(", ")
        );
        assert_eq!(said(3, false), three);
        assert_eq!(said(5, false), format!("{three} and 2 more"));
        assert!(
            said(1, true)
                .starts_with("a store holds other bytes than this data knows for version 1 of key 1")
        );
    }
}
