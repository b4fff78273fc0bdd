//! The text of a key file: read into keys, and new versions put in without touching any other byte.
//!
//! ```text
//! # comment, or nothing
//! 1;00112233445566778899aabbccddeeff          id;key          as file_key_management has it: version 1
//! 1;3;ffeeddccbbaa99887766554433221100        id;version;key  whatever follows the key is ignored
//! ```
//!
//! After the id, one to ten decimal digits with a `;` behind them are a version.
//! file_key_management refuses such a line (its key would be 5 bytes long at most), so no line
//! means one thing there and another here.
//!
//! Zero bytes and white space behind the text are no part of it, as for file_key_management, which
//! stops at the first zero byte. Anything else behind one is refused: keys would be lost unseen.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use zeroize::Zeroizing;

use crate::durable::OddText;
use crate::keys::set::{Inserted, KeyName, KeySet, LAST_VERSION};
use crate::secret::{DataKey, MAX_DATA_KEY_LENGTH, SecretBytes};
use crate::store::hex_digits::push_hex;

/// The key id that every key file must have: the server encrypts system data with it.
const SYSTEM_KEY_ID: u32 = 1;

/// The longest line [`push_line`] writes, with a line end before and after it, in bytes.
const LONGEST_NEW_LINE: usize = 2 + "4294967295;4294967294;".len() + 2 * MAX_DATA_KEY_LENGTH + 2;

/// What is wrong with the text of a key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages and the fields say what they are")]
pub enum Problem {
    Syntax,
    /// The key id is 0 or above 2^32-1.
    KeyId,
    /// The version is 0 or above [`LAST_VERSION`].
    KeyVersion,
    Key,
    SystemKeyMissing,
    /// The version stands on an earlier line with other bytes.
    Conflict {
        name: KeyName,
        /// The earlier line, counted from 1.
        first_line: usize,
    },
}

impl Problem {
    /// What a DBA can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Problem::Syntax => "a line is `id;key` or `id;version;key`, with the key in hexadecimal digits",
            Problem::KeyId => "a key id is a number from 1 to 4294967295",
            Problem::KeyVersion => "a key version is a number from 1 to 4294967294",
            Problem::Key => "a key has 32, 48 or 64 hexadecimal digits",
            Problem::SystemKeyMissing => {
                "put the line of key 1 back from a backup; for a server without encrypted data, make a key \
                 with `openssl rand -hex 32` and write it after `1;`"
            }
            Problem::Conflict { .. } => {
                "find out which of the two lines encrypted the data, from a backup, and remove the other"
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Syntax => f.write_str("Syntax error"),
            Problem::KeyId => f.write_str("Invalid key id"),
            Problem::KeyVersion => f.write_str("Invalid key version"),
            Problem::Key => f.write_str("Invalid key"),
            Problem::SystemKeyMissing => f.write_str("System key id 1 is missing"),
            Problem::Conflict { name, .. } => write!(f, "Another key for {name}"),
        }
    }
}

/// A problem and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub problem: Problem,
    /// The line, counted from 1; 0 for a file without any.
    pub line: usize,
    /// The byte in the line, counted from 1.
    pub column: usize,
    /// What is odd about the text and may be why.
    pub odd: Option<OddText>,
}

impl ParseError {
    /// The message, with the words of file_key_management.
    pub fn at(&self, path: &Path) -> String {
        let ParseError {
            problem,
            line,
            column,
            ..
        } = self;
        let file = path.display();
        let first = match problem {
            Problem::Conflict { first_line, .. } => format!(" than at {file} line {first_line}"),
            _ => String::new(),
        };
        format!("{problem} at {file} line {line}, column {column}{first}")
    }
}

/// A key file's text, understood.
#[derive(Debug)]
pub struct KeyText {
    text: SecretBytes,
    /// The keys.
    pub keys: KeySet,
    /// Where in the text the last line of each key id stands, its line end included.
    last_lines: BTreeMap<u32, Range<usize>>,
    /// The first place where a key seems to stand behind another one, as a part of its remark.
    pub hidden: Option<HiddenKey>,
}

/// What looks like a key and is a part of a remark, for it stands on the line of another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HiddenKey {
    /// The line, counted from 1.
    pub line: usize,
    /// The byte in the line, counted from 1.
    pub column: usize,
    /// Whether a carriage return stands before it, which is no line end by itself.
    pub behind_carriage_return: bool,
}

impl KeyText {
    /// Reads the text of a key file. Any bytes give a value or an error with its place.
    pub fn parse(text: SecretBytes) -> Result<KeyText, ParseError> {
        let mut keys = KeySet::default();
        let mut last_lines = BTreeMap::new();
        let mut line_of = BTreeMap::new();
        let mut hidden = None;
        let (mut line, mut start) = (0, 0);
        let all = up_to_nuls(text.expose());
        for bytes in all.split_inclusive(|&byte| byte == b'\n') {
            line += 1;
            let error = |(problem, at)| ParseError {
                problem,
                line,
                column: at + 1,
                odd: OddText::at(all, start + at),
            };
            if let Some(entry) = parse_line(bytes).map_err(error)? {
                hidden = hidden.or_else(|| hidden_key(bytes, entry.end, line));
                let Entry {
                    name, key, key_at, ..
                } = entry;
                let first_line = *line_of.entry(name).or_insert(line);
                if keys.insert(name, key) == Inserted::Conflict {
                    return Err(error((Problem::Conflict { name, first_line }, key_at)));
                }
                last_lines.insert(name.id, start..start + bytes.len());
            }
            start += bytes.len();
        }
        if !last_lines.contains_key(&SYSTEM_KEY_ID) {
            return Err(ParseError {
                problem: Problem::SystemKeyMissing,
                line,
                column: 1,
                odd: OddText::at_begin(all).or(OddText::of_line_ends(all)),
            });
        }
        Ok(KeyText {
            text,
            keys,
            last_lines,
            hidden,
        })
    }

    /// The text with each new version on a line of its own, right after the last line of its key
    /// and with the same line end. Every other byte stays.
    pub fn with_new_versions(&self, new: &[(KeyName, DataKey)]) -> SecretBytes {
        let text = self.text.expose();
        let end = up_to_nuls(text).len();
        let end_of_key = |id| self.last_lines.get(&id).map_or(end, |line| line.end);
        let mut new: Vec<_> = new
            .iter()
            .map(|(name, key)| (end_of_key(name.id), name, key))
            .collect();
        new.sort_by_key(|(at, ..)| *at);

        let mut result = SecretBytes::with_capacity(text.len() + new.len() * LONGEST_NEW_LINE);
        let out = result.expose_mut();
        let mut copied = 0;
        for (at, name, key) in new {
            out.extend_from_slice(&text[copied..at]);
            copied = at;
            let line_end = line_end_at(text, at);
            if !out.ends_with(b"\n") {
                out.extend_from_slice(line_end);
            }
            push_line(out, &beginning(*name), key, line_end);
        }
        out.extend_from_slice(&text[copied..]);
        result
    }
}

/// The text of a new file that holds these keys. Version 1 is written as `id;key`, so that
/// file_key_management can read the file too.
pub fn render(header: &str, keys: &KeySet) -> SecretBytes {
    let mut result = SecretBytes::with_capacity(header.len() + keys.len() * LONGEST_NEW_LINE);
    let out = result.expose_mut();
    out.extend_from_slice(header.as_bytes());
    for (name, key) in keys.iter() {
        push_line(out, &beginning(name), key, b"\n");
    }
    result
}

/// What stands before the key in its line.
fn beginning(KeyName { id, version }: KeyName) -> String {
    match version {
        1 => format!("{id};"),
        _ => format!("{id};{version};"),
    }
}

fn push_line(out: &mut Vec<u8>, name: &str, key: &DataKey, line_end: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    push_hex(out, key);
    out.extend_from_slice(line_end);
}

/// The line end of the line that ends at `at`; if it has none, that of the first line, or `\n`.
fn line_end_at(text: &[u8], at: usize) -> &'static [u8] {
    let mut line = &text[..at];
    if !line.ends_with(b"\n") {
        line = text
            .split_inclusive(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
    }
    if line.ends_with(b"\r\n") { b"\r\n" } else { b"\n" }
}

/// The text up to the first zero byte, if white space and more of them are all that follows.
fn up_to_nuls(text: &[u8]) -> &[u8] {
    match text.iter().position(|&byte| byte == 0) {
        Some(nul) if text[nul..].iter().all(|byte| *byte == 0 || is_space(byte)) => &text[..nul],
        _ => text,
    }
}

/// isspace(3) in the C locale; u8::is_ascii_whitespace leaves the vertical tab out.
fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// One version of a key as a line states it.
struct Entry {
    name: KeyName,
    key: DataKey,
    /// Where in the line the key's digits begin.
    key_at: usize,
    /// Where they end.
    end: usize,
}

/// What is wrong with a line, and the index of the byte where it is.
type Fault = (Problem, usize);

/// Reads one line, its line end included; `None` for a blank line or a comment.
fn parse_line(line: &[u8]) -> Result<Option<Entry>, Fault> {
    let entry = parse_entry(line);
    // A NUL ends the text for a reader that works with C strings: what follows would be lost
    // unseen.
    match (entry, line.iter().position(|&byte| byte == 0)) {
        (Err((_, at)), Some(nul)) if nul <= at => Err((Problem::Syntax, nul)),
        (Ok(_), Some(nul)) => Err((Problem::Syntax, nul)),
        (entry, _) => entry,
    }
}

/// Finds a key that stands behind another one, which ends at `end` in the line.
fn hidden_key(line: &[u8], end: usize, number: usize) -> Option<HiddenKey> {
    let behind = &line[end..];
    let at = end + behind.iter().position(|byte| !b" \t\r;,".contains(byte))?;
    let is_key = matches!(parse_entry(&line[at..]), Ok(Some(_)));
    is_key.then(|| HiddenKey {
        line: number,
        column: at + 1,
        behind_carriage_return: line[end..at].contains(&b'\r'),
    })
}

fn parse_entry(line: &[u8]) -> Result<Option<Entry>, Fault> {
    let start = line.iter().position(|byte| !is_space(byte)).unwrap_or(line.len());
    if matches!(line.get(start), None | Some(b'#')) {
        return Ok(None);
    }
    let id_length = digits_at(line, start);
    if id_length == 0 {
        return Err((Problem::Syntax, start));
    }
    let mut at = start + id_length;
    let id = number(&line[start..at], u32::MAX).map_err(|digit| (Problem::KeyId, start + digit))?;
    if line.get(at) != Some(&b';') {
        return Err((Problem::Syntax, at));
    }
    at += 1;

    let mut version = 1;
    let version_length = digits_at(line, at);
    if (1..=10).contains(&version_length) && line.get(at + version_length) == Some(&b';') {
        let digits = &line[at..at + version_length];
        version = number(digits, LAST_VERSION).map_err(|digit| (Problem::KeyVersion, at + digit))?;
        at += version_length + 1;
    }

    let is_pair = |pair: &&[u8]| pair.iter().all(u8::is_ascii_hexdigit);
    let pairs = line[at..]
        .chunks_exact(2)
        .take(MAX_DATA_KEY_LENGTH)
        .take_while(is_pair)
        .count();
    let digits_end = at + 2 * pairs;
    // A digit too many is a typing error, not a remark behind the key.
    if line.get(digits_end).is_some_and(u8::is_ascii_hexdigit) {
        return Err((Problem::Key, digits_end));
    }
    let mut bytes = Zeroizing::new([0; MAX_DATA_KEY_LENGTH]);
    hex::decode_to_slice(&line[at..digits_end], &mut bytes[..pairs]).map_err(|_| (Problem::Key, at))?;
    let key = DataKey::new(&bytes[..pairs]).ok_or((Problem::Key, digits_end))?;
    Ok(Some(Entry {
        name: KeyName { id, version },
        key,
        key_at: at,
        end: digits_end,
    }))
}

/// How many decimal digits stand from `at` on.
fn digits_at(line: &[u8], at: usize) -> usize {
    line[at..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The number that these digits make, 1 to `last`; or else the index of the digit that makes it too
/// large, or for 0 the index after the digits.
fn number(digits: &[u8], last: u32) -> Result<u32, usize> {
    let mut value: u32 = 0;
    for (index, digit) in digits.iter().enumerate() {
        let next = value
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(u32::from(digit - b'0')));
        value = next.filter(|&value| value <= last).ok_or(index)?;
    }
    if value == 0 { Err(digits.len()) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_new_line_takes_exactly_the_room_that_is_made_for_it() {
        // More would move what is written so far, and leave keys behind in memory that is not
        // wiped.
        let digits = "01".repeat(MAX_DATA_KEY_LENGTH);
        let text = format!("1;{digits}\r\n4294967295;{digits}");
        let parsed = KeyText::parse(SecretBytes::new(text.clone().into_bytes())).unwrap();
        let name = KeyName {
            id: u32::MAX,
            version: LAST_VERSION,
        };
        let key = DataKey::new(&[1; MAX_DATA_KEY_LENGTH]).unwrap();
        let more = parsed.with_new_versions(&[(name, key)]);
        assert_eq!(
            String::from_utf8_lossy(more.expose()),
            format!("{text}\r\n4294967295;4294967294;{digits}\r\n")
        );
        assert_eq!(more.expose().len(), text.len() + LONGEST_NEW_LINE);
    }
}
