//! `keyroll list`: which keys and versions a key store holds.

use keyroll::clock;
use keyroll::keys::{Fingerprint, KeySet};
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
/// with. It and Vault tell when a version was made (UTC), unless it was imported from a store that
/// tells no time.
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
    /// fingerprint}]}, with {algorithm} and {created} where the store tells them.
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
    let rows = rows(&loaded.keys);
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

fn rows(keys: &KeySet) -> Vec<Row> {
    keys.iter()
        .map(|(name, key)| Row {
            id: name.id,
            version: name.version,
            latest: keys.latest(name.id) == Some(name),
            bits: key.len() * 8,
            fingerprint: Fingerprint::of(key.expose()).to_string(),
            algorithm: keys.algorithm(name).map(|algorithm| algorithm.name()),
            created: keys.created(name).map(clock::rfc3339),
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
    }
    // A keystore has times, but not of versions that came from a store without.
    if rows
        .iter()
        .any(|row| row.created.is_some() || row.algorithm.is_some())
    {
        columns.push(column("created", false, &|row| {
            row.created.clone().unwrap_or_else(|| "not known".into())
        }));
    }
    table::render(columns, width)
}
