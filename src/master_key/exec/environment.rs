//! The environment of a command.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

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

/// A command's whole environment: what it may have of ours, and what it always has.
pub(super) fn for_command(ours: &BTreeMap<OsString, OsString>) -> BTreeMap<OsString, OsString> {
    let may_pass = |name: &OsStr| {
        PASSED.iter().any(|passed| name == *passed) || name.as_bytes().starts_with(PASSED_PREFIX)
    };
    let passed = ours.iter().filter(|(name, _)| may_pass(name));
    passed
        .map(|(name, value)| (name.clone(), value.clone()))
        .chain(FIXED.map(|(name, value)| (name.into(), value.into())))
        .collect()
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
        let ours = ours.map(|(name, value)| (name.into(), value.into())).into();
        let seen: Vec<String> = for_command(&ours)
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
