//! `keyroll init`: a new key file, and the lines of my.cnf that make a server use it.

use std::collections::BTreeSet;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::value_parser;
use keyroll::durable::FileError;
use keyroll::keystore::KeyStoreError;
use keyroll::keystore::key_file::{FileKey, KeyFile, NewKey};
use nix::unistd::{Uid, User};

use crate::failure::Failure;
use crate::key_file_args::KeyFileArgs;
use crate::{my_cnf, password_file, terminal};

/// The user that owns the files which root makes, where there is such a user.
const SERVER_USER: &str = "mysql";

/// What remains to be done by hand.
const NEXT_STEPS: &str = "
Next:
 1. Put the lines above into the server's configuration and restart the server.
 2. Back up the key file and its password, apart from the data and apart from each other.
    Without them the data is lost; with them anyone can read it.
 3. Rotate now and then: SET GLOBAL keyroll_rotate_key = -1; or `keyroll rotate PATH --all`.
    For the first the server must be able to write in the key file's folder. systemd units with
    ProtectSystem=full keep it from writing below /etc.";

/// Makes a key file with new random keys and prints the lines of my.cnf for it
///
/// The file is readable by its owner alone, and a file that exists is never overwritten. Key 1 is for system data
/// and always made; key 2 is for temporary data. The lines go to standard output and advice goes to standard
/// error, so that `>>` can append the lines to a configuration file.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  install -d -o mysql -g mysql -m 0700 /var/lib/keyroll
  keyroll init /var/lib/keyroll/keys >> /etc/mysql/mariadb.conf.d/90-keyroll.cnf
  keyroll init /var/lib/keyroll/keys --filekey-file /etc/mysql/keyroll.password
      The key file is encrypted. A password file that does not exist is made, with a random password.")]
pub(crate) struct Args {
    #[command(flatten)]
    key_file: KeyFileArgs,

    /// The length of the keys
    #[arg(long, value_name = "BITS", default_value = "256", value_parser = bits_parser())]
    bits: u32,

    /// Make the key with this id instead of key 2; may be given more than once
    #[arg(long, value_name = "ID", value_parser = value_parser!(u32).range(1..))]
    id: Vec<u32>,

    /// Give the files to this user and its primary group
    ///
    /// When root runs this, the user mysql is the default if there is one.
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
}

fn bits_parser() -> impl TypedValueParser<Value = u32> {
    PossibleValuesParser::new(["128", "192", "256"]).try_map(|bits| bits.parse::<u32>())
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let owner = owner(args.owner.as_deref())?;
    let path = &args.key_file.path;
    if path.symlink_metadata().is_ok() {
        // Before a password is made for nothing. `create` looks again, under its lock.
        let path = path.clone();
        return Err(KeyStoreError::from(FileError::FileExists { path }).into());
    }
    if let FileKey::File(path) = args.key_file.filekey() {
        let made = password_file::create_if_missing(&path, owner);
        if made.map_err(|source| Failure::PasswordFile {
            path: path.clone(),
            source,
        })? {
            terminal::say(&format!("made the password file {}", path.display()));
        }
    }
    let keys: Vec<NewKey> = ids(&args.id)
        .into_iter()
        .map(|id| NewKey { id, bits: args.bits })
        .collect();
    KeyFile::create(args.key_file.config(false), &keys, owner)?;
    terminal::say(&format!("made the key file {}", path.display()));

    terminal::print(&my_cnf::lines(&args.key_file).map_err(Failure::Output)?)?;
    terminal::say(NEXT_STEPS);
    Ok(())
}

/// Key 1, which a server cannot do without, and those asked for, or else key 2.
fn ids(asked_for: &[u32]) -> BTreeSet<u32> {
    let others = if asked_for.is_empty() { &[2] } else { asked_for };
    others.iter().copied().chain([1]).collect()
}

/// User and group that the new files are given to; `None` leaves them to the one who runs this.
fn owner(name: Option<&str>) -> Result<Option<(u32, u32)>, Failure> {
    let asked_for = name.or_else(|| Uid::effective().is_root().then_some(SERVER_USER));
    let Some(asked_for) = asked_for else {
        return Ok(None);
    };
    let found = User::from_name(asked_for).map_err(|source| Failure::UserLookup {
        name: asked_for.into(),
        source,
    })?;
    match found {
        Some(user) => Ok(Some((user.uid.as_raw(), user.gid.as_raw()))),
        None if name.is_some() => Err(Failure::NoSuchUser(asked_for.into())),
        None => Ok(None),
    }
}
