//! All of a data directory: which key version encrypts how much of what.
//!
//! No key is needed, and nothing is written. While a server runs, it is what stands on the disk at
//! that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::slice;

use super::aria_pages::{self, AriaPages};
use super::binary_log::{self, BinaryLog};
use super::files::DataFiles;
use super::pages::{Counter, Pages};
use super::redo_log;
use crate::durable::read;
use crate::keys::KeyName;

/// What a scan has found.
#[derive(Debug, Default)]
pub struct Scan {
    /// InnoDB's tablespaces, each with its first file.
    pub tablespaces: Vec<(PathBuf, Pages)>,
    /// Aria tables by their index files.
    pub aria: Vec<(PathBuf, AriaPages)>,
    /// The redo log and the versions that it names.
    pub redo_log: Option<(PathBuf, BTreeSet<KeyName>)>,
    /// Binary and relay logs.
    pub binary_logs: Vec<(PathBuf, BinaryLog)>,
    /// What could not be read, and why: anything may be in it.
    pub unread: Vec<(PathBuf, io::Error)>,
}

impl Scan {
    /// Reads these files of a data directory. `tell` hears of the bytes of tablespaces that were
    /// passed.
    pub fn of(files: &DataFiles, directory: &Path, mut tell: impl FnMut(u64)) -> Scan {
        let mut scan = Scan::default();
        let system = scan.read(files.system.first(), |_| pages_of(&files.system, true, &mut tell));
        scan.tablespaces.extend(system);
        for path in &files.tablespaces {
            let pages = scan.read(Some(path), |path| {
                pages_of(slice::from_ref(path), false, &mut tell)
            });
            scan.tablespaces.extend(pages);
        }
        for path in &files.aria {
            let pages = scan.read(Some(path), |path| aria_pages::pages_of(path));
            scan.aria.extend(pages);
        }
        scan.redo_log = scan.read(files.redo_log.as_ref(), |path| {
            redo_log::versions_in(path).map(Some)
        });
        let mut logs = BTreeSet::new();
        for index in &files.log_indexes {
            let named = scan.read(Some(index), |path| binary_log::logs_in(path, directory).map(Some));
            logs.extend(named.into_iter().flat_map(|(_, logs)| logs));
        }
        // An index may name logs that were removed by hand.
        for path in logs.iter().filter(|path| path.symlink_metadata().is_ok()) {
            let log = scan.read(Some(path), |path| binary_log::encryption_of(path));
            scan.binary_logs.extend(log);
        }
        scan
    }

    /// Reads a file, and notes what could not be read, or is something else than its name says.
    fn read<T>(
        &mut self,
        path: Option<&PathBuf>,
        read: impl FnOnce(&PathBuf) -> io::Result<Option<T>>,
    ) -> Option<(PathBuf, T)> {
        let path = path?;
        match read(path) {
            Ok(Some(found)) => Some((path.clone(), found)),
            Ok(None) => {
                let error = io::Error::new(io::ErrorKind::InvalidData, "it is not what its name says");
                self.unread.push((path.clone(), error));
                None
            }
            Err(error) => {
                self.unread.push((path.clone(), error));
                None
            }
        }
    }

    /// What each key version encrypts, by key id and version.
    pub fn versions(&self) -> BTreeMap<KeyName, Use> {
        let mut found: BTreeMap<KeyName, Use> = BTreeMap::new();
        for (_, pages) in &self.tablespaces {
            for (version, count) in &pages.versions {
                let name = KeyName {
                    id: pages.key_id.unwrap_or(SYSTEM_KEY),
                    version: *version,
                };
                let found = found.entry(name).or_default();
                found.pages += count.all;
                found.free_pages += count.free;
                found.files += 1;
            }
        }
        let system = |version| KeyName {
            id: SYSTEM_KEY,
            version,
        };
        for (_, pages) in &self.aria {
            for (version, count) in &pages.versions {
                let found = found.entry(system(*version)).or_default();
                found.aria_pages += count;
                found.aria_tables += 1;
            }
        }
        for name in self.redo_log.iter().flat_map(|(_, names)| names) {
            found.entry(*name).or_default().is_in_redo_log = true;
        }
        for (_, log) in &self.binary_logs {
            if let BinaryLog::Encrypted(version) = log {
                found.entry(system(*version)).or_default().binary_logs += 1;
            }
        }
        found
    }
}

/// The key of logs, and of data that names none.
const SYSTEM_KEY: u32 = 1;

/// What a key version encrypts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Pages of InnoDB, free ones among them.
    pub pages: u64,
    /// Those of them that are free.
    pub free_pages: u64,
    /// Tablespaces with such pages.
    pub files: u64,
    /// Pages of Aria tables.
    pub aria_pages: u64,
    /// Aria tables with such pages.
    pub aria_tables: u64,
    /// Binary and relay logs.
    pub binary_logs: u64,
    /// Whether the redo log names it.
    pub is_in_redo_log: bool,
}

/// The pages of a tablespace of these files.
fn pages_of(files: &[PathBuf], is_system: bool, mut tell: impl FnMut(u64)) -> io::Result<Option<Pages>> {
    let mut counter: Option<Counter> = None;
    for path in files {
        let file: File = read::regular(path)?;
        if counter.is_none() {
            counter = Counter::new(&file, is_system)?;
        }
        match &mut counter {
            Some(counter) => counter.count(&file, &mut tell)?,
            None => return Ok(None),
        }
    }
    Ok(counter.map(Counter::finish))
}
