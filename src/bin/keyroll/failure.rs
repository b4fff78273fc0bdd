//! Why a subcommand failed, and what helps.

use std::io;
use std::path::PathBuf;

use keyroll::durable::FileError;
use keyroll::keystore::KeyStoreError;
use thiserror::Error;

/// A failure of the command. `Display` says what failed, on what and why.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The key store refused.
    #[error(transparent)]
    Store(#[from] KeyStoreError),

    /// `--owner` names nobody.
    #[error("no user is called '{0}'")]
    NoSuchUser(String),

    /// The system's list of users could not be asked.
    #[error("cannot look up the user '{name}': {source}")]
    UserLookup {
        /// The user's name.
        name: String,
        /// Why.
        source: nix::Error,
    },

    /// The password file could not be made.
    #[error("cannot make the password file {}: {source}", path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// Standard output, for another reason than a reader that has gone.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

impl Failure {
    /// What a DBA can do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Failure::Store(error) => store_hint(error),
            Failure::NoSuchUser(_) | Failure::UserLookup { .. } => {
                "give --owner the name of the user that the server runs as".into()
            }
            Failure::PasswordFile { .. } => {
                "check that its folder exists and that you may write there".into()
            }
            Failure::Output(_) => {
                "what there was to do to the key file is done; only this report is cut off".into()
            }
        }
    }
}

/// The store's own hint, in the words of this command where the store speaks of a server's settings.
fn store_hint(error: &KeyStoreError) -> String {
    match error {
        KeyStoreError::UnknownKey { .. } => "name one of these, or --all".into(),
        KeyStoreError::VersionsUsedUp { .. } => "give a smaller --version-step".into(),
        KeyStoreError::File(FileError::NotWritten { source, .. })
            if source.kind() == io::ErrorKind::NotFound =>
        {
            "make its folder first; the server's user should own it".into()
        }
        _ => {
            let mut hint = error.hint();
            if hint.contains("keyroll_filekey") {
                hint.push_str("; keyroll_filekey is --filekey-file or KEYROLL_FILEKEY here");
            }
            hint
        }
    }
}
