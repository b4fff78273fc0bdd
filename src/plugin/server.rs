//! What the plugin wants from the server it runs in, without a C type.

use std::path::PathBuf;

use super::Published;

/// The room that the server has for a message or a line of its error log, and a NUL behind it, in
/// bytes (`ERRMSGSIZE`).
pub(crate) const MESSAGE_ROOM: usize = 512;

/// How grave a line in the server's error log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something happened as it should.
    Note,
    /// Something works but should be mended.
    Warning,
    /// Something failed.
    Error,
}

/// What came of waking InnoDB's encryption threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// They were woken; these settings of the server say whether they have work.
    Done {
        /// `innodb_encryption_threads`.
        threads: u64,
        /// `innodb_encryption_rotate_key_age`.
        rotate_key_age: u64,
    },
    /// The server does not let a plugin run SQL (before 10.7), or is not up yet.
    NotPossible,
}

/// What a thread of the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// CREATE TABLE or ALTER TABLE, of whatever kind, in a server that has started up or makes its
    /// first tables.
    MakesOrAltersTable,
    /// ALTER TABLE that discards or imports a tablespace: a key that it asks for is one that data
    /// is encrypted with.
    ImportsTablespace,
    /// Any other statement.
    Other,
    /// None: a thread of the server's own, or one that opens what is there at a start.
    None,
}

/// The server around the plugin.
pub trait Server: Sync {
    /// Writes a line to the error log. The text holds no secret.
    fn log(&self, level: Severity, text: &str);

    /// Makes these keys the ones that every lookup from now on answers from. Never fails.
    fn publish(&self, now: &Published);

    /// Wakes InnoDB's encryption threads, which sleep without a timeout and notice no new key
    /// version.
    fn wake_encryption_threads(&self) -> Wake;

    /// Whether the server has started up, so that it can run SQL.
    fn is_up(&self) -> bool;

    /// The server's data directory, as an absolute path. `None` where the server does not tell it,
    /// and in mariadb-backup.
    fn data_directory(&self) -> Option<PathBuf>;
}
