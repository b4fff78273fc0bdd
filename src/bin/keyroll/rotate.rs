//! `keyroll rotate`: new versions of keys, and what a running server is to be told.

use clap::value_parser;
use keyroll::crypto::Algorithm;
use keyroll::keys::{KeyName, KeySet, NewVersions, VersionStep};
use keyroll::store::StoreConfig;
use keyroll::store::{KeysAdded, Rotate};
use serde::Serialize;

use crate::datadir::{self, DatadirArg};
use crate::failure::Failure;
use crate::spec_args::SpecArgs;
use crate::store::OpenStore;
use crate::store_args::StoreArgs;
use crate::terminal;

/// Makes a new random version of one key or of all keys
///
/// Older versions stay in the store: data on disk needs them. A running server goes on with the
/// keys that it has until it is told to read the store again; the output is SQL that does so. The
/// file keeps its owner and mode.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  keyroll rotate --all | mariadb
  keyroll rotate --filename /var/lib/keyroll/keys --key 1
  keyroll rotate --key 2 --key-algorithm aes_ctr --key-spec AES_128
      Temporary data is encrypted faster from now on, with the server's
      keystore.

A server that may write the store rotates by itself, by the statement
SET GLOBAL keyroll_rotate_key = 1")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    which: Which,

    /// How far the new version's number lies above the latest one, as in
    /// keyroll_rotate_version_step [default: 2]
    ///
    /// InnoDB encrypts a page anew only when the page's version plus
    /// innodb_encryption_rotate_key_age is less than the latest version. With that variable's
    /// default of 1 a step of 2 does it and a step of 1 does not.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(VersionStep::MAX)))]
    version_step: Option<u32>,

    #[command(flatten)]
    spec: SpecArgs,

    #[command(flatten)]
    datadir: DatadirArg,

    /// Print a JSON object, for scripts
    ///
    /// It is {version, code: "rotated", store, new: [{id, version}], sql}, and {algorithm} of a
    /// keystore.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Rotate the key with this id
    #[arg(long, value_name = "ID", value_parser = value_parser!(u32).range(1..))]
    key: Option<u32>,

    /// Rotate every key of the store
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let which = args.which.key.map_or(Rotate::All, Rotate::Key);
    let chosen = args.store.choose()?;
    let spec = args.spec.spec(&chosen)?;
    if args.spec.key_spec.is_some() && !matches!(chosen.store, StoreConfig::Keystore(_)) {
        return Err(Failure::NoLength(chosen.store.kind()));
    }
    let step = args.version_step.and_then(VersionStep::new);
    let new = NewVersions {
        step: step.unwrap_or(chosen.settings.version_step()),
        spec,
        ..NewVersions::DEFAULT
    };
    let directory = args.datadir.directory(&chosen);
    let store = chosen.open()?.beside(directory.clone());
    let seen = datadir::versions_seen(directory, &store)?;
    let rotated =
        store.patiently(|store| store.rotate_keys(which, NewVersions { seen: &seen, ..new }, None))?;
    if args.json {
        return print_json("rotated", &store, &rotated);
    }
    let latest = |_| " is the latest now";
    terminal::print(sql_of(&rotated, latest).as_bytes())
}

/// What `--json` prints of versions that were made.
#[derive(Serialize)]
struct Made {
    code: &'static str,
    store: String,
    new: Vec<NewVersion>,
    sql: &'static str,
}

/// A version that was made.
#[derive(Serialize)]
pub(crate) struct NewVersion {
    id: u32,
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<&'static str>,
}

/// These versions, for scripts.
pub(crate) fn new_versions(keys: &KeySet, new: impl IntoIterator<Item = KeyName>) -> Vec<NewVersion> {
    let version = |name: KeyName| NewVersion {
        id: name.id,
        version: name.version,
        algorithm: keys.algorithm(name).map(Algorithm::name),
    };
    new.into_iter().map(version).collect()
}

/// The same as [`sql_of`], for scripts.
pub(crate) fn print_json(code: &'static str, store: &OpenStore, added: &KeysAdded) -> Result<(), Failure> {
    terminal::print_json(&Made {
        code,
        store: store.seen().described,
        new: new_versions(&added.keys, added.new.iter().copied()),
        sql: RELOAD.trim_end(),
    })
}

/// What is to be told to a running server after these versions were added, and a comment on each.
pub(crate) fn sql_of(added: &KeysAdded, what: impl Fn(KeyName) -> &'static str) -> String {
    let mut sql = String::new();
    for &name in &added.new {
        let (id, version, what) = (name.id, name.version, what(name));
        let algorithm = added.keys.algorithm(name);
        let with = algorithm.map_or(String::new(), |algorithm| format!(", for {}", algorithm.name()));
        sql += &format!("-- key {id}: version {version}{what}{with}\n");
    }
    sql + RELOAD
}

/// What makes a running server take up the keys that the store has now.
pub(crate) const RELOAD: &str = "SET GLOBAL keyroll_reload_keys = 1;\n";
