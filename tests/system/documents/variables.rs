//! `docs/variables.md`: the table of system variables, made from the table in the code.

use std::fmt::Write;

use keyroll::settings::variables;

/// The headings of the page, each with the first variable that stands below it.
const SECTIONS: [(&str, &str); 5] = [
    ("Key file", "keyroll_filename"),
    ("Keystore and master key", "keyroll_keystore"),
    ("Vault", "keyroll_vault_url"),
    ("All key stores", "keyroll_strict_permissions"),
    ("Statements", "keyroll_rotate_key"),
];

/// The text with names of variables and addresses as code.
fn as_markdown(comment: &str) -> String {
    let words = comment.split(' ').map(|word| {
        let code = word.trim_matches([',', '.', ';', ':', '(', ')']);
        if code.contains("keyroll_") || code.contains("://") {
            word.replacen(code, &format!("`{code}`"), 1)
        } else {
            word.to_string()
        }
    });
    words.collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn tables() -> String {
    let mut made = String::new();
    let mut sections = SECTIONS.iter().peekable();
    for variable in variables() {
        if let Some((heading, _)) = sections.next_if(|(_, first)| *first == variable.name) {
            write!(
                made,
                "\n## {heading}\n\n| variable | default | values | set by | for | meaning |\n|---|---|---|---|---|---|\n"
            )
            .unwrap();
        }
        let default = if variable.default.is_empty() {
            "(empty)"
        } else {
            &variable.default
        };
        let when = if variable.live { "SET GLOBAL" } else { "start" };
        let meaning = as_markdown(variable.comment);
        writeln!(
            made,
            "| `{}` | {default} | {} | {when} | {} | {meaning} |",
            variable.name, variable.values, variable.stores
        )
        .unwrap();
    }
    assert_eq!(sections.next(), None, "no variable is the first of this section");
    made + "\n"
}

#[test]
fn the_page_of_variables_is_made_from_their_table() {
    super::hold_part("docs/variables.md", "variables", &tables());
}
