//! What can go wrong with a master key: at which provider, why, and what helps.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::MasterKey;
use super::options::FORMS;
use super::syntax::KeyListError;
use crate::clock;
use crate::crypto::wrap::SealError;
use crate::durable::FileError;
use crate::durable::permissions::shell_word;
use crate::service::{ErrorKind, ServiceError};

/// A failure of a master key provider. Nothing was changed. `provider` is the provider as it
/// describes itself, `operation` what it was asked for: `wrap`, `unwrap` or `rotate`.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they hold")]
pub enum MasterKeyError {
    #[error("'{uri}' names no master key: {reason}")]
    BadUri { uri: String, reason: String },
    #[error("{provider} is not the master key of this keystore: {reason}")]
    WrongKey { provider: String, reason: String },
    #[error("{provider} cannot be reached: {reason}")]
    Unreachable { provider: String, reason: String },
    #[error("{provider} cannot be reached: it gave no answer within {} s", clock::seconds(*waited))]
    Timeout { provider: String, waited: Duration },
    #[error("{provider} was not waited for, because the statement was killed")]
    Cancelled { provider: String },
    #[error("{provider} refused to {operation}: {reason}")]
    Refused {
        provider: String,
        operation: &'static str,
        reason: String,
    },
    /// What the provider answered is no answer. It is not quoted, for it may hold a key.
    #[error("{provider} gave an answer to {operation} that cannot be used: {reason}")]
    BadAnswer {
        provider: String,
        operation: &'static str,
        reason: String,
    },
    #[error("{} cannot be run: {source}", path.display())]
    CannotRun { path: PathBuf, source: io::Error },
    #[error("{} is not run, because {reason}", path.display())]
    Untrusted {
        /// The command or its directory.
        path: PathBuf,
        reason: String,
        mend: Box<str>,
    },
    #[error("{} belongs to user {owner}, who can read and change the master key", path.display())]
    ForeignOwner {
        path: PathBuf,
        owner: u32,
        /// The user id that reads it.
        reader: u32,
    },
    #[error("{}:{error}", path.display())]
    Syntax {
        path: PathBuf,
        error: KeyListError,
        /// The file comes from elsewhere, and cannot be changed.
        is_credential: bool,
    },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "credential {name} cannot be read: CREDENTIALS_DIRECTORY is not set, so this process was given no credentials"
    )]
    NoCredentials { name: String },
    #[error("credential {name} is not among the credentials in {}", directory.display())]
    CredentialMissing { name: String, directory: PathBuf },
    #[error("{provider} failed to {operation}: {error}")]
    Service {
        provider: String,
        operation: &'static str,
        error: Box<dyn ServiceError>,
    },
    #[error("{provider} cannot be rotated: {reason}")]
    CannotRotate {
        provider: String,
        reason: &'static str,
        instead: &'static str,
    },
    #[error("no random bytes from the system: {0}")]
    NoRandomBytes(getrandom::Error),
    #[error(transparent)]
    CannotSeal(#[from] SealError),
}

// It travels by value, wrapped in the errors of keystores: a larger variant belongs in a box.
const _: () = assert!(size_of::<MasterKeyError>() <= 72);

impl MasterKeyError {
    pub(super) fn wrong_key(provider: &dyn MasterKey, reason: impl Into<String>) -> MasterKeyError {
        MasterKeyError::WrongKey {
            provider: provider.describe(),
            reason: reason.into(),
        }
    }

    pub(super) fn bad_answer(
        provider: &dyn MasterKey,
        operation: &'static str,
        reason: impl Into<String>,
    ) -> MasterKeyError {
        MasterKeyError::BadAnswer {
            provider: provider.describe(),
            operation,
            reason: reason.into(),
        }
    }

    pub(super) fn of_service(
        provider: &dyn MasterKey,
        operation: &'static str,
        error: impl ServiceError,
    ) -> MasterKeyError {
        let provider = provider.describe();
        let reason = error.to_string();
        match error.kind() {
            ErrorKind::WrongKey => MasterKeyError::WrongKey { provider, reason },
            ErrorKind::Cancelled => MasterKeyError::Cancelled { provider },
            ErrorKind::TimedOut(waited) => MasterKeyError::Timeout { provider, waited },
            ErrorKind::Away => MasterKeyError::Unreachable { provider, reason },
            ErrorKind::Other => MasterKeyError::Service {
                provider,
                operation,
                error: Box::new(error),
            },
        }
    }

    /// Whether the provider answered, but with a master key that does not open the keystore.
    pub fn is_wrong_key(&self) -> bool {
        matches!(self, MasterKeyError::WrongKey { .. })
    }

    /// Whether another try of the same call may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            MasterKeyError::Unreachable { .. } | MasterKeyError::Timeout { .. } => true,
            // The text of a command that is just being replaced, or a system that is short of
            // processes.
            MasterKeyError::CannotRun { source, .. } => matches!(
                source.raw_os_error(),
                Some(libc::ETXTBSY | libc::EAGAIN | libc::ENOMEM)
            ),
            MasterKeyError::Service { error, .. } => error.is_retryable(),
            _ => false,
        }
    }

    /// What a DBA can do about it: for the error log and the command, not part of the message.
    pub fn hint(&self) -> String {
        match self {
            MasterKeyError::BadUri { .. } => format!("a master key is {FORMS}"),
            MasterKeyError::WrongKey { .. } => {
                "name the master key that wrapped this keystore, with all its versions, in ‹master_key›; its \
                 third line says which one that was"
                    .into()
            }
            MasterKeyError::Unreachable { provider, .. } => {
                format!("see that what {provider} needs is up, and what it says in the error log")
            }
            MasterKeyError::Timeout { .. } => {
                "see that the service is up and reached without delay; ‹request_timeout› is the time it is given"
                    .into()
            }
            MasterKeyError::Cancelled { .. } => "nothing was changed here; run it again when it suits".into(),
            MasterKeyError::Refused { provider, .. } => {
                format!("see what {provider} says in the error log, and what it may do at its service")
            }
            MasterKeyError::BadAnswer { .. } => {
                "see that what answers is the service and not something else; docs/exec-provider.md says what an answer of a \
                 command is, and how to try it by hand"
                    .into()
            }
            MasterKeyError::CannotRun { path, .. } => format!(
                "check that {} exists, is executable for the server's user, and that its first line names an \
                 interpreter that exists",
                path.display()
            ),
            MasterKeyError::Untrusted { mend, .. } => mend.to_string(),
            MasterKeyError::ForeignOwner { path, reader, .. } => {
                format!("run `chown {reader} {}`", shell_word(path))
            }
            MasterKeyError::Syntax {
                error,
                is_credential: true,
                ..
            } => error.hint(),
            MasterKeyError::Syntax { path, error, .. } => error.hint_for(path),
            MasterKeyError::File(error) => error.hint(),
            MasterKeyError::NoCredentials { name, .. } | MasterKeyError::CredentialMissing { name, .. } => format!(
                "the server's unit needs LoadCredential={name}:PATH or LoadCredentialEncrypted={name}:PATH; \
                 docs/master-keys.md has an example"
            ),
            MasterKeyError::Service { error, .. } => error.hint(),
            MasterKeyError::CannotRotate { instead, .. } => (*instead).into(),
            MasterKeyError::NoRandomBytes(_) | MasterKeyError::CannotSeal(_) => "check the system log".into(),
        }
    }
}
