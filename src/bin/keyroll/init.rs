//! `keyroll init`: a new key store, and the lines of my.cnf that make a server use it.

use std::path::Path;

use keyroll::durable::{FileError, SecretSource};
use keyroll::keys::KeySpec;
use keyroll::store::StoreConfig;
use keyroll::store::StoreError;
use keyroll::store::key_file::{self, KeyFile, KeyFileConfig};
use keyroll::store::keystore::NewKey;

use crate::failure::Failure;
use crate::my_cnf::{self, Encryption};
use crate::new_key::{self, NewKeyArg};
use crate::owner::{Owner, OwnerArgs};
use crate::spec_args::SpecArgs;
use crate::store_args::StoreArgs;
use crate::{new_keystore, password_file, terminal};

/// What remains to be done by hand for a key file.
const AFTER_KEY_FILE: &str = "
Next:
 1. Put the lines above into the server's configuration and restart the server.
 2. Back up the key file and its password, apart from the data and apart from each other.
    Without them the data is lost; with them anyone can read it.
 3. Rotate now and then: SET GLOBAL keyroll_rotate_key = -1; or `keyroll rotate --all`.
    For the first the server must be able to write in the key file's folder. systemd units with
    ProtectSystem=full keep it from writing below /etc.";

/// What remains to be done by hand for a keystore.
const AFTER_KEYSTORE: &str = "
Next:
 1. Put the lines above into the server's configuration and restart the server.
 2. Back up the keystore and the master key, apart from the data and apart from each other.
    Without them the data is lost; with both anyone can read it.
 3. Rotate now and then: SET GLOBAL keyroll_rotate_key = -1; and SET GLOBAL keyroll_rotate_master_key = 1;
    or `keyroll rotate --all` and `keyroll rotate-master-key`. For the first two the server must be able to
    write in the keystore's folder. systemd units with ProtectSystem=full keep it from writing below /etc.";

/// Makes a keystore or a key file with new random keys and prints the lines of my.cnf for it
///
/// The file is readable by its owner alone, and a file that exists is never overwritten. Key 1 is
/// for system data and always made; key 2 is for temporary data. The lines go to standard output
/// and advice goes to standard error, so that `>>` can append the lines to a configuration file.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  install -d -o mysql -g mysql -m 0700 /var/lib/keyroll /etc/keyroll
  keyroll init --keystore /var/lib/keyroll/keystore \\
    --master-key file:/etc/keyroll/master \\
    >> /etc/mysql/mariadb.conf.d/90-keyroll.cnf
      A master key file that does not exist is made, with a random key.
  keyroll init --filename /var/lib/keyroll/keys \\
    --filekey FILE:/etc/mysql/keyroll.password
      The key file is encrypted. A password file that does not exist is made,
      with a random password.")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    /// Make the key with this id instead of key 2: ID[:ALGORITHM][:BITS]; may be given more than
    /// once
    #[arg(long, value_name = "ID")]
    id: Vec<NewKeyArg>,

    #[command(flatten)]
    spec: SpecArgs,

    #[command(flatten)]
    owner: OwnerArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let owner = args.owner.owner()?;
    let chosen = args.store.choose()?;
    let spec = args.spec.spec(&chosen)?;
    refuse_existing(chosen.store.file().ok_or(Failure::MadeInVault)?)?;
    chosen.refuse_keys_of_peer()?;
    let lines = my_cnf::lines(&chosen, spec, Encryption::Begins)?;
    let specs = new_key::specs(&args.id, spec);
    let kind = chosen.store.kind();
    let next = match chosen.store {
        StoreConfig::KeyFile(config) => {
            if args.id.iter().any(|key| key.algorithm.is_some()) {
                return Err(Failure::NoAlgorithms(kind));
            }
            let key = |(&id, spec): (&u32, &KeySpec)| key_file::NewFileKey { id, bits: spec.bits };
            let keys: Vec<key_file::NewFileKey> = specs.iter().map(key).collect();
            make_key_file(config, &keys, owner)?;
            AFTER_KEY_FILE
        }
        StoreConfig::VaultKv(_) => return Err(Failure::MadeInVault),
        StoreConfig::Keystore(keystore) => {
            // Before a master key is made for nothing.
            if let Some(&KeySpec { algorithm, bits }) = specs.values().find(|spec| !spec.is_possible()) {
                return Err(StoreError::ImpossibleSpec { bits, algorithm }.into());
            }
            let keys: Vec<NewKey> = specs.iter().map(|(&id, &spec)| NewKey { id, spec }).collect();
            new_keystore::make(&keystore, owner, |keystore| keystore.create(&keys, owner))?;
            AFTER_KEYSTORE
        }
    };
    terminal::print(&lines)?;
    terminal::say_lines(next);
    Ok(())
}

/// Before a password or a master key is made for nothing. Those that make the file look again,
/// under its lock.
pub(crate) fn refuse_existing(path: &Path) -> Result<(), Failure> {
    match path.symlink_metadata() {
        Ok(_) => Err(FileError::FileExists { path: path.into() }.into()),
        Err(_) => Ok(()),
    }
}

fn make_key_file(
    config: KeyFileConfig,
    keys: &[key_file::NewFileKey],
    owner: Option<Owner>,
) -> Result<(), Failure> {
    if let Some(path) = config.filekey.as_ref().and_then(SecretSource::file)
        && password_file::create_if_missing(path, owner)?
    {
        terminal::say(&format!("made the password file {}", path.display()));
    }
    let said = format!("made the key file {}", config.path.display());
    KeyFile::create(config, keys, owner)?;
    terminal::say(&said);
    Ok(())
}
