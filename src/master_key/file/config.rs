//! What a master key file is opened with.

use std::path::PathBuf;
use std::time::Duration;

/// The settings of a master key file.
#[derive(Clone, Debug)]
pub struct MasterKeyFileConfig {
    /// The file: an absolute path.
    pub path: PathBuf,
    /// The time to wait for someone else who rotates it.
    pub lock_timeout: Duration,
}
