//! Names and figures that stand on two pages are the same on both.

use std::collections::BTreeSet;
use std::path::Path;

use super::text;

/// The words of the text that begin with `Keyroll_`: names of status variables.
fn status_variables(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("Keyroll_"))
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_page_of_rotation_has_every_status_variable_that_a_server_shows() {
    let shown = status_variables(&text(Path::new("mariadb-test/keyroll/r/status.result")));
    let page = text(Path::new("docs/rotation.md"));
    let (_, table) = page.split_once("| status variable |").unwrap();
    assert!(shown.len() > 8, "{shown:?}");
    assert_eq!(status_variables(table), shown);
}

#[test]
fn the_costs_that_the_readme_names_are_those_of_the_page_on_speed() {
    let (readme, speed) = (text(Path::new("README.md")), text(Path::new("docs/speed.md")));
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
        assert!(measured.contains(&figure), "docs/speed.md lacks {figure}");
    }
}
