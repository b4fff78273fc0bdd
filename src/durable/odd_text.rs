//! What is odd about a text and does not show in most editors: why a file that looks right is read
//! otherwise, or not at all.

use std::path::Path;

use super::permissions::shell_word;

/// What editors of DOS end a text with.
const CTRL_Z: u8 = 0x1A;

/// What `Salted__` begins with in base64, whatever follows.
const SALTED_IN_BASE64: &[u8] = b"U2FsdGVkX1";

/// What is odd about a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OddText {
    /// A byte order mark stands before it.
    ByteOrderMark,
    /// It is UTF-16; what `iconv` calls that.
    Utf16(&'static str),
    /// A zero byte is in it.
    Nul,
    /// A Ctrl-Z is in it.
    CtrlZ,
    /// Carriage returns alone end its lines.
    CarriageReturns,
    /// It has several lines, where there should be one.
    SeveralLines,
    /// It is base64 of what `openssl enc` makes.
    OpensslBase64,
}

impl OddText {
    /// What the first bytes show of how the text is encoded.
    fn of_encoding(text: &[u8]) -> Option<OddText> {
        match text {
            [0xEF, 0xBB, 0xBF, ..] => Some(OddText::ByteOrderMark),
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some(OddText::Utf16("UTF-16")),
            // Without a byte order mark: the first two characters are of ASCII.
            [1..=0x7F, 0, 1..=0x7F, 0, ..] => Some(OddText::Utf16("UTF-16LE")),
            [0, 1..=0x7F, 0, 1..=0x7F, ..] => Some(OddText::Utf16("UTF-16BE")),
            _ => None,
        }
    }

    /// What the first bytes show.
    pub fn at_begin(text: &[u8]) -> Option<OddText> {
        let in_base64 = text.starts_with(SALTED_IN_BASE64);
        OddText::of_encoding(text).or(in_base64.then_some(OddText::OpensslBase64))
    }

    /// What a reader has stumbled on who stopped at the byte `at`.
    pub fn at(text: &[u8], at: usize) -> Option<OddText> {
        OddText::at_begin(text).or(match text.get(at) {
            Some(0) => Some(OddText::Nul),
            Some(&CTRL_Z) => Some(OddText::CtrlZ),
            _ => None,
        })
    }

    /// What is odd about the line ends of a text in which lines seem to be missing.
    pub fn of_line_ends(text: &[u8]) -> Option<OddText> {
        let is_lone = |pair: &[u8]| pair[0] == b'\r' && !b"\r\n".contains(&pair[1]);
        text.windows(2).any(is_lone).then_some(OddText::CarriageReturns)
    }

    /// What is odd about a text that should be one line, without the line ends at its end.
    pub fn of_one_line(text: &[u8]) -> Option<OddText> {
        let line = without_line_ends(text);
        OddText::of_encoding(text).or_else(|| {
            let odd = [
                (line.contains(&0), OddText::Nul),
                (line.contains(&CTRL_Z), OddText::CtrlZ),
                (
                    line.iter().any(|byte| b"\r\n".contains(byte)),
                    OddText::SeveralLines,
                ),
            ];
            odd.into_iter().find(|(is_so, _)| *is_so).map(|(_, odd)| odd)
        })
    }

    /// What it is, for the end of "the file ...".
    pub fn told(self) -> &'static str {
        match self {
            OddText::ByteOrderMark => "begins with a byte order mark, which editors do not show",
            OddText::Utf16(_) => {
                "is UTF-16, as PowerShell and some editors write: two bytes for each character"
            }
            OddText::Nul => "has a zero byte there, which editors do not show",
            OddText::CtrlZ => "has a Ctrl-Z there, with which DOS ends a text",
            OddText::CarriageReturns => "has carriage returns alone (CR) as line ends, which are none here",
            OddText::SeveralLines => "has more than one line",
            OddText::OpensslBase64 => "is encrypted, and in base64, as openssl enc -a writes it",
        }
    }

    /// The command, in backquotes, that makes of the file what was meant, and keeps a copy of it.
    pub fn mend(self, path: &Path) -> String {
        let file = shell_word(path);
        match self {
            OddText::ByteOrderMark => {
                format!(r#"`f={file}; cp -p "$f" "$f.old" && tail -c +4 "$f.old" > "$f"`"#)
            }
            OddText::Utf16(name) => {
                format!(r#"`f={file}; cp -p "$f" "$f.old" && iconv -f {name} -t UTF-8 "$f.old" > "$f"`"#)
            }
            // What stands behind it was never read by anyone who works with C strings.
            OddText::Nul => {
                format!(r#"`f={file}; cp -p "$f" "$f.old" && sed -z q "$f.old" | tr -d '\000' > "$f"`"#)
            }
            OddText::CtrlZ => {
                format!(r#"`f={file}; cp -p "$f" "$f.old" && tr -d '\032' < "$f.old" > "$f"`"#)
            }
            OddText::CarriageReturns => {
                format!(r#"`f={file}; cp -p "$f" "$f.old" && tr '\r' '\n' < "$f.old" > "$f"`"#)
            }
            OddText::SeveralLines => {
                format!(r#"`f={file}; cp -p "$f" "$f.old" && head -n 1 "$f.old" > "$f"`"#)
            }
            OddText::OpensslBase64 => {
                format!(r#"`f={file}; cp -p "$f" "$f.old" && base64 -d "$f.old" > "$f"`"#)
            }
        }
    }
}

/// The text without the line ends at its end.
pub fn without_line_ends(text: &[u8]) -> &[u8] {
    let last = text.iter().rposition(|byte| !b"\r\n".contains(byte));
    &text[..last.map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_begin_of_a_text_shows_a_byte_order_mark_and_utf_16() {
        for (text, odd) in [
            (&b"\xEF\xBB\xBF1;00"[..], Some(OddText::ByteOrderMark)),
            (b"\xFF\xFE1\0", Some(OddText::Utf16("UTF-16"))),
            (b"\xFE\xFF\x001", Some(OddText::Utf16("UTF-16"))),
            (b"1\0;\0", Some(OddText::Utf16("UTF-16LE"))),
            (b"\x001\0;", Some(OddText::Utf16("UTF-16BE"))),
            (b"1\0ab", None),
            (b"1\0", None),
            (b"\0\0\0\0", None),
            (b"\xEF\xBB", None),
            (b"", None),
            (b"U2FsdGVkX18Ikah", Some(OddText::OpensslBase64)),
        ] {
            assert_eq!(OddText::at_begin(text), odd, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn what_a_reader_stumbled_on_is_told_by_its_place() {
        for (text, at, odd) in [
            (&b"1;a\0b"[..], 3, Some(OddText::Nul)),
            (b"1;a\n\x1A", 4, Some(OddText::CtrlZ)),
            (b"x", 1, None),
            (b"\xEF\xBB\xBFx", 0, Some(OddText::ByteOrderMark)),
        ] {
            assert_eq!(OddText::at(text, at), odd, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_carriage_return_alone_is_no_line_end() {
        for (text, is_odd) in [
            (&b"# a\r1;b\r"[..], true),
            (b"# a\r\nx\r\r\n", false),
            (b"a\r", false),
            (b"\r", false),
        ] {
            assert_eq!(
                OddText::of_line_ends(text).is_some(),
                is_odd,
                "{}",
                text.escape_ascii()
            );
        }
    }

    #[test]
    fn a_text_of_one_line_may_have_line_ends_behind_it_and_none_within() {
        for (text, odd) in [
            (&b"secret\r\n\n"[..], None),
            (b"", None),
            (b"a b", None),
            (b"one\ntwo\n", Some(OddText::SeveralLines)),
            (b"one\rtwo", Some(OddText::SeveralLines)),
            (b"one\0", Some(OddText::Nul)),
            (b"one\x1A\n", Some(OddText::CtrlZ)),
            (b"o\0n\0e\0\n\0", Some(OddText::Utf16("UTF-16LE"))),
        ] {
            assert_eq!(OddText::of_one_line(text), odd, "{}", text.escape_ascii());
        }
    }
}
