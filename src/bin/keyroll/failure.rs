//! Why a subcommand failed, and what helps.

use std::io;
use std::path::PathBuf;

use keyroll::durable::FileError;
use keyroll::master_key::MasterKeyError;
use keyroll::service::ServiceError;
use keyroll::settings::SettingsError;
use keyroll::store::aws_key_files::Gap;
use keyroll::store::{MarkError, StoreError};
use thiserror::Error;

use crate::option_files::OptionFileError;

/// What a script sees when the command did not do what it was asked for.
pub(crate) const EXIT_FAILED: u8 = 2;
/// What a script sees when the arguments make no sense: `EX_USAGE` of sysexits.h.
pub(crate) const EXIT_USAGE: u8 = 64;

/// A failure of the command. `Display` says what failed, on what and why.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The key store refused.
    #[error(transparent)]
    Store(Box<StoreError>),

    /// The master key's provider refused, outside of a keystore.
    #[error(transparent)]
    MasterKey(Box<MasterKeyError>),

    /// The store is not the one that the data needs.
    #[error(transparent)]
    Mark(Box<MarkError>),

    /// The server's option files cannot be read.
    #[error(transparent)]
    OptionFile(#[from] OptionFileError),

    /// Neither an argument nor an option file names a store.
    #[error("no key store is named, neither as an argument nor in the server's option files")]
    NoStore,

    /// The settings name no store that can be opened.
    #[error(transparent)]
    Settings(Box<SettingsError>),

    /// What says how AWS KMS is reached.
    #[error("AWS KMS cannot be asked: {0}")]
    AwsSettings(String),

    /// A directory without keys of aws_key_management.
    #[error("no keys of aws_key_management (aws-kms-key.ID.VERSION) are in {}", .0.display())]
    NoKeysOfAws(PathBuf),

    /// Keys of aws_key_management of which some must have been lost.
    #[error("{} lacks files of aws_key_management: those of {}", directory.display(), named(gaps))]
    MissingOfAws {
        /// The directory.
        directory: PathBuf,
        /// What is missing: at least one version.
        gaps: Vec<Gap>,
    },

    /// A key that was asked for is not there.
    #[error("there is no key {id} in {described}")]
    NotInSource {
        /// The key id.
        id: u32,
        /// The store, or what else is imported.
        described: String,
    },

    /// A second keystore whose master key nothing names.
    #[error("{} is a keystore, and no master key is named for it", .0.display())]
    NoOtherMasterKey(PathBuf),

    /// A directory that cannot be read.
    #[error("cannot read the directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A key of aws_key_management that could not be decrypted.
    #[error("cannot decrypt {}: {error}", path.display())]
    KeyOfAws {
        /// Its file.
        path: PathBuf,
        /// What AWS, or the way to it, said.
        error: Box<dyn ServiceError>,
    },

    /// `--filekey` with something that may be a password. It is not repeated.
    #[error("--filekey takes FILE: and a path, never a password")]
    LiteralFilekey,

    /// An algorithm was named for a store that records none.
    #[error("a {kind} records no algorithm for its keys")]
    NoAlgorithms {
        /// The kind of store.
        kind: &'static str,
    },

    /// A length was named where the store gives it.
    #[error("a new version in a {kind} is as long as the one before it")]
    NoLength {
        /// The kind of store.
        kind: &'static str,
    },

    /// What a subcommand does needs a keystore.
    #[error("{subcommand} is for a keystore, and this is a {kind}")]
    NotAKeystore {
        /// The subcommand.
        subcommand: &'static str,
        /// The kind of store.
        kind: &'static str,
    },

    /// A store that is to be made, where an administrator of Vault makes it.
    #[error("a Vault KV store is made in Vault, and not here")]
    MadeInVault,

    /// `export` without the flag.
    #[error("export writes the data keys in clear")]
    NotInsecure,

    /// `import` without a key file.
    #[error("no key store to import is named, neither as an argument nor in the server's option files")]
    NothingToImport,

    /// A key cannot have the algorithm that it is said to have.
    #[error("{name} has {bits} bits and cannot have encrypted with {algorithm}")]
    NotItsAlgorithm {
        /// The version.
        name: keyroll::keys::KeyName,
        /// Its length.
        bits: usize,
        /// The algorithm.
        algorithm: &'static str,
    },

    /// `--owner` names nobody.
    #[error("no user is called '{0}'")]
    NoSuchUser(String),

    /// The system's list of users could not be asked.
    #[error("cannot look up the user '{name}': {source}")]
    UserLookup {
        /// The user's name.
        name: String,
        /// What the system said.
        source: nix::Error,
    },

    /// `man` of a subcommand that there is not.
    #[error("there is no subcommand '{0}'")]
    NoSuchSubcommand(String),

    /// A manual page could not be written.
    #[error("cannot write the manual page {}: {source}", path.display())]
    ManPage {
        /// The page.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A relative path, and nothing that it is relative to.
    #[error("cannot find out the working directory: {0}")]
    NoWorkingDirectory(io::Error),

    /// Standard output, for another reason than a reader that has gone.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

/// The first of what is missing.
fn named(gaps: &[Gap]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = gaps.iter().take(SHOWN).map(Gap::to_string).collect();
    match gaps.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Store(error.into())
    }
}

impl From<MasterKeyError> for Failure {
    fn from(error: MasterKeyError) -> Failure {
        Failure::MasterKey(error.into())
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Failure {
        match error {
            SettingsError::MasterKey(error) => Failure::MasterKey(error),
            SettingsError::Store(error) => Failure::Store(error),
            other => Failure::Settings(other.into()),
        }
    }
}

impl From<MarkError> for Failure {
    fn from(error: MarkError) -> Self {
        Failure::Mark(error.into())
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Failure {
        StoreError::from(error).into()
    }
}

impl Failure {
    /// What a script sees.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::LiteralFilekey
            | Failure::NoAlgorithms { .. }
            | Failure::NoLength { .. }
            | Failure::NoOtherMasterKey(_)
            | Failure::NotInsecure
            | Failure::NoSuchSubcommand(_) => EXIT_USAGE,
            _ => EXIT_FAILED,
        }
    }

    /// What a DBA can do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Failure::Store(error) => match &**error {
                StoreError::UnknownKey { .. } => "name one of these, or --all".into(),
                error => error.hint(),
            },
            Failure::MasterKey(error) => error.hint(),
            Failure::Mark(error) => error.hint(),
            Failure::OptionFile(error) => error.hint(),
            Failure::NoStore => "give --keystore and --master-key, or --filename, or --defaults-file with the option \
                                 file that the server reads"
                .into(),
            Failure::Settings(error) => error.hint(),
            Failure::NoKeysOfAws(_) | Failure::Directory { .. } => {
                "give --from-aws the data directory of the server that ran aws_key_management".into()
            }
            Failure::MissingOfAws { .. } => "bring the files back from a backup of that data directory. If they are lost for good, so \
                                             is the data that needs them: --allow-missing imports the others"
                .into(),
            Failure::NotInSource { .. } => "`keyroll list` shows what a store holds".into(),
            Failure::NoOtherMasterKey(_) => "give --against-master-key".into(),
            Failure::AwsSettings(_) => "docs/aws-kms.md has all settings".into(),
            Failure::KeyOfAws { error, .. } => error.hint(),
            Failure::LiteralFilekey => "write the password into a file of mode 0600 and give --filekey FILE:PATH, or set \
                                        KEYROLL_FILEKEY: other users can read arguments in the list of processes"
                .into(),
            Failure::NoAlgorithms { kind } => format!(
                "leave it out: keyroll_encryption_algorithm is what all keys of a {kind} encrypt with; a keystore, which \
                 `keyroll import` makes, records one for each version"
            ),
            Failure::NoLength { .. } => "leave --key-spec out".into(),
            Failure::NotAKeystore { kind, .. } => {
                format!("`keyroll import --keystore PATH --master-key URI` moves the keys of a {kind} into a keystore")
            }
            Failure::MadeInVault => "`vault kv put MOUNT/1 data=$(openssl rand -hex 32)` makes key 1; docs/vault.md says more".into(),
            Failure::NotInsecure => "give --insecure-plaintext if that is what you want: whoever reads the file reads the \
                                     data"
                .into(),
            Failure::NothingToImport => "give --from-filename, or --defaults-file with the option file that the server \
                                         reads"
                .into(),
            Failure::NotItsAlgorithm { .. } => {
                "give --from-encryption-algorithm as the server had it in file_key_management_encryption_algorithm or \
                 keyroll_encryption_algorithm"
                    .into()
            }
            Failure::NoSuchUser(_) | Failure::UserLookup { .. } => {
                "give --owner the name of the user that the server runs as".into()
            }
            Failure::NoSuchSubcommand(_) => "`keyroll help` lists them".into(),
            Failure::ManPage { .. } => "check that the directory exists and that you may write there".into(),
            Failure::NoWorkingDirectory(_) => "give absolute paths".into(),
            Failure::Output(_) => {
                "what there was to do to the key store is done; only this report is cut off".into()
            }
        }
    }
}
