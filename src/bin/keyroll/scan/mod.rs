//! `keyroll scan`: where in a data directory each key version still is.

mod places;
mod report;
mod running;
mod steps;
mod table_name;

use std::path::PathBuf;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use keyroll::datadir::files;
use keyroll::datadir::scan::Scan;
use keyroll::keys::KeySet;

use crate::failure::Failure;
use crate::store::say_warnings;
use crate::store_args::StoreArgs;
use crate::terminal;
use report::Report;

/// What a script sees when a part of the data could not be read.
const EXIT_UNREAD: u8 = 1;

/// Finds where in a data directory each key version still is, and what is not encrypted at all
///
/// Reads the heads of InnoDB's and Aria's pages, the redo log and the binary and relay logs, of a
/// stopped or running server, of a prepared backup or of a mounted snapshot. It needs no key, and
/// changes nothing. Where a key store is named, as an argument or in the server's option files, it
/// tells of each version whether the store has it. For each version but the latest it prints what
/// has to be done until nothing here needs it any more; for one that the store lacks only that its
/// newest copy is to be put back.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  sudo keyroll scan
      The data directory and the key store of the server that is installed here.
  keyroll scan /backup/2026-11-29 --no-defaults --tables
  keyroll scan --json | jq '.versions[] | select(.key_id == 1)'

Exit codes:
   0  all of it was read
   1  some files could not be read: anything may be in them
   2  failed; the reason is on standard error
  64  the arguments make no sense")]
pub(crate) struct Args {
    /// The data directory, or a prepared backup [default: datadir of the server's
    /// option files, or else /var/lib/mysql]
    #[arg(value_name = "DATADIR")]
    directory: Option<PathBuf>,

    #[command(flatten)]
    store: StoreArgs,

    /// Print a line for each file and version, too
    #[arg(long)]
    tables: bool,

    /// Print a JSON object, for scripts
    ///
    /// It is {version, code: "scanned", datadir, running, versions, not_encrypted, unread, steps},
    /// and {tables} with --tables; docs/scan.md explains each.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let options = args.store.option_files.read(|warning| terminal::warn(warning))?;
    let keys = keys(&args.store);
    let of_server = places::data_directory(&options);
    // Of another directory than the server's the server's other settings say nothing.
    let is_server = args.directory.as_ref().is_none_or(|named| *named == of_server);
    let directory = args.directory.clone().unwrap_or(of_server);
    let places = if is_server {
        places::of(&options, &directory)
    } else {
        files::Places::default()
    };
    let found =
        files::find(&directory, &places).map_err(|(path, source)| Failure::Unreadable { path, source })?;
    let is_running = running::is_running(&directory, &found);
    let bar = bar(&found);
    let scan = Scan::of(&found, &directory, |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let report = Report::new(directory, is_running, scan, &found, keys.as_ref());
    if args.json {
        terminal::print_json(&report.json(args.tables))?;
    } else {
        terminal::print(report.text(args.tables).as_bytes())?;
    }
    Ok(if report.is_whole() {
        ExitCode::SUCCESS
    } else {
        EXIT_UNREAD.into()
    })
}

/// The keys of the store that is named. No key is needed here, so a store that does not open is no
/// failure.
fn keys(store: &StoreArgs) -> Option<KeySet> {
    let loaded = store.choose().and_then(|chosen| chosen.open()?.load());
    match loaded {
        Ok(loaded) => {
            say_warnings(&loaded);
            Some(loaded.keys)
        }
        Err(Failure::NoStore) => None,
        Err(failure) => {
            terminal::warn(format!(
                "what the key store has is not told: {failure}; {}",
                failure.hint()
            ));
            None
        }
    }
}

/// A bar that shows how far the scan is, where a human looks on.
fn bar(found: &files::DataFiles) -> ProgressBar {
    let files = found.system.iter().chain(&found.tablespaces);
    let bytes = files
        .filter_map(|path| path.metadata().ok())
        .map(|meta| meta.len())
        .sum();
    let bar = ProgressBar::new(bytes);
    if let Ok(style) =
        ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left")
    {
        bar.set_style(style);
    }
    bar
}

/// The state of a version that the key store lacks.
const MISSING: &str = "missing";

/// How a version stands in the key store.
fn state(keys: &KeySet, name: keyroll::keys::KeyName) -> &'static str {
    match keys.latest(name.id) {
        Some(latest) if latest == name => "latest",
        _ if keys.iter().any(|(known, _)| known == name) => "older",
        _ => MISSING,
    }
}
