//! `keyroll init`: a new key store, and the lines of my.cnf that make a server use it.

use std::io;
use std::path::{Path, PathBuf};

use keyroll::durable::{FileError, SecretSource};
use keyroll::keys::{KeySet, KeySpec};
use keyroll::store::key_file::{self, KeyFile, KeyFileConfig};
use keyroll::store::keystore::NewKey;
use keyroll::store::{MarkError, MarkFile, StoreConfig, StoreError};
use serde::Serialize;

use crate::cnf_file::CnfFile;
use crate::datadir::DatadirArg;
use crate::failure::Failure;
use crate::my_cnf::{self, Encryption};
use crate::new_key::{self, NewKeyArg};
use crate::owner::{Owner, OwnerArgs};
use crate::rotate::{NewVersion, new_versions};
use crate::spec_args::SpecArgs;
use crate::store::say_warnings;
use crate::store_args::{ChosenStore, StoreArgs};
use crate::{new_keystore, password_file, terminal};

/// What remains to be done by hand for a key file.
const AFTER_KEY_FILE: &str =
    " 2. Back up the key file and its password, apart from the data and apart from each other.
    Without them the data is lost; with them anyone can read it.
 3. Rotate now and then: SET GLOBAL keyroll_rotate_key = -1; or `keyroll rotate --all`.
    For the first the server must be able to write in the key file's folder. systemd units with
    ProtectSystem=full keep it from writing below /etc.";

/// What remains to be done by hand for a keystore.
const AFTER_KEYSTORE: &str =
    " 2. Back up the keystore and the master key, apart from the data and apart from each other.
    Without them the data is lost; with both anyone can read it.
 3. Rotate now and then: SET GLOBAL keyroll_rotate_key = -1; and SET GLOBAL keyroll_rotate_master_key = 1;
    or `keyroll rotate --all` and `keyroll rotate-master-key`. For the first two the server must be able to
    write in the keystore's folder. systemd units with ProtectSystem=full keep it from writing below /etc.";

/// Makes a keystore or a key file with new random keys and prints the lines of my.cnf for it
///
/// The file is readable by its owner alone, and a file that exists is never overwritten. Key 1 is
/// for system data and always made; key 2 is for temporary data. The lines go to an option file
/// (--cnf), or else to standard output; advice goes to standard error.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  install -d -o mysql -g mysql -m 0700 /var/lib/keyroll /srv/keyroll-master
  keyroll init --keystore /var/lib/keyroll/keystore \\
    --master-key file:/srv/keyroll-master/key \\
    --cnf /etc/mysql/mariadb.conf.d/90-keyroll.cnf
      A master key file that does not exist is made, with a random key. With
      --if-missing this may be run again.
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

    /// Succeed if the key store is there already and whole
    ///
    /// It must open with its master key or password, down to the last key version. One that is only
    /// away, because its file system is not mounted, is not made anew: not where the option file of
    /// --cnf names it already, nor where the server's data knows key versions.
    #[arg(long)]
    if_missing: bool,

    #[command(flatten)]
    datadir: DatadirArg,

    /// Write the lines of my.cnf into this option file
    ///
    /// They are added at its end, as a whole or not at all. The file is made if need be. One that
    /// names another key store is refused before anything is made, and one that names this very
    /// store stays as it is.
    #[arg(long, value_name = "FILE")]
    cnf: Option<PathBuf>,

    /// Print a JSON object, for scripts
    ///
    /// It is {version, code: "made", or "present" with --if-missing, store, keys: [{id,
    /// version}], my_cnf}, and {algorithm} of a keystore.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Initialised {
    code: &'static str,
    store: String,
    keys: Vec<NewVersion>,
    /// The lines for the server's configuration.
    my_cnf: String,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let owner = args.owner.owner()?;
    let chosen = args.store.choose()?;
    let spec = args.spec.spec(&chosen)?;
    let path = chosen.store.file().ok_or(Failure::MadeInVault)?;
    let is_there = args.if_missing && path.symlink_metadata().is_ok();
    if !is_there {
        refuse_existing(path)?;
        chosen.refuse_keys_of_peer()?;
    }
    let lines = my_cnf::lines(&chosen, spec, Encryption::Begins)?;
    let cnf = args.cnf.as_deref().map(|path| CnfFile::open(path, &lines));
    let cnf = cnf.transpose()?;
    if args.if_missing && !is_there {
        args.refuse_what_is_away(&chosen, path, cnf.as_ref())?;
    }
    let store = chosen.store.describe();
    let (keys, after) = match is_there {
        true => (open_existing(chosen)?, None),
        false => {
            let (keys, after) = args.make(chosen.store, spec, owner)?;
            (keys, Some(after))
        }
    };
    let is_written = cnf.as_ref().map_or(Ok(false), CnfFile::write)?;
    if let (true, Some(path)) = (is_written, &args.cnf) {
        terminal::say(&format!("wrote the lines of my.cnf into {}", path.display()));
    }
    if args.json {
        let names = keys.iter().map(|(name, _)| name);
        return terminal::print_json(&Initialised {
            code: if is_there { "present" } else { "made" },
            store,
            keys: new_versions(&keys, names),
            my_cnf: String::from_utf8_lossy(&lines).into(),
        });
    }
    let Some(after) = after else {
        return Ok(());
    };
    let first = match args.cnf {
        None => {
            terminal::print(&lines)?;
            "Put the lines above into the server's configuration and restart the server."
        }
        Some(_) => "Restart the server.",
    };
    terminal::say_lines(&format!("\nNext:\n 1. {first}\n{after}"));
    Ok(())
}

impl Args {
    /// Before other keys are made in the place of a store that is only not mounted.
    fn refuse_what_is_away(
        &self,
        chosen: &ChosenStore,
        path: &Path,
        cnf: Option<&CnfFile>,
    ) -> Result<(), Failure> {
        if let Some(cnf) = cnf.filter(|cnf| cnf.has_them) {
            return Err(Failure::NamedStoreIsGone {
                store: path.into(),
                cnf: cnf.path.into(),
            });
        }
        let of_store = self.datadir.directory(chosen);
        let directory = of_store.clone().unwrap_or_else(|| chosen.datadir_here());
        let file = match MarkFile::read(&directory) {
            // The data of a server that need not be meant, which this user may not see.
            Err(MarkError::File(FileError::FileNotFound { source, .. }))
                if of_store.is_none() && source.kind() == io::ErrorKind::PermissionDenied =>
            {
                return Ok(());
            }
            file => file?,
        };
        match file.mark().versions().next() {
            None => Ok(()),
            Some(_) => Err(Failure::StoreOfDataIsGone {
                store: path.into(),
                directory,
            }),
        }
    }

    /// Makes the store; its keys, and what remains to be done.
    fn make(
        &self,
        store: StoreConfig,
        spec: KeySpec,
        owner: Option<Owner>,
    ) -> Result<(KeySet, &'static str), Failure> {
        let specs = new_key::specs(&self.id, spec);
        let kind = store.kind();
        match store {
            StoreConfig::KeyFile(config) => {
                if self.id.iter().any(|key| key.algorithm.is_some()) {
                    return Err(Failure::NoAlgorithms(kind));
                }
                let key = |(&id, spec): (&u32, &KeySpec)| key_file::NewFileKey { id, bits: spec.bits };
                let keys: Vec<key_file::NewFileKey> = specs.iter().map(key).collect();
                Ok((make_key_file(config, &keys, owner)?, AFTER_KEY_FILE))
            }
            StoreConfig::VaultKv(_) => Err(Failure::MadeInVault),
            StoreConfig::Keystore(keystore) => {
                // Before a master key is made for nothing.
                if let Some(&KeySpec { algorithm, bits }) = specs.values().find(|spec| !spec.is_possible()) {
                    return Err(StoreError::ImpossibleSpec { bits, algorithm }.into());
                }
                let keys: Vec<NewKey> = specs.iter().map(|(&id, &spec)| NewKey { id, spec }).collect();
                let made = new_keystore::make(&keystore, owner, |keystore| keystore.create(&keys, owner))?;
                Ok((made, AFTER_KEYSTORE))
            }
        }
    }
}

/// The keys of a store that is there, which it tells.
fn open_existing(chosen: ChosenStore) -> Result<KeySet, Failure> {
    let store = chosen.open()?;
    let loaded = store.load()?;
    say_warnings(&loaded);
    let keys = loaded.keys;
    let opened_by = store
        .master_key()
        .map_or(String::new(), |by| format!(", opens with {by}"));
    terminal::say(&format!(
        "{} is there{opened_by}, and is whole; keys: {}, versions: {}",
        store.seen().described,
        keys.ids().len(),
        keys.len()
    ));
    Ok(keys)
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
) -> Result<KeySet, Failure> {
    if let Some(path) = config.filekey.as_ref().and_then(SecretSource::file)
        && password_file::create_if_missing(path, owner)?
    {
        terminal::say(&format!("made the password file {}", path.display()));
    }
    let said = format!("made the key file {}", config.path.display());
    let made = KeyFile::create(config, keys, owner)?;
    terminal::say(&said);
    Ok(made)
}
