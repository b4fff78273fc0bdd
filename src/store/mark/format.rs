//! The text of a mark: JSON, a line for each key.
//!
//! ```text
//! {"format":"keyroll mark","version":1,
//! "store":{"described":"keystore /k","uuid":"...","generation":7},
//! "keys":[
//! {"id":1,"highest":3,"versions":{"1":FINGERPRINT,"3":FINGERPRINT}},
//! ...
//! ],
//! "checksum":"SHA-256 of all lines before this one, in hex"}
//! ```
//!
//! `highest` is the highest version number that was ever seen or asked for; `versions` may lack it
//! where its bytes are not known or were given up. `uuid` and `generation` are those of a keystore.
//! The checksum tells damage; it is no protection against whoever can write to the data directory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Identity, Mark, StoreSeen};
use crate::crypto::wrap::sha256;
use crate::keys::{Fingerprint, KeyName};

/// What every mark calls itself.
pub const FORMAT: &str = "keyroll mark";

/// The version of the format that is read and written.
pub const VERSION: u32 = 1;

const CHECKSUM: &str = "\"checksum\":\"";

/// Why a text is no mark.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they are")]
pub enum MarkFormatError {
    /// It is not what was written.
    #[error("it is damaged or no mark")]
    Damaged,

    #[error("it has version {0} of the format, and only version {VERSION} is known here")]
    UnknownVersion(u32),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: String,
    version: u32,
    store: Store,
    keys: Vec<Key>,
    checksum: String,
}

#[derive(Deserialize)]
struct AnyVersion {
    format: String,
    version: u32,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Store {
    described: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uuid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Key {
    id: u32,
    highest: u32,
    versions: BTreeMap<u32, String>,
}

impl Mark {
    /// The text, ready to be written.
    pub fn render(&self) -> String {
        let identity = self.store.identity.as_ref();
        let store = Store {
            described: self.store.described.clone(),
            uuid: identity.map(|identity| identity.uuid.clone()),
            generation: identity.map(|identity| identity.generation),
        };
        let keys: Vec<String> = self.keys().iter().map(json).collect();
        let mut text = format!(
            "{{\"format\":\"{FORMAT}\",\"version\":{VERSION},\n\"store\":{},\n\"keys\":[\n{}\n],\n",
            json(&store),
            keys.join(",\n")
        );
        let checksum = hex::encode(sha256(text.as_bytes()));
        text.push_str(&format!("{CHECKSUM}{checksum}\"}}\n"));
        text
    }

    fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self
            .highest
            .iter()
            .map(|name| Key {
                id: name.id,
                highest: name.version,
                versions: BTreeMap::new(),
            })
            .collect();
        for (name, fingerprint) in self.versions() {
            // Every version was counted as one that was seen.
            if let Ok(at) = keys.binary_search_by_key(&name.id, |key| key.id) {
                keys[at].versions.insert(name.version, fingerprint.to_string());
            }
        }
        keys
    }

    /// Reads a text, which must be what [`render`](Self::render) writes.
    pub fn parse(text: &[u8]) -> Result<Mark, MarkFormatError> {
        let text = std::str::from_utf8(text).map_err(|_| MarkFormatError::Damaged)?;
        let any: AnyVersion = serde_json::from_str(text).map_err(|_| MarkFormatError::Damaged)?;
        if any.format != FORMAT {
            return Err(MarkFormatError::Damaged);
        }
        if any.version != VERSION {
            return Err(MarkFormatError::UnknownVersion(any.version));
        }
        let read: Text = serde_json::from_str(text).map_err(|_| MarkFormatError::Damaged)?;
        let mark = read.into_mark().ok_or(MarkFormatError::Damaged)?;
        // The one way of writing it: whatever was changed shows here, the checksum among it.
        (mark.render() == text)
            .then_some(mark)
            .ok_or(MarkFormatError::Damaged)
    }
}

impl Text {
    fn into_mark(self) -> Option<Mark> {
        let identity = match (self.store.uuid, self.store.generation) {
            (Some(uuid), Some(generation)) => Some(Identity { uuid, generation }),
            (None, None) => None,
            _ => return None,
        };
        let mut mark = Mark {
            store: StoreSeen {
                described: self.store.described,
                identity,
            },
            ..Mark::default()
        };
        for Key {
            id,
            highest,
            versions,
        } in self.keys
        {
            mark.highest.raise(KeyName { id, version: highest });
            for (version, fingerprint) in versions {
                if version > highest {
                    return None;
                }
                let name = KeyName { id, version };
                mark.versions.insert(name, Fingerprint::parse(&fingerprint)?);
            }
        }
        Some(mark)
    }
}

/// Strings, numbers and maps of them cannot fail to serialise.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark() -> Mark {
        let mut mark = Mark {
            store: StoreSeen {
                described: "keystore /var/lib/\"key\nroll\"".into(),
                identity: Some(Identity {
                    uuid: "0190a5c3-1f2e-4d3c-8b4a-5f6e7d8c9b0a".into(),
                    generation: 7,
                }),
            },
            ..Mark::default()
        };
        for (id, version) in [(1, 1), (1, 3), (4_294_967_295, 4_294_967_294)] {
            let name = KeyName { id, version };
            mark.versions.insert(name, Fingerprint::of(&[id as u8; 16]));
            mark.highest.raise(name);
        }
        mark.highest.raise(KeyName { id: 9, version: 5 });
        mark
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        for mark in [mark(), Mark::default()] {
            assert_eq!(Mark::parse(mark.render().as_bytes()), Ok(mark));
        }
    }

    #[test]
    fn its_text_is_that_of_the_drawing() {
        let text = mark().render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], r#"{"format":"keyroll mark","version":1,"#);
        let fingerprint = Fingerprint::of(&[1; 16]);
        let line =
            format!(r#"{{"id":1,"highest":3,"versions":{{"1":"{fingerprint}","3":"{fingerprint}"}}}},"#);
        assert_eq!(lines[3], line);
        assert_eq!(lines[4], r#"{"id":9,"highest":5,"versions":{}},"#);
    }

    #[test]
    fn another_version_of_the_format_is_named() {
        let text = mark().render().replace("\"version\":1,", "\"version\":2,");
        assert_eq!(
            Mark::parse(text.as_bytes()),
            Err(MarkFormatError::UnknownVersion(2))
        );
    }

    #[test]
    fn every_bit_and_every_length_of_a_mark_counts() {
        let text = mark().render().into_bytes();
        for length in 0..text.len() {
            assert!(Mark::parse(&text[..length]).is_err(), "{length}");
        }
        for at in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(Mark::parse(&flipped).is_err(), "bit {at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Mark::parse(&bytes).is_err());
        }
    }
}
