//! `keyroll import`: the keys of a key file, or of aws_key_management, into a new keystore, so that a server's data moves over as it is.

use std::path::{Path, PathBuf};

use keyroll::crypto::Algorithm;
use keyroll::crypto::password::Digest;
use keyroll::keystore::key_file::{KeyFile, KeyFileConfig};
use keyroll::keystore::{KeyName, KeySet, KeySpec, KeyStore};
use keyroll::master_key::aws_kms::data_keys::{self, DataKeyReader};

use crate::failure::Failure;
use crate::init::refuse_existing;
use crate::owner::OwnerArgs;
use crate::server_settings::Plugin;
use crate::spec_args::algorithm_parser;
use crate::store::{KeystorePlace, Place, say_warnings};
use crate::store_args::{
    FilekeyArg, StoreArgs, digest_parser, filekey_of_environment, filekey_parser, key_file_of,
    read_option_files,
};
use crate::{my_cnf, new_keystore, terminal};

/// What remains to be done by hand.
const NEXT_STEPS: &str = "
Next:
 1. Stop the server, put the lines above into its configuration in place of those of the old key file
    (file_key_management_*, aws_key_management_*, or keyroll_filename, keyroll_filekey, ...), and start it. No page
    is touched.
 2. Back up the keystore and the master key, apart from the data and apart from each other.
 3. Keep the old key file, or the files aws-kms-key.*, for as long as you keep backups that were made with them, in a
    safe place.";

/// Moves the keys of a key file, or of aws_key_management, into a new keystore
///
/// Key ids, versions and bytes stay as they are, and each version is recorded with the algorithm that its data is
/// encrypted with, so that a server goes on with all its data. New versions are made as keyroll_key_algorithm says.
/// What is imported is only read. Without --from-filename and --from-aws it is the key file that the server's option
/// files name (keyroll_filename or file_key_management_filename).
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  keyroll import --keystore /var/lib/keyroll/keystore --master-key file:/etc/keyroll/master
      The key file of the server that is installed here.
  keyroll import --keystore /var/lib/keyroll/keystore --master-key file:/etc/keyroll/master \\
    --from-filename /etc/mysql/keys --from-filekey FILE:/etc/mysql/password --from-encryption-algorithm aes_ctr
  keyroll import --keystore /var/lib/mysql/keyroll.keystore --master-key aws-kms:alias/mariadb \\
    --from-aws /var/lib/mysql
      The keys of aws_key_management; AWS KMS decrypts each once.")]
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

    /// The data directory with the keys of aws_key_management: the files aws-kms-key.ID.VERSION
    #[arg(long, value_name = "DIR", help_heading = SOURCE,
          conflicts_with_all = ["from_filename", "from_encryption_algorithm"])]
    from_aws: Option<PathBuf>,

    #[command(flatten)]
    owner: OwnerArgs,
}

/// Above the options that name the key file, in the help text.
const SOURCE: &str = "What to import (without these: the key file that the server's option files name)";

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let owner = args.owner.owner()?;
    let chosen = args.store.choose()?;
    let ciphers = chosen.ciphers();
    let lines = my_cnf::lines(&chosen.place, ciphers).map_err(Failure::Output)?;
    let Place::Keystore(keystore) = chosen.place else {
        return Err(Failure::NotAKeystore { subcommand: "import" });
    };
    refuse_existing(&keystore.path)?;
    let source = match &args.from_aws {
        Some(directory) => of_aws(directory, &keystore)?,
        None => args.key_file()?.load()?,
    };
    check_lengths(&source.keys, source.algorithm)?;
    let said = format!(
        "imported {}; keys: {}, versions: {}, for {}",
        source.described,
        source.keys.ids().len(),
        source.keys.len(),
        source.algorithm.name()
    );
    new_keystore::make_of(&keystore, &source.keys, source.algorithm, owner)?;
    terminal::say(&said);
    terminal::print(&lines)?;
    terminal::say(NEXT_STEPS);
    Ok(())
}

/// What is imported.
struct Source {
    described: String,
    keys: KeySet,
    algorithm: Algorithm,
}

/// The key file that is imported.
struct KeyFileSource {
    config: KeyFileConfig,
    algorithm: Algorithm,
}

impl KeyFileSource {
    fn load(self) -> Result<Source, Failure> {
        let key_file = KeyFile::new(self.config)?;
        let loaded = key_file.load()?;
        say_warnings(&loaded);
        Ok(Source {
            described: key_file.describe(),
            keys: loaded.keys,
            algorithm: self.algorithm,
        })
    }
}

/// The keys that aws_key_management left in its data directory, decrypted by KMS. Its only cipher is aes_cbc.
fn of_aws(directory: &Path, keystore: &KeystorePlace) -> Result<Source, Failure> {
    let files = data_keys::find(directory).map_err(|source| Failure::Directory {
        path: directory.into(),
        source,
    })?;
    if files.is_empty() {
        return Err(Failure::NoKeysOfAws(directory.into()));
    }
    let reader = DataKeyReader::new(keystore.aws_kms()?);
    let waiting = format!("waiting for AWS KMS to decrypt {} keys ...", files.len());
    let keys = terminal::while_waiting(&waiting, || {
        let mut keys = KeySet::default();
        for file in &files {
            let key = reader.read(file).map_err(|source| Failure::KeyOfAws {
                path: file.path.clone(),
                source: Box::new(source),
            })?;
            let (id, version) = (file.id, file.version);
            keys.insert(KeyName { id, version }, key);
        }
        Ok::<_, Failure>(keys)
    });
    for message in reader.take_messages() {
        terminal::say(&message);
    }
    Ok(Source {
        described: format!("the keys of aws_key_management in {}", directory.display()),
        keys: keys?,
        algorithm: Algorithm::AesCbc,
    })
}

impl Args {
    fn key_file(&self) -> Result<KeyFileSource, Failure> {
        let Some(path) = &self.from_filename else {
            return self.key_file_of_option_files();
        };
        Ok(KeyFileSource {
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

    fn key_file_of_option_files(&self) -> Result<KeyFileSource, Failure> {
        for plugin in [Plugin::Keyroll, Plugin::FileKeyManagement] {
            let settings = read_option_files(self.store.option_files(), plugin)?;
            if !settings.filename.as_os_str().is_empty() {
                let algorithm = self.from_encryption_algorithm;
                return Ok(KeyFileSource {
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
