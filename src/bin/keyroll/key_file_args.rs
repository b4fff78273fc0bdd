//! The arguments that name a key file and say how it is encrypted: the same in every subcommand.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use keyroll::crypto::password::Digest;
use keyroll::keystore::Loaded;
use keyroll::keystore::key_file::{FileKey, KeyFile, KeyFileConfig};
use keyroll::secret::SecretBytes;

use crate::failure::Failure;
use crate::terminal;

/// What `keyroll_filekey` is in my.cnf; read where `--filekey-file` is not given.
const FILEKEY_VARIABLE: &str = "KEYROLL_FILEKEY";

#[derive(Args)]
pub(crate) struct KeyFileArgs {
    /// The key file, as in keyroll_filename
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    /// The file that holds the password of an encrypted key file, as in keyroll_filekey = FILE:PATH
    ///
    /// Without it the environment variable KEYROLL_FILEKEY is read: a password, or FILE: and a path. There is no
    /// option for the password itself, because other users could read it in the list of processes.
    #[arg(long, value_name = "PATH")]
    filekey_file: Option<PathBuf>,

    /// The digest that makes the key from the password, as in keyroll_digest
    #[arg(long, value_name = "NAME", default_value = DEFAULT_DIGEST.name(), value_parser = digest_parser())]
    pub(crate) digest: Digest,

    /// The number of PBKDF2 rounds that make the key from the password, as in keyroll_use_pbkdf2;
    /// 0 is the older way without PBKDF2
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) use_pbkdf2: u32,
}

/// The digest where `keyroll_digest` is not set.
pub(crate) const DEFAULT_DIGEST: Digest = Digest::Sha1;

fn digest_parser() -> impl TypedValueParser<Value = Digest> {
    PossibleValuesParser::new(Digest::ALL.map(Digest::name))
        .map(|name| Digest::from_name(&name).unwrap_or(DEFAULT_DIGEST))
}

impl KeyFileArgs {
    /// The password as the option or the environment gives it.
    pub(crate) fn filekey(&self) -> FileKey {
        if let Some(path) = &self.filekey_file {
            return FileKey::File(path.clone());
        }
        let setting = SecretBytes::new(std::env::var_os(FILEKEY_VARIABLE).unwrap_or_default().into_vec());
        FileKey::from_setting(setting.expose())
    }

    /// The key file's settings.
    pub(crate) fn config(&self, strict_permissions: bool) -> KeyFileConfig {
        KeyFileConfig {
            path: self.path.clone(),
            filekey: self.filekey(),
            digest: self.digest,
            pbkdf2_rounds: self.use_pbkdf2,
            strict_permissions,
        }
    }

    /// The key file, ready to be read.
    pub(crate) fn open(&self, strict_permissions: bool) -> Result<KeyFile, Failure> {
        Ok(KeyFile::new(self.config(strict_permissions))?)
    }
}

/// Tells what should be mended.
pub(crate) fn say_warnings(loaded: &Loaded) {
    for warning in &loaded.warnings {
        terminal::say(&format!("keyroll: warning: {warning}"));
    }
}
