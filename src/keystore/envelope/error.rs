//! What can go wrong with a keystore, told so that it is known what to do: a damaged file, a wrong master key and a
//! provider that is away are three different things.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::format::{FORMAT, FormatError, VERSION};
use super::uuid::Uuid;
use crate::crypto::wrap::SealError;
use crate::durable::replace::previous_path;
use crate::keystore::{KeyName, KeyStoreError};
use crate::master_key::MasterKeyError;

/// A failure of a keystore. Nothing was changed unless the variant says so.
#[derive(Debug, Error)]
pub enum EnvelopeError {
    /// The settings name no file.
    #[error("keyroll-keystore is not set")]
    PathNotSet,

    /// The settings name no master key that could be asked.
    #[error(transparent)]
    MasterKey(Box<MasterKeyError>),

    /// There is no file.
    #[error("there is no keystore {}", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
        /// Whether the copy that the last change kept is there.
        previous: bool,
    },

    /// The text is no keystore that can be read.
    #[error("{}", unreadable(path, source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FormatError,
    },

    /// Someone without the keystore key has changed the text, and its checksum with it.
    #[error("keystore {} was changed by someone who does not hold its key: its MAC does not match", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },

    /// A data key does not open, though the MAC is right.
    #[error("{name} in keystore {} does not open", path.display())]
    DataKey {
        /// The file.
        path: PathBuf,
        /// The first version that does not.
        name: KeyName,
    },

    /// The master key is another one than the one that wrapped the keystore.
    #[error("keystore {} was wrapped by another master key ({wrapped_by}): {source}", path.display())]
    WrongMasterKey {
        /// The file.
        path: PathBuf,
        /// Who wrapped it, as the file says.
        wrapped_by: String,
        /// What the provider said.
        source: Box<MasterKeyError>,
    },

    /// The provider did not do what it was asked for.
    #[error("the master key for keystore {} is not to be had: {source}", path.display())]
    NoMasterKey {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<MasterKeyError>,
    },

    /// The provider wrapped a key so that it is not to be used.
    #[error("{provider} cannot be used: {reason}")]
    UnusableProvider {
        /// The provider, as it describes itself.
        provider: String,
        /// Why.
        reason: String,
    },

    /// The provider has a new version of the master key, but the keystore does not use it.
    #[error("{source}; {provider} may hold a new version of the master key that nothing uses")]
    RotationUnfinished {
        /// The provider, as it describes itself.
        provider: String,
        /// What failed.
        source: Box<KeyStoreError>,
    },

    /// An older copy of the file has taken its place.
    #[error(
        "keystore {} is an older copy: it was written {generation} times, {} {newer} times",
        path.display(),
        seen_in(path, *in_memory)
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its generation.
        generation: u64,
        /// The generation that there has been.
        newer: u64,
        /// Whether this process has seen the newer one; else it is the copy that is kept.
        in_memory: bool,
    },

    /// Another keystore has taken the place of the one in use.
    #[error("{} is another keystore: its UUID is {found}, that of the keystore in use {known}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The UUID in it.
        found: Uuid,
        /// The UUID that was there before.
        known: Uuid,
    },

    /// A key could not be wrapped.
    #[error("cannot wrap {name}: {source}")]
    CannotSeal {
        /// The version.
        name: KeyName,
        /// Why.
        source: SealError,
    },
}

fn unreadable(path: &Path, error: &FormatError) -> String {
    let path = path.display();
    match error {
        FormatError::Truncated => format!("keystore {path} is cut off: {error}"),
        FormatError::Json(place) => {
            format!(
                "keystore {path}:{}:{}: {}",
                place.line, place.column, place.problem
            )
        }
        FormatError::Member { .. } => format!("keystore {path}: {error}"),
        FormatError::OtherFormat => format!("{path} is no keystore: {error}"),
        FormatError::UnknownVersion { .. } => {
            format!("keystore {path} was made by another version of keyroll: {error}")
        }
        FormatError::Damaged => format!("keystore {path} is damaged: {error}"),
    }
}

fn seen_in(path: &Path, in_memory: bool) -> String {
    if in_memory {
        "the one in use".into()
    } else {
        previous_path(path).display().to_string()
    }
}

/// How to go on with another copy.
fn restore(path: &Path) -> String {
    format!(
        "put a good copy in its place: {}, which lacks the last change alone, or a newer backup; a server that \
         runs still has all keys, so do not restart it before",
        previous_path(path).display()
    )
}

impl EnvelopeError {
    pub(super) fn no_master_key(path: PathBuf, source: MasterKeyError) -> EnvelopeError {
        EnvelopeError::NoMasterKey {
            path,
            source: Box::new(source),
        }
    }

    /// What a DBA can do about it: for the error log and the command, not part of the message.
    pub fn hint(&self) -> String {
        match self {
            EnvelopeError::PathNotSet => {
                "set keyroll_keystore to the path of a keystore; `keyroll init --keystore PATH` makes one".into()
            }
            EnvelopeError::MasterKey(error) => error.hint(),
            EnvelopeError::Missing { path, previous: true } => format!(
                "{} is there: find out what took the keystore away, then copy it back from there or from a backup",
                previous_path(path).display()
            ),
            EnvelopeError::Missing { path, .. } => format!(
                "check the path and that its file system is mounted; `keyroll init --keystore {}` makes a new \
                 keystore, which cannot open data that is encrypted already",
                path.display()
            ),
            EnvelopeError::Unreadable { path, source } => match source {
                FormatError::OtherFormat => {
                    "check keyroll_keystore; a key file belongs into keyroll_filename, and `keyroll import` makes a \
                     keystore of it"
                        .into()
                }
                FormatError::UnknownVersion { .. } => {
                    format!("install a keyroll that knows it; this one knows {FORMAT} version {VERSION}")
                }
                _ => format!("the master key is not the cause; {}", restore(path)),
            },
            EnvelopeError::Changed { path } | EnvelopeError::DataKey { path, .. } => format!(
                "find out who can write {}: this was no accident; then {}",
                path.display(),
                restore(path)
            ),
            EnvelopeError::WrongMasterKey { source, .. } => {
                format!("the keystore is whole, as its checksum shows; {}", source.hint())
            }
            EnvelopeError::NoMasterKey { source, .. } => {
                format!("the keystore is whole, as its checksum shows; {}", source.hint())
            }
            EnvelopeError::UnusableProvider { .. } => {
                "nothing was written; check the provider with another keystore".into()
            }
            EnvelopeError::RotationUnfinished { source, .. } => source.hint(),
            EnvelopeError::Older { in_memory: true, path, .. } => format!(
                "put the newest copy of {} back; if the older one is meant to be used, restart the server",
                path.display()
            ),
            EnvelopeError::Older { path, .. } => {
                let previous = previous_path(path);
                let (path, previous) = (path.display(), previous.display());
                format!(
                    "keys may be missing in {path}: put the newest backup in its place, or `cp -p {previous} {path}`; if \
                     the older one is meant to be used, move {previous} away"
                )
            }
            EnvelopeError::Foreign { .. } => {
                "put the keystore in use back; a server changes to another one by a restart".into()
            }
            EnvelopeError::CannotSeal { .. } => "check the system log".into(),
        }
    }

    /// Whether the file is not as keyroll wrote it, by chance or by intent; the master key is not the cause.
    pub fn is_damage(&self) -> bool {
        match self {
            EnvelopeError::Unreadable { source, .. } => !matches!(source, FormatError::UnknownVersion { .. }),
            EnvelopeError::Changed { .. } | EnvelopeError::DataKey { .. } => true,
            _ => false,
        }
    }
}
