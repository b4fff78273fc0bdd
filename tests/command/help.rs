//! The help texts as a terminal shows them, and what `-h` leaves to `--help`.

use std::process::Command;

/// What the command prints in a terminal of so many columns.
fn output(columns: usize, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_keyroll"))
        .args(arguments)
        .env("COLUMNS", columns.to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names of all subcommands, as the command lists them, but for `help` itself.
pub(crate) fn subcommands() -> Vec<String> {
    let help = output(80, &["--help"]);
    let (_, list) = help.split_once("\nCommands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let first_lines = list.lines().filter(|line| !line.starts_with("   "));
    let names: Vec<String> = first_lines
        .map(|line| line.split_whitespace().next().unwrap().to_string())
        .filter(|name| name != "help")
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    names
}

/// The arguments that print the help of the command itself and of each subcommand.
fn helps(option: &'static str) -> Vec<Vec<String>> {
    let of_subcommands = subcommands().into_iter().map(|name| vec![name, option.into()]);
    of_subcommands.chain([vec![option.into()]]).collect()
}

fn help(columns: usize, arguments: &[String]) -> String {
    output(columns, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn no_line_of_a_help_is_wider_than_the_terminal() {
    for option in ["-h", "--help"] {
        for arguments in helps(option) {
            for columns in [80, 100] {
                for line in help(columns, &arguments).lines() {
                    assert!(
                        line.chars().count() <= columns,
                        "{arguments:?} at {columns}: {line}"
                    );
                }
            }
        }
    }
}

/// A command that is folded without a backslash is another command once it is copied.
#[test]
fn what_stands_behind_the_options_is_not_folded_in_80_columns() {
    let behind = |help: &str| {
        help.split_once("\nExamples:\n")
            .map(|(_, behind)| behind.to_string())
    };
    for arguments in helps("--help") {
        let narrow = behind(&help(80, &arguments));
        assert!(narrow.is_some(), "{arguments:?} has no examples");
        assert_eq!(narrow, behind(&help(200, &arguments)), "{arguments:?}");
    }
}

#[test]
fn short_helps_leave_rare_options_to_the_long_ones() {
    for name in ["init", "list", "rotate", "check", "export", "config"] {
        let (short, long) = (output(80, &[name, "-h"]), output(80, &[name, "--help"]));
        for option in ["--keystore", "--filename", "--defaults-file"] {
            assert!(short.contains(&format!("{option} <")), "{name} -h lacks {option}");
        }
        for option in [
            "--digest",
            "--use-pbkdf2",
            "--request-timeout",
            "--defaults-group-suffix",
        ] {
            assert!(!short.contains(option), "{name} -h has {option}");
            assert!(long.contains(option), "{name} --help lacks {option}");
        }
        assert!(short.lines().count() < 40, "{name} -h:\n{short}");
    }
}

#[test]
fn subcommands_for_keystores_do_not_offer_options_of_key_files() {
    for name in ["rotate-master-key", "import"] {
        let help = output(80, &[name, "--help"]);
        assert!(help.contains("--keystore <PATH>"), "{help}");
        for option in [" --filename", " --filekey", " --digest", " --use-pbkdf2"] {
            assert!(!help.contains(option), "{name} offers{option}");
        }
    }
}
