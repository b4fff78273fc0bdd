//! What is imported: a key file, a keystore, or the keys of aws_key_management.

use std::path::{Path, PathBuf};

use clap::value_parser;
use keyroll::crypto::Algorithm;
use keyroll::keys::{KeyName, KeySet, KeySpec};
use keyroll::settings::PREFIX;
use keyroll::settings::option::{AWS_KEY_MANAGEMENT, FILE_KEY_MANAGEMENT};
use keyroll::store::StoreConfig;
use keyroll::store::aws_key_files::{self, DataKeyReader};
use keyroll::store::keystore::KeystoreConfig;
use keyroll::store::mark::StoreSeen;

use crate::failure::Failure;
use crate::key_file_args::{key_file_args, key_file_at};
use crate::option_files::OptionFileArgs;
use crate::spec_args::algorithm_parser;
use crate::store::{OpenStore, absolute_uri, say_warnings};
use crate::store_args::settings_of;
use crate::terminal;

/// Above the options that name what is imported, in the help text.
const SOURCE: &str = "What to import (without these: as the server's option files say)";

#[derive(clap::Args)]
pub(super) struct SourceArgs {
    /// The key file, as in file_key_management_filename
    #[arg(long, value_name = "PATH", help_heading = SOURCE)]
    from_filename: Option<PathBuf>,

    #[command(flatten)]
    encryption: KeyFileArgs,

    /// What the data is encrypted with, as in file_key_management_encryption_algorithm [default:
    /// aes_cbc]
    #[arg(long, value_name = "ALGORITHM", help_heading = SOURCE, value_parser = algorithm_parser())]
    from_encryption_algorithm: Option<Algorithm>,

    /// The data directory with the keys of aws_key_management: the files aws-kms-key.ID.VERSION
    #[arg(long, value_name = "DIR", help_heading = SOURCE,
          conflicts_with_all = ["from_filename", "from_encryption_algorithm"])]
    from_aws: Option<PathBuf>,

    /// Import the keys of aws_key_management though files of some versions are missing; data that
    /// needs them is lost
    #[arg(long, requires = "from_aws", help_heading = SOURCE, conflicts_with_all = ["from_filename", "from_keystore"])]
    allow_missing: bool,

    /// With --add: another keystore
    #[arg(long, value_name = "PATH", requires = "add", help_heading = SOURCE,
          conflicts_with_all = ["from_filename", "from_encryption_algorithm", "from_aws"])]
    from_keystore: Option<PathBuf>,

    /// The other keystore's master key [default: the same]
    #[arg(long, value_name = "URI", requires = "from_keystore", help_heading = SOURCE)]
    from_master_key: Option<String>,

    /// With --add: no key but the one with this id; may be given more than once
    #[arg(long, value_name = "ID", requires = "add", help_heading = SOURCE, value_parser = value_parser!(u32).range(1..))]
    from_id: Vec<u32>,
}

key_file_args! {
    struct KeyFileArgs of "from_filename" under SOURCE;
    /// The file with the key file's password, as in file_key_management_filekey; without it
    /// KEYROLL_FILEKEY is read
    from_filekey;
    /// As in file_key_management_digest [default: sha1]
    from_digest;
    /// As in file_key_management_use_pbkdf2 [default: 0]
    from_use_pbkdf2;
}

/// What is imported.
pub(super) struct Source {
    /// Which store it is.
    pub(super) store: StoreSeen,
    /// Its keys.
    pub(super) keys: KeySet,
    /// What the keys encrypt with whose store records nothing.
    pub(super) algorithm: Algorithm,
}

impl SourceArgs {
    /// The prefix of the settings that say how AWS KMS is reached, where ours do not.
    pub(super) fn peer(&self) -> Option<&'static str> {
        self.from_aws.as_ref().map(|_| AWS_KEY_MANAGEMENT)
    }

    /// Reads the keys, for this keystore.
    pub(super) fn load(
        &self,
        option_files: &OptionFileArgs,
        keystore: &KeystoreConfig,
    ) -> Result<Source, Failure> {
        let mut source = match (&self.from_aws, &self.from_keystore) {
            (Some(directory), _) => self.of_aws(directory, keystore)?,
            (None, Some(path)) => self.of_keystore(path, keystore)?,
            (None, None) => self.of_key_file(option_files)?,
        };
        if !self.from_id.is_empty() {
            let missing = self.from_id.iter().find(|id| source.keys.latest(**id).is_none());
            if let Some(&id) = missing {
                let described = source.store.described;
                return Err(Failure::NotInSource { id, described });
            }
            source.keys.retain_ids(&self.from_id);
        }
        check_lengths(&source.keys, source.algorithm)?;
        Ok(source)
    }

    fn of_keystore(&self, path: &Path, keystore: &KeystoreConfig) -> Result<Source, Failure> {
        let master_key = match &self.from_master_key {
            Some(uri) => absolute_uri(uri)?,
            None => keystore.master_key.clone(),
        };
        let other = KeystoreConfig {
            path: path.into(),
            ..keystore.with_master_key(&master_key)
        };
        // Each of its versions has an algorithm.
        load(StoreConfig::Keystore(other), KeySpec::DEFAULT.algorithm)
    }

    fn of_key_file(&self, option_files: &OptionFileArgs) -> Result<Source, Failure> {
        let Some(path) = &self.from_filename else {
            return self.of_option_files(option_files);
        };
        let config = key_file_at(path, self.encryption.given(), &settings_of(&[], PREFIX)?)?;
        let algorithm = self.from_encryption_algorithm.unwrap_or(Algorithm::AesCbc);
        load(StoreConfig::KeyFile(config), algorithm)
    }

    /// The store of a server that is not the keystore to be made: a key file, or Vault KV.
    fn of_option_files(&self, option_files: &OptionFileArgs) -> Result<Source, Failure> {
        let options = option_files.read(|warning| terminal::warn(warning))?;
        for prefix in [PREFIX, FILE_KEY_MANAGEMENT] {
            let mut settings = settings_of(&options, prefix)?;
            // They may name the new keystore already.
            settings.keystore = Vec::new();
            settings.master_key_id = Vec::new();
            if settings.name_a_store() {
                let algorithm = self.from_encryption_algorithm;
                let directory = Some(settings.data_directory.clone());
                let store = OpenStore::new(settings.store()?)?.beside(directory);
                return read(&store, algorithm.unwrap_or(settings.algorithm()));
            }
        }
        Err(Failure::NothingToImport)
    }

    /// The keys that aws_key_management left in its data directory, decrypted by KMS. Its only
    /// cipher is aes_cbc.
    fn of_aws(&self, directory: &Path, keystore: &KeystoreConfig) -> Result<Source, Failure> {
        let files = aws_key_files::find(directory).map_err(|source| Failure::Directory {
            path: directory.into(),
            source,
        })?;
        if files.is_empty() {
            return Err(Failure::NoKeysOfAws(directory.into()));
        }
        let gaps = aws_key_files::gaps(&files);
        if !gaps.is_empty() {
            let missing = Failure::MissingOfAws {
                directory: directory.into(),
                gaps,
            };
            match self.allow_missing {
                true => terminal::warn(&missing),
                false => return Err(missing),
            }
        }
        let reader =
            DataKeyReader::new(&keystore.master_key, &keystore.options).map_err(Failure::AwsSettings)?;
        let waiting = format!("waiting for AWS KMS to decrypt {} keys ...", files.len());
        let keys = terminal::while_waiting(&waiting, || {
            let mut keys = KeySet::default();
            for file in &files {
                let key = reader.read(file).map_err(Failure::KeyOfAws)?;
                let (id, version) = (file.id, file.version);
                keys.insert(KeyName { id, version }, key);
            }
            Ok::<_, Failure>(keys)
        });
        let described = format!("the keys of aws_key_management in {}", directory.display());
        Ok(Source {
            store: StoreSeen {
                described,
                identity: None,
            },
            keys: keys?,
            algorithm: Algorithm::AesCbc,
        })
    }
}

fn load(settings: StoreConfig, algorithm: Algorithm) -> Result<Source, Failure> {
    read(&OpenStore::new(settings)?, algorithm)
}

fn read(store: &OpenStore, algorithm: Algorithm) -> Result<Source, Failure> {
    let loaded = store.load()?;
    say_warnings(&loaded);
    Ok(Source {
        store: store.seen(),
        keys: loaded.keys,
        algorithm,
    })
}

/// Before a master key is made for nothing. Making the keystore looks again.
fn check_lengths(keys: &KeySet, algorithm: Algorithm) -> Result<(), Failure> {
    for (name, key) in keys.iter() {
        let algorithm = keys.algorithm(name).unwrap_or(algorithm);
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
