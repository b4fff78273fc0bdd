//! A file on the disk of [`model`](super::model): what is durable of it, and what else a power cut may leave.

use std::collections::{BTreeMap, BTreeSet};

/// How many pieces of a file may each be on the disk or not.
const PIECES: usize = 8;

/// What of a file belongs to it beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Belongings {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
}

/// A file as it stands on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) belongings: Belongings,
}

/// A change of a file's belongings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Mode(u32),
    Owner(Option<u32>, Option<u32>),
    Attribute(String, Option<Vec<u8>>),
}

/// A file: what is durable, and what was done since.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) durable: Content,
    /// The bytes after each change since.
    pub(crate) bytes: Vec<Vec<u8>>,
    pub(crate) changes: Vec<Change>,
}

impl File {
    pub(crate) fn live_bytes(&self) -> &Vec<u8> {
        self.bytes.last().unwrap_or(&self.durable.bytes)
    }

    pub(crate) fn live(&self) -> Content {
        let mut belongings = self.durable.belongings.clone();
        self.changes.iter().for_each(|change| belongings.take(change));
        Content {
            bytes: self.live_bytes().clone(),
            belongings,
        }
    }

    /// All that may be left of it.
    pub(crate) fn contents(&self) -> BTreeSet<Content> {
        let mut all_bytes = BTreeSet::from([self.durable.bytes.clone()]);
        for bytes in &self.bytes {
            all_bytes.extend(torn(&self.durable.bytes, bytes));
        }
        let mut all_belongings = BTreeSet::from([self.durable.belongings.clone()]);
        for change in &self.changes {
            for mut belongings in all_belongings.clone() {
                belongings.take(change);
                all_belongings.insert(belongings);
            }
        }
        let with = |bytes: Vec<u8>| {
            all_belongings.iter().map(move |belongings| Content {
                bytes: bytes.clone(),
                belongings: belongings.clone(),
            })
        };
        all_bytes.into_iter().flat_map(with).collect()
    }
}

impl Belongings {
    fn take(&mut self, change: &Change) {
        match change {
            Change::Mode(mode) => self.mode = *mode,
            Change::Owner(user, group) => {
                self.owner = (user.unwrap_or(self.owner.0), group.unwrap_or(self.owner.1));
            }
            Change::Attribute(name, Some(value)) => {
                self.attributes.insert(name.clone(), value.clone());
            }
            Change::Attribute(name, None) => {
                self.attributes.remove(name);
            }
        }
    }
}

/// What may stand in a file that had `old` bytes durably and was to have `new` ones: its length is the old one, the new one, or
/// where a piece of the new bytes ends (eighths of them, one byte, all but one); up to somewhere it has the new bytes, behind
/// that the old ones or, where there were none, zeros; or one piece alone is missing. The new bytes as a whole are one of these.
pub(crate) fn torn(old: &[u8], new: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut cuts: BTreeSet<usize> = (0..=PIECES).map(|n| new.len() * n / PIECES).collect();
    cuts.extend(
        [1, new.len().saturating_sub(1)]
            .iter()
            .filter(|cut| **cut <= new.len()),
    );
    let old_or_zero = |at: usize| old.get(at).copied().unwrap_or(0);
    let mut all = BTreeSet::new();
    for &cut in &cuts {
        for length in [cut, old.len(), new.len()] {
            let byte = |at| if at < cut { new[at] } else { old_or_zero(at) };
            all.insert((0..length).map(byte).collect());
        }
    }
    let cuts: Vec<usize> = cuts.into_iter().collect();
    for piece in cuts.windows(2) {
        let missing = piece[0]..piece[1];
        let byte = |at| {
            if missing.contains(&at) {
                old_or_zero(at)
            } else {
                new[at]
            }
        };
        all.insert((0..new.len()).map(byte).collect());
    }
    all
}
