//! The arguments that say how a key file is encrypted. A subcommand may name two key files, so they
//! are declared here for any.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use keyroll::crypto::password::Digest;
use keyroll::durable::SecretSource;
use keyroll::secret::SecretBytes;
use keyroll::settings::Settings;
use keyroll::store::key_file::KeyFileConfig;

use crate::failure::Failure;

/// Declares a struct of them, with their help texts. They need the argument that names the file.
macro_rules! key_file_args {
    (
        struct $args:ident of $file:literal under $heading:ident;
        $(#[$filekey_help:meta])* $filekey:ident;
        $(#[$digest_help:meta])* $digest:ident;
        $(#[$rounds_help:meta])* $rounds:ident;
    ) => {
        #[derive(clap::Args)]
        // The id of such a group would have to be unique.
        #[group(skip)]
        struct $args {
            $(#[$filekey_help])*
            #[arg(long, value_name = "FILE:PATH", requires = $file, help_heading = $heading,
                  hide_short_help = true)]
            $filekey: Option<$crate::key_file_args::FilekeyArg>,

            $(#[$digest_help])*
            #[arg(long, value_name = "NAME", requires = $file, help_heading = $heading,
                  hide_short_help = true,
                  value_parser = $crate::key_file_args::digest_parser())]
            $digest: Option<keyroll::crypto::password::Digest>,

            $(#[$rounds_help])*
            #[arg(long, value_name = "N", requires = $file, help_heading = $heading,
                  hide_short_help = true)]
            $rounds: Option<u32>,
        }

        impl $args {
            fn given(&self) -> $crate::key_file_args::Encryption<'_> {
                (self.$filekey.as_ref(), self.$digest, self.$rounds)
            }
        }
    };
}
pub(crate) use key_file_args;

/// `FILE:` and a path. Anything else is not kept, because it may be a password, and is refused
/// later, because clap would print it.
#[derive(Clone)]
pub(crate) enum FilekeyArg {
    File(PathBuf),
    Literal,
}

impl From<OsString> for FilekeyArg {
    fn from(text: OsString) -> FilekeyArg {
        let text = SecretBytes::new(text.into_vec());
        match SecretSource::from_setting(text.expose()) {
            Some(SecretSource::File(path)) => FilekeyArg::File(path),
            _ => FilekeyArg::Literal,
        }
    }
}

/// Takes the name of a digest.
pub(crate) fn digest_parser() -> impl TypedValueParser<Value = Digest> {
    PossibleValuesParser::new(Digest::ALL.map(Digest::name))
        .map(|name| Digest::from_name(&name).unwrap_or(Digest::Sha1))
}

/// The filekey, the digest and the rounds of PBKDF2, as far as arguments say them.
pub(crate) type Encryption<'a> = (Option<&'a FilekeyArg>, Option<Digest>, Option<u32>);

/// A key file that arguments name. Without a filekey it is what the environment says.
pub(crate) fn key_file_at(
    path: &Path,
    (filekey, digest, pbkdf2_rounds): Encryption<'_>,
    settings: &Settings,
) -> Result<KeyFileConfig, Failure> {
    Ok(KeyFileConfig {
        path: path.into(),
        filekey: match filekey {
            Some(FilekeyArg::File(path)) => Some(SecretSource::File(path.clone())),
            Some(FilekeyArg::Literal) => return Err(Failure::LiteralFilekey),
            None => SecretSource::from_setting(settings.environment.filekey.expose()),
        },
        digest: digest.unwrap_or(Digest::Sha1),
        pbkdf2_rounds: pbkdf2_rounds.unwrap_or(0),
        strict_permissions: settings.strict_permissions,
    })
}
