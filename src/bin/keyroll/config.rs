//! `keyroll config`: the lines of my.cnf that make a server use a key store.

use crate::failure::Failure;
use crate::my_cnf::{self, Encryption};
use crate::store_args::StoreArgs;
use crate::terminal;

/// Prints the lines of my.cnf that make a server use this key store
///
/// Nothing is read but option files. What they say already of the server's encryption is printed as
/// it is, unless it is off. A password is never printed.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  keyroll config --keystore /var/lib/keyroll/keystore \\
    --master-key file:/srv/keyroll-master/key
  keyroll config --filename /var/lib/keyroll/keys \\
    >> /etc/mysql/mariadb.conf.d/90-keyroll.cnf")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let chosen = args.store.choose()?;
    let lines = my_cnf::lines(&chosen, chosen.settings.key_spec(), Encryption::Begins)?;
    terminal::print(&lines)
}
