//! The same for a keystore: neither its data keys nor the keystore key nor the master key is in a dump, at no stage of
//! a life with both kinds of rotation and their failures.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use keyroll::crypto::Algorithm;
use keyroll::keystore::envelope::format::Document;
use keyroll::keystore::envelope::{Envelope, EnvelopeConfig, NewKey};
use keyroll::keystore::{KeySpec, KeyStore, NewVersions, Rotate};
use keyroll::master_key::{self, Options};

use crate::traces::Traces;
use crate::victim::Victim;
use crate::{ALGORITHMS, built, random};

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
    traces: Traces,
}

impl Place {
    /// A keystore with keys 1 and 2 of this one of the ciphers.
    fn new(algorithm: usize) -> Place {
        let mut place = Place {
            directory: tempfile::tempdir().unwrap(),
            algorithm,
            traces: Traces::default(),
        };
        place.write("master", format!("1;{}\n", hex::encode(random::<32>())));
        place.write("uri", format!("file:{}", place.path("master").display()));
        place.write("derived", random::<32>());
        let spec = KeySpec {
            algorithm: Algorithm::ALL[algorithm],
            bits: 256,
        };
        let keys = [1, 2].map(|id| NewKey { id, spec });
        place.store().create(&keys, None).unwrap();
        place.learn();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn uri(&self) -> String {
        fs::read_to_string(self.path("uri")).unwrap()
    }

    fn options(&self) -> Options {
        Options {
            request_timeout: Duration::from_secs(60),
            environment: BTreeMap::new(),
        }
    }

    fn store(&self) -> Envelope {
        Envelope::new(EnvelopeConfig {
            path: self.path("keystore"),
            master_key: master_key::open(&self.uri(), &self.options()).unwrap(),
            options: self.options(),
            strict_permissions: false,
        })
        .unwrap()
    }

    /// Adds the traces of all keys that there are now.
    fn learn(&mut self) {
        let derived = fs::read(self.path("derived")).unwrap();
        self.traces.add_key("the tablespace's key", &derived);
        for (number, line) in fs::read_to_string(self.path("master"))
            .unwrap()
            .lines()
            .enumerate()
        {
            let key = hex::decode(line.split_once(';').unwrap().1).unwrap();
            self.traces
                .add_key(&format!("version {} of the master key", number + 1), &key);
        }
        let text = fs::read(self.path("keystore")).unwrap();
        let document = Document::parse(&text).unwrap();
        let uuid = document.uuid();
        let key = master_key::open(&self.uri(), &self.options())
            .unwrap()
            .unwrap(&document.master_key().wrapped, &uuid.to_string())
            .unwrap();
        let name = format!("the keystore key of generation {}", document.generation());
        self.traces.add_keystore_key(&name, key.expose(), uuid.as_bytes());
        let loaded = self.store().load().unwrap();
        for (name, key) in loaded.keys.iter() {
            let key = key.expose();
            self.traces
                .add_data_key(name.id, name.version, key, &[&derived, key]);
        }
    }

    /// What the next action of the program finds.
    fn prepare_what_follows(&mut self, stage: &str) {
        match stage {
            // Its keystore key is of no use any more: it has to ask for the new one.
            "master key rotated" => {
                let store = self.store();
                store.rotate_master_key(None).unwrap();
                store.rotate(Rotate::All, NewVersions::DEFAULT, None).unwrap();
                self.learn();
            }
            // Refused when all keys have been wrapped anew.
            "reloaded" => fs::hard_link(self.path("keystore"), self.path("link")).unwrap(),
            "keystore not written" => {
                let versions = fs::read_to_string(self.path("master")).unwrap().lines().count();
                assert_eq!(
                    versions, 4,
                    "the master key was not rotated before the keystore was"
                );
                fs::remove_file(self.path("link")).unwrap();
                self.write("whole", fs::read(self.path("master")).unwrap());
                self.write("master", fs::read_to_string(self.path("master")).unwrap() + "x\n");
            }
            "master key not read" => fs::rename(self.path("whole"), self.path("master")).unwrap(),
            _ => {}
        }
    }
}

fn search(mut place: Place) {
    let directory: PathBuf = place.directory.path().into();
    let algorithm = place.algorithm.to_string();
    let mut victim = Victim::start(built(), &directory, &[&algorithm, "keystore"], &[]);
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
    search(Place::new(0));
}

#[test]
fn no_dump_shows_a_key_of_a_keystore_with_aes_256_xts() {
    search(Place::new(2));
}
