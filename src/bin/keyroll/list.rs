//! `keyroll list`: which keys and versions a key store holds.

use std::collections::BTreeMap;

use keyroll::keys::{Fingerprint, KeyName, KeySet};
use keyroll::one_line::one_line;
use serde::Serialize;

use crate::failure::Failure;
use crate::store::say_warnings;
use crate::store_args::StoreArgs;
use crate::table::{self, Column};
use crate::terminal;

/// Lists the keys of a key store and their versions, never their bytes
///
/// The latest version of a key encrypts; the older ones only decrypt. The fingerprint tells the
/// bytes of two keys apart and is no secret. A keystore also records what each version encrypts
/// with and when it was made (UTC).
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  keyroll list
      The key store of the server that is installed here.
  keyroll list --filename /var/lib/keyroll/keys
  keyroll list --keystore /var/lib/keyroll/keystore \\
    --master-key file:/srv/keyroll-master/key --json |
    jq '.keys[] | select(.latest)'")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    /// Print a JSON object, for scripts
    ///
    /// It is {version, code: "listed", store, keys: [{id, version, latest, bits,
    /// fingerprint}]}, and {algorithm, created} of a keystore.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Listed<'a> {
    code: &'static str,
    store: String,
    keys: &'a [Row],
}

/// One version of a key, as `--json` shows it.
#[derive(Serialize)]
struct Row {
    id: u32,
    version: u32,
    latest: bool,
    bits: usize,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let store = args.store.choose()?.open()?;
    let loaded = store.load()?;
    say_warnings(&loaded);
    let rows = rows(&loaded.keys, &store.created()?);
    if args.json {
        return terminal::print_json(&Listed {
            code: "listed",
            store: store.seen().described,
            keys: &rows,
        });
    }
    let (text, cut) = table(&rows, terminal::width());
    terminal::print(text.as_bytes())?;
    if cut {
        terminal::say("note: the terminal is too narrow for all columns; --json has them");
    }
    Ok(())
}

fn rows(keys: &KeySet, created: &BTreeMap<KeyName, String>) -> Vec<Row> {
    keys.iter()
        .map(|(name, key)| Row {
            id: name.id,
            version: name.version,
            latest: keys.latest(name.id) == Some(name),
            bits: key.len() * 8,
            fingerprint: Fingerprint::of(key.expose()).to_string(),
            algorithm: keys.algorithm(name).map(|algorithm| algorithm.name()),
            created: created.get(&name).cloned(),
        })
        .collect()
}

fn table(rows: &[Row], width: Option<usize>) -> (String, bool) {
    let column = |head, to_the_right, cell: &dyn Fn(&Row) -> String| Column {
        head,
        cells: rows.iter().map(cell).collect(),
        to_the_right,
    };
    let mark = |row: &Row| if row.latest { "latest" } else { "" }.to_owned();
    let mut columns = vec![
        column("key id", true, &|row| row.id.to_string()),
        column("version", true, &|row| row.version.to_string()),
        column("", false, &mark),
        column("bits", true, &|row| row.bits.to_string()),
        column("fingerprint", false, &|row| row.fingerprint.clone()),
    ];
    if rows.iter().any(|row| row.algorithm.is_some()) {
        columns.push(column("algorithm", false, &|row| {
            row.algorithm.unwrap_or_default().into()
        }));
        columns.push(column("created", false, &|row| {
            row.created.as_deref().map(one_line).unwrap_or_default().into()
        }));
    }
    table::render(columns, width)
}
