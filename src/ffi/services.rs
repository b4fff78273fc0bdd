//! What the server does for plugins: the error log, errors of statements, and SQL.
//!
//! The server puts a service's structure into an exported pointer of the service's name, which is
//! preset to the version wanted; where it has no such service the number stays. It refuses a
//! library that wants another major version. `my_print_error_service` is 1.0 in MariaDB 10.5 to
//! 10.11 and 2.0 in 11.8, so the function behind it is looked up by its own name instead.

use std::ffi::{CStr, CString, OsStr, c_char, c_uint, c_ulong, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use once_cell::sync::Lazy;

use super::abi;
use crate::one_line::one_line;
use crate::plugin::server::MESSAGE_ROOM;
use crate::plugin::{Severity, Statement, Wake};
use crate::settings::as_variables;

/// `sql_service`: SQL in the server (10.7 and later).
// SAFETY: the server looks the symbol up by this name in this library alone.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the name is the server's")]
pub(super) static sql_service: AtomicPtr<abi::kr_sql_service> =
    AtomicPtr::new(ptr::without_provenance_mut(abi::KR_SQL_SERVICE_VERSION as usize));

/// The number of errors of a start, as the peer's key file plugin gives it (`EE_READ`).
const START_ERROR: c_uint = 2;
/// The number of errors of a statement (`ER_UNKNOWN_ERROR`: the text says all).
const STATEMENT_ERROR: c_uint = 1105;
/// The number that clients know a killed statement by (`ER_QUERY_INTERRUPTED`).
const STATEMENT_KILLED: c_uint = 1317;

/// The service behind the exported pointer, or `None` where the preset version number is still in
/// it.
fn service<T>(exported: &AtomicPtr<T>) -> Option<&'static T> {
    let pointer = exported.load(Ordering::Acquire);
    // No structure lies in the first page of memory; version numbers are small.
    if pointer.addr() < 4096 {
        return None;
    }
    // SAFETY: the server wrote the address of its service here before it called init, and services
    // are statics of the server.
    unsafe { pointer.as_ref() }
}

/// Writes to the error log alone, or, in mariadb-backup, what failed to where it writes.
pub(super) fn log(level: Severity, text: &str) {
    let (nr, gravity) = match level {
        Severity::Note => (0, abi::KR_ME_NOTE),
        Severity::Warning => (0, abi::KR_ME_WARNING),
        Severity::Error => (START_ERROR, 0),
    };
    // mariadb-backup prints nothing that is for the error log only, and has no statement that an
    // error could fail.
    let log = match level {
        Severity::Error if is_backup_tool() => abi::KR_ME_ERROR_LOG,
        _ => abi::KR_ME_ERROR_LOG_ONLY,
    };
    print(nr, text, (log | gravity).into());
}

/// Makes the start fail with this message: in the error log, and as the answer to INSTALL PLUGIN.
pub(super) fn fail_start(text: &str) {
    print(START_ERROR, text, abi::KR_ME_ERROR_LOG.into());
}

/// Makes the running statement fail with this message; `is_killed`: because it was killed.
pub(super) fn fail_statement(text: &str, is_killed: bool) {
    let nr = match is_killed {
        true => STATEMENT_KILLED,
        false => STATEMENT_ERROR,
    };
    print(nr, text, 0);
}

/// Adds a warning to the running statement.
pub(super) fn warn_statement(text: &str) {
    print(STATEMENT_ERROR, text, abi::KR_ME_WARNING.into());
}

/// The server's function of this name, looked up once; `None` where the server has none.
macro_rules! server_function {
    ($name:literal: $type:ty) => {{
        static FUNCTION: Lazy<$type> = Lazy::new(|| {
            // SAFETY: the function has this type from 10.5 to 11.8 (include/abi_check.c); null
            // becomes `None`.
            unsafe { std::mem::transmute::<*mut c_void, $type>(symbol($name)) }
        });
        *FUNCTION
    }};
}

fn print(nr: c_uint, text: &str, flags: c_ulong) {
    // What the text quotes may hold line feeds or a NUL.
    let text = CString::new(shorten(&one_line(&as_variables(text)))).unwrap_or_default();
    match server_function!(c"my_printf_error": abi::kr_printf_error) {
        // SAFETY: the format takes one string, and both live until the call returns.
        Some(printf_error) => unsafe { printf_error(nr, c"%s".as_ptr(), flags, text.as_ptr()) },
        #[expect(
            clippy::print_stderr,
            reason = "what a server writes there is in its error log"
        )]
        None => eprintln!("keyroll: {}", text.to_string_lossy()),
    }
}

/// Whether this connection or its statement was killed, or the server ends.
///
/// # Safety
/// `thd` is the server's connection whose statement this thread runs, for as long as the answer is
/// asked; null is never killed.
pub(super) unsafe fn is_killed(thd: *mut c_void) -> bool {
    match server_function!(c"thd_kill_level": abi::kr_kill_level) {
        // SAFETY: by this function's contract.
        Some(kill_level) if !thd.is_null() => unsafe { kill_level(thd) != 0 },
        _ => false,
    }
}

/// The connection whose statement this thread runs, or the one without a number that a thread of
/// the server's own may have; null in a thread without one.
pub(super) fn current_thd() -> *mut c_void {
    match server_function!(c"_current_thd": abi::kr_current_thd) {
        // SAFETY: it reads a variable of this thread.
        Some(current) => unsafe { current() },
        None => ptr::null_mut(),
    }
}

/// The statement that this thread runs. One that makes a table counts as such once the server is
/// up, or in one that makes its first tables (bootstrap).
pub(super) fn statement() -> Statement {
    let tablespace_op = server_function!(c"thd_tablespace_op": abi::kr_sql_command);
    let thd = current_thd();
    let command = server_function!(c"thd_sql_command": abi::kr_sql_command);
    let Some(command) = command.filter(|_| !thd.is_null()) else {
        return Statement::None;
    };
    let number = server_function!(c"thd_get_thread_id": abi::kr_thread_id);
    // SAFETY: the connection is this thread's own.
    if number.is_some_and(|number| unsafe { number(thd) } == 0) {
        return Statement::None;
    }
    // SAFETY: the connection is this thread's own.
    if tablespace_op.is_some_and(|is_at_it| unsafe { is_at_it(thd) } != 0) {
        return Statement::ImportsTablespace;
    }
    // SAFETY: as above.
    let command = unsafe { command(thd) } as c_uint;
    let is_of_table = command == abi::KR_SQLCOM_CREATE_TABLE || command == abi::KR_SQLCOM_ALTER_TABLE;
    match is_of_table && (is_server_up() || flag(c"opt_bootstrap") == Some(true)) {
        true => Statement::MakesOrAltersTable,
        false => Statement::Other,
    }
}

/// The server's symbol of this name, or null.
fn symbol(name: &CStr) -> *mut c_void {
    // SAFETY: the name is a C string; the search changes nothing.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

/// The text, without its middle where it is too long for the server, which would cut off the hint
/// at its end. What is long is a path in the middle.
fn shorten(text: &str) -> String {
    const LEFT_OUT: &str = "...";
    if text.len() < MESSAGE_ROOM {
        return text.to_string();
    }
    let half = (MESSAGE_ROOM - 1 - LEFT_OUT.len()) / 2;
    let boundary = |at: &usize| text.is_char_boundary(*at);
    let head = (0..=half).rev().find(boundary).unwrap_or(0);
    let tail = (text.len() - half..=text.len())
        .find(boundary)
        .unwrap_or(text.len());
    [&text[..head], LEFT_OUT, &text[tail..]].concat()
}

/// A variable of the server that is exported for plugins from 10.5 to 11.8.
const HAS_STARTED: &CStr = c"mysqld_server_started";

/// Whether the server has started up. One that does not tell has not.
pub(super) fn is_server_up() -> bool {
    flag(HAS_STARTED) == Some(true)
}

/// Whether this is a server that has not started up yet; mariadb-backup is none.
pub(super) fn is_server_starting() -> bool {
    flag(HAS_STARTED) == Some(false) && !is_backup_tool()
}

/// Ends the process at once, as a failed one: nothing of it runs any more.
pub(super) fn end_process() -> ! {
    // SAFETY: it does not return, and runs nothing of the process.
    unsafe { libc::_exit(1) }
}

/// Whether the server's variable of this name, a bool or an int, is not 0 (little-endian, so the
/// first byte tells); `None` where there is no such variable.
fn flag(name: &CStr) -> Option<bool> {
    let variable = symbol(name).cast::<u8>();
    if variable.is_null() {
        return None;
    }
    // SAFETY: the symbol is a variable of at least one byte, which lives as long as the process;
    // the server writes it once, and an atomic of one byte has no alignment.
    Some(unsafe { AtomicU8::from_ptr(variable) }.load(Ordering::Acquire) != 0)
}

/// The server's data directory; `None` where the server does not tell it as an absolute path, and
/// in mariadb-backup, which works on a server's or on a copy. The working directory may be another.
pub(super) fn data_directory() -> Option<PathBuf> {
    data_home().filter(|_| !is_backup_tool())
}

/// The same; in mariadb-backup the server's, or the copy that it prepares, which is its working
/// directory then.
pub(super) fn tables_directory() -> Option<PathBuf> {
    let copy = std::env::current_dir().ok();
    let is_copy = |directory: &PathBuf| is_backup_tool() && directory.join(OPTIONS_OF_COPY).exists();
    copy.filter(is_copy).or_else(data_home)
}

/// The file that mariadb-backup puts into each copy.
const OPTIONS_OF_COPY: &str = "backup-my.cnf";

fn data_home() -> Option<PathBuf> {
    // `mysql_real_data_home`, an array of characters (FN_REFLEN) of the server, exported for
    // plugins from 10.5 to 11.8.
    let home = symbol(c"mysql_real_data_home").cast::<c_char>();
    if home.is_null() {
        return None;
    }
    // SAFETY: the symbol is an array that holds a C string; the server fills it before it loads
    // plugins and changes it no more.
    let home = unsafe { CStr::from_ptr(home) };
    let home = Path::new(OsStr::from_bytes(home.to_bytes()));
    home.is_absolute().then(|| home.into())
}

/// Does `work` while this thread of ours is registered as one of the server's, so that it may use
/// SQL.
pub(super) fn with_server_thread(work: impl FnOnce()) {
    let begin = server_function!(c"my_thread_init": Option<extern "C" fn() -> c_char>);
    let end = server_function!(c"my_thread_end": Option<extern "C" fn()>);
    if let (Some(begin), Some(end)) = (begin, end)
        && begin() == 0
    {
        work();
        end();
    }
}

/// Whether this process is mariadb-backup, which loads plugins to read what a server has written.
pub(super) fn is_backup_tool() -> bool {
    static ANSWER: Lazy<bool> = Lazy::new(|| {
        let program = std::env::current_exe().ok();
        let name = program.as_deref().and_then(Path::file_name);
        name.is_some_and(|name| name.to_string_lossy().contains("backup"))
    });
    *ANSWER
}

/// Wakes the threads and asks for their settings: reading INNODB_TABLESPACES_ENCRYPTION makes
/// InnoDB compare each tablespace's key version with the latest one.
const WAKE: &CStr = c"SELECT @@GLOBAL.innodb_encryption_threads, @@GLOBAL.innodb_encryption_rotate_key_age, \
    (SELECT COUNT(*) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION)";

/// Wakes InnoDB's encryption threads; `None` where there is no SQL or it failed.
pub(super) fn wake_encryption_threads() -> Option<Wake> {
    let mut connection = Connection::open(service(&sql_service)?)?;
    let [threads, rotate_key_age] = connection.first_row_of(WAKE)?;
    Some(Wake::Done {
        threads,
        rotate_key_age,
    })
}

/// A connection of the server to itself.
struct Connection {
    sql: &'static abi::kr_sql_service,
    handle: NonNull<abi::kr_mysql>,
}

impl Connection {
    fn open(sql: &'static abi::kr_sql_service) -> Option<Connection> {
        // SAFETY: a null argument makes `init` allocate the handle, which `close` frees.
        let handle = NonNull::new(unsafe { (sql.init?)(ptr::null_mut()) })?;
        let connection = Connection { sql, handle };
        // SAFETY: the handle is fresh; after a failure `drop` closes it all the same.
        let connected = unsafe { (sql.real_connect_local?)(handle.as_ptr()) };
        (!connected.is_null()).then_some(connection)
    }

    /// The first columns of the statement's first row, as numbers.
    fn first_row_of<const N: usize>(&mut self, statement: &CStr) -> Option<[u64; N]> {
        let length = statement.count_bytes() as c_ulong;
        // SAFETY: the handle is connected, and the statement lives until the call returns.
        if unsafe { (self.sql.real_query?)(self.handle.as_ptr(), statement.as_ptr(), length) } != 0 {
            return None;
        }
        // SAFETY: a query that succeeded has a result to be stored.
        let result = NonNull::new(unsafe { (self.sql.store_result?)(self.handle.as_ptr()) })?;
        // SAFETY: the result is not null and not freed yet.
        let row = unsafe { self.sql.fetch_row.map(|fetch| fetch(result.as_ptr())) };
        let numbers = row.and_then(|row| {
            let mut numbers = [0; N];
            for (column, number) in numbers.iter_mut().enumerate() {
                // SAFETY: the row, if there is one, has at least N columns by the statements of
                // this file.
                *number = unsafe { number_at(row, column) }?;
            }
            Some(numbers)
        });
        if let Some(free) = self.sql.free_result {
            // SAFETY: nothing of the result is used any more.
            unsafe { free(result.as_ptr()) }
        }
        numbers
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(close) = self.sql.close {
            // SAFETY: the handle came from `init` and is closed once.
            unsafe { close(self.handle.as_ptr()) }
        }
    }
}

/// # Safety
/// `row` is null or a row of more than `column` columns.
unsafe fn number_at(row: *mut *mut c_char, column: usize) -> Option<u64> {
    if row.is_null() {
        return None;
    }
    // SAFETY: the row has that many columns, by the contract above.
    let text = unsafe { *row.add(column) };
    if text.is_null() {
        return None;
    }
    // SAFETY: a column that is not NULL is a C string.
    unsafe { CStr::from_ptr(text) }.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_too_long_for_the_server_keeps_its_beginning_and_its_end() {
        assert_eq!(shorten(&"x".repeat(511)), "x".repeat(511));
        for filler in ["x", "\u{e9}", "\u{20ac}", "\u{1f511}"] {
            for before in ["reason ", "a reason ", "one reason ", "some reason "] {
                let short = shorten(&format!("{before}{} hint", filler.repeat(600)));
                assert!((500..MESSAGE_ROOM).contains(&short.len()), "{short}");
                assert!(short.starts_with(before) && short.ends_with(" hint") && short.contains("..."));
            }
        }
    }
}
