//! Which command is run, and what it sees of the world.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::master_key::options::{ProviderOptions, absolute_path};
use crate::notify::Notify;

/// What a command's environment always has.
const FIXED: [(&str, &str); 2] = [
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("LANG", "C.UTF-8"),
];

/// What it has of ours, where we have it.
const PASSED: [&str; 10] = [
    "HOME",
    "CREDENTIALS_DIRECTORY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

/// What begins like this is the command's own.
const PASSED_PREFIX: &[u8] = b"KEYROLL_EXEC_";

/// The settings of an external command.
#[derive(Clone, Debug)]
pub(crate) struct ExecConfig {
    /// The command: an absolute path.
    pub path: PathBuf,
    /// The time for one call, all its retries together.
    pub request_timeout: Duration,
    /// The command's whole environment.
    pub environment: BTreeMap<OsString, OsString>,
    /// Who is told what the command says on stderr.
    pub notify: Notify,
}

impl ExecConfig {
    /// The command at this path, with what it may have of the options' environment.
    ///
    /// # Errors
    /// What is wrong with the path.
    pub(crate) fn new(path: &str, options: &ProviderOptions) -> Result<ExecConfig, String> {
        let may_pass = |name: &OsStr| {
            PASSED.iter().any(|passed| name == *passed) || name.as_bytes().starts_with(PASSED_PREFIX)
        };
        let passed = options
            .environment
            .iter()
            .filter(|(name, _)| may_pass(name))
            .map(|(name, value)| (name.clone(), value.clone()));
        let fixed = FIXED.map(|(name, value)| (name.into(), value.into()));
        Ok(ExecConfig {
            path: absolute_path(path)?,
            request_timeout: options.request_timeout,
            environment: passed.chain(fixed).collect(),
            notify: options.notify.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_sees_what_is_listed_and_nothing_else() {
        let ours = [
            ("PATH", "/tmp/evil"),
            ("LANG", "de_DE"),
            ("HOME", "/var/lib/mysql"),
            ("https_proxy", "http://proxy:3128"),
            ("KEYROLL_EXEC_KEYS", "/etc/keyroll/keys"),
            ("KEYROLL_EXEC", "no"),
            ("LD_PRELOAD", "/tmp/evil.so"),
            ("MYSQL_PWD", "hunter2"),
        ];
        let options = ProviderOptions::new(
            Duration::from_secs(1),
            ours.map(|(name, value)| (name.into(), value.into())).into(),
        );
        let config = ExecConfig::new("/bin/true", &options).unwrap();
        let seen: Vec<String> = config
            .environment
            .iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect();
        assert_eq!(
            seen,
            [
                "HOME=/var/lib/mysql",
                "KEYROLL_EXEC_KEYS=/etc/keyroll/keys",
                "LANG=C.UTF-8",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "https_proxy=http://proxy:3128",
            ]
        );
    }
}
