//! Why a key store is refused for this data, and what helps in which case.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::format::MarkFormatError;
use super::{Lost, Mark, StoreSeen};
use crate::durable::FileError;
use crate::durable::permissions::shell_word;

/// How many lost versions are named in a message.
const SHOWN: usize = 3;

/// A key store that may not be used with this data, or a mark that says nothing.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they are")]
pub enum MarkError {
    #[error(transparent)]
    File(#[from] FileError),

    #[error("the mark {} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: MarkFormatError },

    #[error("{} {}", .0.store.described, problem(&.0.lost))]
    StoreLacks(Box<Mismatch>),
}

/// A key store, and the data that needs what it does not have.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields say what they hold")]
pub struct Mismatch {
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
            MarkError::Unreadable {
                path,
                source: MarkFormatError::UnknownVersion(_),
            } => {
                let path = shell_word(path);
                format!(
                    "install the keyroll that wrote it; or `mv --backup=numbered {path} {path}.unreadable`, which has the store \
                     accepted as it is: make sure that it is the newest"
                )
            }
            MarkError::Unreadable {
                source: MarkFormatError::Damaged,
                ..
            } => {
                "a start sets it aside and accepts the store as it is: make sure that it is the newest".into()
            }
            MarkError::StoreLacks(mismatch) => format!(
                "{}; drop and repair nothing. The mark is out of date if all data here was replaced since (restore, SST) or \
                 decrypted, or if a start with a wrong store failed: then `rm {}`. If the keys are lost for good, \
                 ‹accept_lost_keys›=ON for one start gives up all data that needs them",
                mismatch.remedy(),
                shell_word(&mismatch.path)
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
                "it has grown apart from the copy that this data was worked on with: put that one back (`keyroll check \
                 --datadir DIR --against COPY` tells which it is)"
                    .into()
            }
            (_, Some(was)) => format!(
                "put the one with UUID {} back, last seen as {}",
                was.uuid, known.described
            ),
            (_, None) if lost.iter().any(|lost| lost.found.is_some()) => {
                format!("it is another store than {}: put that one back", known.described)
            }
            (Some(_), None) if known.described.starts_with("key file") => format!(
                "add them by `keyroll import --add --from-filename PATH`, or start with {} again",
                known.described
            ),
            (None, None) if known.described.starts_with("key file") => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Fingerprint, KeyName};
    use crate::store::mark::Identity;

    /// A longer path than most.
    const STORE: &str = "/srv/mariadb/production-cluster-7/keyroll/keys/of-node-1";
    const MARK: &str = "/srv/mariadb/production-cluster-7/data/node-1/keyroll.mark";
    /// The server cuts a message that is longer; before it stands `keyroll: hint: `.
    const LONGEST: usize = 511 - 15;

    fn keystore(uuid: char, generation: u64) -> StoreSeen {
        StoreSeen {
            described: format!("keystore {STORE}/keystore"),
            identity: Some(Identity {
                uuid: uuid.to_string().repeat(36),
                generation,
            }),
        }
    }

    fn other(kind: &str) -> StoreSeen {
        StoreSeen {
            described: format!("{kind} {STORE}"),
            identity: None,
        }
    }

    /// The message and the hint where the data knows the second store, and many versions are
    /// missing or different.
    fn told(store: StoreSeen, known: StoreSeen, differs: bool) -> (String, String) {
        let lost = Lost {
            name: KeyName {
                id: u32::MAX,
                version: u32::MAX - 1,
            },
            known: Fingerprint::of(b"known"),
            found: differs.then(|| Fingerprint::of(b"found")),
        };
        let error = MarkError::StoreLacks(Box::new(Mismatch {
            path: MARK.into(),
            store,
            known,
            lost: vec![lost; 1000],
        }));
        (error.to_string(), error.hint())
    }

    #[test]
    fn each_case_has_the_remedy_that_is_right_in_it_and_no_message_is_cut_by_the_server() {
        let (file, vault) = (|| other("key file"), || other("Vault KV"));
        let cases = [
            (
                keystore('a', 7),
                keystore('a', 9),
                false,
                "it is an older copy, written 7 times, and the data has seen 9: put the",
            ),
            (
                keystore('a', 7),
                keystore('a', 9),
                true,
                "it has grown apart from the copy that this data was worked on with",
            ),
            (
                keystore('a', 9),
                keystore('a', 9),
                false,
                "it has grown apart from the copy that this data was worked on with",
            ),
            (
                keystore('a', 9),
                keystore('b', 7),
                true,
                "put the one with UUID bbbb",
            ),
            (
                keystore('a', 9),
                keystore('b', 7),
                false,
                "put the one with UUID bbbb",
            ),
            (file(), keystore('b', 7), false, "put the one with UUID bbbb"),
            (
                keystore('a', 1),
                file(),
                false,
                "add them by `keyroll import --add --from-filename PATH`, or start with key file",
            ),
            (
                keystore('a', 1),
                file(),
                true,
                "it is another store than key file",
            ),
            (
                file(),
                file(),
                false,
                "put the lines that are missing, or the newest copy of key file",
            ),
            (file(), file(), true, "it is another store than key file"),
            (vault(), vault(), false, "bring the versions back into Vault KV"),
        ];
        for (store, known, differs, remedy) in cases {
            let (message, hint) = told(store, known, differs);
            assert!(hint.starts_with(remedy), "{hint}");
            for part in [
                "; drop and repair nothing.",
                &format!("`rm {MARK}`"),
                "lost for good, ‹accept_lost_keys›=ON",
            ] {
                assert!(hint.contains(part), "{hint}");
            }
            for text in [message, hint] {
                assert!(text.len() <= LONGEST, "{} bytes: {text}", text.len());
            }
        }
    }

    #[test]
    fn a_command_in_a_hint_can_be_copied_whatever_the_path() {
        let error = |source| MarkError::Unreadable {
            path: "/my data/keyroll.mark".into(),
            source,
        };
        let hint = error(MarkFormatError::UnknownVersion(2)).hint();
        assert!(
            hint.contains(
                "`mv --backup=numbered '/my data/keyroll.mark' '/my data/keyroll.mark'.unreadable`"
            ),
            "{hint}"
        );
        // A start does it by itself.
        assert!(!error(MarkFormatError::Damaged).hint().contains("mv "));
    }

    #[test]
    fn three_versions_are_named_and_more_are_counted() {
        let said = |versions: u32, has_other_bytes: bool| {
            let lost = |version: u32| Lost {
                name: KeyName { id: 1, version },
                known: Fingerprint::of(&[1; 16]),
                found: has_other_bytes.then(|| Fingerprint::of(&[2; 16])),
            };
            let store = StoreSeen {
                described: "a store".into(),
                identity: None,
            };
            let lost = (1..=versions).map(lost).collect();
            MarkError::store_lacks(Path::new("/data/keyroll.mark"), store, &Mark::default(), lost).to_string()
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
