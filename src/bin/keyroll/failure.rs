//! Why a subcommand failed, and what helps.

use std::io;
use std::path::PathBuf;

use keyroll::datadir::WalkError;
use keyroll::durable::FileError;
use keyroll::master_key::MasterKeyError;
use keyroll::service::{ErrorKind, ServiceError};
use keyroll::settings::SettingsError;
use keyroll::store::aws_key_files::{Gap, NoDataKey};
use keyroll::store::keystore::KeystoreError;
use keyroll::store::vault_kv::KvError;
use keyroll::store::{MarkError, StoreError};
use thiserror::Error;

use crate::option_files::OptionFileError;

/// What a script sees of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    /// The exit code; those from 64 up have the meanings of sysexits.h.
    pub(crate) exit: u8,
    /// The word for it in JSON.
    pub(crate) word: &'static str,
}

/// Anything that is none of the others.
const FAILED: Code = code(2, "failed");
/// The arguments make no sense (EX_USAGE).
pub(crate) const USAGE: Code = code(64, "usage");
/// The master key or the password is not the one of this store (EX_DATAERR).
const WRONG_KEY: Code = code(65, "wrong_key");
/// What was to be made is there already (EX_CANTCREAT).
const EXISTS: Code = code(73, "exists");
/// The key service cannot be reached: later it may be (EX_TEMPFAIL).
const UNREACHABLE: Code = code(75, "unreachable");

const fn code(exit: u8, word: &'static str) -> Code {
    Code { exit, word }
}

/// A failure of the command. `Display` says what failed, on what and why.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    #[error(transparent)]
    Mark(#[from] MarkError),
    #[error(transparent)]
    OptionFile(#[from] OptionFileError),
    #[error("no key store is named, neither as an argument nor in the server's option files")]
    NoStore,
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Settings(SettingsError),
    #[error("AWS KMS cannot be asked: {0}")]
    AwsSettings(String),
    #[error("no keys of aws_key_management (aws-kms-key.ID.VERSION) are in {}", .0.display())]
    NoKeysOfAws(PathBuf),
    #[error("{} lacks files of aws_key_management: those of {}", directory.display(), named(gaps))]
    MissingOfAws { directory: PathBuf, gaps: Vec<Gap> },
    #[error("there is no key {id} in {described}")]
    NotInSource { id: u32, described: String },
    #[error("the data in {} needs another key {id}, which the key store lacks", file.display())]
    KeyInUse { id: u32, file: PathBuf },
    #[error("the system data in {} (redo log, binary logs) may need another key 1, which the key store lacks", .0.display())]
    SystemData(PathBuf),
    #[error("which keys the data needs cannot be seen: {0}")]
    DataUnread(WalkError),
    #[error("{} is a keystore, and no master key is named for it", .0.display())]
    NoOtherMasterKey(PathBuf),
    #[error("cannot read the directory {}: {source}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error(transparent)]
    KeyOfAws(NoDataKey),
    /// `--filekey` with something that may be a password, so it is not repeated.
    #[error("--filekey takes FILE: and a path, never a password")]
    LiteralFilekey,
    #[error("a {0} records no algorithm for its keys")]
    NoAlgorithms(&'static str),
    #[error("a new version in a {0} is as long as the one before it")]
    NoLength(&'static str),
    #[error("{subcommand} is for a keystore, and this is a {kind}")]
    NotAKeystore {
        subcommand: &'static str,
        kind: &'static str,
    },
    #[error("{}:{line} names another key store already", path.display())]
    NamesAnotherStore { path: PathBuf, line: usize },
    #[error("the key store is made, but its lines are written nowhere: {}:{line} names another key store by now", path.display())]
    NamesAnotherStoreNow { path: PathBuf, line: usize },
    #[error("there is no {}, and there was such a key store: {} names it", store.display(), cnf.display())]
    NamedStoreIsGone { store: PathBuf, cnf: PathBuf },
    #[error("there is no {}, and there was a key store: the data in {} knows key versions", store.display(), directory.display())]
    StoreOfDataIsGone { store: PathBuf, directory: PathBuf },
    #[error("cannot write in {}, where the option file is to be: {source}", path.display())]
    OptionFileFolder { path: PathBuf, source: nix::Error },
    #[error("the key store is made, but its lines are not in {}: {source}", path.display())]
    NotInOptionFile { path: PathBuf, source: FileError },
    #[error("a Vault KV store is made in Vault, and not here")]
    MadeInVault,
    #[error("export writes the data keys in clear")]
    NotInsecure,
    #[error("no key store to import is named, neither as an argument nor in the server's option files")]
    NothingToImport,
    #[error("{name} has {bits} bits and cannot have encrypted with {algorithm}")]
    NotItsAlgorithm {
        name: keyroll::keys::KeyName,
        bits: usize,
        algorithm: &'static str,
    },
    #[error("no user is called '{0}'")]
    NoSuchUser(String),
    #[error("cannot look up the user '{name}': {source}")]
    UserLookup { name: String, source: nix::Error },
    #[error("there is no subcommand '{0}'")]
    NoSuchSubcommand(String),
    #[error("cannot write the manual page {}: {source}", path.display())]
    ManPage { path: PathBuf, source: io::Error },
    #[error("cannot find out the working directory: {0}")]
    NoWorkingDirectory(io::Error),
    /// Standard output failed, and not because its reader has gone.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

/// The first 20 of these, and how many more there are.
pub(crate) fn named(items: &[impl ToString]) -> String {
    let shown: Vec<String> = items.iter().take(20).map(ToString::to_string).collect();
    match items.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Failure {
        match error {
            SettingsError::Store(error) => Failure::Store(*error),
            other => Failure::Settings(other),
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Failure {
        StoreError::from(error).into()
    }
}

fn of_store(error: &StoreError) -> Code {
    match error {
        StoreError::File(FileError::FileExists { .. }) | StoreError::KeyExists { .. } => EXISTS,
        StoreError::WrongKey { .. } | StoreError::Keystore(KeystoreError::WrongMasterKey { .. }) => WRONG_KEY,
        StoreError::Keystore(
            KeystoreError::MasterKey(error)
            | KeystoreError::NoMasterKey { source: error, .. }
            | KeystoreError::NotMade { source: error, .. },
        ) => of_master_key(error),
        StoreError::VaultKv(KvError::Vault(error)) => of_service(error),
        StoreError::KeyRotationUnfinished { source, .. }
        | StoreError::MasterKeyRotationUnfinished { source, .. } => of_store(source),
        _ => FAILED,
    }
}

fn of_master_key(error: &MasterKeyError) -> Code {
    match error {
        MasterKeyError::WrongKey { .. } => WRONG_KEY,
        MasterKeyError::Unreachable { .. } | MasterKeyError::Timeout { .. } => UNREACHABLE,
        _ => FAILED,
    }
}

fn of_service(error: &dyn ServiceError) -> Code {
    match error.kind() {
        ErrorKind::Away | ErrorKind::TimedOut(_) => UNREACHABLE,
        ErrorKind::WrongKey | ErrorKind::Cancelled | ErrorKind::Other => FAILED,
    }
}

impl Failure {
    /// What a script sees.
    pub(crate) fn code(&self) -> Code {
        match self {
            Failure::Store(error) => of_store(error),
            Failure::MasterKey(error) => of_master_key(error),
            Failure::Settings(SettingsError::MasterKey(error)) => of_master_key(error),
            Failure::KeyOfAws(NoDataKey::Service { error, .. }) => of_service(error.as_ref()),
            Failure::NamesAnotherStore { .. } => EXISTS,
            Failure::LiteralFilekey
            | Failure::NoAlgorithms(_)
            | Failure::NoLength(_)
            | Failure::NoOtherMasterKey(_)
            | Failure::NotInsecure
            | Failure::NoSuchSubcommand(_) => USAGE,
            _ => FAILED,
        }
    }

    /// What a DBA can do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Failure::Store(StoreError::UnknownKey { .. }) => "name one of these, or --all".into(),
            Failure::Store(error) => error.hint(),
            Failure::MasterKey(error) => error.hint(),
            Failure::Mark(error) => error.hint(),
            Failure::OptionFile(error) => error.hint(),
            Failure::NoStore => "give --keystore and --master-key, or --filename, or --defaults-file with the option \
                                 file that the server reads"
                .into(),
            Failure::Unreadable { .. } => "check the path, and run it as root or as the server's user".into(),
            Failure::Settings(error) => error.hint(),
            Failure::NoKeysOfAws(_) | Failure::Directory { .. } => {
                "give --from-aws the data directory of the server that ran aws_key_management".into()
            }
            Failure::MissingOfAws { .. } => "bring the files back from a backup of that data directory. If they are lost for good, so \
                                             is the data that needs them: --allow-missing imports the others"
                .into(),
            Failure::NotInSource { .. } => "`keyroll list` shows what a store holds".into(),
            Failure::KeyInUse { .. } => "put the right store back, or choose another id: a new key would read nothing of it".into(),
            Failure::SystemData(_) => "put the right store back: a new key 1 would read nothing of it".into(),
            Failure::DataUnread(_) => "run this as a user who may read the data directory".into(),
            Failure::NoOtherMasterKey(_) => "give --against-master-key".into(),
            Failure::AwsSettings(_) => "docs/aws-kms.md has all settings".into(),
            Failure::KeyOfAws(error) => error.hint(),
            Failure::LiteralFilekey => "write the password into a file of mode 0600 and give --filekey FILE:PATH, or set \
                                        KEYROLL_FILEKEY: other users can read arguments in the list of processes"
                .into(),
            Failure::NoAlgorithms(kind) => format!(
                "leave it out: keyroll_encryption_algorithm is what all keys of a {kind} encrypt with; a keystore, which \
                 `keyroll import` makes, records one for each version"
            ),
            Failure::NoLength(_) => "leave --key-spec out".into(),
            Failure::NotAKeystore { kind, .. } => {
                format!("`keyroll import --keystore PATH --master-key URI` moves the keys of a {kind} into a keystore")
            }
            Failure::NamesAnotherStore { .. } => "give --cnf another file; a server has one key store, and `keyroll import` moves its keys to another one".into(),
            Failure::NamesAnotherStoreNow { .. } => {
                "give --cnf another file, and run this once more with --if-missing".into()
            }
            Failure::NamedStoreIsGone { .. } => "mount it, or restore it from the backup: no other keys read its data. If it never encrypted \
                                                 any, run this without --if-missing"
                .into(),
            Failure::StoreOfDataIsGone { .. } => "mount it, or restore it from the backup: no other keys read this data. If the store is for \
                                                  another server, give its --datadir"
                .into(),
            Failure::OptionFileFolder { .. } => {
                "make the folder first, or run this as a user who may write there".into()
            }
            Failure::NotInOptionFile { source, .. } => {
                format!("{}; then run this once more with --if-missing", source.hint())
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
                "give the name of the user that the server runs as".into()
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
