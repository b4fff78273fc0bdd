//! The text of a keystore: lines, which are signed as they stand. `docs/keystore-format.md` has all
//! of it.
//!
//! ```text
//! keyroll keystore 1                                          format and version
//! {"uuid":...,"generation":...,"created":...}                 the keystore
//! {"provider":...,"key_version":...,"wrapped":...,"wrapped_at":...,"key_check":...}
//! {"id":1,"version":1,"algorithm":...,"bits":256,"created":...,"nonce":...,"wrapped":...}
//! ...                                                         one for each version of each data key
//! mac       HMAC-SHA256 of all bytes before this line, in hex
//! checksum  SHA-256 of all bytes before this line, in hex
//! ```
//!
//! The checksum tells chance from intent: it needs no key, so a damaged file is known before anyone
//! asks for the master key. The MAC is what protects. Nothing in a keystore's text is secret.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::derived_keys::DerivedKeys;
use super::records::{KeyLine, KeyRecord, KeystoreLine, MasterKeyLine, MasterKeyRecord};
use crate::crypto::wrap::{DIGEST_LENGTH, sha256};
use crate::one_line::one_line;
use crate::secret::SecretBytes;

/// What every keystore begins with.
pub const FORMAT: &str = "keyroll keystore";

/// The version of the format that is read and written.
pub const VERSION: u32 = 1;

/// What a keystore of a keyroll before the first release begins with: it was one JSON object.
const UNRELEASED: &[u8] = b"{\n  \"format\": \"keyroll keystore\"";

/// The byte order mark that some editors put before a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

const MAC: &str = "mac ";

const CHECKSUM: &str = "checksum ";

const MAX_VERSION_DIGITS: usize = 9;

/// The most characters of what a parser says, which may quote the file.
const MAX_PROBLEM: usize = 200;

/// Why a text is no keystore of this version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they are")]
pub enum FormatError {
    #[error("its last line is not that of its checksum")]
    Truncated,

    #[error("it does not call itself a \"{FORMAT}\"")]
    OtherFormat,

    /// It is a keystore as keyroll wrote it before the first release.
    #[error("it has the form that keystores had before the first release, which is not read any more")]
    Unreleased,

    #[error("it has version {version} of the format, and only version {VERSION} is known here")]
    UnknownVersion { version: u32 },

    #[error("{how}, which keyroll never writes")]
    Converted {
        /// What shows it: `its lines end in CR LF`.
        how: &'static str,
    },

    #[error("the checksum does not match")]
    Damaged,

    #[error("line {line}: {problem}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong: `bits is 128, which cannot be with aes_256_xts`.
        problem: String,
    },
}

/// Whether a text begins as a keystore does, of this version or of another one.
pub fn is_keystore(text: &[u8]) -> bool {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    text.starts_with(FORMAT.as_bytes()) || text.starts_with(UNRELEASED)
}

/// What a keystore's text says. Whether its MAC is right is for [`SignedText`] to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The keystore's name, which no other one has.
    pub uuid: Uuid,
    /// How many times it has been written.
    pub generation: u64,
    /// When it was made, as RFC 3339 in UTC.
    pub created: String,
    /// Who wrapped the keystore key.
    pub master_key: MasterKeyRecord,
    /// All versions of all data keys, in the order in which they were made.
    pub keys: Vec<KeyRecord>,
    /// Tells two texts of one generation apart.
    pub(super) mac: [u8; DIGEST_LENGTH],
}

impl Document {
    /// A keystore without data keys that has not been written: its generation is 0, its MAC zero.
    pub fn new(uuid: Uuid, created: String, master_key: MasterKeyRecord) -> Document {
        Document {
            uuid,
            generation: 0,
            created,
            master_key,
            keys: Vec::new(),
            mac: [0; DIGEST_LENGTH],
        }
    }

    /// Reads a text. Its checksum is right then, and every record has possible values.
    ///
    /// # Errors
    /// In this order: the first line, the last line, the checksum, the other lines.
    pub fn parse(text: &[u8]) -> Result<Document, FormatError> {
        check_first_line(text)?;
        let (checked, checksum) = split_digest(text, CHECKSUM).ok_or(FormatError::Truncated)?;
        if checksum != sha256(checked) {
            return Err(FormatError::Damaged);
        }
        let (signed, mac) = split_digest(checked, MAC).ok_or_else(|| FormatError::Line {
            line: checked.iter().filter(|&&byte| byte == b'\n').count(),
            problem: "it is not that of the MAC".into(),
        })?;
        let mut lines = Lines {
            number: 0,
            rest: signed,
        };
        lines.next_line()?;
        let (uuid, generation, created) = lines.record(KeystoreLine::check)?;
        let master_key = lines.record(MasterKeyLine::check)?;
        let mut keys = Vec::new();
        let mut names = HashSet::new();
        while !lines.rest.is_empty() {
            let record = lines.record(KeyLine::check)?;
            if !names.insert(record.name) {
                return Err(lines.wrong(format!("{} stands there a second time", record.name)));
            }
            keys.push(record);
        }
        Ok(Document {
            uuid,
            generation,
            created,
            master_key,
            keys,
            mac,
        })
    }

    /// Counts a write and makes the text to be written, with MAC and checksum.
    pub fn sign(&mut self, keys: &DerivedKeys) -> Vec<u8> {
        self.generation += 1;
        let mut text = format!("{FORMAT} {VERSION}\n").into_bytes();
        push_record(
            &mut text,
            &KeystoreLine {
                uuid: self.uuid.to_string().into(),
                generation: self.generation,
                created: (&self.created).into(),
            },
        );
        push_record(&mut text, &MasterKeyLine::from(&self.master_key));
        for key in &self.keys {
            push_record(&mut text, &KeyLine::from(key));
        }
        self.mac = keys.mac().sign(&text);
        push_digest(&mut text, MAC, &self.mac);
        let checksum = sha256(&text);
        push_digest(&mut text, CHECKSUM, &checksum);
        text
    }

    /// What it says beside its data keys.
    pub(super) fn without_keys(&self) -> Document {
        Document {
            created: self.created.clone(),
            master_key: self.master_key.clone(),
            keys: Vec::new(),
            ..*self
        }
    }
}

/// A keystore's text as it was read, and what it says.
pub struct SignedText {
    /// The text.
    pub bytes: SecretBytes,
    /// What it says.
    pub document: Document,
}

impl SignedText {
    /// Reads a text, with the errors of [`Document::parse`].
    pub fn parse(bytes: SecretBytes) -> Result<SignedText, FormatError> {
        let document = Document::parse(bytes.expose())?;
        Ok(SignedText { bytes, document })
    }

    /// Whether the MAC is right: whether someone with the keystore key wrote these very bytes.
    pub fn is_signed_by(&self, keys: &DerivedKeys) -> bool {
        let signed =
            split_digest(self.bytes.expose(), CHECKSUM).and_then(|(checked, _)| split_digest(checked, MAC));
        signed.is_some_and(|(signed, mac)| keys.mac().verify(signed, &mac))
    }
}

/// Fails unless the text begins as a keystore of this version does.
fn check_first_line(text: &[u8]) -> Result<(), FormatError> {
    let Some(rest) = text.strip_prefix(FORMAT.as_bytes()) else {
        return Err(match text {
            text if FORMAT.as_bytes().starts_with(text) => FormatError::Truncated,
            text if text.starts_with(UNRELEASED) => FormatError::Unreleased,
            text if text.starts_with(BYTE_ORDER_MARK) && is_keystore(text) => FormatError::Converted {
                how: "a byte order mark stands before it",
            },
            _ => FormatError::OtherFormat,
        });
    };
    let (line, _) = split_line(rest).ok_or(FormatError::Truncated)?;
    if line.ends_with(b"\r") {
        return Err(FormatError::Converted {
            how: "its lines end in CR LF",
        });
    }
    let version = line
        .strip_prefix(b" ")
        .and_then(|digits| str::from_utf8(digits).ok())
        .filter(|digits| digits.len() <= MAX_VERSION_DIGITS)
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0'))
        .and_then(|digits| digits.parse().ok());
    match version {
        Some(VERSION) => Ok(()),
        Some(version) => Err(FormatError::UnknownVersion { version }),
        None => Err(FormatError::Line {
            line: 1,
            problem: "a number must follow, the version of the format, and nothing else".into(),
        }),
    }
}

/// The lines that are signed.
struct Lines<'t> {
    /// The number of the line that was read last.
    number: usize,
    rest: &'t [u8],
}

impl<'t> Lines<'t> {
    fn wrong(&self, problem: String) -> FormatError {
        FormatError::Line {
            line: self.number,
            problem,
        }
    }

    fn next_line(&mut self) -> Result<&'t [u8], FormatError> {
        self.number += 1;
        let (line, rest) = split_line(self.rest)
            .ok_or_else(|| self.wrong("the MAC stands there instead of a record".into()))?;
        self.rest = rest;
        Ok(line)
    }

    /// Reads a line as a record, and has its values checked.
    fn record<L: Deserialize<'t>, R>(
        &mut self,
        check: impl FnOnce(L) -> Result<R, String>,
    ) -> Result<R, FormatError> {
        let line = self.next_line()?;
        // serde would take an array of the values for the object, too.
        if !line.starts_with(b"{") {
            return Err(self.wrong("it does not begin with {".into()));
        }
        serde_json::from_slice(line)
            .map_err(|error| problem(&error))
            .and_then(check)
            .map_err(|problem| self.wrong(problem))
    }
}

/// What the parser says: `column 18: duplicate field`. It may quote the file.
fn problem(error: &serde_json::Error) -> String {
    let said = error.to_string();
    // The line that it names is always the first.
    let message = said
        .rsplit_once(" at line ")
        .map_or(said.as_str(), |(message, _)| message);
    let message: String = one_line(message).chars().take(MAX_PROBLEM).collect();
    format!("column {}: {message}", error.column())
}

fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|&byte| byte == b'\n')?;
    Some((&text[..end], &text[end + 1..]))
}

fn push_record(text: &mut Vec<u8>, record: &impl Serialize) {
    #[expect(
        clippy::expect_used,
        reason = "strings and numbers always have a form in JSON, and memory takes it"
    )]
    serde_json::to_writer(&mut *text, record).expect("a record is written to memory");
    text.push(b'\n');
}

fn push_digest(text: &mut Vec<u8>, label: &str, digest: &[u8; DIGEST_LENGTH]) {
    text.extend_from_slice(format!("{label}{}\n", hex::encode(digest)).as_bytes());
}

/// Splits off the last line, which must be this label and a digest in lower-case hex.
fn split_digest<'t>(text: &'t [u8], label: &str) -> Option<(&'t [u8], [u8; DIGEST_LENGTH])> {
    let length = label.len() + 2 * DIGEST_LENGTH + 1;
    let (before, line) = text.split_at(text.len().checked_sub(length)?);
    let digits = line.strip_prefix(label.as_bytes())?.strip_suffix(b"\n")?;
    let mut digest = [0; DIGEST_LENGTH];
    hex::decode_to_slice(digits, &mut digest).ok()?;
    (matches!(before.last(), None | Some(b'\n')) && hex::encode(digest).as_bytes() == digits)
        .then_some((before, digest))
}
