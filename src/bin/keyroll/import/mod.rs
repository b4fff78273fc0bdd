//! `keyroll import`: the keys of another store into a keystore, a new one or one that there is, so
//! that data can be read as it is.

mod source;

use keyroll::store::keystore::KeystoreConfig;
use keyroll::store::mark::StoreSeen;

use crate::datadir::{self, DatadirArg};
use crate::failure::Failure;
use crate::init::refuse_existing;
use crate::my_cnf::{self, Encryption};
use crate::owner::OwnerArgs;
use crate::rotate::sql_of;
use crate::store_args::{ChosenStore, StoreArgs, of_keystores};
use crate::{new_keystore, terminal};
use source::{Source, SourceArgs};

/// What remains to be done by hand.
const NEXT_STEPS: &str = "
Next:
 1. Stop the server, put the lines above into its configuration in place of those of the old key file
    (file_key_management_*, aws_key_management_*, or keyroll_filename, keyroll_filekey, ...), and start it. No page
    is touched.
 2. Back up the keystore and the master key, apart from the data and apart from each other.
 3. Keep the old key file, or the files aws-kms-key.*, for as long as you keep backups that were made with them, in a
    safe place.";

/// Moves the keys of a key file, or of aws_key_management, into a new keystore, or adds them to one
///
/// Key ids, versions and bytes stay as they are, and each version is recorded with the algorithm
/// that its data is encrypted with, so that a server goes on with all its data. New versions are
/// made as keyroll_key_algorithm says. What is imported is only read. Without --from-filename,
/// --from-aws and --from-keystore it is the key file that the server's option files name
/// (keyroll_filename or file_key_management_filename).
#[derive(clap::Args)]
#[command(
    after_long_help = "\
Examples:
  keyroll import --keystore /var/lib/keyroll/keystore \\
    --master-key file:/srv/keyroll-master/key
      The key file of the server that is installed here.
  keyroll import --keystore /var/lib/keyroll/keystore \\
    --master-key file:/srv/keyroll-master/key \\
    --from-filename /etc/mysql/keys \\
    --from-filekey FILE:/etc/mysql/password \\
    --from-encryption-algorithm aes_ctr
  keyroll import --keystore /var/lib/mysql/keyroll.keystore \\
    --master-key aws-kms:alias/mariadb \\
    --from-aws /var/lib/mysql
      The keys of aws_key_management; AWS KMS decrypts each once.
  keyroll import --add --from-keystore /old/keystore \\
    --from-master-key file:/old/master | mariadb
      What the server's keystore lacks.",
    mut_args(of_keystores)
)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    /// Add to a keystore that exists all versions that it lacks; the output is SQL for a running
    /// server
    ///
    /// Ids, versions, bytes and algorithms stay as they are. If both stores hold a version with
    /// other bytes, or for another algorithm, nothing is added.
    #[arg(long, conflicts_with = "owner")]
    add: bool,

    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    datadir: DatadirArg,

    #[command(flatten)]
    owner: OwnerArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let chosen = args.store.choose_beside(args.source.peer())?;
    let keystore = chosen.keystore("import")?;
    if args.add {
        let source = args.load(&chosen, keystore)?;
        return add(chosen, &source);
    }
    let owner = args.owner.owner()?;
    let lines = my_cnf::lines(&chosen, chosen.settings.key_spec(), Encryption::GoesOn)?;
    refuse_existing(&keystore.path)?;
    let source = args.load(&chosen, keystore)?;
    let said = format!(
        "imported {}; keys: {}, versions: {}, for {}",
        source.store.described,
        source.keys.ids().len(),
        source.keys.len(),
        source.algorithm.name()
    );
    new_keystore::make(keystore, owner, |keystore| {
        keystore.import(&source.keys, source.algorithm, owner)
    })?;
    terminal::say(&said);
    terminal::print(&lines)?;
    terminal::say_lines(NEXT_STEPS);
    Ok(())
}

impl Args {
    /// What is imported, if it is not known to be another key than the data needs.
    fn load(&self, chosen: &ChosenStore, keystore: &KeystoreConfig) -> Result<Source, Failure> {
        let source = self.source.load(&self.store.option_files, keystore)?;
        if let Some(directory) = self.datadir.directory(chosen) {
            datadir::refuse_other_bytes(&directory, &source.store, &source.keys)?;
        }
        Ok(source)
    }
}

/// Adds what the keystore lacks, and says which versions those are and what a server is to be told.
fn add(chosen: ChosenStore, source: &Source) -> Result<(), Failure> {
    let store = chosen.open()?;
    let StoreSeen { described, .. } = &source.store;
    let added = store
        .patiently_in_keystore(|keystore| keystore.add_all(described, &source.keys, source.algorithm))?;
    let this = store.seen().described;
    if added.new.is_empty() {
        terminal::say(&format!("{this} lacks nothing of {described}"));
        return Ok(());
    }
    terminal::say(&format!(
        "added to {this} what it lacked of {described}; versions: {}",
        added.new.len()
    ));
    let sql = sql_of(&added, |name| match added.keys.latest(name.id) == Some(name) {
        true => " was added and is the latest now",
        false => " was added",
    });
    terminal::print(sql.as_bytes())
}
