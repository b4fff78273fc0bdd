//! What a command said on stderr, made fit for an error log: lines of text without anything that
//! may be a key.
//!
//! A command is not supposed to say a key, but one that traces itself (`set -x`) or quotes an
//! answer does. What looks like one is replaced by `[hidden]`:
//!
//! - 24 or more characters of base64 or of hexadecimal digits in a row (18 bytes; half a
//!   key is no use to anybody);
//! - 24 or more hexadecimal digits with nothing but separators between them (`ab:cd:..`,
//!   `[171, 205, ..`, `\xab\xcd..`);
//! - all of it, if any byte of it is not text, for a key's raw bytes look like anything.

use crate::one_line::one_line;

/// The most that is kept of what a command says, in bytes; the end counts.
pub(super) const KEPT: usize = 16 * 1024;

/// The shortest row of characters that may be a key.
const LONG: usize = 24;

/// The most lines of one call that are shown, the last ones.
const MOST_LINES: usize = 20;

/// The most characters of a line.
const LINE_LENGTH: usize = 400;

const HIDDEN: &str = "[hidden]";

/// The lines of what was said. `cut` tells that its beginning is missing.
pub(super) fn lines(said: &[u8], cut: bool) -> Vec<String> {
    // Half a line may end in half a key, too short to be known as one.
    let whole = match said.iter().position(|&byte| byte == b'\n') {
        _ if !cut => said,
        Some(end) => &said[end + 1..],
        None => &[],
    };
    let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x1b');
    let mut lines: Vec<String> = match std::str::from_utf8(whole) {
        Ok(text) if !text.contains(is_control) => {
            let full = text
                .lines()
                .map(str::trim_end)
                .filter(|line| !line.trim().is_empty());
            full.map(clean).collect()
        }
        _ => vec![format!("{HIDDEN}, for it is not text")],
    };
    if cut && lines.is_empty() {
        lines.push(format!("{HIDDEN}, for it is too long"));
    }
    lines.split_off(lines.len().saturating_sub(MOST_LINES))
}

fn clean(line: &str) -> String {
    let hidden = hide(
        &hide(line, is_base64, |_| false),
        |c| c.is_ascii_hexdigit(),
        is_separator,
    );
    let mut shown = one_line(&hidden.replace('\t', " ")).into_owned();
    if let Some((end, _)) = shown.char_indices().find(|&(at, _)| at >= LINE_LENGTH) {
        shown.truncate(end);
        shown.push_str("...");
    }
    shown
}

/// Both alphabets of RFC 4648; hexadecimal digits are among them.
fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/-_=".contains(c)
}

/// What tools put between the digits of one byte and the next.
fn is_separator(c: char) -> bool {
    " \t:,;.-_\\x".contains(c)
}

/// Replaces each row of [`LONG`] or more characters that `counts`, with any `between` them.
fn hide(line: &str, counts: impl Fn(char) -> bool, between: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(line.len());
    let mut row = String::new();
    let mut counted = 0;
    for c in line.chars().map(Some).chain([None]) {
        match c {
            Some(c) if counts(c) => {
                row.push(c);
                counted += 1;
            }
            Some(c) if counted > 0 && between(c) => row.push(c),
            other => {
                if counted >= LONG {
                    out.push_str(HIDDEN);
                } else {
                    out.push_str(&row);
                }
                row.clear();
                counted = 0;
                out.extend(other);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(said: &str) -> Vec<String> {
        lines(said.as_bytes(), false)
    }

    #[test]
    fn plain_lines_are_shown_as_they_are() {
        assert_eq!(
            shown("connection to kms.example.com:443 refused\r\n\n  try later (2 of 3)\n"),
            [
                "connection to kms.example.com:443 refused",
                "  try later (2 of 3)"
            ]
        );
        assert_eq!(shown(""), [""; 0]);
        assert_eq!(
            shown("2026-11-21 10:00:00,123 WARN x"),
            ["2026-11-21 10:00:00,123 WARN x"]
        );
    }

    #[test]
    fn keys_are_hidden_however_they_are_written() {
        use base64::Engine;
        use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
        let key: Vec<u8> = (0u8..32).map(|n| n.wrapping_mul(37) ^ 0xA5).collect();
        let digits = hex::encode(&key);
        let spaced: Vec<&str> = digits
            .as_bytes()
            .chunks(2)
            .map(|p| std::str::from_utf8(p).unwrap())
            .collect();
        for written in [
            BASE64_STANDARD.encode(&key),
            BASE64_URL_SAFE_NO_PAD.encode(&key),
            digits.clone(),
            digits.to_uppercase(),
            spaced.join(":"),
            spaced.join(" "),
            spaced.join("\\x"),
            format!("{key:?}").replace(['[', ']'], ""),
        ] {
            let line = shown(&format!("+ key='{written}' done"));
            assert_eq!(line, ["+ key='[hidden]' done"], "{written}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_not_shown() {
        for said in [&b"key: \xff\xfe\x01abc\nfine\n"[..], b"a\x01b", b"\x00"] {
            assert_eq!(lines(said, false), ["[hidden], for it is not text"]);
        }
    }

    #[test]
    fn control_sequences_do_nothing() {
        assert_eq!(shown("\x1b[31mred\x1b[0m"), ["\\u{1b}[31mred\\u{1b}[0m"]);
        assert_eq!(shown("a\tb\rc"), ["a b\\rc"]);
    }

    #[test]
    fn the_end_of_much_is_shown_without_half_a_line() {
        assert_eq!(lines(b"0123456789abcdef0123\nthe end\n", true), ["the end"]);
        assert_eq!(lines(b"no end of line", true), ["[hidden], for it is too long"]);
        let many: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let last = shown(&many);
        assert_eq!((last.len(), last[19].as_str()), (20, "line 99"));
    }

    #[test]
    fn a_long_line_is_cut() {
        let line = &shown(&"word ".repeat(1000))[0];
        assert!(line.len() < 410 && line.ends_with("..."), "{}", line.len());
    }

    proptest! {
        #[test]
        fn no_row_of_a_long_one_is_left(said in "([a-zA-Z0-9+/=:, ]{0,60}\n){0,5}") {
            for line in shown(&said) {
                let line = line.replace(HIDDEN, "\n");
                let longest = line.split(|c| !is_base64(c)).map(str::len).max().unwrap_or(0);
                prop_assert!(longest < LONG, "{line}");
            }
        }

        #[test]
        fn any_bytes_are_made_fit(said in proptest::collection::vec(any::<u8>(), 0..2000), cut: bool) {
            for line in lines(&said, cut) {
                prop_assert!(!line.contains(|c: char| c.is_control()));
            }
        }
    }
}
