//! The versions of a master key as a file holds them, and wrapping with them: shared by the
//! providers whose key is in a file.
//!
//! ```text
//! # comment, or nothing; else version;key, 64 hexadecimal digits, and nothing behind them
//! 1;00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
//! 2;ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100
//! ```
//!
//! The highest version wraps; every one unwraps. What it makes of a keystore key:
//!
//! ```text
//! wrapped:      | nonce, 12 bytes | ciphertext, 32 bytes | tag, 16 bytes |       AES-256-GCM
//! AAD:          | "keyroll master key\0" | keystore's UUID as text | "\0" | version, decimal |
//! key_version:  the version, decimal
//! ```

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::syntax::{KeyListError, KeyListProblem};
use super::{MasterKey, MasterKeyError, Wrapped};
use crate::crypto::wrap::{Sealed, WrappingKey};
use crate::durable::OddText;
use crate::secret::{KeystoreKey, SecretBytes};

/// The length of a master key in bytes.
pub const MASTER_KEY_LENGTH: usize = 32;

const DIGITS: usize = 2 * MASTER_KEY_LENGTH;

/// The longest line of a version, with a line end before and after it, in bytes.
const LONGEST_LINE: usize = "4294967295;".len() + DIGITS + 4;

/// On the heap, so that moving it leaves no copy behind.
type Key = Box<Zeroizing<[u8; MASTER_KEY_LENGTH]>>;

/// All versions of a master key; at least one. Wiped on drop.
#[derive(PartialEq)]
pub struct KeyList(BTreeMap<u32, Key>);

impl KeyList {
    /// Reads the text. Any bytes give a value or an error with its place.
    pub fn parse(text: &[u8]) -> Result<KeyList, KeyListError> {
        let mut keys = BTreeMap::new();
        let mut line_of = BTreeMap::new();
        let (mut line, mut start) = (0, 0);
        for bytes in text.split(|&byte| byte == b'\n') {
            line += 1;
            let error = |(problem, at): (KeyListProblem, usize)| KeyListError {
                problem: OddText::at(text, start + at).map_or(problem, KeyListProblem::Odd),
                line,
                column: at + 1,
            };
            if let Some((version, key)) = parse_line(bytes).map_err(error)? {
                let first_line = *line_of.entry(version).or_insert(line);
                match keys.insert(version, key) {
                    Some(earlier) if keys.get(&version) != Some(&earlier) => {
                        return Err(error((KeyListProblem::Conflict { version, first_line }, 0)));
                    }
                    _ => {}
                }
            }
            start += bytes.len() + 1;
        }
        if keys.is_empty() {
            return Err(KeyListError {
                problem: OddText::of_line_ends(text).map_or(KeyListProblem::Empty, KeyListProblem::Odd),
                line: 1,
                column: 1,
            });
        }
        Ok(KeyList(keys))
    }

    /// One key, as version 1.
    pub fn single(key: &[u8; MASTER_KEY_LENGTH]) -> KeyList {
        let mut own = new_key();
        own.copy_from_slice(key);
        KeyList(BTreeMap::from([(1, own)]))
    }

    /// A new random key, as version 1.
    pub fn random() -> Result<KeyList, MasterKeyError> {
        Ok(KeyList(BTreeMap::from([(1, random_key()?)])))
    }

    /// Adds a random version above the newest one; its number, or `None` where none is left.
    pub fn add_random(&mut self) -> Result<Option<u32>, MasterKeyError> {
        let Some(version) = self.newest().checked_add(1) else {
            return Ok(None);
        };
        self.0.insert(version, random_key()?);
        Ok(Some(version))
    }

    /// The newest version, which wraps.
    pub fn newest(&self) -> u32 {
        // A list is never empty; version 0 is in none.
        self.0.last_key_value().map_or(0, |(version, _)| *version)
    }

    /// `text` with the newest version's line at its end. Every byte of `text` stays.
    pub fn with_newest_line(&self, text: &[u8]) -> SecretBytes {
        let mut result = SecretBytes::with_capacity(text.len() + LONGEST_LINE);
        let out = result.expose_mut();
        out.extend_from_slice(text);
        let line_end: &[u8] = match text.split_inclusive(|&byte| byte == b'\n').next() {
            Some(first) if first.ends_with(b"\r\n") => b"\r\n",
            _ => b"\n",
        };
        if !text.is_empty() && !text.ends_with(b"\n") {
            out.extend_from_slice(line_end);
        }
        if let Some((version, key)) = self.0.last_key_value() {
            out.extend_from_slice(format!("{version};").as_bytes());
            let mut digits = Zeroizing::new([0; DIGITS]);
            #[expect(clippy::expect_used, reason = "the array has two digits for each byte")]
            hex::encode_to_slice(&key[..], &mut digits[..]).expect("two digits a byte");
            out.extend_from_slice(&digits[..]);
            out.extend_from_slice(line_end);
        }
        result
    }

    /// Wraps with the newest version.
    pub fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        let version = self.newest();
        let master = WrappingKey::new(&self.0[&version]);
        let sealed = master.seal(&context(keystore, version), key.expose())?;
        Ok(Wrapped {
            bytes: sealed.to_bytes(),
            key_version: version.to_string(),
        })
    }

    /// Unwraps with the version that wrapped. `provider` is whose list it is, for errors.
    pub fn unwrap(
        &self,
        wrapped: &Wrapped,
        keystore: &str,
        provider: &dyn MasterKey,
    ) -> Result<KeystoreKey, MasterKeyError> {
        let wrong = |reason: String| MasterKeyError::wrong_key(provider, reason);
        let named = &wrapped.key_version;
        let version = named
            .parse()
            .ok()
            .filter(|version: &u32| version.to_string() == *named);
        let Some(version) = version else {
            return Err(wrong(format!(
                "the keystore was wrapped with a version '{}', and here versions are numbers",
                named.escape_debug()
            )));
        };
        let Some(master) = self.0.get(&version) else {
            return Err(wrong(format!(
                "it has no version {version}, with which the keystore was wrapped, but {}",
                self.versions()
            )));
        };
        let opened = Sealed::from_bytes(&wrapped.bytes)
            .and_then(|sealed| WrappingKey::new(master).open(&context(keystore, version), &sealed));
        opened
            .and_then(|plaintext| KeystoreKey::new(plaintext.expose()))
            .ok_or_else(|| {
                wrong(format!(
                    "its version {version} does not open what is wrapped there"
                ))
            })
    }

    /// `version 3`, or `versions 1 to 7` (some may be missing between).
    fn versions(&self) -> String {
        let first = self.0.first_key_value().map_or(0, |(version, _)| *version);
        match self.newest() {
            only if only == first => format!("version {only}"),
            last => format!("{} versions from {first} to {last}", self.0.len()),
        }
    }
}

impl fmt::Debug for KeyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyList({})", self.versions())
    }
}

fn new_key() -> Key {
    Box::new(Zeroizing::new([0; MASTER_KEY_LENGTH]))
}

fn random_key() -> Result<Key, MasterKeyError> {
    let mut key = new_key();
    getrandom::fill(&mut key[..]).map_err(MasterKeyError::NoRandomBytes)?;
    Ok(key)
}

/// What a wrapped key is bound to.
fn context(keystore: &str, version: u32) -> Vec<u8> {
    format!("keyroll master key\0{keystore}\0{version}").into_bytes()
}

/// What is wrong with a line, and the index of the byte where it is.
type Fault = (KeyListProblem, usize);

/// Reads one line without its line feed; `None` for a blank line or a comment.
fn parse_line(line: &[u8]) -> Result<Option<(u32, Key)>, Fault> {
    let start = line.len() - line.trim_ascii_start().len();
    if matches!(line.get(start), None | Some(b'#')) {
        return Ok(None);
    }
    let version_length = line[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let mut at = start + version_length;
    if version_length == 0 || line.get(at) != Some(&b';') {
        return Err(match key_in_other_form(&line[start..]) {
            Some(problem) => (problem, start),
            None => (KeyListProblem::Syntax, at),
        });
    }
    let version = std::str::from_utf8(&line[start..at])
        .ok()
        .and_then(|digits| digits.parse().ok());
    let version = version
        .filter(|&version| version > 0)
        .ok_or((KeyListProblem::Version, start))?;
    at += 1;

    let key = parse_key(&line[at..]).map_err(|(problem, byte)| (problem, at + byte))?;
    match line[at + DIGITS..].trim_ascii_start() {
        [] => Ok(Some((version, key))),
        behind if line[at + DIGITS] == b'\r' => {
            let problem = KeyListProblem::Odd(OddText::CarriageReturns);
            Err((problem, line.len() - behind.len()))
        }
        behind => Err((KeyListProblem::Trailing, line.len() - behind.len())),
    }
}

/// What is wrong with a line that is a key in another form, without a version.
fn key_in_other_form(line: &[u8]) -> Option<KeyListProblem> {
    let text = line.trim_ascii();
    let mut bytes = Zeroizing::new([0; 3 * MASTER_KEY_LENGTH]);
    match BASE64_STANDARD.decode_slice(text, &mut bytes[..]) {
        _ if parse_bare_key(text).is_some() => Some(KeyListProblem::NoVersion),
        Ok(MASTER_KEY_LENGTH) => Some(KeyListProblem::Base64),
        _ => None,
    }
}

/// Reads the digits of a key from the start of `text`.
fn parse_key(text: &[u8]) -> Result<Key, Fault> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits != DIGITS {
        return Err((KeyListProblem::Key, digits.min(DIGITS)));
    }
    let mut key = new_key();
    hex::decode_to_slice(&text[..DIGITS], &mut key[..]).map_err(|_| (KeyListProblem::Key, 0))?;
    Ok(key)
}

/// A key in 64 hexadecimal digits and nothing else, as version 1.
pub fn parse_bare_key(text: &[u8]) -> Option<KeyList> {
    let text = text.trim_ascii();
    let key = parse_key(text).ok().filter(|_| text.len() == DIGITS)?;
    Some(KeyList(BTreeMap::from([(1, key)])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bare_key_is_64_digits_and_nothing_else() {
        let digits = "0123456789abcdefABCDEF".repeat(3)[..64].to_owned();
        for text in [digits.clone(), format!("{digits}\n"), format!(" {digits}\r\n")] {
            assert_eq!(parse_bare_key(text.as_bytes()).unwrap().newest(), 1);
        }
        for text in [
            &digits[..63],
            &format!("{digits}0"),
            &format!("{digits} x"),
            &format!("1;{digits}"),
            "",
        ] {
            assert!(parse_bare_key(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn debug_output_shows_no_key() {
        let keys = KeyList::single(&[0xAB; 32]);
        assert_eq!(format!("{keys:?}"), "KeyList(version 1)");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Err(error) = KeyList::parse(&text) {
                let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
                prop_assert!(error.column <= lines[error.line - 1].len() + 1, "{}", error);
            }
        }

        #[test]
        fn versions_that_are_added_are_read_again(first in 1u32..u32::MAX - 10, count in 1usize..5, comment in "(# [a-z]{0,9})?") {
            let mut text = format!("{comment}\n{first};{}", "5a".repeat(32)).into_bytes();
            let mut keys = KeyList::parse(&text).unwrap();
            for added in 1..=count as u32 {
                prop_assert_eq!(keys.add_random().unwrap(), Some(first + added));
                text = keys.with_newest_line(&text).expose().to_vec();
                prop_assert!(KeyList::parse(&text).unwrap() == keys);
            }
        }
    }
}
