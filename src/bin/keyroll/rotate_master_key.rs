//! `keyroll rotate-master-key`: a keystore wrapped anew, by the same provider or by another one.

use keyroll::one_line::one_line;

use crate::failure::Failure;
use crate::rotate::RELOAD;
use crate::store::absolute_uri;
use crate::store_args::{StoreArgs, of_keystores};
use crate::{my_cnf, new_keystore, owner::OwnerArgs, terminal};

/// Wraps a keystore anew under a new version of its master key, or moves it to another master key
///
/// All data keys are wrapped under a new keystore key in one durable replacement; no data key
/// changes and no data page is touched. The old master key is needed afterwards only for old copies
/// of the keystore. A running server goes on with the keys that it has; the output is SQL that
/// makes it take up the new master key.
#[derive(clap::Args)]
#[command(
    after_long_help = "\
Examples:
  keyroll rotate-master-key | mariadb
  keyroll rotate-master-key --to credential:keyroll-master
      The server needs the new keyroll_master_key in its configuration before
      it is started again.

A server that may write the keystore rotates by itself, by the statement
SET GLOBAL keyroll_rotate_master_key = 1",
    mut_args(of_keystores)
)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    /// Move the keystore to this master key, a URI as in --master-key
    ///
    /// A master key file that does not exist is made, with a random key.
    #[arg(long, value_name = "URI")]
    to: Option<String>,

    #[command(flatten)]
    owner: OwnerArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let chosen = args.store.choose()?;
    let keystore = chosen.keystore("rotate-master-key")?;
    let Some(to) = args.to.as_deref().map(absolute_uri).transpose()? else {
        let rotated = chosen.open()?.patiently(|store| store.rotate_master_key(None))?;
        return print(&rotated.master_key, RELOAD);
    };
    let target = keystore.with_master_key(&to);
    let store = chosen.open()?;
    // The old master key first: no new one is made for a keystore that does not open.
    store.load()?;
    new_keystore::make_master_key_file(&target, args.owner.owner()?)?;
    let master_key = target.provider()?;
    let moved = store.patiently_in_keystore(|keystore| keystore.move_to(&*master_key, None))?;
    terminal::say("put this into the server's configuration:");
    terminal::say(String::from_utf8_lossy(&my_cnf::master_key(&to)).trim_end());
    print(&moved.master_key, &sql(&to))
}

fn print(master_key: &str, sql: &str) -> Result<(), Failure> {
    // What goes on behind a line feed would be SQL.
    let master_key = one_line(master_key);
    terminal::print(format!("-- the keystore is wrapped by {master_key} now\n{sql}").as_bytes())
}

/// What makes a running server go over to the master key.
fn sql(uri: &str) -> String {
    if uri.starts_with("exec:") {
        // The server refuses a SET to a program: who may set variables would run programs as the
        // server's user.
        return "-- a server that runs goes on with the keys that it has; it takes up this master key at its next start\n"
            .into();
    }
    let quoted = uri
        .replace('\\', "\\\\")
        .replace('\'', "\\'")
        .replace('\n', "\\n");
    format!("SET GLOBAL keyroll_master_key = '{quoted}';\n{RELOAD}")
}

#[cfg(test)]
mod tests {
    use super::sql;

    #[test]
    fn the_master_key_is_set_before_the_keys_are_read_again() {
        assert_eq!(
            sql("file:/a'b\\c\nd"),
            "SET GLOBAL keyroll_master_key = 'file:/a\\'b\\\\c\\nd';\nSET GLOBAL keyroll_reload_keys = 1;\n"
        );
        assert!(!sql("exec:/x").contains("SET GLOBAL"));
    }
}
