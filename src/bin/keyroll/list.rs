//! `keyroll list`: which keys and versions a key file holds.

use std::fmt::Write;

use keyroll::keystore::{KeySet, KeyStore};
use serde::Serialize;

use crate::failure::Failure;
use crate::key_file_args::{KeyFileArgs, say_warnings};
use crate::terminal;

/// Lists the keys of a key file and their versions, never their bytes
///
/// The latest version of a key encrypts; the older ones only decrypt.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  keyroll list /var/lib/keyroll/keys
  keyroll list /var/lib/keyroll/keys --json | jq '.[] | select(.latest)'")]
pub(crate) struct Args {
    #[command(flatten)]
    key_file: KeyFileArgs,

    /// Print an array of {id, version, latest, bits} for scripts
    #[arg(long)]
    json: bool,
}

/// One version of a key, as `--json` shows it.
#[derive(Serialize)]
struct Row {
    id: u32,
    version: u32,
    latest: bool,
    bits: usize,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let loaded = args.key_file.open(false)?.load()?;
    say_warnings(&loaded);
    let rows = rows(&loaded.keys);
    terminal::print(if args.json { json(&rows)? } else { table(&rows) }.as_bytes())
}

fn rows(keys: &KeySet) -> Vec<Row> {
    keys.iter()
        .map(|(name, key)| Row {
            id: name.id,
            version: name.version,
            latest: keys.latest(name.id) == Some(name),
            bits: key.len() * 8,
        })
        .collect()
}

fn json(rows: &[Row]) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(rows).map_err(|error| Failure::Output(error.into()))?;
    text.push('\n');
    Ok(text)
}

fn table(rows: &[Row]) -> String {
    let mut text = format!("{:>10}  {:>10}  {:6}  {:>4}\n", "key id", "version", "", "bits");
    for Row {
        id,
        version,
        latest,
        bits,
    } in rows
    {
        let mark = if *latest { "latest" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{id:>10}  {version:>10}  {mark:6}  {bits:>4}");
    }
    text
}
