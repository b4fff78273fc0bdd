//! `keyroll add-key`: a key that the store does not have yet, and what a running server is to be
//! told.

use std::path::Path;

use clap::value_parser;
use keyroll::datadir::file_in_use;
use keyroll::keys::KeySpec;
use keyroll::store::{MarkFile, StoreConfig, StoreError};

use crate::datadir::DatadirArg;
use crate::failure::Failure;
use crate::rotate::{print_json, sql_of};
use crate::spec_args::SpecArgs;
use crate::store_args::StoreArgs;
use crate::terminal;

/// Makes version 1 of a key that the key store does not have
///
/// A key that is there is left as it is. So is the store where data in the data directory, if that
/// is known (--datadir), is encrypted with a key of this id, which no new key could read. A running
/// server goes on with the keys that it has until it is told to read the store again; the output is
/// SQL that does so.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  keyroll add-key --key 20 | mariadb
      For tables with ENCRYPTION_KEY_ID = 20, where the server makes no key by
      itself.
  keyroll add-key --filename /var/lib/keyroll/keys --key 20

A server that may write the store does it by itself:
  SET GLOBAL keyroll_add_key = 20;")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    /// The id of the new key
    #[arg(long, value_name = "ID", value_parser = value_parser!(u32).range(1..))]
    key: u32,

    #[command(flatten)]
    spec: SpecArgs,

    #[command(flatten)]
    datadir: DatadirArg,

    /// Print a JSON object, for scripts
    ///
    /// It is {version, code: "added", store, new: [{id, version}], sql}, and {algorithm} of a
    /// keystore.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let id = args.key;
    let chosen = args.store.choose()?;
    let mut spec = args.spec.spec(&chosen)?;
    if !matches!(chosen.store, StoreConfig::Keystore(_)) {
        let (algorithm, bits) = (chosen.settings.algorithm(), args.spec.key_spec);
        spec = KeySpec {
            algorithm,
            bits: bits.unwrap_or(KeySpec::DEFAULT.bits),
        };
        if !spec.is_possible() {
            return Err(StoreError::ImpossibleSpec {
                bits: spec.bits,
                algorithm,
            }
            .into());
        }
    }
    let (directory, named) = (args.datadir.directory(&chosen), chosen.datadir());
    let store = chosen.open()?.beside(directory.clone());
    // Where there is the key, the store's own error says more.
    let loaded = store.patiently(|store| store.load_keys(&[id]));
    let is_there = loaded.is_ok_and(|loaded| loaded.keys.latest(id).is_some());
    if !is_there && let Some(directory) = &directory {
        refuse_data_under(id, directory)?;
    }
    let added = store.patiently(|store| store.add_key(id, spec, None))?;
    if directory.is_none() {
        let why = match named {
            Some(named) => format!("there is no data directory {}", named.display()),
            None => "the data directory is not known".into(),
        };
        terminal::warn(format!(
            "whether data is encrypted with another key {id} was not looked at: {why}; --datadir DIR names it"
        ));
    }
    if args.json {
        return print_json("added", &store, &added);
    }
    terminal::print(sql_of(&added, |_| " was added").as_bytes())
}

/// The server's id of the key for its redo log, binary logs and all else that is no table.
const OF_SYSTEM_DATA: u32 = 1;

/// Refuses a key that the data in this directory knows or is encrypted with.
fn refuse_data_under(id: u32, directory: &Path) -> Result<(), Failure> {
    // The logs need not name their key.
    if id == OF_SYSTEM_DATA && directory.join("ibdata1").exists() {
        return Err(Failure::SystemData(directory.to_owned()));
    }
    let knows = MarkFile::read(directory)?.mark().highest().of(id) > 0;
    let file = file_in_use(directory, id).map_err(Failure::DataUnread)?;
    match file.or(knows.then(|| directory.to_owned())) {
        Some(file) => Err(Failure::KeyInUse { id, file }),
        None => Ok(()),
    }
}
