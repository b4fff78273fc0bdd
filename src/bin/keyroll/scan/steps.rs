//! What has to be done until nothing in a data directory needs an old key version any more.

use std::path::{Path, PathBuf};

use keyroll::datadir::binary_log::BinaryLog;
use keyroll::datadir::scan::{Scan, Use};
use keyroll::keys::KeyName;

use super::table_name;

/// So many tables are named in a step.
const SHOWN: usize = 20;

/// The one step for a version that the key store lacks.
pub(super) const PUT_STORE_BACK: &str =
    "the store lacks this version: put the newest copy of the key store back, and change nothing before";

/// The steps, in the order in which they are to be done. `latest` is the version that encrypts now.
pub(super) fn steps(scan: &Scan, name: KeyName, found: Use, latest: u32) -> Vec<String> {
    let mut steps = Vec::new();
    if found.pages > found.free_pages {
        steps.push(format!(
            "let InnoDB encrypt the pages that are in use anew ({}): SET GLOBAL innodb_encryption_threads = 4; it is done when SELECT COUNT(*) FROM \
             information_schema.INNODB_TABLESPACES_ENCRYPTION WHERE current_key_id = {} AND min_key_version < {latest} AND \
             encryption_scheme = 1 is 0",
            found.pages - found.free_pages,
            name.id
        ));
    }
    if found.aria_pages > 0 {
        let tables = scan
            .aria
            .iter()
            .filter(|(_, pages)| pages.versions.contains_key(&name.version));
        steps.push(rebuild(
            "rebuild the tables of Aria",
            tables.map(|(path, _)| path),
        ));
    }
    if found.is_in_redo_log {
        steps.push(
            "make the redo log anew: stop the server, and start it with another innodb_log_file_size (before MariaDB 10.8 \
             it takes the latest version at its next checkpoint by itself)"
                .into(),
        );
    }
    if found.binary_logs > 0 {
        let is_such = |log: &BinaryLog| *log == BinaryLog::Encrypted(name.version);
        let logs = scan.binary_logs.iter().filter(|(_, log)| is_such(log));
        steps.push(format!(
            "FLUSH BINARY LOGS, and when all replicas and backups have them, PURGE BINARY LOGS; on a replica the relay logs go when \
             they are applied: {}",
            listed(logs.map(|(path, _)| shown(path)))
        ));
    }
    if found.free_pages > 0 {
        let with_free = scan.tablespaces.iter().filter(|(_, pages)| {
            pages.key_id.unwrap_or(1) == name.id
                && pages
                    .versions
                    .get(&name.version)
                    .is_some_and(|count| count.free > 0)
        });
        steps.push(format!(
            "free pages ({}) still hold what once was there; the server reads them no more, and needs no key for them. If their \
             contents matter, {}",
            found.free_pages,
            rebuild("rebuild", with_free.map(|(path, _)| path))
        ));
    }
    steps.push(
        "what cannot be seen from here: backups, replicas, other nodes of a cluster, exported tablespaces"
            .into(),
    );
    steps
}

/// `ALTER TABLE` for each table that has a name; else the file.
fn rebuild<'a>(what: &str, paths: impl Iterator<Item = &'a PathBuf>) -> String {
    let statements = paths.map(|path| match table_name::of(path) {
        Some(table) => format!("ALTER TABLE {table} FORCE"),
        None => format!("what has the file {}", shown(path)),
    });
    format!("{what}: {}", listed(statements))
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.collect();
    items.dedup();
    let more = items.len().saturating_sub(SHOWN);
    items.truncate(SHOWN);
    match more {
        0 => items.join("; "),
        more => format!("{}; and {more} more (--tables lists the files)", items.join("; ")),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
