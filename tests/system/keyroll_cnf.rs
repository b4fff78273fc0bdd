//! `support-files/keyroll.cnf`, which packages install, is made from the table of system variables.
//!
//! After a change of the table: `KEYROLL_WRITE_CNF=1 cargo test --test system keyroll_cnf`.

use std::fs;
use std::path::Path;

use keyroll::settings::{Variable, variables};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/support-files/keyroll.cnf");

const HEAD: &str = "\
# Encryption of all data with keyroll. Nothing is in force until lines are uncommented.
#
# 1. Make the keys, as root:
#
#      install -d -o mysql -g mysql -m 0700 /var/lib/keyroll /srv/keyroll-master /var/lib/mysql-files
#      keyroll init --keystore /var/lib/keyroll/keystore --master-key file:/srv/keyroll-master/key
#
#    A master key is better on another disk than the keystore, or at a key service: with both anyone can read the data,
#    without one of them nobody can. Back both up, apart from each other and apart from the data.
# 2. Uncomment the next three settings. 3. Restart the server. `keyroll check` tells whether all is well.

[mariadbd]
";

/// What the first three settings have for values, where the table has defaults.
const FIRST: [(&str, &str); 2] = [
    ("keyroll_keystore", "/var/lib/keyroll/keystore"),
    ("keyroll_master_key", "file:/srv/keyroll-master/key"),
];

const AFTER_THE_FIRST: &str = "
# Loads the plugin and makes the server encrypt everything. To choose what is encrypted, write lines of that file here
# instead of including it.
#!include /usr/share/keyroll/encrypt_everything.cnf

# Whoever has the FILE privilege can read the server's files by SQL, keys as well, unless a directory is set for that. It
# must exist, or the server does not start: the first of the commands above makes it.
#secure_file_priv = /var/lib/mysql-files

# All other settings, with their defaults. They count where the plugin is loaded; without it the server knows none of
# them, and does not start.

[mariadbd]
";

/// Where lines are broken.
const WIDTH: usize = 118;

/// The text as lines of a comment.
fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split_whitespace() {
        let last = lines.last_mut().unwrap();
        if last.len() + 1 + word.len() > WIDTH {
            lines.push(format!("# {word}"));
        } else {
            last.push(' ');
            last.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

/// The variable with what it means, as a line to uncomment.
fn setting(variable: &Variable, value: &str) -> String {
    let live = if variable.live {
        " SET GLOBAL sets it, too."
    } else {
        ""
    };
    let mut text = comment(&format!("{}.{live}", variable.comment));
    if !variable.values.starts_with("text") {
        text.push_str(&comment(&format!("Values: {}", variable.values)));
    }
    text.push_str(format!("#{} = {value}", variable.name).trim_end());
    text + "\n"
}

fn cnf() -> String {
    let mut text = HEAD.to_string();
    let (actions, mut settings): (Vec<_>, Vec<_>) = variables().into_iter().partition(|row| row.is_action);
    for (name, value) in FIRST {
        let row = settings.iter().position(|row| row.name == name).unwrap();
        text.push_str(&setting(&settings.remove(row), value));
    }
    text.push_str(AFTER_THE_FIRST);
    for variable in settings {
        text.push('\n');
        text.push_str(&setting(&variable, &variable.default));
    }
    text.push_str("\n# Not settings, but statements:\n");
    for variable in actions {
        text.push_str(&comment(variable.comment));
    }
    text
}

#[test]
fn keyroll_cnf_explains_every_system_variable() {
    let wanted = cnf();
    if std::env::var_os("KEYROLL_WRITE_CNF").is_some() {
        fs::write(FILE, &wanted).unwrap();
    }
    let held = fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        held == wanted,
        "support-files/keyroll.cnf differs from the table of system variables: run `KEYROLL_WRITE_CNF=1 cargo test \
         --test system keyroll_cnf` and look at the difference"
    );
}

#[test]
fn keyroll_cnf_sets_nothing_until_a_line_is_uncommented() {
    let text = fs::read_to_string(FILE).unwrap();
    let in_force: Vec<&str> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#') && *line != "[mariadbd]")
        .collect();
    assert!(in_force.is_empty(), "in force: {in_force:?}");
}

#[test]
fn the_file_that_keyroll_cnf_includes_encrypts_as_keyroll_init_says() {
    let path = Path::new(FILE).with_file_name("encrypt_everything.cnf");
    let included = fs::read_to_string(path).unwrap();
    let printed = include_str!("../../src/bin/keyroll/my_cnf.rs");
    let (_, printed) = printed.split_once("const SERVER_SETTINGS: ").unwrap();
    let (printed, _) = printed.split_once("];\n").unwrap();
    let pairs = printed.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix("(\"")?.split_once("\", \"")?;
        Some(format!("{name} = {}", value.strip_suffix("\"),")?))
    });
    let lines: Vec<String> = pairs.collect();
    assert!(lines.len() > 3, "the settings were not found");
    for line in lines {
        assert!(
            included.contains(&format!("\n{line}\n")),
            "encrypt_everything.cnf lacks {line}"
        );
    }
}
