//! Tables of the documentation that say what a text means to keyroll, read from the page itself.

use std::fs;

/// A row: the text that it shows, and what it says of it.
pub struct Row {
    pub text: Vec<u8>,
    pub says: String,
}

/// The rows below the line `header` of a page in `docs`. The first cell is a text in backticks with `\n`, `\r`, `\t`, `\f`,
/// `\v`, `\0`, `\xNN` and `\\`, in which `KEY` and `OTHER` stand for two keys; the second is what keyroll makes of it.
pub fn rows(page: &str, header: &str, key: &str, other: &str) -> Vec<Row> {
    let text = fs::read_to_string(crate::root().join("docs").join(page)).unwrap();
    let rows: Vec<Row> = text
        .lines()
        .skip_while(|line| *line != header)
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let (shown, rest) = line.strip_prefix("| `").unwrap().split_once("` | ").unwrap();
            let says = rest.strip_suffix(" |").unwrap().replace('`', "");
            let shown = shown.replace("KEY", key).replace("OTHER", other);
            Row {
                text: unescaped(&shown),
                says,
            }
        })
        .collect();
    assert!(rows.len() > 5, "docs/{page} has no table {header}");
    rows
}

fn unescaped(shown: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let mut rest = shown.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.extend(c.to_string().bytes());
            continue;
        }
        text.push(match rest.next() {
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('f') => 0x0C,
            Some('v') => 0x0B,
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).unwrap()
            }
            other => panic!("\\{other:?} in {shown}"),
        });
    }
    text
}
