//! One file that a server needs for its key store.

use std::path::{Path, PathBuf};

use keyroll::durable::Right;

/// A file, and what it is.
pub(super) struct File {
    pub(super) kind: &'static str,
    pub(super) path: PathBuf,
    pub(super) secrecy: Secrecy,
    /// What the server does with it at a start; of the copy from before the last change nothing.
    pub(super) need: Option<Right>,
    /// Whether it holds keys, or what opens them.
    pub(super) holds_keys: bool,
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// Its owner alone; a master key file is refused otherwise.
    OwnerOnly,
    /// Its owner and its group.
    Secret,
    /// Anyone.
    Open,
}

impl File {
    /// A file with keys that the server reads.
    pub(super) fn with_keys(kind: &'static str, path: &Path, secrecy: Secrecy) -> File {
        File {
            kind,
            path: path.to_owned(),
            secrecy,
            need: Some(Right::Read),
            holds_keys: true,
        }
    }

    /// Whether it is nobody's to read but the server's.
    pub(super) fn is_secret(&self) -> bool {
        self.secrecy != Secrecy::Open
    }
}
