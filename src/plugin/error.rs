//! What can go wrong in the running plugin.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::cancel::NotLocked;
use crate::clock;
use crate::crypto::Algorithm;
use crate::datadir::WalkError;
use crate::durable::FileError;
use crate::durable::permissions::shell_word;
use crate::keys::{KeyName, KeysError};
use crate::settings::SettingsError;
use crate::store::{MarkError, StoreError};

/// A failure of a start, a rotation or a reload. Nothing was changed unless the key store's error
/// says so.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and fields say what they hold")]
pub enum PluginError {
    #[error(transparent)]
    KeyStore(#[from] StoreError),

    #[error(transparent)]
    Mark(#[from] MarkError),

    #[error("no thread could be started for it: {0}")]
    NoThread(io::Error),

    #[error("{store} has new versions, which are not used because the mark could not be written: {source}")]
    NotMarked { store: String, source: FileError },

    #[error(transparent)]
    Settings(#[from] SettingsError),

    #[error("the master key {uri} can be set in my.cnf only, because {reason}")]
    ByStatement { uri: String, reason: &'static str },

    #[error("\"{path}\" is not an absolute path")]
    SaveTo { path: String },

    #[error(
        "the keys are not saved under {uri}: a statement may name a file: alone, as it must neither send keys to another \
         host nor run a program"
    )]
    SaveUnder { uri: String },

    #[error("{} exists, and is not overwritten", path.display())]
    SaveOver {
        path: PathBuf,
        /// Whether it is a whole keystore, as far as can be told without its master key.
        is_keystore: bool,
    },

    #[error("{request} is not a key id: 1 to 4294967295{}", if *or_all { ", or -1 for all keys" } else { "" })]
    NotAKeyId {
        request: i64,
        /// Whether -1 would do.
        or_all: bool,
    },

    #[error("{file} is encrypted with a key {id} that {store} lacks")]
    KeyInUse {
        id: u32,
        /// A file, or what else is known of the data.
        file: String,
        store: String,
    },

    #[error(
        "{limit} keys were made at their first use since the start, as many as keyroll_auto_create_limit allows"
    )]
    TooManyCreated { limit: u32 },

    #[error("whether there is data under another key {id} cannot be seen: {reason}")]
    DataUnseen { id: u32, reason: String },

    #[error(
        "the redo log {} goes on under {name}, which is for {}, although the latest version, {latest}, is for {}",
        path.display(), algorithm.name(), latest_algorithm.name()
    )]
    RedoLogDowngrade {
        path: PathBuf,
        name: KeyName,
        algorithm: Algorithm,
        latest: u32,
        latest_algorithm: Algorithm,
    },

    #[error(
        "keyroll_algorithm_downgrade is strict, but the redo log's version cannot be told from {}: {source}",
        path.display()
    )]
    RedoLogUnseen { path: PathBuf, source: io::Error },

    #[error("there is none in {store}{}", because(why))]
    NotInStore {
        store: String,
        /// What is wrong with what stands in its place.
        why: Vec<String>,
    },

    #[error("{store} did not answer within {} s", clock::seconds(*waited))]
    NoAnswer { store: String, waited: Duration },

    #[error("which keys the data needs cannot be seen: {0}")]
    DataUnread(WalkError),

    #[error("{source}; and keyroll does not start without keys, because the data needs them: {what}")]
    DataNeedsKeys {
        /// What is encrypted.
        what: String,
        source: Box<StoreError>,
    },

    #[error("the statement was killed")]
    StatementKilled,

    #[error("others have been at work on the keys for more than {} s", super::TURN_TIMEOUT.as_secs())]
    Busy,

    #[error("{master_key} wraps the keystore now, but {source} before the server showed it")]
    NotShown {
        master_key: String,
        source: Box<PluginError>,
    },

    #[error("a bug of keyroll ended it; the lines above say where")]
    RefreshPanicked,

    #[error("keyroll is not running")]
    NotRunning,
}

/// `: one; another`, or nothing.
fn because(why: &[String]) -> String {
    let begin = if why.is_empty() { "" } else { ": " };
    [begin, &why.join("; ")].concat()
}

impl From<NotLocked> for PluginError {
    fn from(why: NotLocked) -> PluginError {
        match why {
            NotLocked::Cancelled => PluginError::StatementKilled,
            NotLocked::TimedOut => PluginError::Busy,
        }
    }
}

impl From<KeysError> for PluginError {
    fn from(error: KeysError) -> PluginError {
        StoreError::from(error).into()
    }
}

impl PluginError {
    /// What a DBA can do about it.
    pub fn hint(&self) -> String {
        match self {
            PluginError::KeyStore(error) => error.hint(),
            PluginError::Settings(error) => error.hint(),
            PluginError::Mark(error) => error.hint(),
            PluginError::NoThread(_) => {
                "raise the limit: TasksMax= and LimitNPROC= in the systemd unit, ulimit -u".into()
            }
            PluginError::NotMarked { source, .. } => {
                format!("{}; then SET GLOBAL keyroll_reload_keys = 1 takes them up", source.hint())
            }
            PluginError::ByStatement { .. } => {
                "set keyroll_master_key in my.cnf and restart the server; until then it goes on with the keys \
                 that it has"
                    .into()
            }
            PluginError::SaveTo { .. } => {
                "SET GLOBAL keyroll_save_keys = '/PATH', or '/PATH file:/MASTERKEYPATH'".into()
            }
            PluginError::SaveUnder { .. } => {
                "save them under file:/PATH and start with that; then `keyroll rotate-master-key --to URI` moves the keystore to \
                 another master key"
                    .into()
            }
            PluginError::SaveOver { is_keystore: true, .. } => {
                "name another path: this keystore is whole, and may hold versions that this server has not seen".into()
            }
            PluginError::SaveOver { path, .. } => {
                let path = shell_word(path);
                format!("name another path, or move a damaged file away: `mv -n {path} {path}.damaged`")
            }
            PluginError::NotAKeyId { .. } => "SELECT keyroll_keys() lists the key ids".into(),
            PluginError::KeyInUse { .. } => {
                "the data is newer than this copy of the store: put the right store back; until then drop and repair nothing".into()
            }
            PluginError::TooManyCreated { .. } => {
                "find out who makes tables with so many keys; if that is meant, SET GLOBAL keyroll_auto_create_limit to more, and \
                 in my.cnf"
                    .into()
            }
            PluginError::DataUnread(_) => {
                "let the server's user read its data directory, and start again".into()
            }
            PluginError::DataNeedsKeys { source, .. } => format!(
                "{}; a new key in the place of one that is lost reads no data",
                source.hint()
            ),
            PluginError::DataUnseen { .. } => "let the server's user read its data directory, and run the statement again".into(),
            PluginError::RedoLogDowngrade { .. } => {
                "keyroll_algorithm_downgrade = strict refuses that. Start once with --keyroll-algorithm-downgrade=report and with \
                 another innodb_log_file_size, which makes the redo log anew under the latest version; then with strict again. If \
                 that was done before, someone has put the old version there"
                    .into()
            }
            PluginError::RedoLogUnseen { .. } => {
                "let the server's user read it; with an innodb_log_group_home_dir other than the data directory set \
                 keyroll_algorithm_downgrade = report"
                    .into()
            }
            PluginError::NotInStore { .. } => {
                "add it there, if no data was ever encrypted with a key of this id, and run the statement again; otherwise put the \
                 right store back, and until then drop and repair nothing"
                    .into()
            }
            PluginError::NoAnswer { .. } => {
                "check the service; keyroll_timeout and keyroll_max_retries say how long it is waited for".into()
            }
            PluginError::StatementKilled => "run it again".into(),
            PluginError::Busy => {
                "SHOW PROCESSLIST shows them, the error log what they wait for; KILL ends them".into()
            }
            PluginError::NotShown { .. } => "SET GLOBAL keyroll_reload_keys = 1 shows it".into(),
            PluginError::RefreshPanicked => {
                "report it with these lines; keys in memory work, and SET GLOBAL keyroll_reload_keys = 1 reads all keys".into()
            }
            PluginError::NotRunning => "the error log of the server's start says why".into(),
        }
    }
}
