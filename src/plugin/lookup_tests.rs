//! Keys that are looked for while a statement waits, in a store that does as it is told.

use std::fs;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::missing::Missing;
use super::single_flight::PAUSE;
use super::tests::Recorder;
use super::*;
use crate::cancel;
use crate::crypto::Algorithm;
use crate::keys::{KeyName, KeySpec};
use crate::secret::DataKey;
use crate::store::{KeysAdded, Loaded, StoreError, Warning};

/// A store of keys that others add, which counts how often it is asked.
#[derive(Default)]
struct Script {
    /// Versions, with the byte that each consists of.
    keys: std::sync::Mutex<Vec<(KeyName, u8)>>,
    requests: AtomicUsize,
    mood: std::sync::Mutex<Mood>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Mood {
    #[default]
    Answers,
    /// It answers after this time.
    IsSlow(Duration),
    /// It never answers.
    Hangs,
    Fails,
    /// It has something there that is no key.
    HasAnother,
}

impl Script {
    fn put(&self, id: u32, version: u32, byte: u8) {
        self.keys.lock().unwrap().push((KeyName { id, version }, byte));
    }

    fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl KeyStore for Script {
    fn describe(&self) -> String {
        "the script".into()
    }

    fn add_key(&self, id: u32, _: KeySpec, _: Option<&Ring>) -> Result<KeysAdded, StoreError> {
        panic!("nobody adds key {id}");
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        panic!("nothing but the keys that are wanted is read");
    }

    fn load_keys(&self, ids: &[u32]) -> Result<Loaded, StoreError> {
        let mood = *self.mood.lock().unwrap();
        self.requests.fetch_add(1, Ordering::SeqCst);
        let failure = StoreError::NoMasterKey {
            store: self.describe(),
        };
        let mut warnings = Vec::new();
        match mood {
            Mood::Answers => {}
            Mood::IsSlow(time) => cancel::sleep(time),
            Mood::Hangs => cancel::sleep(Duration::from_secs(3600)),
            Mood::Fails => return Err(failure),
            Mood::HasAnother => warnings.push(Warning::NotAKey {
                reason: "it is no key".into(),
            }),
        }
        if cancel::is_cancelled() {
            return Err(failure);
        }
        let mut keys = KeySet::default();
        for (name, byte) in self.keys.lock().unwrap().iter() {
            if ids.contains(&name.id) {
                keys.insert(*name, DataKey::new(&[*byte; 32]).unwrap());
            }
        }
        Ok(Loaded::all(keys, warnings))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn rotate_keys(&self, _: Rotate, _: NewVersions<'_>, _: Option<&Ring>) -> Result<KeysAdded, StoreError> {
        unreachable!()
    }

    fn keeps_versions_that_are_gone(&self) -> bool {
        true
    }
}

/// A server that has started with version 1 of key 1.
struct Site {
    store: Arc<Script>,
    plugin: Plugin,
    server: Recorder,
    status: Status,
}

impl Site {
    fn new() -> Site {
        let (store, server) = (Arc::new(Script::default()), Recorder::default());
        store.put(1, 1, 1);
        let keys = store.load_keys(&[1]).unwrap().keys;
        store.requests.store(0, Ordering::SeqCst);
        let published = Published {
            ring: Arc::new(Ring::new(&keys, Algorithm::AesCbc).unwrap()),
            source: store.describe(),
            master_key: String::new(),
            wrapped_at: None,
        };
        server.publish(&published);
        let missing = Arc::new(MissingKeys::default());
        let shared_store: Arc<dyn KeyStore> = store.clone();
        let plugin = Plugin {
            state: Mutex::new(State {
                store: Arc::clone(&shared_store),
                published,
                master_key: String::new(),
                mark: Some(MarkFile::read(&server.data_directory().unwrap()).unwrap()),
                missing: Arc::clone(&missing),
                not_created: HashMap::new(),
            }),
            master_key_changes: Mutex::new(()),
            missing,
            downgrades: Downgrades::default(),
            source: store.describe(),
            makes_keys: false,
            shared_store: Some(shared_store),
            lookups: SingleFlight::default(),
        };
        Site {
            store,
            plugin,
            server,
            status: Status::default(),
        }
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.server.published.lock().unwrap().last().unwrap().ring)
    }

    fn look_up(&self, id: u32, version: Option<u32>, statement: Statement) -> (LookedUp, Option<String>) {
        let missing = Missing::of(id, version, &self.ring());
        let is_there = || missing.is_in(&self.ring());
        let known = self
            .plugin
            .known_without_look(missing, statement, &self.ring(), &is_there);
        if let Some(known) = known {
            return (known, None);
        }
        self.plugin
            .look_up(missing, statement, &is_there, &self.server, &self.status)
    }

    /// What a statement that makes a table with a key of this id is told, unless it finds it.
    fn refused(&self, id: u32) -> String {
        let (looked_up, told) = self.look_up(id, None, Statement::MakesOrAltersTable);
        assert_ne!(looked_up, LookedUp::Found);
        told.unwrap()
    }

    /// The same while `killed` does not say that it was.
    fn look_up_unless(&self, killed: &Arc<AtomicBool>, id: u32) -> (LookedUp, Option<String>) {
        let killed = Arc::clone(killed);
        cancel::while_wanted(
            move || killed.load(Ordering::SeqCst),
            || self.look_up(id, None, Statement::MakesOrAltersTable),
        )
    }
}

const FOUND: (LookedUp, Option<String>) = (LookedUp::Found, None);

#[test]
fn a_key_is_there_the_moment_that_it_is_in_the_store() {
    for statement in [
        Statement::MakesOrAltersTable,
        Statement::ImportsTablespace,
        Statement::Other,
    ] {
        let s = Site::new();
        s.store.put(7, 1, 7);
        s.store.put(7, 2, 8);
        s.store.put(8, 1, 9);
        assert_eq!(s.look_up(7, None, statement), FOUND);
        assert_eq!((s.ring().latest(7), s.ring().latest(8)), (Some(2), None));
        assert_eq!(
            s.look_up(7, Some(1), Statement::Other),
            FOUND,
            "with all its versions"
        );
        assert_eq!(s.store.requests(), 1);
        assert!(
            s.server
                .logged(Severity::Note, "key 7 is there now, with version 2")
        );
        assert_eq!(s.server.reencryptions.load(Ordering::SeqCst), 1);
        let mark = MarkFile::read(&s.server.data_directory().unwrap()).unwrap();
        assert_eq!(mark.mark().highest().of(7), 2, "the data knows it");
    }
}

#[test]
fn a_statement_is_told_that_the_store_has_no_such_key_and_finds_it_when_it_was_added() {
    let s = Site::new();
    let told = s.refused(7);
    assert!(
        told.starts_with("keyroll: key 7 is not to be had: there is none in the script. Hint: add it there"),
        "{told}"
    );
    assert_eq!(
        s.status.last_error(),
        "",
        "whoever names a wrong id is no trouble of the server's"
    );
    s.store.put(7, 1, 7);
    assert_eq!(s.look_up(7, None, Statement::MakesOrAltersTable), FOUND);
    assert_eq!(s.store.requests(), 2);
}

#[test]
fn a_new_version_is_there_the_moment_that_a_page_asks_for_it() {
    let s = Site::new();
    s.store.put(1, 3, 3);
    assert_eq!(s.look_up(1, Some(3), Statement::Other), FOUND);
    s.store.put(1, 4, 4);
    assert_eq!(
        s.look_up(1, Some(4), Statement::ImportsTablespace),
        FOUND,
        "though the key was read just now"
    );
    let (looked_up, told) = s.look_up(1, Some(5), Statement::Other);
    assert_eq!(
        (looked_up, told),
        (LookedUp::Missing, None),
        "all of the key was read just now"
    );
    thread::sleep(PAUSE);
    let (looked_up, told) = s.look_up(1, Some(5), Statement::Other);
    assert_eq!(looked_up, LookedUp::Missing);
    assert!(
        told.as_ref()
            .unwrap()
            .contains("version 5 of key 1 is not to be had: there is none in the script"),
        "{told:?}"
    );
    assert_eq!(s.store.requests(), 3);
}

#[test]
fn statements_that_want_one_key_at_one_moment_share_one_request() {
    let s = Site::new();
    s.store.put(7, 1, 7);
    s.store.be(Mood::IsSlow(Duration::from_millis(100)));
    let all = Barrier::new(100);
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                all.wait();
                assert_eq!(s.look_up(7, None, Statement::MakesOrAltersTable), FOUND);
            });
        }
    });
    assert_eq!(s.store.requests(), 1);
    assert_eq!(s.server.published.lock().unwrap().len(), 2);
}

#[test]
fn a_miss_is_remembered_for_a_second_where_innodb_may_have_locked_something() {
    let s = Site::new();
    let (looked_up, told) = s.look_up(7, None, Statement::Other);
    assert!(looked_up == LookedUp::Missing && told.is_some());
    s.store.put(7, 1, 7);
    let start = Instant::now();
    while start.elapsed() < PAUSE / 2 {
        assert_eq!(s.look_up(7, None, Statement::Other), (LookedUp::Missing, None));
    }
    assert_eq!(s.store.requests(), 1);
    thread::sleep(PAUSE);
    assert_eq!(s.look_up(7, None, Statement::Other), FOUND);
}

#[test]
fn a_killed_statement_waits_no_longer_and_nobody_waits_for_it() {
    let s = Site::new();
    s.store.be(Mood::Hangs);
    s.store.put(7, 1, 7);
    let killed = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let asks = scope.spawn(|| s.look_up_unless(&killed, 7));
        let waits = scope.spawn(|| s.look_up_unless(&killed, 7));
        while s.store.requests() == 0 {
            thread::yield_now();
        }
        s.store.be(Mood::Answers);
        let start = Instant::now();
        killed.store(true, Ordering::SeqCst);
        for killed in [asks, waits] {
            assert_eq!(killed.join().unwrap(), (LookedUp::Unknown, None));
        }
        assert!(start.elapsed() < Duration::from_millis(500));
    });
    assert_eq!(s.status.last_error(), "");
    assert_eq!(s.look_up(7, None, Statement::MakesOrAltersTable), FOUND);
}

#[test]
fn a_store_that_hangs_is_waited_for_in_time_and_told() {
    let s = Site::new();
    s.store.be(Mood::Hangs);
    let start = Instant::now();
    let told = s.refused(7);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(
        told.contains("key 7 is not to be had: the script did not answer within 2 s. Hint: "),
        "{told}"
    );
    assert!(
        s.status
            .last_error()
            .starts_with("key 7: the script did not answer")
    );
    // Others wait no longer, and no longer than they may.
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| s.refused(7));
        }
    });
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn all_who_wait_are_told_why_a_store_gives_no_answer() {
    let s = Site::new();
    for (mood, words) in [
        (Mood::Fails, "the script has no master key"),
        (
            Mood::HasAnother,
            "there is none in the script: it is no key. Hint: ",
        ),
    ] {
        s.store.be(mood);
        let told = s.refused(7);
        assert!(
            told.starts_with("keyroll: key 7 is not to be had: ") && told.contains(words),
            "{told}"
        );
        assert!(
            s.status.last_error().starts_with("key 7: "),
            "{}",
            s.status.last_error()
        );
    }
    assert_eq!(
        s.look_up(7, None, Statement::Other),
        (LookedUp::Unknown, None),
        "just now"
    );
    assert_eq!(
        s.server.lines.lock().unwrap().len(),
        0,
        "the refresher logs it, once"
    );
}

#[test]
fn a_key_is_not_used_before_the_data_knows_of_it() {
    let s = Site::new();
    s.store.put(7, 1, 7);
    let data = s.server.data_directory().unwrap();
    let hidden = data.with_extension("away");
    fs::rename(&data, &hidden).unwrap();
    let told = s.refused(7);
    assert!(told.contains("the mark could not be written"), "{told}");
    assert_eq!(s.ring().latest(7), None);
    fs::rename(&hidden, &data).unwrap();
    assert_eq!(s.look_up(7, None, Statement::MakesOrAltersTable), FOUND);
}

#[test]
fn a_version_with_other_bytes_is_refused_and_the_one_in_use_stays() {
    let s = Site::new();
    *s.store.keys.lock().unwrap() = vec![(KeyName { id: 1, version: 1 }, 2)];
    s.store.put(1, 2, 3);
    let (looked_up, told) = s.look_up(1, Some(2), Statement::Other);
    assert_eq!(looked_up, LookedUp::Unknown);
    assert!(told.unwrap().contains("other bytes"));
    assert_eq!(s.ring().latest(1), Some(1));
}

#[test]
fn threads_of_the_server_ask_nobody_and_nobody_asks_for_what_can_be_no_key() {
    let s = Site::new();
    let unknown = (LookedUp::Unknown, None);
    assert_eq!(s.look_up(7, None, Statement::None), unknown);
    assert_eq!(s.look_up(1, Some(2), Statement::None), unknown);
    for (id, version) in [
        (0, None),
        (1, Some(0)),
        (1, Some(u32::MAX)),
        (1, Some(1_655_319_526)),
    ] {
        assert_eq!(s.look_up(id, version, Statement::Other), unknown);
    }
    assert_eq!(s.store.requests(), 0);
    let alone = Plugin {
        shared_store: None,
        ..Site::new().plugin
    };
    let missing = Missing::of(7, None, &s.ring());
    assert_eq!(
        alone.known_without_look(missing, Statement::MakesOrAltersTable, &s.ring(), &|| true),
        Some(LookedUp::Unknown)
    );
}

#[test]
fn a_key_for_temporary_data_is_waited_for_by_a_statement_that_may_name_it_alone() {
    let s = Site::new();
    s.store.be(Mood::Fails);
    assert_eq!(s.look_up(2, None, Statement::Other), (LookedUp::Unknown, None));
    assert_eq!(s.store.requests(), 0);
    assert!(s.refused(2).contains("no master key"));
    // It may write much temporary data.
    for _ in 0..1000 {
        assert_eq!(
            s.look_up(2, None, Statement::MakesOrAltersTable),
            (LookedUp::Unknown, None)
        );
    }
    assert_eq!(s.store.requests(), 1);
    let s = Site::new();
    s.store.put(2, 1, 2);
    assert_eq!(s.look_up(2, None, Statement::MakesOrAltersTable), FOUND);
}

#[test]
fn a_rotation_that_waits_for_the_store_holds_up_the_new_key_alone_until_it_is_killed() {
    let s = Site::new();
    s.store.put(7, 1, 7);
    let killed = Arc::new(AtomicBool::new(false));
    let rotation = s.plugin.state().unwrap();
    thread::scope(|scope| {
        let asks = scope.spawn(|| s.look_up_unless(&killed, 7));
        while s.store.requests() == 0 {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(100));
        assert!(!asks.is_finished());
        assert_eq!(
            s.ring().latest(1),
            Some(1),
            "a lookup of what is there takes no lock"
        );
        killed.store(true, Ordering::SeqCst);
        assert_eq!(asks.join().unwrap(), (LookedUp::Unknown, None));
        let asks = scope.spawn(|| s.look_up(7, None, Statement::MakesOrAltersTable));
        thread::sleep(Duration::from_millis(100));
        drop(rotation);
        assert_eq!(asks.join().unwrap(), FOUND);
    });
}
