//! Where a credential of the service manager is.

use std::path::{Path, PathBuf};

use crate::master_key::options::ProviderOptions;

/// The settings of a credential.
#[derive(Clone, Debug)]
pub struct CredentialConfig {
    /// The credential's name: a plain file name.
    pub name: String,
    /// `$CREDENTIALS_DIRECTORY`, if the service manager has set it.
    pub directory: Option<PathBuf>,
}

impl CredentialConfig {
    /// The credential of this name, in the environment of the options.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn new(name: &str, options: &ProviderOptions) -> Result<CredentialConfig, String> {
        let is_plain = !name.is_empty()
            && !name.contains('/')
            && !name.chars().any(char::is_control)
            && Path::new(name).file_name().is_some_and(|file| file == name);
        if !is_plain {
            return Err("a credential's name is a plain file name, without a path".into());
        }
        Ok(CredentialConfig {
            name: name.into(),
            directory: options.variable("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        })
    }
}
