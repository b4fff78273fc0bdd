//! What Vault tells of a secret, and the key that one of its versions is.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Deserialize;

use super::KvError;
use crate::clock;
use crate::keys::LAST_VERSION;
use crate::secret::{DataKey, MAX_DATA_KEY_LENGTH};

/// What Vault tells of a secret beside its content.
#[derive(Debug, Deserialize)]
pub(super) struct SecretMetadata {
    pub(super) current_version: u32,
    #[serde(default)]
    pub(super) max_versions: u64,
    #[serde(default)]
    oldest_version: u32,
    versions: BTreeMap<u32, VersionMetadata>,
}

#[derive(Debug, Deserialize)]
pub(super) struct VersionMetadata {
    /// Only where it does not stand among others.
    #[serde(default)]
    pub(super) version: u32,
    /// As RFC 3339, with a fraction of a second.
    #[serde(default)]
    created_time: String,
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    pub(super) destroyed: bool,
}

/// What became of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It can be brought back with `vault kv undelete`.
    Deleted,
    /// Its bytes are gone for good.
    Destroyed,
    /// Vault does not know it (any more).
    Missing,
}

impl Gone {
    /// As one would say it.
    pub fn name(self) -> &'static str {
        match self {
            Gone::Deleted => "deleted",
            Gone::Destroyed => "destroyed",
            Gone::Missing => "missing",
        }
    }
}

/// What is known of a secret before all its versions are read.
#[derive(Debug)]
pub(super) enum Secret {
    /// There is none.
    Missing,
    Described(SecretMetadata),
    /// Its metadata is hidden. The number of its newest version, and what that is.
    Newest(u32, Found),
    /// It may not be read.
    Refused(KvError),
}

/// What a version is.
#[derive(Debug)]
pub(super) enum Found {
    /// With the time at which Vault took it.
    Key(DataKey, Option<SystemTime>),
    Gone(Gone),
    /// Nothing changes that.
    NotAKey(KvError),
    /// It may not be read.
    Refused(KvError),
}

impl VersionMetadata {
    /// When Vault took it; `None` where that cannot be read.
    pub(super) fn created(&self) -> Option<SystemTime> {
        clock::of_rfc3339(&self.created_time)
    }
}

impl SecretMetadata {
    /// As much as can be told of a secret whose metadata is hidden.
    pub(super) fn of_hidden(current_version: u32, oldest_version: u32) -> SecretMetadata {
        SecretMetadata {
            current_version,
            max_versions: 0,
            oldest_version,
            versions: BTreeMap::new(),
        }
    }

    /// All version numbers that Vault knows, and those that surely cannot be read.
    pub(super) fn versions(&self) -> impl Iterator<Item = (u32, Option<Gone>)> {
        self.versions
            .iter()
            .filter(|(version, _)| (1..=LAST_VERSION).contains(*version))
            // A time to come is a deletion to come: the answer to a read tells.
            .map(|(version, about)| (*version, about.destroyed.then_some(Gone::Destroyed)))
    }

    /// What became of a version that was there once.
    pub(super) fn fate(&self, version: u32) -> Option<Gone> {
        match self.versions.get(&version) {
            None => Some(Gone::Missing),
            Some(about) if about.destroyed => Some(Gone::Destroyed),
            Some(about) if !about.deletion_time.is_empty() => Some(Gone::Deleted),
            Some(_) => None,
        }
    }

    /// The first version that would go if so many were added, where Vault keeps `kept`.
    pub(super) fn first_lost(&self, kept: u64, new: u32) -> Option<u32> {
        let oldest = u64::from(self.oldest_version.max(1));
        let after = u64::from(self.current_version) + u64::from(new);
        let first_kept = (after + 1).saturating_sub(kept);
        (first_kept > oldest).then(|| u32::try_from(oldest).unwrap_or(u32::MAX))
    }
}

/// As the peer reads it: hex digits and nothing else.
pub(super) fn parse_key(text: &str) -> Result<DataKey, &'static str> {
    let mut bytes = zeroize::Zeroizing::new([0; MAX_DATA_KEY_LENGTH]);
    let length = text.len() / 2;
    if !text.len().is_multiple_of(2) || length > MAX_DATA_KEY_LENGTH {
        return Err("its field data is not 32, 48 or 64 hex digits long");
    }
    hex::decode_to_slice(text, &mut bytes[..length])
        .map_err(|_| "its field data has other characters than hex digits")?;
    DataKey::new(&bytes[..length]).ok_or("its field data is not 32, 48 or 64 hex digits long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_hex_digits_of_a_key_length_and_nothing_else() {
        for length in [16, 24, 32] {
            assert_eq!(
                parse_key(&"aB".repeat(length)).unwrap().expose(),
                vec![0xab; length]
            );
        }
        for wrong in [
            "",
            "a",
            "ab",
            &"ab".repeat(15),
            &"ab".repeat(17),
            &"ab".repeat(33),
        ] {
            assert!(parse_key(wrong).unwrap_err().contains("long"), "{wrong}");
        }
        for wrong in ["zz".repeat(16), " ".repeat(32), format!("{}\n ", "ab".repeat(15))] {
            assert!(
                parse_key(&wrong).unwrap_err().contains("other characters"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_rotation_knows_which_version_it_would_push_out() {
        let metadata = |current_version, oldest_version| SecretMetadata {
            current_version,
            max_versions: 0,
            oldest_version,
            versions: BTreeMap::new(),
        };
        assert_eq!(metadata(1, 0).first_lost(10, 2), None);
        assert_eq!(metadata(8, 0).first_lost(10, 2), None);
        assert_eq!(metadata(9, 0).first_lost(10, 2), Some(1));
        assert_eq!(metadata(12, 3).first_lost(10, 1), Some(3));
        assert_eq!(metadata(12, 5).first_lost(10, 1), None);
    }
}
