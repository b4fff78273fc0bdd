//! What master keys are opened with, and how people name them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::notify::Notify;
use crate::service::vault::VaultAccess;

/// The time that a provider is given for one call unless told.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// What names a master key, for messages: the forms of all [`PROVIDERS`](super::PROVIDERS).
pub const FORMS: &str =
    "file:PATH, credential:NAME, exec:PATH, aws-kms:KEY or vault-transit:https://HOST:PORT/MOUNT/KEY";

/// What all providers are opened with. `Debug` leaves the environment out: it may hold anyone's
/// secrets.
#[derive(Clone)]
pub struct ProviderOptions {
    /// The time for one call of a provider, all its retries together.
    pub request_timeout: Duration,
    /// The environment that providers may look at; nothing reads the process's own.
    pub environment: BTreeMap<OsString, OsString>,
    /// How Vault is asked; `None`: as the environment says.
    pub vault: Option<Box<VaultAccess>>,
    /// Who is told what a provider says beside its answers.
    pub notify: Notify,
}

impl fmt::Debug for ProviderOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderOptions")
            .field("request_timeout", &self.request_timeout)
            .field("vault", &self.vault)
            .finish_non_exhaustive()
    }
}

impl ProviderOptions {
    /// With this environment; nobody is told anything.
    pub fn new(request_timeout: Duration, environment: BTreeMap<OsString, OsString>) -> ProviderOptions {
        ProviderOptions {
            request_timeout,
            environment,
            vault: None,
            notify: Notify::default(),
        }
    }

    /// With the environment that the process has now.
    ///
    /// To be called while no other thread changes the environment, as when a server starts.
    pub fn of_this_process(request_timeout: Duration) -> ProviderOptions {
        ProviderOptions::new(request_timeout, std::env::vars_os().collect())
    }

    /// A variable of the environment; `None` also if it is empty.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        let value = self.environment.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value)
    }
}

/// The path that follows a scheme. Errors: it is not absolute, or none at all.
pub(super) fn absolute_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if text.starts_with("//") {
        return Err("the path follows the colon at once, as in file:/PATH".into());
    }
    if text.contains('\0') {
        return Err("a path has no NUL in it".into());
    }
    match path.is_absolute() {
        true => Ok(path),
        false => Err("the path must be absolute, because a server's working directory is its datadir".into()),
    }
}
