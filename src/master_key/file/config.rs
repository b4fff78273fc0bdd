//! What a master key file is opened with.

use std::path::PathBuf;
use std::time::Duration;

use crate::master_key::options::{ProviderOptions, absolute_path};

/// The settings of a master key file.
#[derive(Clone, Debug)]
pub struct MasterKeyFileConfig {
    /// The file: an absolute path.
    pub path: PathBuf,
    /// The time to wait for someone else who rotates it.
    pub lock_timeout: Duration,
}

impl MasterKeyFileConfig {
    /// The file at this path.
    ///
    /// # Errors
    /// What is wrong with the path.
    pub fn new(path: &str, options: &ProviderOptions) -> Result<MasterKeyFileConfig, String> {
        Ok(MasterKeyFileConfig {
            path: absolute_path(path)?,
            lock_timeout: options.request_timeout,
        })
    }
}
