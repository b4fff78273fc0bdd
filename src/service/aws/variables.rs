//! The variables of the environment that every AWS SDK reads, by their names there, and those of
//! proxies.
//!
//! "Environment variables" and "Settings reference", AWS SDKs and Tools Reference Guide. What the
//! server's variables say stands in their place: `settings/kms.rs`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::net::Proxies;

/// How much is said of the requests, in the words of the setting `log_level`. No AWS variable has
/// this meaning.
pub const LOG_LEVEL: &str = "KEYROLL_AWS_LOG_LEVEL";

/// The names of the log levels, the first the quietest: those of the peer.
pub const LOG_LEVELS: [&str; 7] = ["Off", "Fatal", "Error", "Warn", "Info", "Debug", "Trace"];

/// From this level on failed requests are told: `Warn`.
pub(super) const LOGS_FAILURES: usize = 3;

/// From this level on all requests are told: `Info`.
pub(super) const LOGS_REQUESTS: usize = 4;

/// The variables that count here. A secret may be among them: there is no `Debug`.
pub(super) struct Variables {
    /// Those of AWS and the home directory.
    texts: BTreeMap<String, Zeroizing<String>>,
    /// Which requests go by a proxy; those to metadata services never do.
    pub(super) proxies: Proxies,
}

impl Variables {
    /// Those of this environment. One that is not UTF-8 counts as unset, as an empty one does.
    pub(super) fn of(environment: &BTreeMap<OsString, OsString>) -> Variables {
        let counts = |name: &str| name.starts_with("AWS_") || name == "HOME" || name == LOG_LEVEL;
        let text = environment
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
        Variables {
            texts: text
                .filter(|(name, value)| counts(name) && !value.is_empty())
                .map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned())))
                .collect(),
            proxies: Proxies::from_environment(|name| environment.get(OsStr::new(name))),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(|value| value.as_str())
    }

    /// The log level as an index into [`LOG_LEVELS`].
    pub(super) fn log_level(&self) -> Result<usize, String> {
        let Some(name) = self.text(LOG_LEVEL) else {
            return Ok(0);
        };
        let mut levels = LOG_LEVELS.iter();
        let level = levels.position(|level| level.eq_ignore_ascii_case(name));
        level.ok_or_else(|| format!("a log level is one of {}", LOG_LEVELS.join(", ")))
    }

    /// Whether it is `true`, in any case.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(is_true)
    }

    /// The file that the variable names, or else the one of this name in the home directory.
    pub(super) fn path_or_in_home(&self, name: &str, in_home: &str) -> Option<PathBuf> {
        match self.text(name) {
            Some(path) => Some(self.expanded(path)),
            None => self.text("HOME").map(|home| PathBuf::from(home).join(in_home)),
        }
    }

    /// The path, with the home directory in the place of a `~` at its start.
    pub(super) fn expanded(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), self.text("HOME")) {
            (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => path.into(),
        }
    }
}

/// How the environment and the shared files write a flag that is set.
pub(super) fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        pairs.iter().map(|(n, v)| (n.into(), v.into())).collect()
    }

    #[test]
    fn an_empty_variable_counts_as_unset_and_what_is_not_of_aws_is_left_out() {
        let variables = Variables::of(&environment(&[
            ("AWS_PROFILE", ""),
            ("PATH", "/bin"),
            ("HOME", "/root"),
        ]));
        assert_eq!(
            (variables.text("AWS_PROFILE"), variables.text("PATH")),
            (None, None)
        );
        let path = variables
            .path_or_in_home("AWS_CONFIG_FILE", ".aws/config")
            .unwrap();
        assert_eq!(path.to_str(), Some("/root/.aws/config"));
        assert_eq!(variables.expanded("~/x").to_str(), Some("/root/x"));
        assert_eq!(variables.expanded("/~/x").to_str(), Some("/~/x"));
    }

    #[test]
    fn log_levels_are_those_of_the_peer() {
        assert_eq!(LOG_LEVELS[LOGS_FAILURES], "Warn");
        let level = |name| Variables::of(&environment(&[(LOG_LEVEL, name)])).log_level().ok();
        assert_eq!(level("info"), Some(LOGS_REQUESTS));
        assert_eq!((level("Off"), level("loud")), (Some(0), None));
    }
}
