//! Names, figures and messages that a page has from elsewhere are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use keyroll::master_key::PROVIDERS;

use super::{files, root, text};

/// The words of the text that begin with `Keyroll_`: names of status variables.
fn status_variables(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("Keyroll_"))
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_page_of_rotation_has_every_status_variable_that_a_server_shows_and_that_of_monitoring_no_other() {
    let shown = status_variables(&text(Path::new("mariadb-test/keyroll/r/status.result")));
    let page = text(Path::new("docs/rotation.md"));
    let (_, table) = page.split_once("| status variable |").unwrap();
    assert!(shown.len() > 8, "{shown:?}");
    assert_eq!(status_variables(table), shown);
    let watched = status_variables(&text(Path::new("docs/monitoring.md")));
    assert!(watched.len() > 5 && watched.is_subset(&shown), "{watched:?}");
}

#[test]
fn the_costs_that_the_readme_names_are_those_of_the_page_on_speed() {
    let (readme, speed) = (
        text(Path::new("README.md")),
        text(Path::new("docs/measured/speed.md")),
    );
    let (_, costs) = readme.split_once("## What it costs").unwrap();
    let (costs, _) = costs.split_once("\n## ").unwrap();
    let figures: Vec<_> = costs
        .lines()
        .filter(|line| line.starts_with("| CPU") || line.starts_with("| re-encryption"))
        .flat_map(str::split_whitespace)
        .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    assert!(figures.len() > 12, "{figures:?}");
    let measured: Vec<_> = speed.split([' ', '(', ')']).collect();
    for figure in figures {
        assert!(
            measured.contains(&figure),
            "docs/measured/speed.md lacks {figure}"
        );
    }
}

/// All of the source, with each string in one line and without backticks, as a page quotes a message.
fn source() -> String {
    let mut made = String::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let mut continued = false;
                for line in fs::read_to_string(path).unwrap().lines() {
                    made.push_str(if continued { line.trim_start() } else { line });
                    continued = line.ends_with('\\');
                    if continued {
                        made.pop();
                    } else {
                        made.push('\n');
                    }
                }
            }
        }
    }
    made.replace('`', "")
}

/// All results of the tests in real servers, where the messages are as a server shows them.
fn results() -> String {
    files(|name| name.ends_with(".result"))
        .iter()
        .map(|page| text(page))
        .collect()
}

/// What stands between backquotes in the first column of the tables of a text, where the row begins with it.
fn messages(tables: &str) -> Vec<&str> {
    let rows = tables.lines().filter(|row| row.starts_with("| `"));
    let first_columns = rows.filter_map(|row| row.split('|').nth(1));
    first_columns
        .flat_map(|column| column.split('`').skip(1).step_by(2))
        .collect()
}

/// Finds the words of each message, but for those in capitals, which stand for something else.
fn hold_messages(messages: &[&str], said: &str) {
    for message in messages {
        let is_fixed = |word: &&str| {
            word.chars()
                .any(|c| !(c.is_ascii_uppercase() || ".,:'".contains(c)))
        };
        let pieces: Vec<_> = message.split(' ').collect();
        for words in pieces.split(|word| !is_fixed(word)) {
            let words = words.join(" ");
            assert!(
                said.contains(words.trim_end_matches(',')),
                "no message has {words:?} of {message:?}"
            );
        }
    }
}

#[test]
fn the_messages_that_the_page_of_lost_keys_explains_are_those_of_the_source() {
    let page = text(Path::new("docs/lost-keys.md"));
    let (_, table) = page.split_once("\n## Messages\n").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let messages = messages(table);
    assert!(messages.len() > 10, "{messages:?}");
    hold_messages(&messages, &source());
}

#[test]
fn the_messages_that_the_page_of_troubles_explains_are_those_of_the_source_or_of_a_server_in_the_tests() {
    let page = text(Path::new("docs/troubleshooting.md"));
    let messages = messages(&page);
    assert!(messages.len() > 30, "{messages:?}");
    hold_messages(&messages, &(source() + &results()));
}

#[test]
fn every_mutant_that_is_listed_is_of_a_function_that_there_is() {
    let page = text(Path::new("docs/mutants.md"));
    let mutants: Vec<_> = page.lines().filter(|line| line.starts_with("src/")).collect();
    assert!(mutants.len() > 10, "{mutants:?}");
    for mutant in mutants {
        let (file, change) = mutant.split_once(": replace ").unwrap();
        let function = match change.rsplit_once(" in ") {
            Some((_, function)) => function,
            None => change.split([' ', '(']).next().unwrap(),
        };
        let name = function.rsplit("::").next().unwrap();
        assert!(
            text(Path::new(file)).contains(&format!("fn {name}")),
            "no function for the mutant {mutant}"
        );
    }
}

#[test]
fn the_page_of_master_keys_has_every_provider_in_the_order_of_their_table() {
    let page = text(Path::new("docs/master-keys.md"));
    let rows: Vec<_> = page
        .lines()
        .skip_while(|line| !line.starts_with("| URI |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(rows.len(), PROVIDERS.len(), "{rows:#?}");
    for (row, provider) in rows.iter().zip(&PROVIDERS) {
        assert!(row.starts_with(&format!("| `{}` |", provider.form)), "{row}");
        let page = Path::new(provider.page);
        let link = format!("({})", page.file_name().unwrap().to_str().unwrap());
        assert!(
            provider.page == "docs/master-keys.md" || row.contains(&link),
            "the row of {} does not link {link}",
            provider.scheme
        );
        assert!(root().join(page).exists(), "{}", provider.page);
    }
}
