//! What can go wrong with a key store: on which object, why, and what helps.
//!
//! Where the server's own key file plugin (file_key_management) has a message, its words are kept to the
//! letter, because scripts know them; what we add is in [`KeyStoreError::hint`].

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::key_set::KeyName;

/// A failure of a key store. Nothing was changed, on disk or in memory, unless the variant says so.
#[derive(Debug, Error)]
pub enum KeyStoreError {
    /// The settings name no key store.
    #[error("keyroll-filename is not set")]
    FilenameNotSet,

    /// The key file or the file with its password is not there or may not be opened.
    #[error("File '{}' not found (Errcode: {})", path.display(), errcode(source))]
    FileNotFound {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// Reading failed after the file had been opened.
    #[error("Read from {} failed, errno {}", path.display(), source.raw_os_error().unwrap_or(0))]
    ReadFailed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// A known version is gone from the store.
    #[error("{name} is in use, but the key store no longer holds it")]
    KnownVersionMissing {
        /// The version.
        name: KeyName,
    },

    /// A known version has other bytes in the store.
    #[error("{name} is in use, but the key store now holds other bytes for it")]
    KnownVersionDiffers {
        /// The version.
        name: KeyName,
    },

    /// No memory for the ring.
    #[error("no memory for {versions} key versions: {source}")]
    NoMemoryForKeys {
        /// How many versions were to be held.
        versions: usize,
        /// Why.
        source: io::Error,
    },
}

/// `2 "No such file or directory"`, as the server prints an errno.
fn errcode(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            format!("{code} \"{text}\"")
        }
        None => error.to_string(),
    }
}

impl KeyStoreError {
    /// What a DBA can do about it: for the error log and the command, not part of the message.
    pub fn hint(&self) -> String {
        match self {
            KeyStoreError::FilenameNotSet => {
                "set keyroll_filename to the path of a key file; `keyroll init PATH` makes one".into()
            }
            KeyStoreError::FileNotFound { path, .. } => {
                format!(
                    "check that {} exists and that the server's user may read it",
                    path.display()
                )
            }
            KeyStoreError::ReadFailed { .. } => "check the disk and the system log".into(),
            KeyStoreError::KnownVersionMissing { .. } | KeyStoreError::KnownVersionDiffers { .. } => {
                "put the line with this version back into the file from a backup; data on disk needs it"
                    .into()
            }
            KeyStoreError::NoMemoryForKeys { .. } => "free memory, then try again".into(),
        }
    }
}

/// Something that works but should be mended.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum Warning {}
