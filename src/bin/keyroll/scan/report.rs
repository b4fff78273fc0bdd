//! What a scan has found, for people and for scripts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use keyroll::datadir::binary_log::BinaryLog;
use keyroll::datadir::files::DataFiles;
use keyroll::datadir::scan::{Scan, Use};
use keyroll::keys::{KeyName, KeySet};
use keyroll::one_line::one_line;
use serde_json::{Value, json};

use super::steps;
use crate::table::{self, Column};
use crate::terminal;

/// So many files are named in a line.
const SHOWN: usize = 20;

/// A file and a version: path, key id, version (0 in clear), pages, free ones.
type Row<'a> = (&'a Path, Option<u32>, u32, u64, u64);

pub(super) struct Report<'a> {
    directory: PathBuf,
    is_running: bool,
    scan: Scan,
    definitions: u64,
    never_encrypted: &'a [PathBuf],
    versions: BTreeMap<KeyName, Use>,
    keys: Option<&'a KeySet>,
}

impl Report<'_> {
    pub(super) fn new<'a>(
        directory: PathBuf,
        is_running: bool,
        scan: Scan,
        found: &'a DataFiles,
        keys: Option<&'a KeySet>,
    ) -> Report<'a> {
        Report {
            directory,
            is_running,
            versions: scan.versions(),
            scan,
            definitions: found.definitions,
            never_encrypted: &found.never_encrypted,
            keys,
        }
    }

    /// Whether all of it could be read.
    pub(super) fn is_whole(&self) -> bool {
        self.scan.unread.is_empty()
    }

    /// The version that encrypts now: the store's latest, or else the highest that was found.
    fn latest(&self, id: u32) -> Option<u32> {
        let in_store = self
            .keys
            .and_then(|keys| keys.latest(id))
            .map(|name| name.version);
        let found = self.versions.keys().filter(|name| name.id == id);
        in_store.or(found.map(|name| name.version).max())
    }

    fn state(&self, name: KeyName) -> Option<&'static str> {
        Some(super::state(self.keys?, name))
    }

    fn is_missing(&self, name: KeyName) -> bool {
        self.state(name) == Some(super::MISSING)
    }

    /// What is to be done about each version that is not the latest one. Where the store lacks a
    /// version of a key nothing is to be rebuilt: its tables may have pages that nobody can read.
    fn steps(&self) -> Vec<(KeyName, Vec<String>)> {
        let missing = self.versions.keys().filter(|name| self.is_missing(**name));
        let incomplete: BTreeSet<u32> = missing.map(|name| name.id).collect();
        let steps = self.versions.iter().filter_map(|(name, found)| {
            if self.is_missing(*name) {
                return Some((*name, vec![steps::PUT_STORE_BACK.to_owned()]));
            }
            let latest = self.latest(name.id).filter(|latest| *latest != name.version)?;
            let is_complete = !incomplete.contains(&name.id);
            is_complete.then(|| (*name, steps::steps(&self.scan, *name, *found, latest)))
        });
        steps.collect()
    }

    /// What stands in clear, by kind.
    fn plain(&self) -> Vec<(&'static str, Vec<&Path>)> {
        let scan = &self.scan;
        let tablespaces = scan.tablespaces.iter();
        let not_encrypted = tablespaces.clone().filter(|(_, pages)| !pages.is_encrypted);
        let partly =
            tablespaces.filter(|(_, pages)| pages.is_encrypted && pages.plain.all > pages.plain.free);
        let aria = scan.aria.iter();
        let plain_logs = scan
            .binary_logs
            .iter()
            .filter(|(_, log)| *log == BinaryLog::Plain);
        let redo_log = scan.redo_log.iter().filter(|(_, versions)| versions.is_empty());
        vec![
            ("tablespaces of InnoDB", paths(not_encrypted)),
            ("pages in tablespaces that are being encrypted", paths(partly)),
            (
                "tables of Aria",
                paths(aria.clone().filter(|(_, pages)| !pages.is_encrypted)),
            ),
            (
                "pages of Aria in encrypted tables",
                paths(aria.filter(|(_, pages)| pages.is_encrypted && pages.plain > 0)),
            ),
            ("the redo log", paths(redo_log)),
            ("binary and relay logs", paths(plain_logs)),
            (
                "files that no server encrypts",
                self.never_encrypted.iter().map(PathBuf::as_path).collect(),
            ),
        ]
    }

    pub(super) fn text(&self, with_tables: bool) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", one_line(&self.directory.display().to_string()));
        if self.is_running {
            text.push_str("A server runs: this is what stands on the disk now, and changes meanwhile.\n");
        }
        text.push('\n');
        match self.versions.is_empty() {
            true => text.push_str("No key version is used here.\n"),
            false => text.push_str(&self.versions_table()),
        }
        if with_tables {
            text.push('\n');
            text.push_str(&self.files_table());
        }
        let plain = self.plain();
        if plain.iter().any(|(_, paths)| !paths.is_empty()) || self.definitions > 0 {
            text.push_str("\nNot encrypted:\n");
            for (kind, paths) in plain.iter().filter(|(_, paths)| !paths.is_empty()) {
                let _ = writeln!(text, "  {kind}: {}", self.named(paths, with_tables));
            }
            if self.definitions > 0 {
                let _ = writeln!(text, "  definitions of tables: {} .frm files", self.definitions);
            }
        }
        for (name, steps) in self.steps() {
            let aim = if self.is_missing(name) { "read" } else { "free" };
            let _ = writeln!(text, "\nTo {aim} {name}:");
            for (number, step) in (1..).zip(&steps) {
                let _ = writeln!(text, "  {number}. {}", one_line(step));
            }
        }
        for (path, error) in &self.scan.unread {
            let line = format!("cannot read {}: {error}", path.display());
            let _ = writeln!(text, "\n{}", one_line(&line));
        }
        text
    }

    fn versions_table(&self) -> String {
        let column = |head, to_the_right, cell: &dyn Fn(&KeyName, &Use) -> String| Column {
            head,
            cells: self
                .versions
                .iter()
                .map(|(name, found)| cell(name, found))
                .collect(),
            to_the_right,
        };
        let count = |number: u64| {
            if number == 0 {
                String::new()
            } else {
                number.to_string()
            }
        };
        let mut columns = vec![
            column("key id", true, &|name, _| name.id.to_string()),
            column("version", true, &|name, _| name.version.to_string()),
            column("", false, &|name, _| self.state(*name).unwrap_or_default().into()),
            column("pages", true, &|_, found| count(found.pages)),
            column("free", true, &|_, found| count(found.free_pages)),
            column("files", true, &|_, found| count(found.files)),
            column("Aria pages", true, &|_, found| count(found.aria_pages)),
            column("tables", true, &|_, found| count(found.aria_tables)),
            column("redo log", false, &|_, found| {
                if found.is_in_redo_log { "yes" } else { "" }.into()
            }),
            column("binary logs", true, &|_, found| count(found.binary_logs)),
        ];
        // What no version is in says nothing.
        columns.retain(|column| column.cells.iter().any(|cell| !cell.is_empty()));
        table::render(columns, terminal::width()).0
    }

    /// A row for each file and version.
    fn files(&self) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        for (path, pages) in &self.scan.tablespaces {
            let plain = Some((0, &pages.plain)).filter(|(_, count)| count.all > 0);
            let versions = pages.versions.iter().map(|(version, count)| (*version, count));
            for (version, count) in plain.into_iter().chain(versions) {
                rows.push((path.as_path(), pages.key_id, version, count.all, count.free));
            }
        }
        for (path, pages) in &self.scan.aria {
            let plain = Some((0, pages.plain)).filter(|(_, count)| *count > 0);
            let versions = pages.versions.iter().map(|(version, count)| (*version, *count));
            for (version, count) in plain.into_iter().chain(versions) {
                rows.push((path.as_path(), Some(1), version, count, 0));
            }
        }
        rows
    }

    fn files_table(&self) -> String {
        let rows = self.files();
        let column = |head, to_the_right, cell: &dyn Fn(&Row<'_>) -> String| Column {
            head,
            cells: rows.iter().map(cell).collect(),
            to_the_right,
        };
        let columns = vec![
            column("key id", true, &|row| {
                row.1.map(|id| id.to_string()).unwrap_or_default()
            }),
            column("version", true, &|row| match row.2 {
                0 => "none".into(),
                version => version.to_string(),
            }),
            column("pages", true, &|row| row.3.to_string()),
            column("free", true, &|row| row.4.to_string()),
            column("file", false, &|row| one_line(&self.relative(row.0)).into_owned()),
        ];
        table::render(columns, None).0
    }

    fn relative(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.directory).unwrap_or(path);
        path.display().to_string()
    }

    fn named(&self, paths: &[&Path], all: bool) -> String {
        let most = if all { usize::MAX } else { SHOWN };
        let shown: Vec<String> = paths.iter().take(most).map(|path| self.relative(path)).collect();
        let more = match paths.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let line = format!("{}: {}{more}", paths.len(), shown.join(", "));
        one_line(&line).into_owned()
    }

    pub(super) fn json(&self, with_tables: bool) -> Value {
        let versions: Vec<Value> = self
            .versions
            .iter()
            .map(|(name, found)| self.version_json(*name, found))
            .collect();
        let plain: serde_json::Map<String, Value> = [
            "tablespaces",
            "tablespaces_in_part",
            "aria",
            "aria_in_part",
            "redo_log",
            "binary_logs",
            "never",
        ]
        .into_iter()
        .zip(self.plain())
        .map(|(kind, (_, paths))| (kind.to_owned(), json!(texts(&paths))))
        .chain([("definitions".to_owned(), json!(self.definitions))])
        .collect();
        let steps = self
            .steps()
            .into_iter()
            .map(|(name, steps)| json!({ "key_id": name.id, "version": name.version, "steps": steps }));
        let unread =
            self.scan.unread.iter().map(
                |(path, error)| json!({ "path": path.display().to_string(), "reason": error.to_string() }),
            );
        let mut object = json!({
            "code": "scanned",
            "datadir": self.directory.display().to_string(),
            "running": self.is_running,
            "versions": versions,
            "not_encrypted": plain,
            "unread": unread.collect::<Vec<_>>(),
            "steps": steps.collect::<Vec<_>>(),
        });
        if with_tables {
            let tables = self.files().into_iter().map(|(path, id, version, pages, free)| {
                json!({ "path": path.display().to_string(), "key_id": id, "version": version, "pages": pages, "free": free })
            });
            object["tables"] = tables.collect();
        }
        object
    }

    fn version_json(&self, name: KeyName, found: &Use) -> Value {
        json!({
            "key_id": name.id,
            "version": name.version,
            "state": self.state(name),
            "pages": found.pages,
            "free_pages": found.free_pages,
            "files": found.files,
            "aria_pages": found.aria_pages,
            "aria_tables": found.aria_tables,
            "redo_log": found.is_in_redo_log,
            "binary_logs": found.binary_logs,
        })
    }
}

fn paths<'a, T: 'a>(of: impl Iterator<Item = &'a (PathBuf, T)>) -> Vec<&'a Path> {
    of.map(|(path, _)| path.as_path()).collect()
}

fn texts(paths: &[&Path]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}
