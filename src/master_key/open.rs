//! The one factory of master key providers: a URI in, a provider out.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::aws_kms::AwsKms;
use super::credential::{Credential, CredentialConfig};
use super::exec::{Exec, ExecConfig};
use super::file::{MasterKeyFile, MasterKeyFileConfig};
use super::vault_transit::{VaultTransit, VaultTransitConfig};
use super::{MasterKey, MasterKeyError};
use crate::service::aws::AwsKmsConfig;
use crate::service::vault::VaultAccess;

/// The time that a provider is given for one call unless told.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// What all providers are opened with. `Debug` leaves the environment out: it may hold anyone's secrets.
#[derive(Clone)]
pub struct Options {
    /// The time for one call of a provider, all its retries together.
    pub request_timeout: Duration,
    /// The environment that providers may look at; nothing reads the process's own.
    pub environment: BTreeMap<OsString, OsString>,
    /// How Vault is asked; `None`: as the environment says.
    pub vault: Option<Box<VaultAccess>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("request_timeout", &self.request_timeout)
            .field("vault", &self.vault)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// These, with the environment that the process has now.
    ///
    /// To be called while no other thread changes the environment, as when a server starts.
    pub fn of_this_process(request_timeout: Duration) -> Options {
        Options {
            request_timeout,
            environment: std::env::vars_os().collect(),
            vault: None,
        }
    }

    /// A variable of the environment; `None` also if it is empty.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        let value = self.environment.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value)
    }
}

type Opener = fn(&str, &Options) -> Result<Box<dyn MasterKey>, String>;

/// Every scheme, what follows it, and how it is opened. An error says what is wrong with what follows.
const SCHEMES: [(&str, &str, Opener); 5] = [
    ("file", "PATH", |rest, options| {
        let config = MasterKeyFileConfig {
            path: absolute_path(rest)?,
            lock_timeout: options.request_timeout,
        };
        Ok(Box::new(MasterKeyFile::new(config)))
    }),
    ("credential", "NAME", |rest, options| {
        Ok(Box::new(Credential::new(CredentialConfig::new(rest, options)?)))
    }),
    ("exec", "PATH", |rest, options| {
        Ok(Box::new(Exec::new(ExecConfig::new(
            absolute_path(rest)?,
            options,
        ))))
    }),
    ("aws-kms", "KEY", |rest, options| {
        Ok(Box::new(AwsKms::new(AwsKmsConfig::new(
            rest,
            &options.environment,
            options.request_timeout,
        )?)))
    }),
    ("vault-transit", "https://HOST:PORT/MOUNT/KEY", |rest, options| {
        Ok(Box::new(VaultTransit::new(VaultTransitConfig::new(
            rest, options,
        )?)))
    }),
];

/// The provider that a URI names, such as `file:/etc/keyroll/master`. Nothing is read or called yet.
///
/// # Errors
/// [`MasterKeyError::BadUri`] for another scheme (it lists the known ones), a relative path or a name that is none.
pub fn open(uri: &str, options: &Options) -> Result<Box<dyn MasterKey>, MasterKeyError> {
    let bad = |reason| MasterKeyError::BadUri {
        uri: uri.escape_debug().to_string(),
        reason,
    };
    let known = || {
        let known: Vec<String> = SCHEMES
            .iter()
            .map(|(name, rest, _)| format!("{name}:{rest}"))
            .collect();
        format!("known are {}", known.join(", "))
    };
    let Some((scheme, rest)) = uri.split_once(':') else {
        return Err(bad(format!("it has no scheme; {}", known())));
    };
    match SCHEMES.iter().find(|(name, ..)| *name == scheme) {
        Some((_, _, open)) => open(rest, options).map_err(bad),
        None => Err(bad(format!(
            "there is no scheme '{}'; {}",
            scheme.escape_debug(),
            known()
        ))),
    }
}

fn absolute_path(text: &str) -> Result<PathBuf, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            request_timeout: DEFAULT_REQUEST_TIMEOUT,
            environment: BTreeMap::new(),
            vault: None,
        }
    }

    fn refused(uri: &str) -> String {
        match open(uri, &options()) {
            Err(error @ MasterKeyError::BadUri { .. }) => error.to_string(),
            Err(other) => panic!("{uri}: {other}"),
            Ok(_) => panic!("{uri} was opened"),
        }
    }

    #[test]
    fn each_scheme_opens_its_provider() {
        for (uri, description) in [
            ("file:/etc/keyroll/master", "master key file /etc/keyroll/master"),
            ("credential:keyroll-master", "credential keyroll-master"),
            (
                "exec:/usr/local/lib/keyroll/kms",
                "command /usr/local/lib/keyroll/kms",
            ),
            ("aws-kms:alias/mariadb", "AWS KMS key alias/mariadb"),
            (
                "vault-transit:https://vault:8200/a/transit/keyroll",
                "Vault transit key a/transit/keyroll at vault:8200",
            ),
        ] {
            assert_eq!(open(uri, &options()).unwrap().describe(), description);
        }
    }

    #[test]
    fn an_unknown_scheme_names_the_known_ones() {
        for uri in ["", "/etc/keyroll/master", "File:/x", "vault:x", ":"] {
            let message = refused(uri);
            assert!(
                message.ends_with(
                    "known are file:PATH, credential:NAME, exec:PATH, aws-kms:KEY, \
                     vault-transit:https://HOST:PORT/MOUNT/KEY"
                ),
                "{message}"
            );
        }
    }

    #[test]
    fn a_relative_path_is_refused() {
        for uri in [
            "file:",
            "file:master",
            "file:./master",
            "exec:kms",
            "exec:",
            "exec:~/kms",
        ] {
            assert!(refused(uri).contains("must be absolute"), "{uri}");
        }
        assert!(refused("file:///etc/keyroll/master").contains("file:/PATH"));
        assert!(refused("file:/etc/\0").contains("NUL"));
    }

    #[test]
    fn a_credential_has_a_plain_file_name() {
        for name in ["", ".", "..", "a/b", "/a", "../a", "a\0b", "a\nb"] {
            assert!(
                refused(&format!("credential:{name}")).contains("plain file name"),
                "{name:?}"
            );
        }
    }
}
