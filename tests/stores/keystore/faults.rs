//! A kill and a failure at every step of every kind of change.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use keyroll::durable::failpoint;
use keyroll::keys::NewVersions;
use keyroll::master_key::ProviderOptions;
use keyroll::master_key::file::MasterKeyFile;
use keyroll::store::keystore::{FAILPOINTS, KeystoreConfig, KeystoreFile, NewKey};
use keyroll::store::{KeyStore, Rotate, StoreError};
use tempfile::TempDir;

use super::support::{CTR_128, Keys, XTS, options, plain_keys};
use test_support::programs;

/// A directory with a keystore, the master key file that opens it, and another one.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    fn empty() -> Place {
        let place = Place {
            directory: tempfile::tempdir().unwrap(),
        };
        for name in ["master", "other"] {
            MasterKeyFile::create(&place.path(name), None).unwrap();
        }
        place
    }

    pub(crate) fn new() -> Place {
        let place = Place::empty();
        let keys = [NewKey { id: 1, spec: XTS }, NewKey { id: 2, spec: CTR_128 }];
        place.store("master").create(&keys, None).unwrap();
        place
            .store("master")
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn uri(&self, master_key: &str) -> String {
        format!("file:{}", self.path(master_key).display())
    }

    pub(crate) fn store(&self, master_key: &str) -> KeystoreFile {
        let options: ProviderOptions = options();
        KeystoreFile::new(KeystoreConfig {
            path: self.path("keystore"),
            master_key: self.uri(master_key),
            options,
            strict_permissions: false,
        })
        .unwrap()
        .with_lock_timeout(Duration::from_secs(60))
    }

    /// The keys, with whichever of the master keys opens them.
    pub(crate) fn keys(&self) -> Result<(Keys, &'static str), StoreError> {
        let with = |master_key| Ok((plain_keys(&self.store(master_key).load()?.keys), master_key));
        with("master").or_else(|error| with("other").map_err(|_| error))
    }

    fn run(&self, failpoint: &str, action: &str) -> Output {
        let (action, argument) = match action {
            "rotate" => ("rotate", "all".into()),
            "create-key" => ("create-key", "9".into()),
            "move-to" => ("move-to", self.uri("other")),
            other => (other, String::new()),
        };
        Command::new(driver())
            .arg(self.path("keystore"))
            .args([&self.uri("master"), "60000", action])
            .args([argument].iter().filter(|argument| !argument.is_empty()))
            .env("KEYROLL_FAILPOINT", failpoint)
            .output()
            .unwrap()
    }

    fn names(&self) -> Vec<String> {
        programs::names(self.directory.path())
    }
}

/// `change_keystore`, with failpoints.
pub(crate) fn driver() -> PathBuf {
    programs::program("change_keystore")
}

const CHANGES: [&str; 5] = ["rotate", "create-key", "add-all", "rotate-master-key", "move-to"];

/// The steps that the action passes, and which time. A new version of the master key is written into its file, by the
/// same steps, before the keystore is.
fn steps(action: &str) -> Vec<String> {
    let of_a_file = |wanted: &'static [&'static str]| {
        failpoint::ALL
            .iter()
            .filter(move |name| wanted.contains(&name.split(':').next().unwrap()))
    };
    let names: Vec<String> = match action {
        "create" => of_a_file(&["create"]).map(|name| format!("{name}@1")).collect(),
        "rotate" | "create-key" | "add-all" => of_a_file(&["replace", "previous"])
            .map(|name| format!("{name}@1"))
            .collect(),
        "move-to" => of_a_file(&["replace", "previous"])
            .filter(|name| !stages_copy(name))
            .map(|name| format!("{name}@1"))
            .chain([format!("{}@1", FAILPOINTS[1]), "replace:lock@2".into()])
            .collect(),
        "rotate-master-key" => {
            // No copy is kept of a master key file, and that of the keystore is removed.
            let removes = |name: &str| name == "previous:sync-directory";
            of_a_file(&["replace", "previous"])
                .filter(|name| !stages_copy(name))
                .flat_map(|name| [1, 2].map(|time| (name, time)))
                .filter(|(name, time)| *time == 1 || !removes(name))
                .map(|(name, time)| format!("{name}@{time}"))
                .chain(FAILPOINTS.iter().map(|name| format!("{name}@1")))
                // The keystore is locked twice: nobody waits for the provider.
                .chain(["replace:lock@3".into()])
                .collect()
        }
        other => panic!("{other}"),
    };
    names
}

/// Whether a copy of the file that is replaced is made in this step: not where the master key changes.
fn stages_copy(name: &str) -> bool {
    name.contains("previous") && name != "previous:sync-directory"
}

/// Whether the change is made before this step, and what becomes of the copy is all that can fail.
fn is_of_copy(step: &str) -> bool {
    step.starts_with("previous:rename") || step.starts_with("previous:sync-directory")
}

/// `replace:sync=kill@2` out of `replace:sync@2`.
fn setting(step: &str, what: &str) -> String {
    step.replace('@', &format!("={what}@"))
}

#[test]
fn a_keystore_survives_a_kill_at_any_step_of_any_change() {
    for action in CHANGES {
        let (mut untouched, mut changed) = (0, 0);
        for step in steps(action) {
            let place = Place::new();
            let (before, _) = place.keys().unwrap();
            let killed = place.run(&setting(&step, "kill"), action);
            let at = format!("{action} {step}: {killed:?}");
            assert_eq!(killed.status.signal(), Some(libc::SIGKILL), "{at}");

            let (after, master_key) = place.keys().unwrap_or_else(|error| panic!("{at}: {error}"));
            assert!(
                before.iter().all(|(name, key)| after.get(name) == Some(key)),
                "{at}"
            );
            let generation = place.store("master").document().unwrap().generation;
            match generation {
                2 => {
                    assert_eq!((&after, master_key), (&before, "master"), "{at}");
                    untouched += 1;
                }
                3 => changed += 1,
                other => panic!("{at}: generation {other}"),
            }

            // Life goes on, and nothing is left behind.
            let store = place.store(master_key);
            assert_eq!(
                store
                    .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, None)
                    .unwrap()
                    .new
                    .len(),
                1,
                "{at}"
            );
            store.rotate_master_key(None).unwrap();
            let (last, _) = place.keys().unwrap();
            assert!(
                after.iter().all(|(name, key)| last.get(name) == Some(key)),
                "{at}"
            );
            let others = [
                "keystore",
                "keystore.previous",
                "master",
                "master.previous",
                "other",
                "other.previous",
            ];
            assert!(
                place.names().iter().all(|name| others.contains(&name.as_str())),
                "{at}: {:?}",
                place.names()
            );
        }
        assert!(untouched >= 10 && changed >= 2, "{action}: {untouched} {changed}");
    }
}

#[test]
fn a_new_keystore_is_there_as_a_whole_or_not_at_all_after_a_kill_at_any_step() {
    let (mut made, mut not_made) = (0, 0);
    for step in steps("create") {
        let place = Place::empty();
        let killed = place.run(&setting(&step, "kill"), "create");
        assert_eq!(killed.status.signal(), Some(libc::SIGKILL), "{step}: {killed:?}");
        if place.path("keystore").exists() {
            made += 1;
        } else {
            not_made += 1;
            let again = place.run("", "create");
            assert!(again.status.success(), "{step}: {again:?}");
        }
        assert_eq!(
            place.keys().unwrap().0.keys().copied().collect::<Vec<_>>(),
            [(1, 1), (2, 1)]
        );
        place
            .store("master")
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .unwrap();
        assert_eq!(
            place.names(),
            ["keystore", "keystore.previous", "master", "other"],
            "{step}"
        );
    }
    assert!(made >= 3 && not_made >= 5, "{made} {not_made}");
}

/// Whether it is the master key file that a rotation of the master key writes in this step. The keystore is locked before
/// and written after.
fn is_of_master_key_file(step: &str) -> bool {
    match step.split_once('@').unwrap() {
        ("replace:lock", time) => time == "2",
        ("replace:previous", _) => false,
        (name, time) => name.starts_with("replace:") && time == "1",
    }
}

#[test]
fn a_failure_of_any_step_leaves_the_keystore_as_it_was_and_says_so() {
    for action in CHANGES {
        for step in steps(action) {
            let place = Place::new();
            let before = fs::read(place.path("keystore")).unwrap();
            let failed = place.run(&setting(&step, "fail"), action);
            let message = String::from_utf8_lossy(&failed.stderr).into_owned();
            let at = format!("{action} {step}: {message}");
            if is_of_copy(&step) {
                assert_eq!(failed.status.code(), Some(0), "{at}");
                assert_ne!(fs::read(place.path("keystore")).unwrap(), before, "{at}");
                continue;
            }
            assert_eq!(failed.status.code(), Some(2), "{at}");
            assert_eq!(fs::read(place.path("keystore")).unwrap(), before, "{at}");
            assert!(
                message.contains("No space left on device") && message.contains("free space in "),
                "{at}"
            );
            let of_master_key_file = action == "rotate-master-key" && is_of_master_key_file(&step);
            if action == "rotate-master-key" && !of_master_key_file && step != "replace:lock@1" {
                assert!(
                    message.contains("may hold a new version of the master key that nothing uses"),
                    "{at}"
                );
            }
            if !of_master_key_file {
                assert!(
                    message.contains("the keystore is as it was")
                        || message.contains("the keystore was put back as it was"),
                    "{at}"
                );
            }
            let (after, _) = place.keys().unwrap();
            let again = place.run("", action);
            assert!(again.status.success(), "{at}: {again:?}");
            let (last, _) = place.keys().unwrap();
            assert!(
                after.iter().all(|(name, key)| last.get(name) == Some(key)),
                "{at}"
            );
        }
    }
}
