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

/// A failure of a master key provider. Nothing was changed unless the variant says so.
#[derive(Debug, Error)]
pub enum MasterKeyError {
    /// What names the master key is not understood.
    #[error("'{uri}' names no master key: {reason}")]
    BadUri {
        /// As it was given.
        uri: String,
        /// Why.
        reason: String,
    },

    /// The master key does not open what it was given.
    #[error("{provider} is not the master key of this keystore: {reason}")]
    WrongKey {
        /// The provider, as it describes itself.
        provider: String,
        /// Why.
        reason: String,
    },

    /// The provider is away for now.
    #[error("{provider} cannot be reached: {reason}")]
    Unreachable {
        /// The provider, as it describes itself.
        provider: String,
        /// Why.
        reason: String,
    },

    /// The provider did not answer in time.
    #[error("{provider} cannot be reached: it gave no answer within {} s", clock::seconds(*waited))]
    Timeout {
        /// The provider, as it describes itself.
        provider: String,
        /// The time it was given.
        waited: Duration,
    },

    /// Nobody waits for the answer any more.
    #[error("{provider} was not waited for, because the statement was killed")]
    Cancelled {
        /// The provider, as it describes itself.
        provider: String,
    },

    /// The provider answered that it would not do it.
    #[error("{provider} refused to {operation}: {reason}")]
    Refused {
        /// The provider, as it describes itself.
        provider: String,
        /// What it was asked for: `wrap`, `unwrap` or `rotate`.
        operation: &'static str,
        /// Why.
        reason: String,
    },

    /// What the provider answered is no answer. It is not quoted, for it may hold a key.
    #[error("{provider} gave an answer to {operation} that cannot be used: {reason}")]
    BadAnswer {
        /// The provider, as it describes itself.
        provider: String,
        /// What it was asked for: `wrap`, `unwrap` or `rotate`.
        operation: &'static str,
        /// What is wrong with it.
        reason: String,
    },

    /// The provider's answer is longer than any can be.
    #[error("{provider} gave an answer to {operation} of more than {limit} bytes")]
    TooLarge {
        /// The provider, as it describes itself.
        provider: String,
        /// What it was asked for: `wrap`, `unwrap` or `rotate`.
        operation: &'static str,
        /// The most bytes that an answer may have.
        limit: usize,
    },

    /// The external command is not there, may not be run, or cannot be.
    #[error("{} cannot be run: {source}", path.display())]
    CannotRun {
        /// The command.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// Someone else may change what is trusted with the key.
    #[error("{} is not run, because {reason}", path.display())]
    Untrusted {
        /// The command or its directory.
        path: PathBuf,
        /// Who may change it.
        reason: String,
        /// What mends it.
        mend: Box<str>,
    },

    /// The file belongs to neither root nor the user that reads it.
    #[error("{} belongs to user {owner}, who can read and change the master key", path.display())]
    ForeignOwner {
        /// The file.
        path: PathBuf,
        /// The owner's user id.
        owner: u32,
        /// The user id that reads it.
        reader: u32,
    },

    /// The master key file's or credential's text is wrong at one place.
    #[error("{}:{error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        error: KeyListError,
    },

    /// The file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),

    /// The service manager passed no credentials.
    #[error(
        "credential {name} cannot be read: CREDENTIALS_DIRECTORY is not set, so this process was given no credentials"
    )]
    NoCredentials {
        /// The credential's name.
        name: String,
    },

    /// Credentials were passed, but not this one.
    #[error("credential {name} is not among the credentials in {}", directory.display())]
    CredentialMissing {
        /// The credential's name.
        name: String,
        /// `$CREDENTIALS_DIRECTORY`.
        directory: PathBuf,
    },

    /// The service that holds the master key did not do it, or there is nothing to ask it with.
    #[error("{provider} failed to {operation}: {error}")]
    Service {
        /// The provider, as it describes itself.
        provider: String,
        /// What it was asked for: `wrap`, `unwrap` or `rotate`.
        operation: &'static str,
        /// Why.
        error: Box<dyn ServiceError>,
    },

    /// New versions of this master key are made elsewhere.
    #[error("{provider} cannot be rotated: {reason}")]
    CannotRotate {
        /// The provider, as it describes itself.
        provider: String,
        /// Why.
        reason: &'static str,
        /// How it is done instead.
        instead: &'static str,
    },

    /// The system's generator of random numbers failed.
    #[error("no random bytes from the system: {0}")]
    NoRandomBytes(getrandom::Error),

    /// The cipher of a local master key refused.
    #[error(transparent)]
    CannotSeal(#[from] SealError),
}

// It travels by value, wrapped in the errors of keystores: a larger variant belongs in a box.
const _: () = assert!(size_of::<MasterKeyError>() <= 72);

impl MasterKeyError {
    /// The provider's master key does not open what it was given.
    pub(super) fn wrong_key(provider: &dyn MasterKey, reason: impl Into<String>) -> MasterKeyError {
        MasterKeyError::WrongKey {
            provider: provider.describe(),
            reason: reason.into(),
        }
    }

    /// The provider gave an answer that cannot be used.
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

    /// The service that the provider's master key is at failed.
    pub(super) fn of_service(
        provider: &dyn MasterKey,
        operation: &'static str,
        error: impl ServiceError,
    ) -> MasterKeyError {
        let provider = provider.describe();
        let reason = || error.to_string();
        match error.kind() {
            ErrorKind::WrongKey => MasterKeyError::WrongKey {
                provider,
                reason: reason(),
            },
            ErrorKind::Cancelled => MasterKeyError::Cancelled { provider },
            ErrorKind::TimedOut(waited) => MasterKeyError::Timeout { provider, waited },
            ErrorKind::Away => MasterKeyError::Unreachable {
                provider,
                reason: reason(),
            },
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
            MasterKeyError::BadAnswer { .. } | MasterKeyError::TooLarge { .. } => {
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
            MasterKeyError::Syntax { error, .. } => error.problem.hint().into(),
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
