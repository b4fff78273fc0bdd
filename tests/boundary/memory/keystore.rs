//! The same for a keystore: neither its data keys nor the keystore key nor the master key is in a dump, at no stage of
//! a life with both kinds of rotation and their failures.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use keyroll::crypto::Algorithm;
use keyroll::keys::{KeySpec, NewVersions};
use keyroll::master_key::{MasterKey, ProviderOptions};
use keyroll::store::keystore::format::Document;
use keyroll::store::keystore::{KeystoreConfig, KeystoreFile, NewKey};
use keyroll::store::{KeyStore, Rotate};

use super::traces::Traces;
use super::victim::Victim;
use super::{ALGORITHMS, built, random};

const STAGES: [&str; 11] = [
    "started",
    "held",
    "worked",
    "rotated",
    "created",
    "master key rotated",
    "reloaded",
    "keystore not written",
    "master key not read",
    "recovered",
    "ended",
];

/// A keystore and its master key, and the traces of every key that there ever was.
struct Place {
    directory: tempfile::TempDir,
    algorithm: usize,
    /// Whether the master key is behind a command and not in a file.
    by_command: bool,
    traces: Traces,
    /// Whose traces these are.
    known: BTreeSet<String>,
}

impl Place {
    /// A keystore with keys 1 and 2 of this one of the ciphers.
    fn new(algorithm: usize, by_command: bool) -> Place {
        let place = Place {
            directory: tempfile::tempdir().unwrap(),
            algorithm,
            by_command,
            traces: Traces::default(),
            known: BTreeSet::new(),
        };
        place.write("derived", random::<32>());
        if by_command {
            let command = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/exec-provider-openssl.sh");
            // A copy, for a checkout may be writable for a group.
            place.write("command", fs::read(command).unwrap());
            fs::set_permissions(place.path("command"), fs::Permissions::from_mode(0o700)).unwrap();
            place.write("uri", format!("exec:{}", place.path("command").display()));
            fs::create_dir(place.path("master")).unwrap();
            place.master_key().rotate().unwrap();
        } else {
            place.write("master", format!("1;{}\n", hex::encode(random::<32>())));
            place.write("uri", format!("file:{}", place.path("master").display()));
        }
        let spec = KeySpec {
            algorithm: Algorithm::ALL[algorithm],
            bits: 256,
        };
        let keys = [1, 2].map(|id| NewKey { id, spec });
        place.store().create(&keys, None).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn options(&self) -> ProviderOptions {
        let keys = self.path("master");
        ProviderOptions {
            request_timeout: Duration::from_secs(120),
            environment: BTreeMap::from([("KEYROLL_EXEC_KEYS".into(), keys.into())]),
            ..ProviderOptions::of_this_process(Duration::ZERO)
        }
    }

    fn config(&self) -> KeystoreConfig {
        KeystoreConfig {
            path: self.path("keystore"),
            master_key: fs::read_to_string(self.path("uri")).unwrap(),
            options: self.options(),
            strict_permissions: false,
        }
    }

    fn master_key(&self) -> Box<dyn MasterKey> {
        self.config().provider().unwrap()
    }

    /// The versions of the master key, and none that a command holds.
    fn master_keys(&self) -> Vec<Vec<u8>> {
        if self.by_command {
            return Vec::new();
        }
        let text = fs::read_to_string(self.path("master")).unwrap();
        let digits = text.lines().map(|line| line.split_once(';').unwrap().1);
        digits.map(|digits| hex::decode(digits).unwrap()).collect()
    }

    fn master_key_versions(&self) -> usize {
        match self.by_command {
            true => fs::read_dir(self.path("master")).unwrap().count(),
            false => self.master_keys().len(),
        }
    }

    fn store(&self) -> KeystoreFile {
        KeystoreFile::new(self.config()).unwrap()
    }

    /// Adds the traces of the keys that are new.
    fn learn(&mut self) {
        let derived = fs::read(self.path("derived")).unwrap();
        if self.known.insert("derived".into()) {
            self.traces.add_key("the tablespace's key", &derived);
        }
        for (index, key) in self.master_keys().iter().enumerate() {
            let name = format!("version {} of the master key", index + 1);
            if self.known.insert(name.clone()) {
                self.traces.add_key(&name, key);
            }
        }
        let text = fs::read(self.path("keystore")).unwrap();
        let document = Document::parse(&text).unwrap();
        let name = format!("the keystore key of generation {}", document.generation);
        if !self.known.insert(name.clone()) {
            return;
        }
        let uuid = document.uuid;
        let master_key = self.master_key();
        let key = master_key
            .unwrap(&document.master_key.wrapped, &uuid.to_string())
            .unwrap();
        self.traces.add_keystore_key(&name, key.expose(), uuid.as_bytes());
        for (name, key) in self.store().load().unwrap().keys.iter() {
            if self.known.insert(name.to_string()) {
                let key = key.expose();
                self.traces
                    .add_data_key(name.id, name.version, key, &[&derived, key]);
            }
        }
    }

    /// What the next action of the program finds.
    fn prepare_what_follows(&mut self, stage: &str) {
        match stage {
            // Its keystore key is of no use any more: it has to ask for the new one.
            "master key rotated" => {
                let store = self.store();
                store.rotate_master_key(None).unwrap();
                store
                    .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
                    .unwrap();
                self.learn();
            }
            // Refused when all keys have been wrapped anew.
            "reloaded" => fs::hard_link(self.path("keystore"), self.path("link")).unwrap(),
            "keystore not written" => {
                // One that the program made, one of ours, and the one that is of no use now.
                assert_eq!(self.master_key_versions(), 1 + 3);
                fs::remove_file(self.path("link")).unwrap();
                fs::rename(self.path("master"), self.path("whole")).unwrap();
                if !self.by_command {
                    self.write("master", fs::read_to_string(self.path("whole")).unwrap() + "x\n");
                }
            }
            "master key not read" => fs::rename(self.path("whole"), self.path("master")).unwrap(),
            _ => {}
        }
    }
}

fn search(mut place: Place) {
    let directory: PathBuf = place.directory.path().into();
    let algorithm = place.algorithm.to_string();
    let keys = place.path("master");
    let environment = [("KEYROLL_EXEC_KEYS", keys.to_str().unwrap())];
    let mut victim = Victim::start(built(), &directory, &[&algorithm, "keystore"], &environment);
    let (mut stages, mut wrong) = (Vec::new(), Vec::new());
    while let Some(stage) = victim.stage() {
        if stage != "master key not read" {
            place.learn();
        }
        let mut dump = place.traces.search(&victim.core_dump(&directory));
        if stage == "held" {
            let pieces = dump.remove("version 1 of key 1, bytes");
            assert!(pieces.is_some_and(|count| count >= 4), "{pieces:?}");
            let all = place.traces.search(&victim.whole_memory());
            for held in [
                "version 1 of key 2, bytes",
                "the keystore key of generation 1, bytes",
            ] {
                assert!(
                    all.contains_key(held),
                    "{held} is not where it should be: {all:#?}"
                );
            }
        }
        if !dump.is_empty() {
            wrong.push(format!("dump, {stage}: {dump:#?}"));
        }
        if stage == "ended" {
            let all = place.traces.search(&victim.whole_memory());
            if !all.is_empty() {
                wrong.push(format!("memory, {stage}: {all:#?}"));
            }
        }
        place.prepare_what_follows(&stage);
        stages.push(stage);
        victim.go_on();
    }
    assert_eq!(stages, STAGES);
    let name = ALGORITHMS[place.algorithm];
    assert!(
        wrong.is_empty(),
        "{name}: there are traces in\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_dump_shows_a_key_of_a_keystore_with_aes_cbc() {
    search(Place::new(0, false));
}

#[test]
fn no_dump_shows_a_key_of_a_keystore_with_aes_256_xts() {
    search(Place::new(2, false));
}

#[test]
fn no_dump_shows_a_key_that_a_command_was_asked_to_wrap_or_unwrap() {
    search(Place::new(1, true));
}
