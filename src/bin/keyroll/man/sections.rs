//! What stands behind the options in a long help, as sections of a manual page.
//!
//! ```text
//! Examples:                       a line at the margin with a colon: a section
//!   keyroll list \                a command, up to four spaces in
//!     --json
//!       What it does.             what is said of it, six spaces in
//!
//! Exit codes:
//!    0  done                      a word and what it means, in the same line
//!
//! A sentence at the margin.       a section of its own, NOTES
//! ```

use clap_mangen::roff::{Roff, bold, roman};

/// Commands, or files, stand less far in than what is said of them.
const DEEPEST_COMMAND: usize = 4;

/// The sections of such a text.
pub(super) fn of(help: &str) -> Roff {
    let mut roff = Roff::new();
    for block in help.split("\n\n") {
        let lines: Vec<&str> = block.lines().filter(|line| !line.trim().is_empty()).collect();
        match lines.split_first() {
            Some((heading, body)) if heading.ends_with(':') && !heading.starts_with(' ') => {
                let heading = match *heading {
                    "Exit codes:" => "EXIT STATUS".to_string(),
                    other => other.trim_end_matches(':').to_uppercase(),
                };
                roff.control("SH", [heading.as_str()]);
                match heading.as_str() {
                    "EXAMPLES" => examples(&mut roff, body),
                    "FILES" => files(&mut roff, body),
                    "EXIT STATUS" | "ENVIRONMENT" => table(&mut roff, body),
                    _ => paragraph(&mut roff, body),
                }
            }
            Some(_) => {
                roff.control("SH", ["NOTES"]);
                paragraph(&mut roff, &lines);
            }
            None => {}
        }
    }
    roff
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Lines that are filled anew.
fn paragraph(roff: &mut Roff, lines: &[&str]) {
    for line in lines {
        roff.text([roman(line.trim())]);
    }
}

/// Commands, whose lines stay as they are, with what is said of them.
fn examples(roff: &mut Roff, lines: &[&str]) {
    for (at, group) in lines.chunk_by(|a, b| is_command(a) == is_command(b)).enumerate() {
        if is_command(group[0]) {
            if at > 0 {
                roff.control("PP", []);
            }
            roff.control("nf", []);
            for line in group {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            roff.control("fi", []);
        } else {
            roff.control("RS", ["4"]);
            paragraph(roff, group);
            roff.control("RE", []);
        }
    }
}

/// Paths, with what they hold.
fn files(roff: &mut Roff, lines: &[&str]) {
    for line in lines {
        if is_command(line) {
            roff.control("TP", []);
            roff.text([bold(line.trim())]);
        } else {
            roff.text([roman(line.trim())]);
        }
    }
}

fn is_command(line: &str) -> bool {
    indentation(line) <= DEEPEST_COMMAND
}

/// Words, with what they mean behind them and in the lines that are further in.
fn table(roff: &mut Roff, lines: &[&str]) {
    for line in lines {
        match line.trim().split_once("  ") {
            Some((word, meaning)) if is_command(line) => {
                roff.control("TP", []);
                roff.text([bold(word)]);
                roff.text([roman(meaning.trim())]);
            }
            _ => {
                roff.text([roman(line.trim())]);
            }
        }
    }
}
