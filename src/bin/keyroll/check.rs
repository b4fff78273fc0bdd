//! `keyroll check`: what the plugin would say about a key file.

use std::process::ExitCode;

use keyroll::keystore::KeyStore;

use crate::failure::Failure;
use crate::key_file_args::{KeyFileArgs, say_warnings};
use crate::terminal;

/// What a script sees when the plugin would accept the file but something should be mended.
const EXIT_WARNINGS: u8 = 1;

/// The key of temporary files and tables; the server uses key 1 where it is missing.
const TEMPORARY_DATA: u32 = 2;

/// Checks whether the plugin would accept a key file, without touching it
///
/// Run it before a restart of the server and from time to time. It reads the file as the user who runs it: to
/// find out whether the server may read the file, run it as the server's user.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  sudo -u mysql keyroll check /var/lib/keyroll/keys
  keyroll check /var/lib/keyroll/keys --quiet || echo 'look at the keys'

Exit codes:
   0  the plugin accepts the file
   1  the plugin accepts the file, but there are warnings
   2  the plugin would refuse the file
  64  the arguments make no sense")]
pub(crate) struct Args {
    #[command(flatten)]
    key_file: KeyFileArgs,

    /// Refuse a file that others can read, as with keyroll_strict_permissions = ON
    #[arg(long)]
    strict_permissions: bool,

    /// Say nothing but errors and warnings
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let key_file = args.key_file.open(args.strict_permissions)?;
    let loaded = key_file.load()?;
    say_warnings(&loaded);
    let leftover = key_file.leftover();
    if let Some(path) = &leftover {
        let path = path.display();
        terminal::say(&format!(
            "keyroll: warning: a rotation was interrupted and left {path}; the next rotation removes it"
        ));
    }
    let keys = &loaded.keys;
    if !args.quiet {
        if keys.latest(TEMPORARY_DATA).is_none() {
            terminal::say("note: there is no key 2, so temporary files and tables use key 1");
        }
        let (ids, versions) = (keys.ids().len(), keys.len());
        let report = format!(
            "{}: the plugin accepts it; keys: {ids}, versions: {versions}\n",
            key_file.describe()
        );
        terminal::print(report.as_bytes())?;
    }
    Ok(if loaded.warnings.is_empty() && leftover.is_none() {
        ExitCode::SUCCESS
    } else {
        EXIT_WARNINGS.into()
    })
}
