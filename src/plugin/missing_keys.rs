//! The keys and versions that the server asked for in vain since the start: each is reported once,
//! and no new version gets a number up to the highest that was asked for, as data may have it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::missing::{Missing, StoreContents, is_implausible};
use super::{Server, log};
use crate::keys::{HighestVersions, KeyName, Ring};

/// The most lines that are logged.
const MOST_LINES: usize = 100;

/// The most keys of which something is kept.
const MOST_IDS: usize = 1000;

/// How long the data of a key is not searched again: a search reads the beginning of every table.
const SEARCH_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What was asked for in vain since the start.
#[derive(Debug, Default)]
pub(crate) struct MissingKeys {
    asked: Mutex<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    /// Keys and versions, by [`Missing::what`].
    reported: BTreeSet<(u32, Option<u32>)>,
    highest: BTreeMap<u32, u32>,
    /// Keys whose data was searched for.
    searched: BTreeSet<u32>,
    /// The same for statements, and when.
    searched_for_statements: BTreeMap<u32, Instant>,
    /// What a refresh of the store may still bring, with the number of refreshes that did not.
    requested: Vec<(Missing, u8)>,
}

/// Something that is missing and was not reported yet.
#[must_use = "it is reported once"]
#[derive(Debug)]
pub(crate) struct MissingReport {
    missing: Missing,
    has_room: bool,
}

impl MissingReport {
    /// Logs it. `file` is encrypted with the key.
    pub(crate) fn log(self, store: StoreContents<'_>, file: Option<&Path>, server: &dyn Server) {
        match self.has_room {
            true => log::missing(server, self.missing, file, store),
            false => log::missing_no_more(server),
        }
    }
}

impl MissingKeys {
    /// Adds a version that was asked for and that the store lacks; what is to be reported of it.
    /// With `is_requested` a refresh of the store may still bring it, and it is reported when that
    /// did not. Waits for nothing and takes little stack.
    pub(crate) fn add_version(
        &self,
        name: KeyName,
        ring: &Ring,
        is_requested: bool,
    ) -> Option<MissingReport> {
        let KeyName { id, version } = name;
        // These are answers, and ask for nothing.
        if id == 0 || version == 0 || version == u32::MAX {
            return None;
        }
        let latest = ring.latest(id);
        let mut asked = self.asked();
        let has_room = asked.highest.len() < MOST_IDS || asked.highest.contains_key(&id);
        if has_room && !is_implausible(version, latest) {
            let highest = asked.highest.entry(id).or_default();
            *highest = version.max(*highest);
        }
        asked.report(Missing::of(id, Some(version), ring), is_requested)
    }

    /// Adds a key that the store lacks and that is not made; what is to be reported of it.
    pub(crate) fn add_key(&self, id: u32, is_requested: bool) -> Option<MissingReport> {
        let missing = Missing {
            id,
            version: None,
            is_known: false,
        };
        self.asked().report(missing, is_requested)
    }

    /// Whether to search the data for files under this key, which is not there: once, and for
    /// statements again after a pause.
    pub(crate) fn should_search(&self, id: u32, is_of_statement: bool) -> bool {
        let mut asked = self.asked();
        if asked.reported.len() > MOST_LINES || asked.reported.contains(&(id, None)) {
            return false;
        }
        if !is_of_statement {
            return asked.searched.len() < MOST_IDS && asked.searched.insert(id);
        }
        let searched = &mut asked.searched_for_statements;
        searched.retain(|_, at| at.elapsed() < SEARCH_AGAIN_AFTER);
        let is_due = searched.len() < MOST_IDS && !searched.contains_key(&id);
        if is_due {
            searched.insert(id, Instant::now());
        }
        is_due
    }

    /// Reports what the refresh that has ended did not bring. Returns the keys to request again,
    /// which may have been asked for while it was under way.
    pub(crate) fn after_refresh(&self, store: StoreContents<'_>, server: &dyn Server) -> Vec<u32> {
        let mut asked = self.asked();
        let mut gone = Vec::new();
        for (missing, refreshes) in std::mem::take(&mut asked.requested) {
            if missing.is_in(store.ring) {
                asked.reported.remove(&missing.what());
            } else if refreshes > 0 {
                gone.push(missing);
            } else {
                asked.requested.push((missing, 1));
            }
        }
        let again = asked.requested.iter().map(|(missing, _)| missing.id).collect();
        drop(asked);
        for missing in gone {
            log::missing(server, missing, None, store);
        }
        again
    }

    /// Raises the highest versions by all that was asked for in vain and is plausible.
    pub(crate) fn raise(&self, seen: &mut HighestVersions) {
        for (&id, &version) in &self.asked().highest {
            seen.raise(KeyName { id, version });
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        // Each change is one call, so that a panic leaves it whole.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// What is to be reported at once of what is missing.
    fn report(&mut self, missing: Missing, is_requested: bool) -> Option<MissingReport> {
        // The last line says that there are no more.
        let has_room = self.reported.len() < MOST_LINES;
        if self.reported.len() > MOST_LINES || !self.reported.insert(missing.what()) {
            return None;
        }
        if is_requested && has_room {
            self.requested.push((missing, 0));
            return None;
        }
        Some(MissingReport { missing, has_room })
    }
}

#[cfg(test)]
mod tests {
    use super::super::missing::FARTHEST;
    use super::super::tests::Recorder;
    use super::*;
    use crate::crypto::Algorithm;
    use crate::keys::KeySet;
    use crate::plugin::Severity;
    use crate::secret::DataKey;

    fn ring(names: &[(u32, u32)]) -> Ring {
        let mut keys = KeySet::default();
        for (id, version) in names {
            let name = KeyName {
                id: *id,
                version: *version,
            };
            keys.insert(name, DataKey::new(&[1; 32]).unwrap());
        }
        Ring::new(&keys, Algorithm::AesCbc).unwrap()
    }

    fn ask_version(
        missing: &MissingKeys,
        name: KeyName,
        store: StoreContents<'_>,
        is_requested: bool,
        server: &Recorder,
    ) {
        if let Some(report) = missing.add_version(name, store.ring, is_requested) {
            report.log(store, None, server);
        }
    }

    fn ask_key(
        missing: &MissingKeys,
        id: u32,
        file: Option<&Path>,
        store: StoreContents<'_>,
        is_requested: bool,
        server: &Recorder,
    ) {
        if let Some(report) = missing.add_key(id, is_requested) {
            report.log(store, file, server);
        }
    }

    fn highest(missing: &MissingKeys, id: u32) -> Option<u32> {
        missing.asked().highest.get(&id).copied()
    }

    fn name(id: u32, version: u32) -> KeyName {
        KeyName { id, version }
    }

    fn lines(server: &Recorder) -> Vec<String> {
        let lines = server.lines.lock().unwrap();
        assert!(
            lines
                .iter()
                .all(|(level, text)| *level == Severity::Error && text.len() < 512)
        );
        lines.iter().map(|(_, text)| text.clone()).collect()
    }

    #[test]
    fn each_version_is_told_once_with_what_there_is_and_what_to_do() {
        let (missing, server) = (MissingKeys::default(), Recorder::default());
        let keys_ring = ring(&[(1, 1), (1, 3), (1, 5), (2, 7)]);
        let keys = StoreContents {
            ring: &keys_ring,
            source: "keystore /srv/keys",
        };
        for _ in 0..3 {
            for (id, version) in [(1, 7), (1, 2), (9, 4), (9, 5), (1, 1_655_319_526)] {
                ask_version(&missing, name(id, version), keys, false, &server);
            }
        }
        let told = lines(&server);
        let remedy =
            "Put the right store back; until then drop and repair nothing: the data is locked, not damaged";
        assert_eq!(
            told,
            [
                format!(
                    "keyroll: version 7 of key 1 was asked for, but the store lacks it: of key 1 it has versions 1, 3, 5. It is \
                     keystore /srv/keys. The data is newer than this copy of the store. {remedy}"
                ),
                format!(
                    "keyroll: version 2 of key 1 was asked for, but the store lacks it: of key 1 it has versions 1, 3, 5. It is \
                     keystore /srv/keys. The store has lost it, or is not the one of this data. {remedy}"
                ),
                format!(
                    "keyroll: version 4 of key 9 was asked for, but the store lacks it: it has keys 1, 2. It is keystore \
                     /srv/keys. The data is newer than this copy of the store. {remedy}"
                ),
                format!(
                    "keyroll: version 1655319526 of key 1 was asked for, but the store lacks it: of key 1 it has versions 1, 3, \
                     5. It is keystore /srv/keys. That is far above all versions: a damaged page asks for any number. If no page \
                     is damaged, the store is not the one of this data. {remedy}"
                ),
            ]
        );
    }

    #[test]
    fn the_highest_version_is_kept_but_for_numbers_that_no_key_can_have() {
        let (missing, server) = (MissingKeys::default(), Recorder::default());
        let keys_ring = ring(&[(1, 5)]);
        let keys = StoreContents {
            ring: &keys_ring,
            source: "a store",
        };
        assert_eq!(highest(&missing, 1), None);
        for version in [7, 9, 8, 5 + FARTHEST + 1, u32::MAX, 0] {
            ask_version(&missing, name(1, version), keys, false, &server);
        }
        assert_eq!(highest(&missing, 1), Some(9));
        ask_version(&missing, name(1, 5 + FARTHEST), keys, false, &server);
        assert_eq!(highest(&missing, 1), Some(5 + FARTHEST));
        ask_version(&missing, name(3, FARTHEST), keys, true, &server);
        ask_version(&missing, name(0, 4), keys, false, &server);
        assert_eq!(
            (highest(&missing, 3), highest(&missing, 0)),
            (Some(FARTHEST), None)
        );
    }

    #[test]
    fn a_hundred_lines_are_told_and_one_that_says_that_it_ends() {
        let (missing, server) = (MissingKeys::default(), Recorder::default());
        let keys_ring = ring(&[(1, 5)]);
        let keys = StoreContents {
            ring: &keys_ring,
            source: "a store",
        };
        for version in 6..500 {
            ask_version(&missing, name(1, version), keys, version > 300, &server);
        }
        ask_key(&missing, 9, None, keys, false, &server);
        let told = lines(&server);
        assert_eq!(told.len(), 101);
        assert!(told[99].contains("version 105 of key 1"), "{}", told[99]);
        assert!(told[100].contains("no more are told"), "{}", told[100]);
        assert_eq!(highest(&missing, 1), Some(499), "what is not told is kept");
        for id in 10..5000 {
            ask_version(&missing, name(id, 1), keys, false, &server);
        }
        assert!(missing.asked().highest.len() <= MOST_IDS);
    }

    #[test]
    fn the_data_of_a_key_is_searched_once_and_for_statements_after_a_pause() {
        let missing = MissingKeys::default();
        assert!(missing.should_search(7, false) && !missing.should_search(7, false));
        assert!(
            missing.should_search(7, true)
                && !missing.should_search(7, true)
                && missing.should_search(8, true)
        );
        let long_ago = Instant::now() - SEARCH_AGAIN_AFTER;
        missing.asked().searched_for_statements.insert(7, long_ago);
        assert!(missing.should_search(7, true) && !missing.should_search(7, true));
        for id in 10..5000 {
            missing.should_search(id, true);
        }
        assert!(missing.asked().searched_for_statements.len() <= MOST_IDS);
    }

    #[test]
    fn a_long_path_and_many_keys_leave_the_facts_and_the_remedy_readable() {
        let (missing, server) = (MissingKeys::default(), Recorder::default());
        let all: Vec<(u32, u32)> = (1..200)
            .flat_map(|id| [(id * 20_000_000, 4_000_000_000), (id * 20_000_000, 4_100_000_000)])
            .collect();
        let keys_ring = ring(&all);
        let keys = StoreContents {
            ring: &keys_ring,
            source: &format!("keystore /{}", "d".repeat(100)),
        };
        ask_version(&missing, name(20_000_000, 4_200_000_000), keys, false, &server);
        ask_key(
            &missing,
            7,
            Some(Path::new("/var/lib/mysql/some_database/some_table.ibd")),
            keys,
            false,
            &server,
        );
        let told = lines(&server);
        assert!(
            told[1].contains("key 7 was asked for by some_database/some_table.ibd"),
            "{}",
            told[1]
        );
        assert!(told[1].contains("and 194 more up to 3980000000"), "{}", told[1]);
    }

    #[test]
    fn what_a_refresh_may_bring_is_told_when_it_did_not() {
        let (missing, server) = (MissingKeys::default(), Recorder::default());
        let before_ring = ring(&[(1, 1)]);
        let before = StoreContents {
            ring: &before_ring,
            source: "Vault",
        };
        ask_version(&missing, name(1, 3), before, true, &server);
        ask_version(&missing, name(1, 5), before, true, &server);
        ask_key(&missing, 9, None, before, true, &server);
        let after_ring = ring(&[(1, 1), (1, 3)]);
        let after = StoreContents {
            ring: &after_ring,
            source: "Vault",
        };
        assert_eq!(missing.after_refresh(after, &server), [1, 9]);
        assert_eq!(lines(&server), [""; 0], "the refresh may have begun before");
        assert_eq!(missing.after_refresh(after, &server), [0; 0]);
        let told = lines(&server);
        assert_eq!(told.len(), 2);
        assert!(told[0].contains("version 5 of key 1 was asked for"), "{told:?}");
        assert!(told[1].contains("keyroll: key 9 was asked for"), "{told:?}");
        assert_eq!(missing.after_refresh(after, &server), [0; 0]);
        assert_eq!(lines(&server).len(), 2);
    }
}
