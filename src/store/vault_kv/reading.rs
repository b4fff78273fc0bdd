//! Reading many secrets: what is known of each, then their versions.

use std::collections::BTreeMap;

use super::KvError;
use super::client::KvClient;
use super::parallel::ask_all;
use super::secret::{Found, Gone, Secret};
use crate::keys::{KeyName, KeySet, LAST_VERSION};
use crate::service::vault::MOST_AT_ONCE;
use crate::store::{Loaded, StoreError, Warning};

impl KvClient {
    /// What is known of each of these secrets.
    pub(super) fn secrets(&self, ids: &[u32]) -> Result<Vec<(u32, Secret)>, KvError> {
        let secrets = ask_all(ids, |id| self.secret(*id))?;
        Ok(ids.iter().copied().zip(secrets).collect())
    }

    /// Each of these versions.
    pub(super) fn keys(&self, names: &[KeyName]) -> Result<Vec<(KeyName, Found)>, KvError> {
        let found = ask_all(names, |name| self.key(*name))?;
        Ok(names.iter().copied().zip(found).collect())
    }

    /// Versions of keys whose metadata is hidden: in each range those that Vault knows. It drops
    /// the oldest ones, so that what lies below one that it does not know is not asked for.
    pub(super) fn keys_in(&self, mut ranges: Vec<VersionRange>) -> Result<Vec<(KeyName, Found)>, KvError> {
        let mut all = Vec::new();
        while !ranges.is_empty() {
            let names: Vec<KeyName> = ranges.iter().flat_map(VersionRange::upper_end).collect();
            let mut found = self.keys(&names)?;
            found.retain(|(_, found)| !matches!(found, Found::Gone(Gone::Missing)));
            ranges = ranges.iter().filter_map(|range| range.rest(&found)).collect();
            all.append(&mut found);
        }
        Ok(all)
    }

    /// All live versions of these keys, whether they are all that there are.
    pub(super) fn load(&self, ids: &[u32]) -> Result<Loaded, KvError> {
        let mut reading = Reading::default();
        let (mut names, mut ranges) = (Vec::new(), Vec::new());
        for (id, secret) in self.secrets(ids)? {
            match secret {
                Secret::Missing => {}
                Secret::Refused(error) => reading.refuse(id, error),
                Secret::Described(metadata) => {
                    for (version, gone) in metadata.versions() {
                        let name = KeyName { id, version };
                        match gone {
                            Some(gone) => reading.take(name, Found::Gone(gone)),
                            None => names.push(name),
                        }
                    }
                }
                Secret::Newest(version, found) => {
                    reading.take(KeyName { id, version }, found);
                    ranges.extend(VersionRange::of(id, 1, version.saturating_sub(1)));
                }
            }
        }
        let found = self.keys(&names)?.into_iter().chain(self.keys_in(ranges)?);
        found.for_each(|(name, found)| reading.take(name, found));
        Ok(reading.end())
    }
}

/// Some versions of a key, the highest of which are read first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VersionRange {
    id: u32,
    lowest: u32,
    highest: u32,
}

impl VersionRange {
    /// `None` where that is no version.
    pub(super) fn of(id: u32, lowest: u32, highest: u32) -> Option<VersionRange> {
        let highest = highest.min(LAST_VERSION);
        (lowest <= highest).then_some(VersionRange { id, lowest, highest })
    }

    /// The lowest version of the upper end.
    fn middle(&self) -> u32 {
        let below = self.highest.saturating_sub(MOST_AT_ONCE as u32);
        self.lowest.max(below.saturating_add(1))
    }

    /// As many versions as are asked for at once.
    fn upper_end(&self) -> impl Iterator<Item = KeyName> + use<> {
        let id = self.id;
        (self.middle()..=self.highest).map(move |version| KeyName { id, version })
    }

    /// What lies below the upper end, unless Vault knows no version there.
    fn rest(&self, found: &[(KeyName, Found)]) -> Option<VersionRange> {
        let lowest_read = KeyName {
            id: self.id,
            version: self.middle(),
        };
        let is_known = found.iter().any(|(name, _)| *name == lowest_read);
        let below = self.middle().saturating_sub(1);
        is_known.then(|| VersionRange::of(self.id, self.lowest, below))?
    }
}

/// What was read of some keys.
#[derive(Default)]
struct Reading {
    keys: KeySet,
    gone: BTreeMap<KeyName, Gone>,
    no_keys: BTreeMap<KeyName, KvError>,
    refused: BTreeMap<u32, KvError>,
}

impl Reading {
    fn take(&mut self, name: KeyName, found: Found) {
        match found {
            Found::Key(key, created) => {
                self.keys.insert(name, key);
                self.keys.set_created(name, created);
            }
            Found::Gone(gone) => _ = self.gone.insert(name, gone),
            Found::NotAKey(error) => _ = self.no_keys.insert(name, error),
            Found::Refused(error) => self.refuse(name.id, error),
        }
    }

    fn refuse(&mut self, id: u32, error: KvError) {
        self.refused.entry(id).or_insert(error);
    }

    fn end(self) -> Loaded {
        let mut loaded = Loaded::all(self.keys, Vec::new());
        let mut unread = BTreeMap::<u32, StoreError>::new();
        let mut add_unread = |id: u32, error: KvError| _ = unread.entry(id).or_insert(error.into());
        for (id, error) in self.refused {
            loaded.warnings.push(unread_warning(id, &error));
            add_unread(id, error);
        }
        for (name, error) in self.no_keys {
            let reason = error.to_string();
            loaded.warnings.push(Warning::NotAKey { reason });
            add_unread(name.id, error);
        }
        for (name, gone) in self.gone {
            let how = gone.name();
            loaded.warnings.push(Warning::VersionGone { name, how });
        }
        unread.retain(|id, _| loaded.keys.latest(*id).is_none());
        loaded.unread = unread;
        loaded
    }
}

/// That the key is left out, because Vault does not let it be read.
pub(super) fn unread_warning(id: u32, error: &KvError) -> Warning {
    let (reason, hint) = (error.to_string(), error.hint());
    Warning::Unread { id, reason, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_highest_down_to_what_vault_no_longer_knows() {
        let known = 40..=100_u32;
        let mut range = VersionRange::of(7, 1, 100);
        let mut asked = Vec::new();
        while let Some(part) = range {
            let names: Vec<KeyName> = part.upper_end().collect();
            assert!(names.len() <= MOST_AT_ONCE && names.iter().all(|name| name.id == 7));
            let found: Vec<(KeyName, Found)> = names
                .iter()
                .filter(|name| known.contains(&name.version))
                .map(|name| (*name, Found::Gone(Gone::Deleted)))
                .collect();
            asked.extend(names.into_iter().map(|name| name.version));
            range = part.rest(&found);
        }
        assert_eq!(asked.len(), 64);
        assert_eq!((asked.iter().min(), asked.iter().max()), (Some(&37), Some(&100)));
    }

    #[test]
    fn a_range_without_versions_is_none() {
        assert_eq!(VersionRange::of(1, 1, 0), None);
        assert_eq!(VersionRange::of(1, 6, 5), None);
        let all = VersionRange::of(1, 1, u32::MAX).unwrap();
        assert_eq!(all.highest, LAST_VERSION);
        let few = VersionRange::of(1, 1, 3).unwrap();
        assert_eq!(few.upper_end().count(), 3);
        let of = |version| (KeyName { id: 1, version }, Found::Gone(Gone::Deleted));
        assert_eq!(few.rest(&[of(1), of(2), of(3)]), None, "there is nothing below");
    }
}
