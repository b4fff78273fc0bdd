//! What can go wrong with a file that holds secrets: on which one, why, and what helps.
//!
//! Where the server's own key file plugin (file_key_management) has a message, its words are kept
//! to the letter, because scripts know them; what we add is in [`FileError::hint`].

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::FileKind;
use super::permissions::{LoosePermissions, shell_word};
use super::step::{DiskState, Step};

/// Who has the lock of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockHolder {
    /// Another one: a second server, the command.
    AnotherProcess,
    /// Another thread of this one: a server has several statements at work.
    ThisProcess,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LockHolder::AnotherProcess => "another process",
            LockHolder::ThisProcess => "other work of this process",
        })
    }
}

/// A failure to read or to write a file. Nothing was changed unless the variant says so.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and fields say what they hold")]
pub enum FileError {
    #[error("File '{}' not found (Errcode: {})", path.display(), errcode(source))]
    FileNotFound { path: PathBuf, source: io::Error },

    #[error("Read from {} failed, errno {}", path.display(), source.raw_os_error().unwrap_or(0))]
    ReadFailed { path: PathBuf, source: io::Error },

    #[error("{} is larger than the {} bytes a {} may have", path.display(), kind.size_limit, kind.name)]
    FileTooLarge { path: PathBuf, kind: &'static FileKind },

    #[error("there is no memory for {}, which takes up to {} MiB", path.display(), bytes.div_ceil(1 << 20))]
    NoMemory { path: PathBuf, bytes: usize },

    #[error(transparent)]
    LoosePermissions(#[from] LoosePermissions),

    #[error("{} must be its owner's alone, of mode 0600 or stricter: its mode is {:04o}", .0.path.display(), .0.mode)]
    NotOwnerOnly(LoosePermissions),

    #[error("{} is locked by {by}, for more than {} s", path.display(), waited.as_secs_f32())]
    Locked {
        path: PathBuf,
        by: LockHolder,
        waited: Duration,
    },

    #[error("the statement was killed before anything was done to {}", path.display())]
    Cancelled { path: PathBuf },

    #[error("{} has {links} hard links; to replace it would split them", path.display())]
    HardLinked { path: PathBuf, links: u64 },

    #[error("{} exists already", path.display())]
    FileExists { path: PathBuf },

    #[error("{} does not hold what was written", path.display())]
    NotAsWritten { path: PathBuf },

    #[error("Cannot {step} {}: {source}; {}", path.display(), state.in_words(kind))]
    NotWritten {
        step: Step,
        /// The file or directory it was done to.
        path: PathBuf,
        source: io::Error,
        state: DiskState,
        kind: &'static FileKind,
    },
}

impl FileError {
    /// What a DBA can do about it: for the error log and the command, not part of the message.
    pub fn hint(&self) -> String {
        match self {
            FileError::FileNotFound { path, .. } if path.as_os_str().is_empty() => {
                "write the path of a file, behind FILE: where that begins the setting".into()
            }
            FileError::FileNotFound { path, .. } => {
                format!(
                    "check that {} exists and that the server's user may read it",
                    path.display()
                )
            }
            FileError::ReadFailed { path, source } => match source.raw_os_error() {
                Some(libc::EROFS) => format!(
                    "its file system was made read-only after an error, and may show what is not on the disk: check the disk \
                     and the system log, then unmount and mount what {} is on",
                    path.display()
                ),
                Some(libc::EISDIR) => format!("{} is a directory: name a file in it", path.display()),
                Some(libc::ENOLCK) => {
                    "no lock can be had now: on NFS see that the server's lock service can be reached".into()
                }
                Some(_) => "check the disk and the system log".into(),
                None => format!("{}: {source}", path.display()),
            },
            FileError::FileTooLarge { kind, .. } => {
                format!("check that it is the right file; {}", kind.when_too_large)
            }
            FileError::NoMemory { .. } => {
                "give the server more memory, or a smaller innodb_buffer_pool_size, then try again".into()
            }
            FileError::LoosePermissions(loose) => loose.remedy(),
            FileError::NotOwnerOnly(loose) => format!(
                "{}; a file that cannot be changed, as in a volume of Kubernetes, can be named as credential:NAME",
                loose.remedy()
            ),
            FileError::Locked {
                by: LockHolder::ThisProcess,
                ..
            } => "SHOW PROCESSLIST shows who is at work on the keys; run it again when they are done".into(),
            FileError::Locked { path, .. } => {
                format!(
                    "see who holds it with `fuser -v {}`, then try again",
                    shell_word(path)
                )
            }
            FileError::Cancelled { .. } => "run it again".into(),
            FileError::HardLinked { path, .. } => {
                let path = shell_word(path);
                format!(
                    "remove its other names, which `find / -xdev -samefile {path}` shows, or make them \
                     symbolic links"
                )
            }
            FileError::FileExists { path } => {
                format!(
                    "choose another path; {} may hold the only copy of keys in use",
                    path.display()
                )
            }
            FileError::NotAsWritten { .. } => {
                "see who else writes this file, and check the disk and the system log".into()
            }
            FileError::NotWritten {
                step,
                path,
                source,
                state,
                kind,
            } => step.hint(path, source, state, kind),
        }
    }
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
