//! What the server asked for in vain: each key and version is told once, and the highest version of each key is kept, so that
//! no new version gets a number that data may already have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Server, log};
use crate::keys::{HighestVersions, KeyName, Ring};

/// The most lines that are logged.
const MOST_LINES: usize = 100;

/// The most keys of which something is kept.
const MOST_IDS: usize = 1000;

/// How long the data of a key is not looked for again: a look reads the beginning of every table.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How far above the latest version a version may lie that a key may have had: no rotation goes farther at once. A damaged page
/// asks for any number.
pub const FARTHEST: u32 = 1_000_000;

/// What the key store has, as far as lookups know.
#[derive(Clone, Copy)]
pub struct StoreHas<'a> {
    /// Its keys.
    pub ring: &'a Ring,
    /// Its kind and place.
    pub source: &'a str,
}

/// What was asked for in vain since the start.
#[derive(Debug, Default)]
pub struct Asked {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    told: BTreeSet<Missing>,
    highest: BTreeMap<u32, u32>,
    /// Keys whose data was looked for.
    looked_for: BTreeSet<u32>,
    /// The same for statements, and when.
    looked_for_statements: BTreeMap<u32, Instant>,
    /// What a look at the store may still bring, with the number of looks that did not.
    sought: Vec<(Missing, u8)>,
}

/// What is missing: a version of a key, or, where there is none of that id, the key. Then `version` is what was asked for first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The key.
    pub id: u32,
    /// The version; `None` where only the key was asked for.
    pub version: Option<u32>,
    /// Whether there are other versions of the key.
    is_known: bool,
}

impl Missing {
    fn key(self) -> (u32, Option<u32>) {
        (self.id, self.version.filter(|_| self.is_known))
    }
}

impl Ord for Missing {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Missing {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Something that is missing and was not told yet.
#[must_use = "it is told once"]
#[derive(Debug)]
pub struct Untold {
    missing: Missing,
    has_room: bool,
}

impl Untold {
    /// Tells it. `file` is encrypted with the key.
    pub fn tell(self, store: StoreHas<'_>, file: Option<&Path>, server: &dyn Server) {
        match self.has_room {
            true => log::missing(server, self.missing, file, store),
            false => log::missing_no_more(server),
        }
    }
}

impl Asked {
    /// A version was asked for that the store lacks; what is to be told of it. `is_sought`: a look at the store may still bring it;
    /// it is told when that did not.
    pub fn version(&self, name: KeyName, ring: &Ring, is_sought: bool) -> Option<Untold> {
        let KeyName { id, version } = name;
        // These are answers, and ask for nothing.
        if id == 0 || version == 0 || version == u32::MAX {
            return None;
        }
        let latest = ring.latest(id);
        let missing = Missing {
            id,
            version: Some(version),
            is_known: latest.is_some(),
        };
        let mut state = self.state();
        if !is_implausible(version, latest) {
            state.keep_highest(name);
        }
        state.untold(missing, is_sought)
    }

    /// A key was asked for that the store lacks, and that is not made; what is to be told of it.
    pub fn key(&self, id: u32, is_sought: bool) -> Option<Untold> {
        let missing = Missing {
            id,
            version: None,
            is_known: false,
        };
        self.state().untold(missing, is_sought)
    }

    /// Whether it is still to be found out whether data is encrypted with this key, which is not there: once, or for a statement
    /// that names a key for a table when none did so just before.
    pub fn is_news(&self, id: u32, is_of_statement: bool) -> bool {
        let missing = Missing {
            id,
            version: None,
            is_known: false,
        };
        let mut state = self.state();
        if state.told.len() > MOST_LINES || state.told.contains(&missing) {
            return false;
        }
        if !is_of_statement {
            return state.looked_for.len() < MOST_IDS && state.looked_for.insert(id);
        }
        let looked = &mut state.looked_for_statements;
        looked.retain(|_, at| at.elapsed() < LOOK_AGAIN_AFTER);
        let is_news = looked.len() < MOST_IDS && !looked.contains_key(&id);
        if is_news {
            looked.insert(id, Instant::now());
        }
        is_news
    }

    /// A look at the store has ended, with these keys. Tells what was asked for before it began and did not come.
    /// The keys that another look must see to, because they may have been asked for while this one was under way.
    pub fn looked(&self, store: StoreHas<'_>, server: &dyn Server) -> Vec<u32> {
        let mut state = self.state();
        let mut gone = Vec::new();
        for (missing, looks) in std::mem::take(&mut state.sought) {
            let is_there = match missing.version {
                Some(version) => store.ring.key(missing.id, version).is_some(),
                None => store.ring.latest(missing.id).is_some(),
            };
            if is_there {
                state.told.remove(&missing);
            } else if looks > 0 {
                gone.push(missing);
            } else {
                state.sought.push((missing, 1));
            }
        }
        let again = state.sought.iter().map(|(missing, _)| missing.id).collect();
        drop(state);
        for missing in gone {
            log::missing(server, missing, None, store);
        }
        again
    }

    /// The highest version of this key that was asked for in vain, but for those that are no version's number.
    pub fn highest(&self, id: u32) -> Option<u32> {
        self.state().highest.get(&id).copied()
    }

    /// Adds all that was asked for in vain to what was seen, but for numbers that are no version's.
    pub fn raise(&self, seen: &mut HighestVersions) {
        for (&id, &version) in &self.state().highest {
            seen.raise(KeyName { id, version });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one call, so that a panic leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether there is room for one more line; one more than that says that there is none.
    fn has_room(&self) -> bool {
        self.told.len() < MOST_LINES
    }

    /// What is to be told at once of what is missing.
    fn untold(&mut self, missing: Missing, is_sought: bool) -> Option<Untold> {
        let has_room = self.has_room();
        if self.told.len() > MOST_LINES || !self.told.insert(missing) {
            return None;
        }
        if is_sought && has_room {
            self.sought.push((missing, 0));
            return None;
        }
        Some(Untold { missing, has_room })
    }

    fn keep_highest(&mut self, KeyName { id, version }: KeyName) {
        if self.highest.len() < MOST_IDS || self.highest.contains_key(&id) {
            let highest = self.highest.entry(id).or_default();
            *highest = version.max(*highest);
        }
    }
}

/// Whether no key can have had this version, as far as the latest one tells.
pub fn is_implausible(version: u32, latest: Option<u32>) -> bool {
    version.saturating_sub(latest.unwrap_or(0)) > FARTHEST
}

#[cfg(test)]
mod tests {
    use super::super::tests::Recorder;
    use super::*;
    use crate::crypto::Algorithm;
    use crate::keys::KeySet;
    use crate::plugin::Level;
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

    fn ask_version(asked: &Asked, name: KeyName, store: StoreHas<'_>, is_sought: bool, server: &Recorder) {
        if let Some(untold) = asked.version(name, store.ring, is_sought) {
            untold.tell(store, None, server);
        }
    }

    fn ask_key(
        asked: &Asked,
        id: u32,
        file: Option<&Path>,
        store: StoreHas<'_>,
        is_sought: bool,
        server: &Recorder,
    ) {
        if let Some(untold) = asked.key(id, is_sought) {
            untold.tell(store, file, server);
        }
    }

    fn name(id: u32, version: u32) -> KeyName {
        KeyName { id, version }
    }

    fn lines(server: &Recorder) -> Vec<String> {
        let lines = server.lines.lock().unwrap();
        assert!(
            lines
                .iter()
                .all(|(level, text)| *level == Level::Error && text.len() < 512)
        );
        lines.iter().map(|(_, text)| text.clone()).collect()
    }

    #[test]
    fn each_version_is_told_once_with_what_there_is_and_what_to_do() {
        let (asked, server) = (Asked::default(), Recorder::default());
        let keys_ring = ring(&[(1, 1), (1, 3), (1, 5), (2, 7)]);
        let keys = StoreHas {
            ring: &keys_ring,
            source: "keystore /srv/keys",
        };
        for _ in 0..3 {
            for (id, version) in [(1, 7), (1, 2), (9, 4), (9, 5), (1, 1_655_319_526)] {
                ask_version(&asked, name(id, version), keys, false, &server);
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
        let (asked, server) = (Asked::default(), Recorder::default());
        let keys_ring = ring(&[(1, 5)]);
        let keys = StoreHas {
            ring: &keys_ring,
            source: "a store",
        };
        assert_eq!(asked.highest(1), None);
        for version in [7, 9, 8, 5 + FARTHEST + 1, u32::MAX, 0] {
            ask_version(&asked, name(1, version), keys, false, &server);
        }
        assert_eq!(asked.highest(1), Some(9));
        ask_version(&asked, name(1, 5 + FARTHEST), keys, false, &server);
        assert_eq!(asked.highest(1), Some(5 + FARTHEST));
        ask_version(&asked, name(3, FARTHEST), keys, true, &server);
        ask_version(&asked, name(0, 4), keys, false, &server);
        assert_eq!((asked.highest(3), asked.highest(0)), (Some(FARTHEST), None));
    }

    #[test]
    fn a_hundred_lines_are_told_and_one_that_says_that_it_ends() {
        let (asked, server) = (Asked::default(), Recorder::default());
        let keys_ring = ring(&[(1, 5)]);
        let keys = StoreHas {
            ring: &keys_ring,
            source: "a store",
        };
        for version in 6..500 {
            ask_version(&asked, name(1, version), keys, version > 300, &server);
        }
        ask_key(&asked, 9, None, keys, false, &server);
        let told = lines(&server);
        assert_eq!(told.len(), 101);
        assert!(told[99].contains("version 105 of key 1"), "{}", told[99]);
        assert!(told[100].contains("no more are told"), "{}", told[100]);
        assert_eq!(asked.highest(1), Some(499), "what is not told is kept");
        for id in 10..5000 {
            ask_version(&asked, name(id, 1), keys, false, &server);
        }
        assert!(asked.state().highest.len() <= MOST_IDS);
    }

    #[test]
    fn the_data_of_a_key_is_looked_for_once_and_for_statements_after_a_pause() {
        let asked = Asked::default();
        assert!(asked.is_news(7, false) && !asked.is_news(7, false));
        assert!(asked.is_news(7, true) && !asked.is_news(7, true) && asked.is_news(8, true));
        let long_ago = Instant::now() - LOOK_AGAIN_AFTER;
        asked.state().looked_for_statements.insert(7, long_ago);
        assert!(asked.is_news(7, true) && !asked.is_news(7, true));
        for id in 10..5000 {
            asked.is_news(id, true);
        }
        assert!(asked.state().looked_for_statements.len() <= MOST_IDS);
    }

    #[test]
    fn a_long_path_and_many_keys_leave_the_facts_and_the_remedy_readable() {
        let (asked, server) = (Asked::default(), Recorder::default());
        let all: Vec<(u32, u32)> = (1..200)
            .flat_map(|id| [(id * 20_000_000, 4_000_000_000), (id * 20_000_000, 4_100_000_000)])
            .collect();
        let keys_ring = ring(&all);
        let keys = StoreHas {
            ring: &keys_ring,
            source: &format!("keystore /{}", "d".repeat(100)),
        };
        ask_version(&asked, name(20_000_000, 4_200_000_000), keys, false, &server);
        ask_key(
            &asked,
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
    fn what_a_look_may_bring_is_told_when_it_did_not() {
        let (asked, server) = (Asked::default(), Recorder::default());
        let before_ring = ring(&[(1, 1)]);
        let before = StoreHas {
            ring: &before_ring,
            source: "Vault",
        };
        ask_version(&asked, name(1, 3), before, true, &server);
        ask_version(&asked, name(1, 5), before, true, &server);
        ask_key(&asked, 9, None, before, true, &server);
        let after_ring = ring(&[(1, 1), (1, 3)]);
        let after = StoreHas {
            ring: &after_ring,
            source: "Vault",
        };
        assert_eq!(asked.looked(after, &server), [1, 9]);
        assert_eq!(lines(&server), [""; 0], "the look may have begun before");
        assert_eq!(asked.looked(after, &server), [0; 0]);
        let told = lines(&server);
        assert_eq!(told.len(), 2);
        assert!(told[0].contains("version 5 of key 1 was asked for"), "{told:?}");
        assert!(told[1].contains("keyroll: key 9 was asked for"), "{told:?}");
        assert_eq!(asked.looked(after, &server), [0; 0]);
        assert_eq!(lines(&server).len(), 2);
    }
}
