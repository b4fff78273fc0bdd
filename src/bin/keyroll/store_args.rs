//! The arguments that choose a key store: the same in every subcommand.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use keyroll::crypto::password::Digest;
use keyroll::notify::Notify;
use keyroll::secret::SecretBytes;
use keyroll::settings::{
    KeystoreSettings, PREFIX, SecretsOfEnvironment, ServerOption, Settings, StoreSettings,
};

use crate::failure::Failure;
use crate::option_files::OptionFileArgs;
use crate::store::{OpenStore, absolute_uri};
use crate::{names, terminal};

/// Where the server's packages have its data.
const DEFAULT_DATADIR: &str = "/var/lib/mysql";

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
    #[arg(long, value_name = "MILLISECONDS", requires = "keystore", help_heading = STORE)]
    request_timeout: Option<u32>,

    /// The key file, as in keyroll_filename
    #[arg(long, value_name = "PATH", help_heading = STORE)]
    filename: Option<PathBuf>,

    /// The file that holds the password of an encrypted key file, as in keyroll_filekey
    ///
    /// Without it the environment variable KEYROLL_FILEKEY is read: a password, or FILE: and a
    /// path. No option takes the password itself, because other users could read it in the list of
    /// processes.
    #[arg(long, value_name = "FILE:PATH", requires = "filename", help_heading = STORE, value_parser = filekey_parser())]
    filekey: Option<FilekeyArg>,

    /// The digest that makes the key from the password, as in keyroll_digest [default: sha1]
    #[arg(long, value_name = "NAME", requires = "filename", help_heading = STORE, value_parser = digest_parser())]
    digest: Option<Digest>,

    /// The number of PBKDF2 rounds that make the key from the password, as in keyroll_use_pbkdf2
    /// [default: 0]
    #[arg(long, value_name = "N", requires = "filename", help_heading = STORE)]
    use_pbkdf2: Option<u32>,

    #[command(flatten)]
    option_files: OptionFileArgs,
}

/// Above the options that name a store, in every help text.
const STORE: &str = "Key store (without these: as the server's option files say)";

/// `FILE:` and a path; anything else is not kept, because it may be a password.
#[derive(Clone)]
pub(crate) enum FilekeyArg {
    /// What names the file with the password.
    File(Vec<u8>),
    /// Something else.
    Literal,
}

impl FilekeyArg {
    /// What `keyroll_filekey` would be.
    pub(crate) fn setting(&self) -> Result<SecretBytes, Failure> {
        match self {
            FilekeyArg::File(setting) => Ok(SecretBytes::new(setting.clone())),
            FilekeyArg::Literal => Err(Failure::LiteralFilekey),
        }
    }
}

/// Takes `FILE:PATH`. What else is refused later, because clap would print it.
pub(crate) fn filekey_parser() -> impl TypedValueParser<Value = FilekeyArg> {
    OsStringValueParser::new().map(|text: OsString| {
        let text = SecretBytes::new(text.into_vec());
        match text.expose().starts_with(b"FILE:") {
            true => FilekeyArg::File(text.expose().to_vec()),
            false => FilekeyArg::Literal,
        }
    })
}

/// Takes the name of a digest.
pub(crate) fn digest_parser() -> impl TypedValueParser<Value = Digest> {
    PossibleValuesParser::new(Digest::ALL.map(Digest::name))
        .map(|name| Digest::from_name(&name).unwrap_or(Digest::Sha1))
}

impl StoreArgs {
    /// The store that the arguments name, or else the one that a server's option files name.
    ///
    /// Option files are read if no store is named or if one of the arguments that name option files
    /// is given. What names a store as an argument wins over them.
    pub(crate) fn choose(&self) -> Result<ChosenStore, Failure> {
        let named = self.keystore.is_some() || self.filename.is_some();
        let options = match !named || self.option_files.are_given() {
            true => Some(read_options(&self.option_files)?),
            false => None,
        };
        let mut settings = settings_of(options.as_deref().unwrap_or_default(), PREFIX)?;
        if named {
            names::show_arguments();
            self.put_into(&mut settings)?;
        } else if !settings.name_a_store() {
            return Err(Failure::NoStore);
        }
        Ok(ChosenStore {
            store: settings.store()?,
            settings,
            options,
        })
    }

    /// Puts what names a store here in the place of what the settings name.
    fn put_into(&self, settings: &mut Settings) -> Result<(), Failure> {
        let bytes = |path: &Option<PathBuf>| path.clone().unwrap_or_default().into_os_string().into_vec();
        settings.keystore = bytes(&self.keystore);
        settings.filename = bytes(&self.filename);
        settings.master_key = absolute_uri(self.master_key.as_deref().unwrap_or_default())?.into_bytes();
        settings.master_key_id = Vec::new();
        settings.vault_url = Vec::new();
        settings.request_timeout = self.request_timeout.unwrap_or(settings.request_timeout);
        settings.filekey = match &self.filekey {
            Some(filekey) => filekey.setting()?,
            None => SecretBytes::default(),
        };
        settings.digest = self.digest.map_or(0, index_of_digest);
        settings.use_pbkdf2 = self.use_pbkdf2.unwrap_or(0);
        settings.fill_from_environment_of_vault();
        Ok(())
    }

    /// The arguments that name option files.
    pub(crate) fn option_files(&self) -> &OptionFileArgs {
        &self.option_files
    }
}

/// The options of the server; what its own reader of them warns of is told.
pub(crate) fn read_options(files: &OptionFileArgs) -> Result<Vec<ServerOption>, Failure> {
    let (options, warnings) = files.read()?;
    for warning in warnings {
        terminal::say(&format!("keyroll: warning: {warning}"));
    }
    Ok(options)
}

/// The index that the setting `digest` has for it.
pub(crate) fn index_of_digest(digest: Digest) -> usize {
    Digest::ALL.iter().position(|other| *other == digest).unwrap_or(0)
}

/// The settings that options with this prefix make, with what the environment gives.
pub(crate) fn settings_of(options: &[ServerOption], prefix: &str) -> Result<Settings, Failure> {
    let datadir = options.iter().rev().find_map(|option| {
        let (name, value) = option.meaning()?;
        (name == "datadir" && !value.bytes().is_empty())
            .then(|| PathBuf::from(OsString::from_vec(value.bytes().to_vec())))
    });
    Ok(Settings {
        environment: SecretsOfEnvironment::of_this_process(),
        notify: Notify::new(terminal::say),
        data_directory: datadir.unwrap_or_else(|| DEFAULT_DATADIR.into()),
        ..Settings::from_options_of(options, prefix)?
    })
}

/// The store that arguments or option files name, and the settings beside it.
#[derive(Debug)]
pub(crate) struct ChosenStore {
    /// Which store.
    pub(crate) store: StoreSettings,
    /// The settings of the server's option files, or its defaults, and what the arguments put in
    /// their place.
    pub(crate) settings: Settings,
    /// All options of the server; `None` if no option files were read.
    pub(crate) options: Option<Vec<ServerOption>>,
}

impl ChosenStore {
    /// The store, ready to be read.
    pub(crate) fn open(self) -> Result<OpenStore, Failure> {
        OpenStore::new(self.store)
    }

    /// The data directory of the server whose option files were read.
    pub(crate) fn datadir(&self) -> Option<PathBuf> {
        self.options
            .as_ref()
            .map(|_| self.settings.data_directory.clone())
    }

    /// The keystore.
    ///
    /// # Errors
    /// It is another store, and this subcommand is for keystores.
    pub(crate) fn keystore(&self, subcommand: &'static str) -> Result<&KeystoreSettings, Failure> {
        match &self.store {
            StoreSettings::Keystore(keystore) => Ok(keystore),
            other => Err(Failure::NotAKeystore {
                subcommand,
                kind: other.kind(),
            }),
        }
    }
}
