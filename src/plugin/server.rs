//! What the plugin needs of the server it runs in, without a C type.

use std::path::PathBuf;

use super::Published;

/// The size in bytes of the server's buffer for a message with its NUL (`ERRMSGSIZE`).
pub(crate) const MESSAGE_ROOM: usize = 512;

/// How grave a line in the server's error log is.
#[allow(missing_docs, reason = "the words of the server's error log")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Note,
    Warning,
    Error,
}

/// What came of waking InnoDB's encryption threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// They were woken. `innodb_encryption_threads` and `innodb_encryption_rotate_key_age` say
    /// whether they have work.
    #[allow(missing_docs, reason = "named like the settings")]
    Done { threads: u64, rotate_key_age: u64 },
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
    /// None: a thread of the server's own, or one that opens what is there at a start. It never
    /// waits for a key store.
    None,
}

/// The server around the plugin.
pub trait Server: Sync {
    /// Writes a line to the error log. The text holds no secret.
    fn log(&self, level: Severity, text: &str);

    /// Makes every lookup from now on answer from these keys. Never fails.
    fn publish(&self, now: &Published);

    /// Wakes InnoDB's encryption threads, which do not notice a new key version while they sleep.
    fn wake_encryption_threads(&self) -> Wake;

    /// Has those threads woken for new versions, by another thread than this one, which may be in
    /// the middle of a statement. Never waits.
    fn request_reencryption(&self);

    /// Whether the server has started up, so that it can run SQL.
    fn is_up(&self) -> bool;

    /// The absolute path of the data directory; `None` where that is unknown, and in
    /// mariadb-backup.
    fn data_directory(&self) -> Option<PathBuf>;

    /// Where the tables are whose keys this process reads: the data directory, or, in
    /// mariadb-backup, the one that it copies or prepares.
    fn tables_directory(&self) -> Option<PathBuf> {
        self.data_directory()
    }
}
