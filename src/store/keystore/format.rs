//! The text of a keystore: JSON whose unknown members stay where they are. `docs/keystore-format.md` has all of it.
//!
//! ```text
//! {
//!   "format": "keyroll keystore", "version": 1, "uuid": ..., "generation": 1.., "created": ...,
//!   "master_key": { "provider", "key_version", "wrapped", "wrapped_at", "key_check" },
//!   "keys": [ { "id", "version", "algorithm", "bits", "created", "nonce", "wrapped" }, ... ],
//!   "mac":      HMAC-SHA256 of the canonical form without mac and checksum
//!   "checksum": SHA-256 of the canonical form without checksum
//! }
//! ```
//!
//! The checksum tells chance from intent: it needs no key, so a damaged file is known before anyone asks for the
//! master key. The MAC is what protects. Nothing in a keystore's text is secret.

use std::collections::HashSet;

use thiserror::Error;

use super::canonical;
use super::json::{self, JsonError, Object, Value};
use super::keys::Keys;
use super::members::{Members, base64};
use super::render;
use super::uuid::Uuid;
use crate::crypto::Algorithm;
use crate::crypto::wrap::{DIGEST_LENGTH, NONCE_LENGTH, Sealed, TAG_LENGTH, sha256};
use crate::keys::{KeyName, KeySpec, LAST_VERSION};
use crate::master_key::{MAX_WRAPPED, Wrapped};

/// What every keystore calls itself.
pub const FORMAT: &str = "keyroll keystore";

/// The version of the format that is read and written.
pub const VERSION: u64 = 1;

/// The highest generation: what every reader of JSON can hold (2^53 - 1).
pub const LAST_GENERATION: u64 = (1 << 53) - 1;

/// The length in bytes of what tells whether a keystore key is the right one.
pub const KEY_CHECK_LENGTH: usize = 8;

/// The most bytes in a provider's description.
const MAX_PROVIDER: usize = 4096;

/// The most bytes in the name of a master key's version.
const MAX_KEY_VERSION: usize = 2048;

const MAC: &str = "mac";
const CHECKSUM: &str = "checksum";

/// Why a text is no keystore of this version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// The text ends too early, or something stands behind it.
    #[error("the text does not end where a keystore ends")]
    Truncated,

    /// It is not the JSON of a keystore.
    #[error("{0}")]
    Json(JsonError),

    /// A member is missing or has a value that it cannot have.
    #[error("{member} {problem}")]
    Member {
        /// Where it stands: `keys[3].bits`.
        member: String,
        /// What is wrong: `is missing`.
        problem: String,
    },

    /// It is no keystore at all.
    #[error("it does not call itself a \"{FORMAT}\"")]
    OtherFormat,

    /// It is a keystore of another version of the format.
    #[error("it has version {version} of the format, and only version {VERSION} is known here")]
    UnknownVersion {
        /// The version it has.
        version: String,
    },

    /// The checksum is not that of the rest.
    #[error("the checksum does not match")]
    Damaged,
}

impl FormatError {
    pub(super) fn member(member: impl Into<String>, problem: impl Into<String>) -> FormatError {
        FormatError::Member {
            member: member.into(),
            problem: problem.into(),
        }
    }
}

/// Who wrapped the keystore key, and the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKeyRecord {
    /// The provider, as it describes itself. For people: which provider opens the keystore is a setting.
    pub provider: String,
    /// What the provider made of the keystore key.
    pub wrapped: Wrapped,
    /// When, as RFC 3339 in UTC.
    pub wrapped_at: String,
    /// Tells whether a keystore key is the right one.
    pub key_check: [u8; KEY_CHECK_LENGTH],
}

impl MasterKeyRecord {
    fn of(members: &Members<'_>) -> Result<MasterKeyRecord, FormatError> {
        Ok(MasterKeyRecord {
            provider: members.text("provider", MAX_PROVIDER)?.to_owned(),
            wrapped: Wrapped {
                bytes: members.bytes("wrapped", 1..=MAX_WRAPPED)?,
                key_version: members.text("key_version", MAX_KEY_VERSION)?.to_owned(),
            },
            wrapped_at: members.time("wrapped_at")?.to_owned(),
            key_check: members.array("key_check")?,
        })
    }

    fn write_to(&self, object: &mut Object) {
        object.set("provider", Value::Text(self.provider.clone()));
        object.set("key_version", Value::Text(self.wrapped.key_version.clone()));
        object.set("wrapped", base64(&self.wrapped.bytes));
        object.set("wrapped_at", Value::Text(self.wrapped_at.clone()));
        object.set("key_check", base64(&self.key_check));
    }
}

/// One version of a data key, wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id and version.
    pub name: KeyName,
    /// Its algorithm and length, as they were when it was made.
    pub spec: KeySpec,
    /// When it was made, as RFC 3339 in UTC.
    pub created: String,
    /// The key under the wrapping key.
    pub sealed: Sealed,
}

impl KeyRecord {
    fn of(members: &Members<'_>) -> Result<KeyRecord, FormatError> {
        let name = KeyName {
            id: members.number("id", 1..=u32::MAX)?,
            version: members.number("version", 1..=LAST_VERSION)?,
        };
        let algorithm = members.text("algorithm", usize::MAX)?;
        let algorithm = Algorithm::from_name(algorithm).ok_or_else(|| {
            members.wrong("algorithm", format!("is {algorithm:?}, which is not known here"))
        })?;
        let bits = members.number("bits", 128..=256)?;
        let spec = KeySpec { algorithm, bits };
        if !spec.is_possible() {
            let name = algorithm.name();
            return Err(members.wrong("bits", format!("is {bits}, which cannot be with {name}")));
        }
        let sealed_length = bits as usize / 8 + TAG_LENGTH;
        Ok(KeyRecord {
            name,
            spec,
            created: members.time("created")?.to_owned(),
            sealed: Sealed {
                nonce: members.array::<NONCE_LENGTH>("nonce")?,
                ciphertext: members.bytes("wrapped", sealed_length..=sealed_length)?,
            },
        })
    }

    fn write_to(&self, object: &mut Object) {
        object.set("id", Value::Integer(self.name.id.into()));
        object.set("version", Value::Integer(self.name.version.into()));
        object.set("algorithm", Value::Text(self.spec.algorithm.name().into()));
        object.set("bits", Value::Integer(self.spec.bits.into()));
        object.set("created", Value::Text(self.created.clone()));
        object.set("nonce", base64(&self.sealed.nonce));
        object.set("wrapped", base64(&self.sealed.ciphertext));
    }
}

/// A keystore's text, understood, but not yet opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    uuid: Uuid,
    generation: u64,
    created: String,
    master_key: MasterKeyRecord,
    keys: Vec<KeyRecord>,
    mac: [u8; DIGEST_LENGTH],
    /// All members, also those that are not known here.
    root: Object,
}

impl Document {
    /// A new keystore without data keys, of generation 0: it has no MAC before [`sign`](Self::sign).
    pub fn new(uuid: Uuid, created: String, master_key: MasterKeyRecord) -> Document {
        let mut root = Object::from([
            ("format", Value::Text(FORMAT.into())),
            ("version", Value::Integer(VERSION.into())),
            ("uuid", Value::Text(uuid.to_string())),
            ("generation", Value::Integer(0)),
            ("created", Value::Text(created.clone())),
            ("master_key", Value::Object(Object::default())),
            ("keys", Value::List(Vec::new())),
        ]);
        if let Some(Value::Object(object)) = root.get_mut("master_key") {
            master_key.write_to(object);
        }
        Document {
            uuid,
            generation: 0,
            created,
            master_key,
            keys: Vec::new(),
            mac: [0; DIGEST_LENGTH],
            root,
        }
    }

    /// Lets a document that has not been signed be the next one after this generation.
    pub(super) fn follow(&mut self, generation: u64) {
        self.generation = generation;
    }

    /// Reads a text. Its checksum is right then, and every member that is known here has a possible value.
    ///
    /// # Errors
    /// In this order: the JSON, the end of the text, format and version, the checksum, the members.
    pub fn parse(text: &[u8]) -> Result<Document, FormatError> {
        // A key file, for one, is told apart from a damaged keystore.
        if text
            .trim_ascii_start()
            .first()
            .is_some_and(|first| *first != b'{')
        {
            return Err(FormatError::OtherFormat);
        }
        let root = json::parse(text).map_err(|error| match error.at_end {
            true => FormatError::Truncated,
            false => FormatError::Json(error),
        })?;
        if !text.ends_with(b"}\n") {
            return Err(FormatError::Truncated);
        }
        let members = Members::of_root(&root);
        if root.get("format").and_then(Value::as_text) != Some(FORMAT) {
            return Err(FormatError::OtherFormat);
        }
        match members.value("version")? {
            Value::Integer(version) if *version == i128::from(VERSION) => {}
            Value::Integer(version) => {
                return Err(FormatError::UnknownVersion {
                    version: version.to_string(),
                });
            }
            _ => return Err(members.wrong("version", "is not a number")),
        }
        if members.array(CHECKSUM)? != checksum(&root) {
            return Err(FormatError::Damaged);
        }
        let uuid = Uuid::parse(members.text("uuid", usize::MAX)?)
            .ok_or_else(|| members.wrong("uuid", "is not a UUID in lower case"))?;
        Ok(Document {
            uuid,
            generation: members.number("generation", 1..=LAST_GENERATION)?,
            created: members.time("created")?.to_owned(),
            master_key: MasterKeyRecord::of(&members.object("master_key")?)?,
            keys: key_records(&members)?,
            mac: members.array(MAC)?,
            root,
        })
    }

    /// The text, ready to be written.
    pub fn render(&self) -> Vec<u8> {
        render::render(&self.root)
    }

    /// The keystore's name.
    pub fn uuid(&self) -> &Uuid {
        &self.uuid
    }

    /// How many times it has been written.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When it was made.
    pub fn created(&self) -> &str {
        &self.created
    }

    /// Who wrapped the keystore key.
    pub fn master_key(&self) -> &MasterKeyRecord {
        &self.master_key
    }

    /// All versions of all data keys, in the order of the file.
    pub fn keys(&self) -> &[KeyRecord] {
        &self.keys
    }

    /// Its MAC, by which two texts of one generation are told apart.
    pub fn mac(&self) -> &[u8; DIGEST_LENGTH] {
        &self.mac
    }

    /// Whether the MAC is right: whether someone with the keystore key wrote all this.
    pub fn is_signed_by(&self, keys: &Keys) -> bool {
        keys.mac().verify(&self.signed_bytes(), &self.mac)
    }

    /// Adds a version of a data key at the end.
    pub fn add(&mut self, record: KeyRecord) {
        let mut object = Object::default();
        record.write_to(&mut object);
        if let Some(Value::List(list)) = self.root.get_mut("keys") {
            list.push(Value::Object(object));
        }
        self.keys.push(record);
    }

    /// Puts what another keystore key has been wrapped to, and the data keys under it, in place of what was there.
    /// `records` are all records of [`keys`](Self::keys) in the same order.
    pub fn rewrap(&mut self, master_key: MasterKeyRecord, records: Vec<KeyRecord>) {
        debug_assert!(
            records
                .iter()
                .map(|r| r.name)
                .eq(self.keys.iter().map(|r| r.name))
        );
        if let Some(Value::Object(object)) = self.root.get_mut("master_key") {
            master_key.write_to(object);
        }
        if let Some(Value::List(list)) = self.root.get_mut("keys") {
            for (value, record) in list.iter_mut().zip(&records) {
                if let Value::Object(object) = value {
                    record.write_to(object);
                }
            }
        }
        self.master_key = master_key;
        self.keys = records;
    }

    /// Counts a write, and gives the whole its MAC and its checksum. Nothing may change afterwards.
    pub fn sign(&mut self, keys: &Keys) {
        self.generation += 1;
        self.root
            .set("generation", Value::Integer(self.generation.into()));
        self.mac = keys.mac().sign(&self.signed_bytes());
        self.root.set(MAC, base64(&self.mac));
        let checksum = checksum(&self.root);
        self.root.set(CHECKSUM, base64(&checksum));
    }

    fn signed_bytes(&self) -> Vec<u8> {
        canonical::bytes_without(&self.root, &[MAC, CHECKSUM])
    }
}

fn checksum(root: &Object) -> [u8; DIGEST_LENGTH] {
    sha256(&canonical::bytes_without(root, &[CHECKSUM]))
}

fn key_records(members: &Members<'_>) -> Result<Vec<KeyRecord>, FormatError> {
    let mut names = HashSet::new();
    let mut records = Vec::new();
    for entry in members.objects("keys")? {
        let record = KeyRecord::of(&entry)?;
        if !names.insert(record.name) {
            return Err(entry.wrong("version", format!("names {} a second time", record.name)));
        }
        records.push(record);
    }
    Ok(records)
}
