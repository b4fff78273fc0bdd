//! A walk over a data directory: the tables' tablespaces in it, and those that its links lead to.
//!
//! ```text
//! DIR/DATABASE/*.ibd             a table, a partition, an index of words
//! DIR/DATABASE/*.isl             a text: the path of a table's file that lies elsewhere
//! ```
//!
//! The system and undo tablespaces (`DIR/ibdata*`, `DIR/undo*`) must not be opened: the walk runs
//! in the server, which keeps other servers away by a lock on `ibdata1`, and a process loses its
//! locks on a file when it closes the file, whoever in it had opened that (fcntl(2)). Their key is
//! always key 1.
//!
//! Two small reads for each file, no lock, nothing is kept. It ends early when the work is no
//! longer wanted ([`crate::cancel`]).

use std::collections::BTreeMap;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::files;
use super::tablespace::{self, START};
use crate::cancel;

/// A walk that did not come to its end.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they are")]
pub enum WalkError {
    #[error("cannot read the data directory {}: {source}", directory.display())]
    Unreadable { directory: PathBuf, source: io::Error },

    /// What is in it cannot be read now: no file can be opened any more, or the disk fails.
    #[error("cannot read {}: {source}", path.display())]
    NotNow { path: PathBuf, source: io::Error },

    /// Nobody wants the answer any more: the statement was killed, or the server ends.
    #[error("the statement was killed")]
    GivenUp,
}

/// The key ids that tables of this data directory are encrypted with, each with the first such file
/// by its name.
///
/// # Errors
/// A directory that cannot be read, what is in it and cannot be read now, and work that is no
/// longer wanted. A file that is none or that this user may not read names no key.
pub fn key_ids_in_use(directory: &Path) -> Result<BTreeMap<u32, PathBuf>, WalkError> {
    let mut found: BTreeMap<u32, PathBuf> = BTreeMap::new();
    let end = walk(directory, |id, path| {
        let first = found.entry(id).or_insert_with(|| path.clone());
        if path < *first {
            *first = path;
        }
        ControlFlow::Continue(())
    })?;
    debug_assert!(end.is_none());
    Ok(found)
}

/// A table's file in this data directory that is encrypted with this key; `None` where there is
/// none.
pub fn file_in_use(directory: &Path, id: u32) -> Result<Option<PathBuf>, WalkError> {
    walk(directory, |found, path| match found == id {
        true => ControlFlow::Break(path),
        false => ControlFlow::Continue(()),
    })
}

/// Tells each encrypted table, until `tell` has heard enough: what it broke off with.
fn walk(
    directory: &Path,
    mut tell: impl FnMut(u32, PathBuf) -> ControlFlow<PathBuf>,
) -> Result<Option<PathBuf>, WalkError> {
    let unreadable = |source| WalkError::Unreadable {
        directory: directory.into(),
        source,
    };
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        // No database begins with a point; snapshots of file systems do.
        if name.as_bytes().starts_with(b".") {
            continue;
        }
        if !is_directory(&entry) {
            continue;
        }
        // A database that was dropped meanwhile, or that this user may not read (`lost+found`),
        // says nothing.
        let folder = entry.path();
        for table in unless_now(fs::read_dir(&folder), &folder)?.into_iter().flatten() {
            let Some(table) = unless_now(table, &folder)? else {
                continue;
            };
            let path = match table.file_name().as_bytes() {
                name if name.ends_with(b".ibd") => table.path(),
                name if name.ends_with(b".isl") => {
                    match unless_now(files::linked(&table.path()), &table.path())?.flatten() {
                        Some(path) => path,
                        None => continue,
                    }
                }
                _ => continue,
            };
            if let ControlFlow::Break(path) = look_at(path, &mut tell)? {
                return Ok(Some(path));
            }
        }
    }
    // An answer that nobody waits for any more must not be acted on.
    match cancel::is_cancelled() {
        true => Err(WalkError::GivenUp),
        false => Ok(None),
    }
}

fn is_directory(entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()).is_ok_and(|followed| followed.is_dir()),
        Ok(kind) => kind.is_dir(),
        Err(_) => false,
    }
}

fn look_at(
    path: PathBuf,
    tell: &mut impl FnMut(u32, PathBuf) -> ControlFlow<PathBuf>,
) -> Result<ControlFlow<PathBuf>, WalkError> {
    if cancel::is_cancelled() {
        return Err(WalkError::GivenUp);
    }
    Ok(match unless_now(key_id(&path), &path)?.flatten() {
        Some(id) => tell(id, path),
        None => ControlFlow::Continue(()),
    })
}

/// The key of this file, if it is an encrypted tablespace.
fn key_id(path: &Path) -> io::Result<Option<u32>> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    let mut bytes = [0; START];
    file.read_exact_at(&mut bytes, 0)?;
    let range = tablespace::range(&bytes);
    let Some((at, information)) = range.and_then(|(at, length)| Some((at, bytes.get_mut(..length)?))) else {
        return Ok(None);
    };
    file.read_exact_at(information, at as u64)?;
    Ok(tablespace::key_id_of(information))
}

/// Opens a regular file. Whatever else has such a name, a pipe above all, must not be waited for.
fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

/// Passes, as nothing, what cannot be read at all. What could be read at another moment may be
/// encrypted with any key.
fn unless_now<T>(read: io::Result<T>, path: &Path) -> Result<Option<T>, WalkError> {
    const NOW: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EIO];
    match read {
        Ok(read) => Ok(Some(read)),
        Err(source) if source.raw_os_error().is_some_and(|code| NOW.contains(&code)) => {
            Err(WalkError::NotNow {
                path: path.into(),
                source,
            })
        }
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::datadir::tablespace::MOST;

    /// The beginning of a tablespace with pages of 16 KiB that is encrypted with this key.
    fn tablespace(id: u32) -> Vec<u8> {
        let mut page = vec![0; 16_384];
        page[54..58].copy_from_slice(&[0, 0, 0, 0x15]);
        page[10_428..][..8].copy_from_slice(b"s\x0e\x0cREt\x01\x10");
        page[10_456..][..4].copy_from_slice(&id.to_be_bytes());
        page
    }

    fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        dir
    }

    #[test]
    fn every_encrypted_table_is_found_wherever_the_server_keeps_it() {
        let elsewhere = directory(&[("far/t.ibd", &tablespace(8)), ("whole/t.ibd", &tablespace(9))]);
        let far = elsewhere.path().join("far/t.ibd");
        let dir = directory(&[
            ("ibdata1", &tablespace(1)),
            ("undo001", &tablespace(2)),
            ("a/t.ibd", &tablespace(3)),
            ("a/t#P#p0.ibd", &tablespace(4)),
            ("b/t.ibd", &tablespace(3)),
            ("b/far.isl", format!("{}\n", far.display()).as_bytes()),
        ]);
        std::os::unix::fs::symlink(elsewhere.path().join("whole"), dir.path().join("linked")).unwrap();
        let found = key_ids_in_use(dir.path()).unwrap();
        let path = |name| dir.path().join(name);
        let expected = [
            (3, path("a/t.ibd")),
            (4, path("a/t#P#p0.ibd")),
            (8, far),
            (9, path("linked/t.ibd")),
        ];
        assert_eq!(found, BTreeMap::from(expected));
        for (id, path) in &found {
            let file = file_in_use(dir.path(), *id).unwrap().unwrap();
            assert_eq!(file.file_name(), path.file_name());
        }
        assert_eq!(file_in_use(dir.path(), 5).unwrap(), None);
    }

    /// By the kernel's list, because the process that has a lock is never in its own way.
    #[test]
    fn a_lock_of_this_process_on_the_system_tablespace_is_there_afterwards() {
        let dir = directory(&[("ibdata1", &tablespace(1)), ("a/t.ibd", &tablespace(3))]);
        let path = dir.path().join("ibdata1");
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let lock = libc::flock {
            l_type: libc::F_WRLCK as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETLK(&lock)).unwrap();
        let inode = std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap());
        let is_locked = || {
            let locks = fs::read_to_string("/proc/locks").unwrap();
            let (pid, inode) = (std::process::id(), format!(":{inode}"));
            locks.lines().any(|line| {
                let mut words = line.split_whitespace();
                words.any(|word| word == pid.to_string()) && words.any(|word| word.ends_with(&inode))
            })
        };
        assert!(is_locked());
        assert!(file_in_use(dir.path(), 3).unwrap().is_some());
        assert!(file_in_use(dir.path(), 1).unwrap().is_none());
        assert!(is_locked());
        drop(File::open(&path).unwrap());
        assert!(!is_locked(), "the test sees no locks");
    }

    #[test]
    fn what_is_no_whole_tablespace_says_nothing_and_is_waited_for_by_nobody() {
        let encrypted = tablespace(7);
        let dir = directory(&[
            ("a/short.ibd", &encrypted[..57]),
            ("a/cut.ibd", &encrypted[..10_458]),
            ("a/empty.ibd", b""),
            ("a/noise.ibd", &[0xA5; MOST]),
            ("a/relative.isl", b"a/hidden"),
            ("a/nowhere.isl", b"/nowhere/at/all.ibd"),
            ("a/noise.isl", &[0xFF; 9000]),
            ("a/hidden", &encrypted),
            ("a/b/deep.ibd", &encrypted),
            (".snapshot/t.ibd", &encrypted),
            ("t.ibd.copy", &encrypted),
            ("a/folder.ibd/x", b""),
        ]);
        nix::unistd::mkfifo(&dir.path().join("a/pipe.ibd"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(key_ids_in_use(dir.path()).unwrap(), BTreeMap::new());
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_an_error_that_names_it() {
        let error = key_ids_in_use(Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }

    /// In a process that may have no more than a few files open.
    #[test]
    fn where_no_file_can_be_opened_it_is_not_said_that_no_data_needs_a_key() {
        const NAME: &str = "where_no_file_can_be_opened_it_is_not_said_that_no_data_needs_a_key";
        const DIRECTORY: &str = "KEYROLL_TEST_DIRECTORY";
        let Some(directory) = std::env::var_os(DIRECTORY) else {
            let dir = directory(&[("a/t.ibd", &tablespace(7))]);
            let status = std::process::Command::new("prlimit")
                .arg("--nofile=32:32")
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", &format!("datadir::walk::tests::{NAME}")])
                .env(DIRECTORY, dir.path())
                .status();
            assert!(status.unwrap().success());
            return;
        };
        let mut open: Vec<File> = (0..32).map_while(|_| File::open("/dev/null").ok()).collect();
        // Room for the data directory; for a database in it, too; and for a table.
        for room in 1..=3 {
            open.truncate(open.len() - 1);
            let found = file_in_use(Path::new(&directory), 7);
            match room {
                3 => assert!(found.unwrap().is_some()),
                _ => assert!(
                    matches!(found, Err(WalkError::NotNow { .. })),
                    "{room}: {found:?}"
                ),
            }
        }
    }

    #[test]
    fn a_walk_that_nobody_wants_any_more_ends() {
        let dir = directory(&[("a/t.ibd", &tablespace(7))]);
        let ended = cancel::while_wanted(|| true, || file_in_use(dir.path(), 7));
        assert!(matches!(ended, Err(WalkError::GivenUp)));
    }

    #[test]
    fn ten_thousand_tables_are_walked_in_the_time_of_a_statement() {
        let dir = directory(&[]);
        let (plain, encrypted) = (vec![0; 16_384], tablespace(7));
        fs::create_dir(dir.path().join("a")).unwrap();
        for number in 0..10_000 {
            let bytes = if number % 2 == 0 { &plain } else { &encrypted };
            fs::write(dir.path().join(format!("a/t{number}.ibd")), bytes).unwrap();
        }
        let start = Instant::now();
        assert_eq!(file_in_use(dir.path(), 9).unwrap(), None);
        let took = start.elapsed();
        assert!(took.as_secs() < 5, "{took:?}");
    }
}
