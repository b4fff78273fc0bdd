//! Saving what a running server still holds, whatever became of its store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::tests::{Recorder, settings};
use super::*;
use crate::keys::KeySpec;
use crate::master_key::DEFAULT_REQUEST_TIMEOUT;
use crate::master_key::ProviderOptions;
use crate::master_key::file::MasterKeyFile;
use crate::store::keystore::{KeystoreConfig, KeystoreFile, NewKey};

/// A data directory, and a store outside of it.
struct Site {
    directory: tempfile::TempDir,
    server: Recorder,
}

impl Site {
    fn new() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        let server = Recorder {
            data_elsewhere: Some(data),
            ..Recorder::default()
        };
        Site { directory, server }
    }

    fn with_keystore() -> Site {
        let site = Site::new();
        let (path, master) = (site.path("keystore"), site.path("master"));
        MasterKeyFile::create(&master, None).unwrap();
        let options = ProviderOptions::of_this_process(DEFAULT_REQUEST_TIMEOUT);
        let store = KeystoreFile::new(KeystoreConfig {
            path,
            master_key: uri(&master),
            options,
            strict_permissions: false,
        })
        .unwrap();
        let spec = KeySpec::DEFAULT;
        store.create(&[1, 2].map(|id| NewKey { id, spec }), None).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self, settings: Settings) -> Plugin {
        Plugin::start(settings, &self.server).unwrap()
    }

    fn keystore(&self, name: &str, master_key: &str) -> Settings {
        Settings {
            filename: Vec::new(),
            keystore: self.path(name).to_str().unwrap().into(),
            master_key: uri(&self.path(master_key)).into(),
            ..settings(Path::new(""))
        }
    }

    fn save(&self, plugin: &Plugin, keystore: &str, master_key: Option<&str>) -> Result<(), PluginError> {
        let mut request = self.path(keystore).display().to_string();
        if let Some(name) = master_key {
            request.push_str(&format!(" {}", uri(&self.path(name))));
        }
        plugin.save_keys(request.as_bytes(), &self.server)
    }

    /// The files beside the data.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "data")
            .collect();
        names.sort();
        names
    }
}

fn uri(path: &Path) -> String {
    format!("file:{}", path.display())
}

fn rotate(plugin: &Plugin, server: &Recorder) {
    plugin
        .rotate_keys(-1, NewVersions::DEFAULT, server, &Status::default())
        .unwrap();
}

fn same_keys(one: &Plugin, other: &Plugin) -> bool {
    let all = |plugin: &Plugin| {
        let ring = &plugin.published().ring;
        let bytes = |held: &crate::keys::ring::VersionInfo| {
            ring.key(held.name.id, held.name.version)
                .map(|key| key.with(<[u8]>::to_vec))
        };
        let held = ring.held();
        held.iter().map(|held| (*held, bytes(held))).collect::<Vec<_>>()
    };
    all(one) == all(other)
}

#[test]
fn a_keystore_that_is_gone_with_its_master_key_away_is_written_anew_from_memory() {
    let s = Site::with_keystore();
    let plugin = s.start(s.keystore("keystore", "master"));
    rotate(&plugin, &s.server);
    let before = plugin.state().unwrap().store.identity().unwrap();
    fs::remove_file(s.path("keystore")).unwrap();
    fs::remove_file(s.path("keystore.previous")).unwrap();
    fs::rename(s.path("master"), s.path("away")).unwrap();
    s.save(&plugin, "keystore", None).unwrap();
    assert!(
        s.server
            .logged(Severity::Note, "saved 2 keys in 4 versions in keystore ")
    );
    assert!(s.server.logged(Severity::Note, ", keyroll_master_key = file:"));
    let mode = fs::metadata(s.path("keystore")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    // The server goes on with it.
    plugin.reload(&s.server, &Status::default()).unwrap();
    rotate(&plugin, &s.server);
    let now = plugin.state().unwrap().store.identity().unwrap();
    assert_eq!((&now.uuid, now.generation), (&before.uuid, before.generation + 2));
    // And so does the next one.
    fs::rename(s.path("away"), s.path("master")).unwrap();
    let again = s.start(s.keystore("keystore", "master"));
    assert!(same_keys(&again, &plugin));
    assert!(!s.server.logged(Severity::Warning, "older copy"));
    assert!(!s.server.logged(Severity::Warning, "the mark"));
}

#[test]
fn a_damaged_keystore_is_moved_away_first() {
    let s = Site::with_keystore();
    let plugin = s.start(s.keystore("keystore", "master"));
    fs::write(s.path("keystore"), "damaged").unwrap();
    let error = s.save(&plugin, "keystore", None).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("keystore exists, and is not overwritten")
    );
    let hint = error.hint();
    let command = hint.split('`').nth(1).unwrap();
    let status = std::process::Command::new("sh").args(["-c", command]).status();
    assert!(status.unwrap().success());
    assert_eq!(fs::read(s.path("keystore.damaged")).unwrap(), b"damaged");
    s.save(&plugin, "keystore", None).unwrap();
    assert!(same_keys(&s.start(s.keystore("keystore", "master")), &plugin));
}

#[test]
fn keys_saved_elsewhere_are_the_next_generation_and_the_server_goes_on_with_its_own() {
    let s = Site::with_keystore();
    let plugin = s.start(s.keystore("keystore", "master"));
    s.save(&plugin, "saved", None).unwrap();
    let saved = s.start(s.keystore("saved", "master"));
    let generation = |plugin: &Plugin| plugin.state().unwrap().store.identity().unwrap().generation;
    assert_eq!(generation(&saved), generation(&plugin) + 1);
    assert!(same_keys(&saved, &plugin));
    rotate(&plugin, &s.server);
}

#[test]
fn a_key_file_that_is_gone_is_saved_under_a_new_master_key_file() {
    let s = Site::new();
    let keys = s.path("keys");
    fs::write(
        &keys,
        "1;00112233445566778899aabbccddeeff\n1;3;ffeeddccbbaa99887766554433221100\n",
    )
    .unwrap();
    let plugin = s.start(settings(&keys));
    fs::remove_file(&keys).unwrap();
    let error = s.save(&plugin, "saved", None).unwrap_err();
    assert!(
        error.hint().contains("PATH file:MASTERKEYPATH"),
        "{}",
        error.hint()
    );
    assert_eq!(s.files(), [""; 0]);
    s.save(&plugin, "saved", Some("new-master")).unwrap();
    let mode = fs::metadata(s.path("new-master")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    // The mark knows these keys.
    let again = s.start(s.keystore("saved", "new-master"));
    assert!(same_keys(&again, &plugin));
    // A second one under the same master key file.
    s.save(&plugin, "saved-again", Some("new-master")).unwrap();
    assert!(same_keys(
        &s.start(s.keystore("saved-again", "new-master")),
        &plugin
    ));
}

#[test]
fn nothing_is_left_of_what_could_not_be_saved() {
    let s = Site::new();
    let keys = s.path("keys");
    fs::write(&keys, "1;00112233445566778899aabbccddeeff\n").unwrap();
    let plugin = s.start(settings(&keys));
    let over = s.save(&plugin, "keys", Some("new-master")).unwrap_err();
    assert!(matches!(over, PluginError::SaveOver { .. }), "{over}");
    let twice = s.save(&plugin, "one", Some("one")).unwrap_err();
    assert!(matches!(twice, PluginError::SaveOver { .. }), "{twice}");
    s.save(&plugin, "saved", Some("nowhere/new-master")).unwrap_err();
    assert_eq!(s.files(), ["keys"]);
    // A master key file that others may read is none.
    MasterKeyFile::create(&s.path("loose"), None).unwrap();
    fs::set_permissions(s.path("loose"), fs::Permissions::from_mode(0o644)).unwrap();
    s.save(&plugin, "saved", Some("loose")).unwrap_err();
    assert_eq!(s.files(), ["keys", "loose"]);
}

#[test]
fn a_master_key_file_that_was_made_stays_and_the_next_try_takes_it() {
    let s = Site::new();
    let keys = s.path("keys");
    fs::write(&keys, "1;00112233445566778899aabbccddeeff\n").unwrap();
    let plugin = s.start(settings(&keys));
    s.save(&plugin, "nowhere/saved", Some("new-master")).unwrap_err();
    // Another server may have saved its keys with it meanwhile, to which this one must not put an
    // end.
    assert_eq!(s.files(), ["keys", "new-master"]);
    let made = fs::read(s.path("new-master")).unwrap();
    s.save(&plugin, "saved", Some("new-master")).unwrap();
    assert_eq!(fs::read(s.path("new-master")).unwrap(), made);
    assert!(same_keys(&s.start(s.keystore("saved", "new-master")), &plugin));
}

#[test]
fn of_servers_that_save_the_same_keystore_at_once_one_does_and_its_master_key_stays() {
    let s = Site::new();
    let keys = s.path("keys");
    fs::write(&keys, "1;00112233445566778899aabbccddeeff\n").unwrap();
    let servers = [(); 6].map(|()| s.start(settings(&keys)));
    let saved = std::thread::scope(|scope| {
        let saving: Vec<_> = servers
            .iter()
            .map(|plugin| scope.spawn(|| s.save(plugin, "saved", Some("new-master")).is_ok()))
            .collect();
        saving
            .into_iter()
            .filter_map(|one| one.join().unwrap().then_some(()))
            .count()
    });
    assert_eq!(saved, 1);
    assert!(same_keys(
        &s.start(s.keystore("saved", "new-master")),
        &servers[0]
    ));
}

#[test]
fn a_keystore_that_may_hold_more_is_not_to_be_moved_away() {
    let s = Site::with_keystore();
    let plugin = s.start(s.keystore("keystore", "master"));
    let other = s.start(s.keystore("keystore", "master"));
    rotate(&other, &s.server);
    let error = s.save(&plugin, "keystore", None).unwrap_err();
    assert!(
        error
            .hint()
            .starts_with("name another path: this keystore is whole"),
        "{}",
        error.hint()
    );
    s.save(&plugin, "elsewhere", None).unwrap();
    assert!(same_keys(&s.start(s.keystore("keystore", "master")), &other));
}

#[test]
fn nothing_is_saved_beside_a_copy_of_a_later_change() {
    let s = Site::with_keystore();
    let plugin = s.start(s.keystore("keystore", "master"));
    // Another server has added versions that this one has not seen.
    let other = s.start(s.keystore("keystore", "master"));
    rotate(&other, &s.server);
    fs::rename(s.path("keystore"), s.path("keystore.previous")).unwrap();
    s.save(&plugin, "keystore", None).unwrap_err();
    assert_eq!(s.files(), ["keystore.previous", "master"]);
}

#[test]
fn a_command_in_a_long_message_is_whole_in_the_error_log() {
    let s = Site::with_keystore();
    let folder = s.path(&"long".repeat(40));
    fs::create_dir(&folder).unwrap();
    let keystore = folder.join("keystore");
    fs::rename(s.path("keystore"), &keystore).unwrap();
    let settings = Settings {
        keystore: keystore.to_str().unwrap().into(),
        ..s.keystore("keystore", "master")
    };
    let plugin = s.start(settings);
    rotate(&plugin, &s.server);
    fs::remove_file(&keystore).unwrap();
    let error = plugin.reload(&s.server, &Status::default()).unwrap_err();
    let said = log::failed(&s.server, &Status::default(), "reload of the keys", &error);
    assert!(said.len() >= server::MESSAGE_ROOM, "{said}");
    assert!(
        s.server
            .logged(Severity::Error, &format!("reload of the keys failed: {error}"))
    );
    assert!(
        s.server
            .logged(Severity::Note, &format!("keyroll: hint: {}", error.hint()))
    );
    // A short one is one line.
    log::failed(
        &s.server,
        &Status::default(),
        "this",
        &PluginError::StatementKilled,
    );
    assert!(s.server.logged(Severity::Error, ". Hint: run it again"));
}
