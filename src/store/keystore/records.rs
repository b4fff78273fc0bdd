//! The records of a keystore's text: one JSON object on each line, with the members that are named
//! here and no others.

use std::borrow::Cow;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::clock;
use crate::crypto::Algorithm;
use crate::crypto::wrap::{Sealed, TAG_LENGTH};
use crate::keys::{KeyName, KeySpec, LAST_VERSION};
use crate::master_key::{MAX_KEY_VERSION, MAX_WRAPPED, Wrapped, is_key_version};

/// The highest generation: what every reader of JSON can hold (2^53 - 1).
pub const LAST_GENERATION: u64 = (1 << 53) - 1;

/// The length in bytes of what tells whether a keystore key is the right one.
pub const KEY_CHECK_LENGTH: usize = 8;

/// The most bytes in a provider's description.
const MAX_PROVIDER: usize = 4096;

/// What stands for the time of a version of which none is known: it came from a store that tells
/// none.
pub const UNKNOWN_TIME: &str = "1970-01-01T00:00:00Z";

/// Who wrapped the keystore key, and the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKeyRecord {
    /// The provider, as it describes itself. For people: which provider opens the keystore is a
    /// setting.
    pub provider: String,
    /// What the provider made of the keystore key.
    pub wrapped: Wrapped,
    /// When, as RFC 3339 in UTC.
    pub wrapped_at: String,
    /// Tells whether a keystore key is the right one.
    pub key_check: [u8; KEY_CHECK_LENGTH],
}

impl MasterKeyRecord {
    /// When it was wrapped; `None` where that is not known.
    pub fn wrapped_at(&self) -> Option<SystemTime> {
        known(&self.wrapped_at)
    }
}

/// One version of a data key, wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id and version.
    pub name: KeyName,
    /// Its algorithm and length, as they were when it was made.
    pub spec: KeySpec,
    /// When it was made, as RFC 3339 in UTC; [`UNKNOWN_TIME`] where that is not known.
    pub created: String,
    /// The key under the wrapping key.
    pub sealed: Sealed,
}

impl KeyRecord {
    /// When it was made; `None` where that is not known.
    pub fn created(&self) -> Option<SystemTime> {
        known(&self.created)
    }
}

fn known(time: &str) -> Option<SystemTime> {
    clock::of_rfc3339(time).filter(|_| time != UNKNOWN_TIME)
}

/// The line of the keystore itself.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeystoreLine<'a> {
    pub(super) uuid: Cow<'a, str>,
    pub(super) generation: u64,
    pub(super) created: Cow<'a, str>,
}

/// The line of the master key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MasterKeyLine<'a> {
    provider: Cow<'a, str>,
    key_version: Cow<'a, str>,
    wrapped: Base64<'a>,
    wrapped_at: Cow<'a, str>,
    key_check: Base64<'a>,
}

/// The line of one version of a data key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyLine<'a> {
    id: u32,
    version: u32,
    algorithm: Cow<'a, str>,
    bits: u32,
    created: Cow<'a, str>,
    nonce: Base64<'a>,
    wrapped: Base64<'a>,
}

impl KeystoreLine<'_> {
    /// UUID, generation and time; an error says what is wrong with which member.
    pub(super) fn check(self) -> Result<(Uuid, u64, String), String> {
        let uuid = Uuid::try_parse(&self.uuid)
            .ok()
            .filter(|uuid| uuid.to_string() == self.uuid)
            .ok_or("uuid is not a UUID in lower case")?;
        let generation = self.generation;
        if !(1..=LAST_GENERATION).contains(&generation) {
            return Err(format!(
                "generation is {generation}, not a number from 1 to {LAST_GENERATION}"
            ));
        }
        Ok((uuid, generation, time("created", self.created)?))
    }
}

impl<'a> From<&'a MasterKeyRecord> for MasterKeyLine<'a> {
    fn from(record: &'a MasterKeyRecord) -> MasterKeyLine<'a> {
        MasterKeyLine {
            provider: (&record.provider).into(),
            key_version: (&record.wrapped.key_version).into(),
            wrapped: Base64((&record.wrapped.bytes).into()),
            wrapped_at: (&record.wrapped_at).into(),
            key_check: Base64((&record.key_check).into()),
        }
    }
}

impl MasterKeyLine<'_> {
    /// The record; an error says what is wrong with which member.
    pub(super) fn check(self) -> Result<MasterKeyRecord, String> {
        let length = self.wrapped.0.len();
        if !(1..=MAX_WRAPPED).contains(&length) {
            return Err(format!(
                "wrapped holds {length} bytes instead of 1 to {MAX_WRAPPED}"
            ));
        }
        if self.provider.len() > MAX_PROVIDER {
            return Err(format!("provider has more than {MAX_PROVIDER} bytes"));
        }
        // It would garble a terminal or a log.
        if self.provider.chars().any(char::is_control) {
            return Err("provider holds a control character".into());
        }
        if !is_key_version(&self.key_version) {
            return Err(format!(
                "key_version is not at most {MAX_KEY_VERSION} printable ASCII characters"
            ));
        }
        Ok(MasterKeyRecord {
            provider: self.provider.into_owned(),
            wrapped: Wrapped {
                key_version: self.key_version.into_owned(),
                bytes: self.wrapped.0.into_owned(),
            },
            wrapped_at: time("wrapped_at", self.wrapped_at)?,
            key_check: array("key_check", &self.key_check)?,
        })
    }
}

impl<'a> From<&'a KeyRecord> for KeyLine<'a> {
    fn from(record: &'a KeyRecord) -> KeyLine<'a> {
        KeyLine {
            id: record.name.id,
            version: record.name.version,
            algorithm: record.spec.algorithm.name().into(),
            bits: record.spec.bits,
            created: (&record.created).into(),
            nonce: Base64((&record.sealed.nonce).into()),
            wrapped: Base64((&record.sealed.ciphertext).into()),
        }
    }
}

impl KeyLine<'_> {
    /// The record; an error says what is wrong with which member.
    pub(super) fn check(self) -> Result<KeyRecord, String> {
        let (id, version, bits) = (self.id, self.version, self.bits);
        if id == 0 {
            return Err("id is 0, not a number from 1 to 4294967295".into());
        }
        if !(1..=LAST_VERSION).contains(&version) {
            return Err(format!(
                "version is {version}, not a number from 1 to {LAST_VERSION}"
            ));
        }
        let algorithm = Algorithm::from_name(&self.algorithm)
            .ok_or_else(|| format!("algorithm is \"{}\", which is not known here", self.algorithm))?;
        let spec = KeySpec { algorithm, bits };
        if !spec.is_possible() {
            let name = algorithm.name();
            return Err(format!("bits is {bits}, which cannot be with {name}"));
        }
        let (length, wanted) = (self.wrapped.0.len(), bits as usize / 8 + TAG_LENGTH);
        if length != wanted {
            return Err(format!("wrapped holds {length} bytes instead of {wanted}"));
        }
        Ok(KeyRecord {
            name: KeyName { id, version },
            spec,
            created: time("created", self.created)?,
            sealed: Sealed {
                nonce: array("nonce", &self.nonce)?,
                ciphertext: self.wrapped.0.into_owned(),
            },
        })
    }
}

/// A time as RFC 3339 writes it, in UTC and whole seconds.
fn time(name: &str, text: Cow<'_, str>) -> Result<String, String> {
    match clock::is_rfc3339(&text) {
        true => Ok(text.into_owned()),
        false => Err(format!("{name} is not a time as 2026-01-31T23:59:59Z")),
    }
}

/// Exactly `N` bytes.
fn array<const N: usize>(name: &str, bytes: &Base64<'_>) -> Result<[u8; N], String> {
    let length = bytes.0.len();
    <[u8; N]>::try_from(&*bytes.0).map_err(|_| format!("{name} holds {length} bytes instead of {N}"))
}

/// Bytes that stand in the text as base64 (RFC 4648, section 4, with padding).
struct Base64<'a>(Cow<'a, [u8]>);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| D::Error::custom(format_args!("not base64: {error}")))?;
        Ok(Base64(Cow::Owned(bytes)))
    }
}
