//! What can go wrong with a keystore, told so that it is known what to do: a damaged file, a wrong
//! master key and a provider that is away are three different things.

use std::path::{Path, PathBuf};

use thiserror::Error;
use uuid::Uuid;

use super::format::{FORMAT, FormatError, VERSION};
use crate::crypto::wrap::SealError;
use crate::durable::permissions::shell_word;
use crate::durable::replace::previous_path;
use crate::keys::{Differing, KeyName};
use crate::master_key::MasterKeyError;

/// A failure of a keystore. Nothing was changed unless the variant says so.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they are")]
pub enum KeystoreError {
    #[error("keyroll-keystore is not set")]
    PathNotSet,

    #[error(transparent)]
    MasterKey(Box<MasterKeyError>),

    #[error("there is no keystore {}", path.display())]
    Missing {
        path: PathBuf,
        /// Whether the copy that the last change kept is there.
        previous: bool,
    },

    /// The text is no keystore that can be read.
    #[error("{}", unreadable(path, source))]
    Unreadable { path: PathBuf, source: FormatError },

    /// Someone without the keystore key has changed the text, and its checksum with it.
    #[error("keystore {} was changed by someone who does not hold its key: its MAC does not match", path.display())]
    Changed { path: PathBuf },

    /// A data key does not open, though the MAC is right.
    #[error("{name} in keystore {} does not open", path.display())]
    DataKey { path: PathBuf, name: KeyName },

    #[error("keystore {} was wrapped by another master key ({wrapped_by}): {source}", path.display())]
    WrongMasterKey {
        path: PathBuf,
        wrapped_by: String,
        source: Box<MasterKeyError>,
    },

    /// The provider did not do what it was asked for.
    #[error("the master key for keystore {} is not to be had: {source}", path.display())]
    NoMasterKey {
        path: PathBuf,
        source: Box<MasterKeyError>,
    },

    /// The same, where there is no keystore yet.
    #[error("no keystore {} was made, as its master key is not to be had: {source}", path.display())]
    NotMade {
        path: PathBuf,
        source: Box<MasterKeyError>,
    },

    #[error("{provider} cannot be used: {reason}")]
    UnusableProvider { provider: String, reason: String },

    /// An older copy of the file has taken its place.
    #[error("keystore {} is an older copy: it was written {generation} times, {}", path.display(),
        newer_one(path, *generation, *newer, *in_memory))]
    Older {
        path: PathBuf,
        generation: u64,
        /// The generation that there has been, or that of the copy that is kept, which is always
        /// older than the keystore.
        newer: u64,
        /// Whether this process has seen the newer one; else it is the copy that is kept.
        in_memory: bool,
    },

    /// Another copy of the keystore in use, which was changed by itself, has taken its place.
    #[error("keystore {} has grown apart from the one in use: both were written {generation} times, and differ", path.display())]
    GrewApart { path: PathBuf, generation: u64 },

    #[error("{} is another keystore: its UUID is {found}, that of the keystore in use {known}", path.display())]
    Foreign { path: PathBuf, found: Uuid, known: Uuid },

    #[error("keystore {} and {other} hold other keys under one name, so nothing was added: {}", path.display(),
        named(differing))]
    OthersUnderOneName {
        path: PathBuf,
        other: String,
        /// What is not the same in both, the keystore's first: at least one version.
        differing: Vec<Differing>,
    },

    #[error("cannot wrap {name}: {source}")]
    CannotSeal { name: KeyName, source: SealError },
}

/// The first of them.
fn named(differing: &[Differing]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = differing.iter().take(SHOWN).map(Differing::to_string).collect();
    match differing.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn unreadable(path: &Path, error: &FormatError) -> String {
    let path = path.display();
    match error {
        FormatError::Truncated => format!("keystore {path} is cut off: {error}"),
        FormatError::Line { .. } | FormatError::Unreleased => format!("keystore {path}: {error}"),
        FormatError::OtherFormat => format!("{path} is no keystore: {error}"),
        FormatError::UnknownVersion { .. } => {
            format!("keystore {path} was made by another version of keyroll: {error}")
        }
        FormatError::Converted { .. } => format!("keystore {path} was converted as a text: {error}"),
        FormatError::Damaged => format!("keystore {path} is damaged: {error}"),
    }
}

fn newer_one(path: &Path, generation: u64, newer: u64, in_memory: bool) -> String {
    let previous = previous_path(path);
    let previous = previous.display();
    match in_memory {
        true => format!("the one in use {newer} times"),
        false if newer > generation => format!("{previous} {newer} times"),
        false => format!("as was {previous}, which the keystore is always newer than"),
    }
}

/// How to go on with another copy. What a copy lacks is for the data to say.
fn restore(path: &Path) -> String {
    let (path, previous) = (shell_word(path), shell_word(&previous_path(path)));
    format!(
        "put the newest backup in its place. If there is none, `mv --backup=numbered {previous} {path}`: it lacks what the last \
         change made, and `keyroll check` tells whether the data needs that. A server that still runs saves its keys by SET \
         GLOBAL ‹save_keys›"
    )
}

impl KeystoreError {
    pub(super) fn no_master_key(path: PathBuf, source: MasterKeyError) -> KeystoreError {
        KeystoreError::NoMasterKey {
            path,
            source: Box::new(source),
        }
    }

    /// What a DBA can do about it: for the error log and the command, not part of the message.
    pub fn hint(&self) -> String {
        match self {
            KeystoreError::PathNotSet => {
                "set ‹keystore› to the path of a keystore; `keyroll init --keystore PATH --master-key URI` makes one".into()
            }
            KeystoreError::MasterKey(error) => error.hint(),
            KeystoreError::Missing { path, previous: true } => {
                format!("find out what took the keystore away; {}", restore(path))
            }
            KeystoreError::Missing { path, .. } => format!(
                "check the path and that its file system is mounted; a server that still runs writes it anew by SET GLOBAL \
                 ‹save_keys›; `keyroll init --keystore {} --master-key URI` makes a new one, which cannot open data that \
                 is encrypted already",
                shell_word(path)
            ),
            KeystoreError::Unreadable { path, source } => match source {
                FormatError::OtherFormat => format!(
                    "check ‹keystore›; a key file belongs into ‹filename›, and `keyroll import --from-filename {} \
                     --keystore PATH --master-key URI` makes a keystore of it",
                    shell_word(path)
                ),
                FormatError::UnknownVersion { .. } => {
                    format!("install a keyroll that knows it; this one knows {FORMAT} version {VERSION}")
                }
                FormatError::Unreleased => format!(
                    "run `keyroll export --insecure-plaintext --keystore {} --master-key URI --to KEYS` of the build that made \
                     it, then `keyroll import --from-filename KEYS --from-encryption-algorithm NAME --keystore NEW \
                     --master-key URI` of this one; docs/keystore-format.md has the steps for keys of several algorithms",
                    shell_word(path)
                ),
                FormatError::Converted { .. } => {
                    format!("copy it once more, as bytes, from where it came; or {}", restore(path))
                }
                _ => format!("the master key is not the cause; {}", restore(path)),
            },
            KeystoreError::Changed { path } | KeystoreError::DataKey { path, .. } => {
                format!("find out who can write there: this was no accident; then {}", restore(path))
            }
            KeystoreError::WrongMasterKey { source, .. } | KeystoreError::NoMasterKey { source, .. } => {
                format!("the keystore is whole, as its checksum shows; {}", source.hint())
            }
            KeystoreError::NotMade { source, .. } => source.hint(),
            KeystoreError::UnusableProvider { .. } => {
                "nothing was written; check the provider with another keystore".into()
            }
            KeystoreError::Older {
                in_memory: true, path, ..
            } => format!(
                "put the newest copy of {} back; a server that is restarted with the older one lacks the keys that were \
                 made since, and cannot read what they encrypted",
                path.display()
            ),
            KeystoreError::Older { path, .. } => restore(path),
            KeystoreError::GrewApart { .. } => {
                "put the one in use back; `keyroll check --against PATH` tells what the two have".into()
            }
            KeystoreError::Foreign { .. } => {
                "put the keystore in use back; a server changes to another one by a restart".into()
            }
            KeystoreError::OthersUnderOneName { other, differing, .. } => {
                if differing.iter().any(Differing::has_other_bytes) {
                    format!(
                        "another number would not help: each page names the key id and the version that it was encrypted \
                         with. Start a server on the data that needs {other} with {other}; dump its tables there, or ALTER \
                         them to an ENCRYPTION_KEY_ID that {other} alone holds, and add that key with --from-id ID. Then \
                         change stores. Remove neither store while data needs it"
                    )
                } else {
                    format!(
                        "the bytes are the same, and data is encrypted in one of the two ways: if {other} is a key file, give \
                         --from-encryption-algorithm as its server had it in ‹encryption_algorithm› or \
                         file_key_management_encryption_algorithm"
                    )
                }
            }
            KeystoreError::CannotSeal { .. } => "check the system log".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Content, Fingerprint};

    fn differing(versions: u32) -> Vec<Differing> {
        let content = |byte| Content {
            fingerprint: Fingerprint::of(&[byte; 16]),
            algorithm: None,
        };
        (1..=versions)
            .map(|version| Differing {
                name: KeyName { id: 1, version },
                first: content(1),
                second: content(2),
            })
            .collect()
    }

    #[test]
    fn twenty_versions_of_two_stores_are_named_and_more_are_counted() {
        let twenty = named(&differing(20));
        assert_eq!(twenty.matches(" of key 1 (fingerprints ").count(), 20);
        assert!(twenty.ends_with(')'), "{twenty}");
        assert_eq!(named(&differing(23)), format!("{twenty} and 3 more"));
    }
}
