//! Text from outside (paths, answers, what programs say) in messages of one line.

use std::borrow::Cow;

/// Escapes what would end the line (and could forge lines of a log), steer a terminal or change the
/// order in which text is read.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_no_part_of_a_line) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_no_part_of_a_line(c) {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    Cow::Owned(line)
}

/// Control characters, separators of lines and paragraphs, and what turns the direction of text
/// (UAX #9).
fn is_no_part_of_a_line(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_ends_a_line_or_steers_a_terminal_is_escaped() {
        for (text, line) in [
            ("/a\n2026-01-01 [Note] x", r"/a\n2026-01-01 [Note] x"),
            ("a\r\n\tb\0", r"a\r\n\tb\u{0}"),
            ("\x1b[31mred\x7f\u{9b}", r"\u{1b}[31mred\u{7f}\u{9b}"),
            ("\u{2028}\u{202e}gnp.exe", r"\u{2028}\u{202e}gnp.exe"),
        ] {
            assert_eq!(one_line(text), line);
        }
    }

    #[test]
    fn other_text_is_left_alone() {
        let text = "/srv/Schlüssel 'α' \"β\" \\n 鍵 🔑";
        assert!(matches!(one_line(text), Cow::Borrowed(same) if same == text));
    }

    proptest! {
        #[test]
        fn any_text_becomes_one_line(text: String) {
            let line = one_line(&text);
            prop_assert!(!line.contains(is_no_part_of_a_line));
            prop_assert_eq!(one_line(&line), line.as_ref());
        }
    }
}
