//! The arguments that choose a key store: the same in every subcommand.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use clap::{Arg, Args};
use keyroll::notify::Notify;
use keyroll::settings::{PREFIX, SecretsOfEnvironment, ServerOption, Settings, refuse_keys_of_peer};
use keyroll::store::StoreConfig;
use keyroll::store::keystore::KeystoreConfig;

use crate::failure::Failure;
use crate::key_file_args::{key_file_args, key_file_at};
use crate::option_files::{OptionFileArgs, OptionFileError};
use crate::store::{OpenStore, absolute_uri};
use crate::{names, terminal};

/// Where the server's packages have its data.
pub(crate) const DEFAULT_DATADIR: &str = "/var/lib/mysql";

#[derive(Args)]
pub(crate) struct StoreArgs {
    /// The keystore, as in keyroll_keystore
    #[arg(long, value_name = "PATH", requires = "master_key", help_heading = STORE,
          conflicts_with_all = ["filename", "filekey", "digest", "use_pbkdf2"])]
    keystore: Option<PathBuf>,

    /// The keystore's master key, as in keyroll_master_key: file:PATH, credential:NAME, exec:PATH,
    /// aws-kms:KEY or vault-transit:URL
    #[arg(long, value_name = "URI", requires = "keystore", help_heading = STORE)]
    master_key: Option<String>,

    /// Milliseconds that one call to the master key's provider may take, as in
    /// keyroll_request_timeout; 0 is the default
    #[arg(long, value_name = "MILLISECONDS", requires = "keystore", help_heading = STORE,
          hide_short_help = true)]
    request_timeout: Option<u32>,

    /// The key file, as in keyroll_filename
    #[arg(long, value_name = "PATH", help_heading = STORE)]
    filename: Option<PathBuf>,

    #[command(flatten)]
    encryption: KeyFileArgs,

    #[command(flatten)]
    pub(crate) option_files: OptionFileArgs,
}

/// Above the options that name a store, in every help text.
const STORE: &str = "Key store (without these: as the server's option files say)";

key_file_args! {
    struct KeyFileArgs of "filename" under STORE;
    /// The file that holds the password of an encrypted key file, as in keyroll_filekey
    ///
    /// Without it the environment variable KEYROLL_FILEKEY is read: a password, or FILE: and a
    /// path. No option takes the password itself, because other users could read it in the list of
    /// processes.
    filekey;
    /// The digest that makes the key from the password, as in keyroll_digest [default: sha1]
    digest;
    /// The number of PBKDF2 rounds that make the key from the password, as in keyroll_use_pbkdf2
    /// [default: 0]
    use_pbkdf2;
}

/// Hides the arguments of key files in the help of a subcommand that works on keystores alone. They
/// are refused there by what the subcommand says of them.
pub(crate) fn of_keystores(argument: Arg) -> Arg {
    let hidden = ["filename", "filekey", "digest", "use_pbkdf2"].contains(&argument.get_id().as_str());
    argument.hide(hidden)
}

impl StoreArgs {
    /// The store that the arguments name, or else the one that a server's option files name.
    ///
    /// What names a store as an argument wins over option files. Unless one of the arguments that
    /// name option files is given, too, they say nothing but how key services are reached then.
    pub(crate) fn choose(&self) -> Result<ChosenStore, Failure> {
        self.choose_beside(None)
    }

    /// The same; where the server's own settings say nothing of AWS KMS, those of the plugin whose
    /// settings have this prefix do.
    pub(crate) fn choose_beside(&self, peer: Option<&str>) -> Result<ChosenStore, Failure> {
        let named = self.keystore.is_some() || self.filename.is_some();
        let of_server = !named || self.option_files.are_given();
        let options = self.options(of_server)?;
        let mut settings = settings_of(&options, PREFIX)?;
        if !of_server {
            settings = settings.of_services();
            settings.data_directory = DEFAULT_DATADIR.into();
        }
        if let Some(peer) = peer {
            settings.fill_from_kms(settings_of(&options, peer)?);
        }
        if named {
            names::show_arguments();
            settings.request_timeout = self.request_timeout.unwrap_or(settings.request_timeout);
            settings.fill_from_environment_of_vault();
        }
        let store = match (&self.keystore, &self.filename) {
            (Some(path), _) => {
                let master_key = self.master_key.as_deref().unwrap_or_default();
                StoreConfig::Keystore(keystore_at(path, master_key, &settings)?)
            }
            (None, Some(path)) => {
                StoreConfig::KeyFile(key_file_at(path, self.encryption.given(), &settings)?)
            }
            (None, None) if settings.name_a_store() => settings.store()?,
            (None, None) => return Err(Failure::NoStore),
        };
        let (options, others) = match of_server {
            true => (Some(options), Vec::new()),
            false => (None, options),
        };
        Ok(ChosenStore {
            store,
            settings,
            options,
            others,
        })
    }

    /// What the option files say. Where they do not name the store, it does without files that
    /// cannot be read.
    fn options(&self, of_server: bool) -> Result<Vec<ServerOption>, Failure> {
        match self.option_files.read(|warning| terminal::warn(warning)) {
            Err(OptionFileError::NoProgram(_)) if !of_server => Ok(Vec::new()),
            Err(error) if !of_server => {
                terminal::warn(error);
                Ok(Vec::new())
            }
            options => Ok(options?),
        }
    }
}

/// A keystore that arguments name, and what these settings say beside it.
pub(crate) fn keystore_at(path: &Path, uri: &str, settings: &Settings) -> Result<KeystoreConfig, Failure> {
    Ok(KeystoreConfig {
        path: path.into(),
        master_key: absolute_uri(uri)?,
        options: settings.master_key_options()?,
        strict_permissions: settings.strict_permissions,
    })
}

/// The settings that options with this prefix make, with what the environment gives.
pub(crate) fn settings_of(options: &[ServerOption], prefix: &str) -> Result<Settings, Failure> {
    Ok(Settings {
        environment: SecretsOfEnvironment::of_this_process(),
        notify: Notify::new(terminal::say),
        data_directory: datadir_of(options),
        ..Settings::from_options(options, prefix)?
    })
}

fn datadir_of(options: &[ServerOption]) -> PathBuf {
    let datadir = options.iter().rev().find_map(|option| {
        let (name, value) = option.meaning()?;
        (name == "datadir" && !value.bytes().is_empty())
            .then(|| PathBuf::from(OsString::from_vec(value.bytes().to_vec())))
    });
    datadir.unwrap_or_else(|| DEFAULT_DATADIR.into())
}

/// The store that arguments or option files name, and the settings beside it.
#[derive(Debug)]
pub(crate) struct ChosenStore {
    pub(crate) store: StoreConfig,
    /// The settings of the server's option files, or its defaults, and what the arguments put in
    /// their place.
    pub(crate) settings: Settings,
    /// All options of the server whose store it is; `None` if an argument alone named the store.
    pub(crate) options: Option<Vec<ServerOption>>,
    /// All options of the server that is installed here, where it need not be its store.
    others: Vec<ServerOption>,
}

impl ChosenStore {
    /// The store, ready to be read.
    pub(crate) fn open(self) -> Result<OpenStore, Failure> {
        self.refuse_keys_of_peer()?;
        let directory = self.datadir().filter(|directory| directory.is_dir());
        Ok(OpenStore::new(self.store)?.beside(directory))
    }

    /// Refuses a keystore that is yet to be imported.
    pub(crate) fn refuse_keys_of_peer(&self) -> Result<(), Failure> {
        let beside = self.store.file().and_then(Path::parent);
        let directory = self.datadir().or(beside.map(Path::to_owned));
        Ok(refuse_keys_of_peer(&self.store, &directory.unwrap_or_default())?)
    }

    /// What the option files of the server that is installed here make of this option; nothing
    /// where they do not name it.
    pub(crate) fn server_has(&self, name: &str) -> Option<String> {
        let options = self.options.as_ref().unwrap_or(&self.others);
        let mut meant = options.iter().filter_map(ServerOption::meaning);
        let (_, value) = meant.rfind(|(meant, _)| meant == name)?;
        let text = String::from_utf8_lossy(value.bytes());
        let is_word = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match is_word {
            true => Some(text.into_owned()),
            false => Some(if value.flag() { "ON" } else { "OFF" }.into()),
        }
    }

    /// The data directory of the server whose option files were read.
    pub(crate) fn datadir(&self) -> Option<PathBuf> {
        self.options
            .as_ref()
            .map(|_| self.settings.data_directory.clone())
    }

    /// The data directory of the server that is installed here, whose store it need not be.
    pub(crate) fn datadir_here(&self) -> PathBuf {
        datadir_of(self.options.as_ref().unwrap_or(&self.others))
    }

    /// The keystore.
    ///
    /// # Errors
    /// It is another store, and this subcommand is for keystores.
    pub(crate) fn keystore(&self, subcommand: &'static str) -> Result<&KeystoreConfig, Failure> {
        match &self.store {
            StoreConfig::Keystore(keystore) => Ok(keystore),
            other => Err(Failure::NotAKeystore {
                subcommand,
                kind: other.kind(),
            }),
        }
    }
}
