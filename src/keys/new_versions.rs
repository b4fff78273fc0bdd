//! What new key versions are made like, and which numbers they get.

use std::collections::BTreeMap;

use super::set::KeyName;
use crate::crypto::Algorithm;
use crate::crypto::derive::DATA_KEY_LENGTH;

/// How far the number of a new version lies above the latest one: at least 1.
///
/// 2 by default: InnoDB re-encrypts a page only when the page's version plus
/// `innodb_encryption_rotate_key_age` (1 by default) is less than the latest version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionStep(u32);

impl VersionStep {
    /// The step with which one rotation re-encrypts under the server's default settings.
    pub const DEFAULT: VersionStep = VersionStep(2);

    /// The largest step that may be set.
    pub const MAX: u32 = 1_000_000;

    /// A step of `step` versions; `None` unless it is between 1 and [`VersionStep::MAX`].
    pub const fn new(step: u32) -> Option<Self> {
        match step {
            1..=Self::MAX => Some(VersionStep(step)),
            _ => None,
        }
    }

    /// The step as a number.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// Algorithm and length of a key version, fixed when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// What the version encrypts with.
    pub algorithm: Algorithm,
    /// The key's length in bits: 128, 192 or 256.
    pub bits: u32,
}

impl KeySpec {
    /// The strongest: what a keystore makes unless told otherwise.
    pub const DEFAULT: KeySpec = KeySpec {
        algorithm: Algorithm::Aes256Xts,
        bits: 256,
    };

    /// The algorithm with keys of this length; with the only length that it has, where it has one.
    pub fn of(algorithm: Algorithm, bits: u32) -> KeySpec {
        let bits = match algorithm.derives_keys() {
            true => DATA_KEY_LENGTH as u32 * 8,
            false => bits,
        };
        KeySpec { algorithm, bits }
    }

    /// Whether keys of this length serve the algorithm.
    pub fn is_possible(self) -> bool {
        let bytes = self.bits as usize / 8;
        [128, 192, 256].contains(&self.bits) && (!self.algorithm.derives_keys() || bytes == DATA_KEY_LENGTH)
    }
}

/// The highest version number of each key that was ever seen, wherever: data may need it though the
/// store does not hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HighestVersions(BTreeMap<u32, u32>);

impl HighestVersions {
    /// None was seen.
    pub const NONE: &HighestVersions = &HighestVersions(BTreeMap::new());

    /// The highest one of this key; 0 if none was seen.
    pub fn of(&self, id: u32) -> u32 {
        self.0.get(&id).copied().unwrap_or(0)
    }

    /// Remembers that this version was seen.
    pub fn raise(&mut self, name: KeyName) {
        let highest = self.0.entry(name.id).or_insert(0);
        *highest = name.version.max(*highest);
    }

    /// The highest version of each key, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = KeyName> {
        self.0.iter().map(|(&id, &version)| KeyName { id, version })
    }
}

/// How a rotation makes new versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewVersions<'a> {
    /// How far above the latest one, and above whatever else was seen.
    pub step: VersionStep,
    /// Algorithm and length, where the store records them.
    pub spec: KeySpec,
    /// Numbers that are taken, whether the store holds them or not.
    pub seen: &'a HighestVersions,
}

impl NewVersions<'_> {
    /// Two above the latest, as strong as can be.
    pub const DEFAULT: NewVersions<'static> = NewVersions {
        step: VersionStep::DEFAULT,
        spec: KeySpec::DEFAULT,
        seen: HighestVersions::NONE,
    };
}
