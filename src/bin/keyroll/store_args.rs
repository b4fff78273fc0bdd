//! The arguments that choose a key store: the same in every subcommand.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use keyroll::crypto::password::Digest;
use keyroll::secret::SecretBytes;
use keyroll::service::aws::DEFAULT_KEYSTORE;
use keyroll::store::key_file::{FileKey, KeyFileConfig};

use crate::failure::Failure;
use crate::option_files::{self, OptionFileArgs};
use crate::server_settings::{Plugin, ServerSettings};
use crate::store::{ChosenStore, KeystorePlace, Place, absolute_uri};
use crate::{server_version, terminal};

/// What `keyroll_filekey` is in my.cnf; read where `--filekey` is not given.
pub(crate) const FILEKEY_VARIABLE: &str = "KEYROLL_FILEKEY";

/// What a server shows in place of a password (in the `backup-my.cnf` of mariadb-backup).
const HIDDEN: &[u8] = b"(hidden)";

#[derive(Args)]
pub(crate) struct StoreArgs {
    /// The keystore, as in keyroll_keystore
    #[arg(long, value_name = "PATH", requires = "master_key", help_heading = STORE,
          conflicts_with_all = ["filename", "filekey", "digest", "use_pbkdf2"])]
    keystore: Option<PathBuf>,

    /// The keystore's master key, as in keyroll_master_key: file:PATH, credential:NAME, exec:PATH, aws-kms:KEY or
    /// vault-transit:URL
    #[arg(long, value_name = "URI", requires = "keystore", help_heading = STORE)]
    master_key: Option<String>,

    /// Milliseconds that one call to the master key's provider may take, as in keyroll_request_timeout; 0 is the default
    #[arg(long, value_name = "MILLISECONDS", requires = "keystore", help_heading = STORE)]
    request_timeout: Option<u32>,

    /// The key file, as in keyroll_filename
    #[arg(long, value_name = "PATH", help_heading = STORE)]
    filename: Option<PathBuf>,

    /// The file that holds the password of an encrypted key file, as in keyroll_filekey
    ///
    /// Without it the environment variable KEYROLL_FILEKEY is read: a password, or FILE: and a path. No option takes
    /// the password itself, because other users could read it in the list of processes.
    #[arg(long, value_name = "FILE:PATH", requires = "filename", help_heading = STORE, value_parser = filekey_parser())]
    filekey: Option<FilekeyArg>,

    /// The digest that makes the key from the password, as in keyroll_digest [default: sha1]
    #[arg(long, value_name = "NAME", requires = "filename", help_heading = STORE, value_parser = digest_parser())]
    digest: Option<Digest>,

    /// The number of PBKDF2 rounds that make the key from the password, as in keyroll_use_pbkdf2 [default: 0]
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
    /// The file with the password.
    File(PathBuf),
    /// Something else.
    Literal,
}

impl FilekeyArg {
    /// The password's file.
    pub(crate) fn filekey(&self) -> Result<FileKey, Failure> {
        match self {
            FilekeyArg::File(path) => Ok(FileKey::File(path.clone())),
            FilekeyArg::Literal => Err(Failure::LiteralFilekey),
        }
    }
}

/// Takes `FILE:PATH`. What else is refused later, because clap would print it.
pub(crate) fn filekey_parser() -> impl TypedValueParser<Value = FilekeyArg> {
    OsStringValueParser::new().map(|text: OsString| {
        match FileKey::from_setting(SecretBytes::new(text.into_vec()).expose()) {
            FileKey::File(path) => FilekeyArg::File(path),
            _ => FilekeyArg::Literal,
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
    /// Option files are read if no store is named or if one of the arguments that name option files is given. What
    /// names a store as an argument wins over them.
    pub(crate) fn choose(&self) -> Result<ChosenStore, Failure> {
        let named = self.keystore.is_some() || self.filename.is_some();
        let of_server = !named || self.option_files.are_given();
        let settings = if of_server {
            read_option_files(&self.option_files, Plugin::Keyroll)?
        } else {
            ServerSettings::default()
        };
        let place = match (&self.keystore, &self.filename) {
            (Some(path), _) => Place::Keystore(KeystorePlace {
                path: path.clone(),
                master_key: absolute_uri(self.master_key.as_deref().unwrap_or_default())?,
                request_timeout: self.request_timeout.unwrap_or(settings.request_timeout),
                strict_permissions: settings.strict_permissions,
                kms: settings.kms.clone(),
            }),
            (None, Some(path)) => Place::KeyFile(KeyFileConfig {
                path: path.clone(),
                filekey: match &self.filekey {
                    Some(filekey) => filekey.filekey()?,
                    None => filekey_of_environment(),
                },
                digest: self.digest.unwrap_or(Digest::Sha1),
                pbkdf2_rounds: self.use_pbkdf2.unwrap_or(0),
                strict_permissions: settings.strict_permissions,
            }),
            (None, None) => place_of(&settings)?,
        };
        let datadir = of_server.then(|| settings.datadir.clone());
        Ok(ChosenStore {
            place,
            settings,
            datadir,
        })
    }

    /// The arguments that name option files.
    pub(crate) fn option_files(&self) -> &OptionFileArgs {
        &self.option_files
    }
}

/// The settings that option files have for this plugin.
pub(crate) fn read_option_files(args: &OptionFileArgs, plugin: Plugin) -> Result<ServerSettings, Failure> {
    let files = option_files::read(args, &server_version::installed)?;
    for warning in &files.warnings {
        terminal::say(&format!("keyroll: warning: {warning}"));
    }
    Ok(ServerSettings::from_options(&files.options, plugin)?)
}

/// The store that a server with these settings uses.
fn place_of(settings: &ServerSettings) -> Result<Place, Failure> {
    let set = |path: &PathBuf| !path.as_os_str().is_empty();
    let kms_key = settings.kms.master_key();
    match (
        set(&settings.keystore) || kms_key.is_some(),
        set(&settings.filename),
    ) {
        (false, false) => Err(Failure::NoStore),
        (true, true) => Err(Failure::TwoStores),
        (true, false) => Ok(Place::Keystore(KeystorePlace {
            path: match set(&settings.keystore) {
                true => settings.keystore.clone(),
                false => settings.datadir.join(DEFAULT_KEYSTORE),
            },
            master_key: match (settings.master_key.as_str(), kms_key) {
                ("", None) => return Err(Failure::NoMasterKey),
                ("", Some(kms_key)) => kms_key,
                (_, Some(_)) => return Err(Failure::TwoMasterKeys),
                (master_key, None) => master_key.to_owned(),
            },
            request_timeout: settings.request_timeout,
            strict_permissions: settings.strict_permissions,
            kms: settings.kms.clone(),
        })),
        (false, true) => Ok(Place::KeyFile(key_file_of(settings))),
    }
}

/// The key file that a server with these settings uses.
pub(crate) fn key_file_of(settings: &ServerSettings) -> KeyFileConfig {
    let shown = settings.filekey.expose();
    KeyFileConfig {
        path: settings.filename.clone(),
        filekey: if shown.is_empty() || shown == HIDDEN {
            filekey_of_environment()
        } else {
            FileKey::from_setting(shown)
        },
        digest: settings.digest,
        pbkdf2_rounds: settings.use_pbkdf2,
        strict_permissions: settings.strict_permissions,
    }
}

/// The password that the environment gives.
pub(crate) fn filekey_of_environment() -> FileKey {
    let setting = SecretBytes::new(std::env::var_os(FILEKEY_VARIABLE).unwrap_or_default().into_vec());
    FileKey::from_setting(setting.expose())
}
