//! What the server leaves unencrypted, as its option files say.

use keyroll::keys::KeySet;
use keyroll::settings::ServerOption;

use super::report::Report;
use crate::option_files::last;
use crate::store_args::ChosenStore;

/// Settings that are off unless they are set, and what is written in clear without each.
const FLAGS: [(&str, &str); 6] = [
    (
        "innodb_encrypt_log",
        "InnoDB's redo log, with changes of encrypted tables",
    ),
    ("innodb_encrypt_temporary_tables", "temporary tables of InnoDB"),
    (
        "encrypt_tmp_disk_tables",
        "temporary tables on disk that queries make",
    ),
    (
        "encrypt_tmp_files",
        "temporary files, as of sorting and of the binary log's cache",
    ),
    ("encrypt_binlog", "binary logs and relay logs"),
    (
        "aria_encrypt_tables",
        "Aria tables, those of the database mysql among them, with accounts and statistics",
    ),
];

/// Tells what stays in clear; only what is written from now on depends on these settings.
pub(super) fn check(options: &[ServerOption], report: &mut Report) {
    let mut all_is_encrypted = true;
    let mut note = |what: String, hint: String| {
        all_is_encrypted = false;
        report.note(what, hint);
    };
    match (encrypts_tables(options), has_threads(options)) {
        (false, _) => note(
            "not encrypted by the settings: InnoDB tables, unless they are made with ENCRYPTED=YES".into(),
            "set innodb_encrypt_tables = ON, and innodb_encryption_threads = 4 for those that are there".into(),
        ),
        (true, false) => note(
            "not encrypted by the settings: InnoDB tablespaces that are there already, the system tablespace among them, and \
             after a rotation none anew: no thread does it"
                .into(),
            "set innodb_encryption_threads = 4".into(),
        ),
        (true, true) => {}
    }
    for (name, what) in FLAGS {
        if !last(options, name).is_some_and(|value| value.flag()) {
            note(
                format!("not encrypted by the settings: {what}"),
                format!("set {name} = ON"),
            );
        }
    }
    if all_is_encrypted {
        report.ok(
            "the settings encrypt all that the server can; docs/encrypt-existing.md says what was written before them, and what \
             never is"
                .into(),
        );
    }
}

/// Whether new InnoDB tables are encrypted: ON, FORCE, or the number of one of them.
fn encrypts_tables(options: &[ServerOption]) -> bool {
    last(options, "innodb_encrypt_tables").is_some_and(|value| {
        let text = value.bytes().to_ascii_lowercase();
        value.flag() || text == b"force" || text == b"2"
    })
}

/// Whether threads encrypt what is there already.
fn has_threads(options: &[ServerOption]) -> bool {
    let value = last(options, "innodb_encryption_threads");
    value.is_some_and(|value| value.bytes().iter().any(|digit| (b'1'..=b'9').contains(digit)))
}

/// The key of new tables that name none, where the option files say which.
pub(super) struct DefaultKey(Option<u32>);

impl DefaultKey {
    pub(super) fn of(chosen: &ChosenStore) -> DefaultKey {
        let value = last(
            chosen.options.as_deref().unwrap_or_default(),
            "innodb_default_encryption_key_id",
        );
        DefaultKey(value.and_then(|id| String::from_utf8_lossy(id.bytes()).trim().parse().ok()))
    }

    /// Tells where the store does not have it.
    pub(super) fn check(&self, keys: &KeySet, report: &mut Report) {
        if let Some(id) = self.0.filter(|&id| keys.latest(id).is_none()) {
            report.note(
                format!("innodb_default_encryption_key_id = {id}, and there is no key {id} yet"),
                "make it before the first table is made: only a keystore with keyroll_auto_create_keys = ON makes it by itself"
                    .into(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use keyroll::secret::SecretBytes;

    use super::*;

    fn options(lines: &[&str]) -> Vec<ServerOption> {
        let option = |line: &&str| {
            let (name, value) = line.split_once('=').unwrap();
            ServerOption {
                name: name.into(),
                value: Some(SecretBytes::new(value.into())),
            }
        };
        lines.iter().map(option).collect()
    }

    #[test]
    fn tables_are_encrypted_by_on_and_by_force() {
        for (value, encrypts) in [
            ("ON", true),
            ("Force", true),
            ("1", true),
            ("2", true),
            ("OFF", false),
            ("0", false),
        ] {
            let line = format!("innodb-encrypt-tables={value}");
            assert_eq!(encrypts_tables(&options(&[&line])), encrypts, "{value}");
        }
        assert!(!encrypts_tables(&[]));
        assert!(!encrypts_tables(&options(&[
            "innodb_encrypt_tables=ON",
            "skip-innodb_encrypt_tables=1"
        ])));
    }

    #[test]
    fn threads_are_there_from_one_on() {
        for (value, has) in [
            ("4", true),
            ("10", true),
            ("0", false),
            ("00", false),
            ("", false),
        ] {
            let line = format!("innodb_encryption_threads={value}");
            assert_eq!(has_threads(&options(&[&line])), has, "{value}");
        }
    }
}
