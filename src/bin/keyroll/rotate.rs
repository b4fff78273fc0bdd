//! `keyroll rotate`: new versions of keys, and what a running server is to be told.

use std::fmt::Write;

use clap::value_parser;
use keyroll::keystore::{KeySpec, KeyStore, NewVersions, Rotate, VersionStep};

use crate::failure::Failure;
use crate::key_file_args::KeyFileArgs;
use crate::terminal;

/// Makes a new random version of one key or of all keys
///
/// Older versions stay in the file: data on disk needs them. A running server goes on with the keys that it has
/// until it is told to read the file again; the output is SQL that does so. The file keeps its owner and mode.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  keyroll rotate /var/lib/keyroll/keys --all | mariadb
  keyroll rotate /var/lib/keyroll/keys --key 1

A server that may write the key file rotates by itself: SET GLOBAL keyroll_rotate_key = 1;")]
pub(crate) struct Args {
    #[command(flatten)]
    key_file: KeyFileArgs,

    #[command(flatten)]
    which: Which,

    /// How far the new version's number lies above the latest one
    ///
    /// InnoDB encrypts a page anew only when the page's version plus innodb_encryption_rotate_key_age is less than
    /// the latest version. With that variable's default of 1 a step of 2 does it and a step of 1 does not.
    #[arg(long, value_name = "N", default_value_t = VersionStep::DEFAULT.get(),
          value_parser = value_parser!(u32).range(1..=i64::from(VersionStep::MAX)))]
    version_step: u32,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Rotate the key with this id
    #[arg(long, value_name = "ID", value_parser = value_parser!(u32).range(1..))]
    key: Option<u32>,

    /// Rotate every key of the file
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let which = args.which.key.map_or(Rotate::All, Rotate::Key);
    let step = VersionStep::new(args.version_step).unwrap_or(VersionStep::DEFAULT);
    let key_file = args.key_file.open(false)?;
    let rotated = key_file.rotate(
        which,
        NewVersions {
            step,
            spec: KeySpec::DEFAULT,
        },
        None,
    )?;

    let mut sql = String::new();
    for name in rotated.new {
        // Writing to a String cannot fail.
        let _ = writeln!(
            sql,
            "-- key {}: version {} is the latest now",
            name.id, name.version
        );
    }
    sql.push_str("SET GLOBAL keyroll_reload_keys = 1;\n");
    terminal::print(sql.as_bytes())
}
