//! `keyroll import`: the keys of a key file into a new keystore, so that a server's data moves over as it is.

use std::path::PathBuf;

use keyroll::crypto::Algorithm;
use keyroll::crypto::password::Digest;
use keyroll::keystore::key_file::{KeyFile, KeyFileConfig};
use keyroll::keystore::{KeySet, KeySpec, KeyStore};

use crate::failure::Failure;
use crate::init::refuse_existing;
use crate::owner::OwnerArgs;
use crate::server_settings::Plugin;
use crate::spec_args::algorithm_parser;
use crate::store::{Place, say_warnings};
use crate::store_args::{
    FilekeyArg, StoreArgs, digest_parser, filekey_of_environment, filekey_parser, key_file_of,
    read_option_files,
};
use crate::{my_cnf, new_keystore, terminal};

/// What remains to be done by hand.
const NEXT_STEPS: &str = "
Next:
 1. Stop the server, put the lines above into its configuration in place of those of the old key file
    (file_key_management_* or keyroll_filename, keyroll_filekey, ...), and start it. No page is touched.
 2. Back up the keystore and the master key, apart from the data and apart from each other.
 3. Keep the old key file for as long as you keep backups that were made with it, in a safe place.";

/// Moves the keys of a key file into a new keystore
///
/// Key ids, versions and bytes stay as they are, and each version is recorded with the algorithm that its data is
/// encrypted with, so that a server goes on with all its data. New versions are made as keyroll_key_algorithm says.
/// The key file is only read. Without --from-filename it is the one that the server's option files name
/// (keyroll_filename or file_key_management_filename).
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  keyroll import --keystore /var/lib/keyroll/keystore --master-key file:/etc/keyroll/master
      The key file of the server that is installed here.
  keyroll import --keystore /var/lib/keyroll/keystore --master-key file:/etc/keyroll/master \\
    --from-filename /etc/mysql/keys --from-filekey FILE:/etc/mysql/password --from-encryption-algorithm aes_ctr")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    /// The key file, as in file_key_management_filename
    #[arg(long, value_name = "PATH", help_heading = SOURCE)]
    from_filename: Option<PathBuf>,

    /// The file with the key file's password, as in file_key_management_filekey; without it KEYROLL_FILEKEY is read
    #[arg(long, value_name = "FILE:PATH", requires = "from_filename", help_heading = SOURCE,
          value_parser = filekey_parser())]
    from_filekey: Option<FilekeyArg>,

    /// As in file_key_management_digest [default: sha1]
    #[arg(long, value_name = "NAME", requires = "from_filename", help_heading = SOURCE, value_parser = digest_parser())]
    from_digest: Option<Digest>,

    /// As in file_key_management_use_pbkdf2 [default: 0]
    #[arg(long, value_name = "N", requires = "from_filename", help_heading = SOURCE)]
    from_use_pbkdf2: Option<u32>,

    /// What the data is encrypted with, as in file_key_management_encryption_algorithm [default: aes_cbc]
    #[arg(long, value_name = "ALGORITHM", help_heading = SOURCE, value_parser = algorithm_parser())]
    from_encryption_algorithm: Option<Algorithm>,

    #[command(flatten)]
    owner: OwnerArgs,
}

/// Above the options that name the key file, in the help text.
const SOURCE: &str = "Key file to import (without these: as the server's option files say)";

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let owner = args.owner.owner()?;
    let chosen = args.store.choose()?;
    let ciphers = chosen.ciphers();
    let lines = my_cnf::lines(&chosen.place, ciphers).map_err(Failure::Output)?;
    let Place::Keystore(keystore) = chosen.place else {
        return Err(Failure::NotAKeystore { subcommand: "import" });
    };
    let source = args.source()?;
    let key_file = KeyFile::new(source.config)?;
    let loaded = key_file.load()?;
    say_warnings(&loaded);
    let keys = loaded.keys;
    refuse_existing(&keystore.path)?;
    check_lengths(&keys, source.algorithm)?;
    let said = format!(
        "imported {}; keys: {}, versions: {}, for {}",
        key_file.describe(),
        keys.ids().len(),
        keys.len(),
        source.algorithm.name()
    );
    new_keystore::make_of(&keystore, &keys, source.algorithm, owner)?;
    terminal::say(&said);
    terminal::print(&lines)?;
    terminal::say(NEXT_STEPS);
    Ok(())
}

/// What is imported.
struct Source {
    config: KeyFileConfig,
    algorithm: Algorithm,
}

impl Args {
    fn source(&self) -> Result<Source, Failure> {
        let Some(path) = &self.from_filename else {
            return self.source_of_option_files();
        };
        Ok(Source {
            config: KeyFileConfig {
                path: path.clone(),
                filekey: match &self.from_filekey {
                    Some(filekey) => filekey.filekey()?,
                    None => filekey_of_environment(),
                },
                digest: self.from_digest.unwrap_or(Digest::Sha1),
                pbkdf2_rounds: self.from_use_pbkdf2.unwrap_or(0),
                strict_permissions: false,
            },
            algorithm: self.from_encryption_algorithm.unwrap_or(Algorithm::AesCbc),
        })
    }

    fn source_of_option_files(&self) -> Result<Source, Failure> {
        for plugin in [Plugin::Keyroll, Plugin::FileKeyManagement] {
            let settings = read_option_files(self.store.option_files(), plugin)?;
            if !settings.filename.as_os_str().is_empty() {
                let algorithm = self.from_encryption_algorithm;
                return Ok(Source {
                    config: key_file_of(&settings),
                    algorithm: algorithm.unwrap_or(settings.encryption_algorithm),
                });
            }
        }
        Err(Failure::NothingToImport)
    }
}

/// Before a master key is made for nothing. Making the keystore looks again.
fn check_lengths(keys: &KeySet, algorithm: Algorithm) -> Result<(), Failure> {
    for (name, key) in keys.iter() {
        let bits = key.len() * 8;
        // A data key has 16, 24 or 32 bytes.
        let spec = KeySpec {
            algorithm,
            bits: bits as u32,
        };
        if !spec.is_possible() {
            return Err(Failure::NotItsAlgorithm {
                name,
                bits,
                algorithm: algorithm.name(),
            });
        }
    }
    Ok(())
}
