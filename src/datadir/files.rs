//! The files of a data directory by what they hold: tablespaces, Aria tables, logs, and what no
//! server encrypts.
//!
//! By their names, as the server finds them. A backup, a snapshot and a stopped server's directory
//! have the same ones.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::durable::read;

/// The longest path that a link may hold, in bytes.
const LONGEST_LINK: u64 = 4096;

/// Where a server's settings put what is not in its data directory, or has another name there; all
/// of it absolute.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The files of the system tablespace in their order (`innodb_data_home_dir`,
    /// `innodb_data_file_path`); empty: `ibdata1`, `ibdata2` and so on.
    pub system: Vec<PathBuf>,
    /// `innodb_undo_directory`.
    pub undo: Option<PathBuf>,
    /// `innodb_log_group_home_dir`.
    pub redo_log: Option<PathBuf>,
    /// Index files of binary and relay logs besides those in the data directory.
    pub log_indexes: Vec<PathBuf>,
}

/// The files of a data directory, each kind in the order of its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataFiles {
    /// The files of the system tablespace, in their order.
    pub system: Vec<PathBuf>,
    /// Tablespaces of one file: tables and undo logs.
    pub tablespaces: Vec<PathBuf>,
    /// The redo log, where there is one.
    pub redo_log: Option<PathBuf>,
    /// Index files of Aria tables.
    pub aria: Vec<PathBuf>,
    /// Index files of binary and relay logs.
    pub log_indexes: Vec<PathBuf>,
    /// Files with data which no server encrypts.
    pub never_encrypted: Vec<PathBuf>,
    /// How many definitions of tables (`.frm`) there are, which no server encrypts.
    pub definitions: u64,
}

/// Finds the files.
///
/// # Errors
/// A directory that cannot be read, with its path.
pub fn find(directory: &Path, places: &Places) -> Result<DataFiles, (PathBuf, io::Error)> {
    let mut found = DataFiles {
        system: places.system.clone(),
        log_indexes: places.log_indexes.clone(),
        ..DataFiles::default()
    };
    let mut numbered = BTreeSet::new();
    for path in entries(directory)? {
        let name = name_of(&path);
        if path.is_dir() {
            // No database begins with a point; snapshots of file systems do. `#rocksdb` and the
            // like are other engines'.
            if !name.starts_with(b".") && name != b"lost+found" {
                add_database(&path, &mut found)?;
            }
        } else if let Some(number) = number_behind(name, b"ibdata") {
            numbered.insert((number, path));
        } else if number_behind(name, b"undo").is_some() {
            found.tablespaces.push(path);
        } else if name.ends_with(b".index") {
            found.log_indexes.push(path);
        } else if number_behind(name, b"aria_log.").is_some() || name == b"galera.cache" {
            found.never_encrypted.push(path);
        }
    }
    if found.system.is_empty() {
        found.system = numbered.into_iter().map(|(_, path)| path).collect();
    }
    if let Some(undo) = places.undo.as_deref().filter(|undo| *undo != directory) {
        let undo = entries(undo)?.into_iter();
        found
            .tablespaces
            .extend(undo.filter(|path| number_behind(name_of(path), b"undo").is_some()));
    }
    let redo_log = super::redo_log::path(places.redo_log.as_deref().unwrap_or(directory));
    found.redo_log = redo_log.exists().then_some(redo_log);
    found.sort();
    Ok(found)
}

impl DataFiles {
    fn sort(&mut self) {
        for paths in [
            &mut self.tablespaces,
            &mut self.aria,
            &mut self.log_indexes,
            &mut self.never_encrypted,
        ] {
            paths.sort();
            paths.dedup();
        }
    }
}

fn add_database(folder: &Path, found: &mut DataFiles) -> Result<(), (PathBuf, io::Error)> {
    for path in entries(folder)? {
        match path.extension().map(OsStr::as_bytes) {
            Some(b"ibd") => found.tablespaces.push(path),
            Some(b"isl") => {
                let linked = linked(&path).map_err(|error| (path, error))?;
                found.tablespaces.extend(linked);
            }
            Some(b"MAI") => found.aria.push(path),
            Some(b"frm") => found.definitions += 1,
            Some(b"MYD" | b"MYI" | b"CSV" | b"ARZ") => found.never_encrypted.push(path),
            _ => {}
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let failed = |error| (folder.to_owned(), error);
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()
        .map_err(failed)
}

/// The absolute path that an .isl file, of a table with DATA DIRECTORY, holds.
pub(crate) fn linked(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut text = Vec::new();
    read::regular(path)?.take(LONGEST_LINK).read_to_end(&mut text)?;
    let path = Path::new(OsStr::from_bytes(text.trim_ascii()));
    Ok(path.is_absolute().then(|| path.into()))
}

fn name_of(path: &Path) -> &[u8] {
    path.file_name().map(OsStr::as_bytes).unwrap_or_default()
}

/// The number that such a name ends with.
fn number_behind(name: &[u8], prefix: &[u8]) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    let are_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| are_digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for name in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        directory
    }

    #[test]
    fn each_file_is_found_by_what_it_holds() {
        let elsewhere = directory(&["t.ibd", "undo003", "ib_logfile0", "a.index", "system"]);
        let data = directory(&[
            "ibdata10",
            "ibdata9",
            "ibdata1",
            "ibdata",
            "undo001",
            "undo",
            "ib_logfile0",
            "ib_logfile1",
            "ibtmp1",
            "a-bin.index",
            "a-bin.000001",
            "aria_log.00000001",
            "aria_log_control",
            "galera.cache",
            "keyroll.mark",
            "a/t.ibd",
            "a/t.frm",
            "a/u.frm",
            "a/v.MAI",
            "a/v.MAD",
            "a/w.MYD",
            "a/w.MYI",
            "a/x.CSV",
            "a/t#P#p0.ibd",
            ".snapshot/t.ibd",
            "lost+found/t.ibd",
            "a/b/t.ibd",
        ]);
        fs::write(
            data.path().join("a/far.isl"),
            elsewhere.path().join("t.ibd").to_str().unwrap(),
        )
        .unwrap();
        fs::write(data.path().join("a/near.isl"), "t.ibd").unwrap();
        let path = |name: &str| data.path().join(name);
        let far = |name: &str| elsewhere.path().join(name);
        let found = find(data.path(), &Places::default()).unwrap();
        let mut tablespaces = vec![
            far("t.ibd"),
            path("a/t#P#p0.ibd"),
            path("a/t.ibd"),
            path("undo001"),
        ];
        tablespaces.sort();
        assert_eq!(
            found,
            DataFiles {
                system: vec![path("ibdata1"), path("ibdata9"), path("ibdata10")],
                tablespaces,
                redo_log: Some(path("ib_logfile0")),
                aria: vec![path("a/v.MAI")],
                log_indexes: vec![path("a-bin.index")],
                never_encrypted: vec![
                    path("a/w.MYD"),
                    path("a/w.MYI"),
                    path("a/x.CSV"),
                    path("aria_log.00000001"),
                    path("galera.cache"),
                ],
                definitions: 2,
            }
        );
        let places = Places {
            system: vec![far("system")],
            undo: Some(elsewhere.path().into()),
            redo_log: Some(elsewhere.path().into()),
            log_indexes: vec![far("a.index")],
        };
        let found = find(data.path(), &places).unwrap();
        assert_eq!(found.system, [far("system")]);
        assert!(found.tablespaces.contains(&far("undo003")));
        assert_eq!(found.redo_log, Some(far("ib_logfile0")));
        assert!(found.log_indexes.contains(&far("a.index")));
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_named() {
        let (path, _) = find(Path::new("/nowhere"), &Places::default()).unwrap_err();
        assert_eq!(path, Path::new("/nowhere"));
    }
}
