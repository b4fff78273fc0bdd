//! The plugin on a real keystore and master key file in a temporary directory, in a server that
//! only records.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::first_use::CREATE_AGAIN_AFTER;
use super::tests::{Recorder, settings};
use super::*;
use crate::crypto::Algorithm;
use crate::keys::{KeyName, KeySpec};
use crate::master_key::DEFAULT_REQUEST_TIMEOUT;
use crate::master_key::ProviderOptions;
use crate::master_key::file::MasterKeyFile;
use crate::settings::SettingsError;
use crate::store::StoreError;
use crate::store::keystore::{KeystoreConfig, KeystoreFile, NewKey};

const FAST: KeySpec = KeySpec {
    algorithm: Algorithm::AesCtr,
    bits: 128,
};

fn new(spec: KeySpec) -> NewKeys {
    NewKeys { spec, limit: 10 }
}

struct Started {
    directory: tempfile::TempDir,
    server: Recorder,
    status: Status,
    plugin: Plugin,
    /// Of statements.
    warnings: std::sync::Mutex<Vec<String>>,
}

fn uri(path: &Path) -> String {
    format!("file:{}", path.display())
}

fn settings_of(directory: &Path) -> Settings {
    Settings {
        filename: Vec::new(),
        keystore: directory.join("keystore").to_str().unwrap().into(),
        master_key: uri(&directory.join("master")).into(),
        ..settings(Path::new(""))
    }
}

fn config(keystore: PathBuf, master_key: &Path) -> KeystoreConfig {
    let options = ProviderOptions::of_this_process(DEFAULT_REQUEST_TIMEOUT);
    KeystoreConfig {
        path: keystore,
        master_key: uri(master_key),
        options,
        strict_permissions: false,
    }
}

fn made() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let master = directory.path().join("master");
    MasterKeyFile::create(&master, None).unwrap();
    let keys = [1, 2].map(|id| NewKey {
        id,
        spec: KeySpec::DEFAULT,
    });
    let store = KeystoreFile::new(config(directory.path().join("keystore"), &master)).unwrap();
    store.create(&keys, None).unwrap();
    directory
}

fn started() -> Started {
    let directory = made();
    let server = Recorder::default();
    let plugin = Plugin::start(settings_of(directory.path()), &server).unwrap();
    Started {
        directory,
        server,
        status: Status::default(),
        plugin,
        warnings: std::sync::Mutex::default(),
    }
}

impl Started {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn first_use(&self, id: u32, spec: KeySpec) -> Option<u32> {
        let made = self.plugin.first_use(id, new(spec), &self.server, &self.status);
        made.unwrap_or_else(|text| {
            self.warnings.lock().unwrap().push(text);
            None
        })
    }
}

#[test]
fn a_key_is_added_once_and_known_to_the_mark_before_a_table_can_use_it() {
    let s = started();
    let add = |request| s.plugin.add_key(request, FAST, &s.server);
    add(7).unwrap();
    assert_eq!(s.plugin.published().ring.latest(7), Some(1));
    assert!(s.server.logged(
        Severity::Note,
        "keyroll: added key 7: version 1 is stored in keystore "
    ));
    let held = fs::read(s.path("keystore")).unwrap();
    assert!(matches!(
        add(7),
        Err(PluginError::KeyStore(StoreError::KeyExists { id: 7, .. }))
    ));
    for request in [0, -1, 1 << 32] {
        assert!(
            matches!(add(request), Err(PluginError::NotAKeyId { or_all: false, .. })),
            "{request}"
        );
    }
    assert_eq!(fs::read(s.path("keystore")).unwrap(), held);
    let other = KeystoreFile::new(config(s.path("keystore"), &s.path("master"))).unwrap();
    other.add_key(8, FAST, None).unwrap();
    let hint = add(8).unwrap_err().hint();
    assert!(hint.starts_with("`SET GLOBAL ‹reload_keys› = 1`"), "{hint}");
    s.plugin.reload(&s.server, &s.status).unwrap();
    assert_eq!(s.plugin.published().ring.latest(8), Some(1));
}

#[test]
fn a_start_tells_who_wraps_the_keystore_and_what_encrypts() {
    let s = started();
    assert!(
        s.server
            .logged(Severity::Note, "loaded 2 keys in 2 versions from keystore ")
    );
    assert!(
        s.server
            .logged(Severity::Note, ", wrapped by version 1 of master key file ")
    );
    assert!(s.server.logged(Severity::Note, ", encrypting with aes_256_xts"));
}

#[test]
fn the_first_use_of_a_key_makes_it_durably_before_it_is_told() {
    let s = started();
    assert!(s.plugin.makes_keys);
    assert_eq!(s.first_use(7, FAST), Some(1));
    assert_eq!(s.server.latest(7), Some(1));
    assert!(
        s.server
            .logged(Severity::Note, "made key 7 because it was asked for: version 1")
    );
    assert_eq!(s.status.created.get(), 1);
    // Another thread that asked at the same moment gets the same.
    assert_eq!(s.first_use(7, KeySpec::DEFAULT), Some(1));
    assert_eq!(s.status.created.get(), 1);

    let again = Recorder::default();
    Plugin::start(settings_of(s.directory.path()), &again).unwrap();
    assert_eq!(again.latest(7), Some(1));
    let published = again.published.lock().unwrap().last().unwrap().clone();
    assert_eq!(published.ring.algorithm(7, 1), Some(Algorithm::AesCtr));
}

#[test]
fn a_key_that_cannot_be_made_is_not_tried_again_at_once() {
    let s = started();
    let in_the_way = s.path(".keystore.keyroll-new");
    fs::create_dir(&in_the_way).unwrap();
    assert_eq!(s.first_use(7, FAST), None);
    assert!(s.server.logged(Severity::Error, "making key 7 failed: "));
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(s.first_use(7, FAST), None);
    assert_eq!(s.first_use(8, FAST), Some(1), "another key is another matter");
    s.plugin
        .state()
        .unwrap()
        .not_created
        .insert(7, Instant::now() - CREATE_AGAIN_AFTER);
    assert_eq!(s.first_use(7, FAST), Some(1));
}

#[test]
fn no_more_keys_are_made_between_two_starts_than_the_limit_allows() {
    let s = started();
    for id in 11..=20 {
        assert_eq!(s.first_use(id, FAST), Some(1));
    }
    for id in 21..=30 {
        assert_eq!(s.first_use(id, FAST), None);
    }
    assert_eq!(s.first_use(20, FAST), Some(1), "those that are there serve");
    let told: Vec<_> = s.warnings.lock().unwrap().clone();
    let [told] = told.as_slice() else {
        panic!("told once: {told:?}");
    };
    assert!(
        told.starts_with(
            "keyroll: making key 21 failed: 10 keys were made at their first use since the start, as many as \
             keyroll_auto_create_limit allows. Hint: "
        ),
        "{told}"
    );
    assert!(s.server.logged(Severity::Error, told));

    let next = Recorder::default();
    let plugin = Plugin::start(settings_of(s.directory.path()), &next).unwrap();
    assert_eq!(
        plugin.first_use(21, new(FAST), &next, &Status::default()),
        Ok(Some(1))
    );
}

#[test]
fn a_key_file_makes_no_key_at_first_use() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    fs::write(&path, "1;00112233445566778899aabbccddeeff\n").unwrap();
    let server = Recorder::default();
    let plugin = Plugin::start(settings(&path), &server).unwrap();
    assert!(!plugin.makes_keys);
    assert!(
        plugin
            .first_use(7, new(FAST), &server, &Status::default())
            .is_err()
    );
    assert_eq!(server.latest(7), None);
}

/// The beginning of a tablespace with pages of 16 KiB that is encrypted with this key.
fn tablespace(id: u32) -> Vec<u8> {
    let mut page = vec![0; 16_384];
    page[54..58].copy_from_slice(&[0, 0, 0, 0x15]);
    page[10_428..][..8].copy_from_slice(b"s\x0e\x0cREt\x01\x10");
    page[10_456..][..4].copy_from_slice(&id.to_be_bytes());
    page
}

impl Started {
    /// Puts a table of this key into the data directory.
    fn add_table(&self, id: u32) {
        let database = self.server.data_directory().unwrap().join("shop");
        fs::create_dir_all(&database).unwrap();
        fs::write(database.join("orders.ibd"), tablespace(id)).unwrap();
    }
}

#[test]
fn a_key_that_data_is_encrypted_with_is_never_made_another_time() {
    let s = started();
    s.add_table(7);
    let before = fs::read(s.path("keystore")).unwrap();
    assert_eq!(s.first_use(7, FAST), None);
    let words = "keyroll: making key 7 failed: shop/orders.ibd is encrypted with a key 7 that keystore ";
    assert!(s.server.logged(Severity::Error, words));
    assert!(s.server.logged(Severity::Error, "put the right store back"));
    assert_eq!(fs::read(s.path("keystore")).unwrap(), before);
    assert_eq!((s.server.latest(7), s.status.created.get()), (None, 0));
    assert_eq!(s.first_use(8, FAST), Some(1), "another key is another matter");
}

#[test]
fn a_key_of_system_data_or_that_a_page_asked_for_is_never_made() {
    let s = started();
    let ring = s.plugin.published().ring;
    let name = KeyName { id: 7, version: 3 };
    let report = s.plugin.missing.add_version(name, &ring, false).unwrap();
    report.log(s.plugin.contents(&ring), None, &s.server);
    assert_eq!(s.first_use(7, FAST), None);
    let error = s.plugin.data_under(1, &s.server).unwrap();
    assert!(error.is_some_and(|what| what.contains("redo log")));
}

#[test]
fn a_key_is_not_made_where_the_data_cannot_be_seen() {
    let mut s = started();
    s.server.data = None;
    assert_eq!(s.first_use(7, FAST), None);
    assert!(s.server.logged(Severity::Error, "data directory"));
    assert_eq!(s.status.created.get(), 0);
}

#[test]
fn a_statement_that_is_killed_makes_no_key_and_the_next_one_does() {
    let s = started();
    s.add_table(9);
    let killed = crate::cancel::while_wanted(|| true, || s.first_use(7, FAST));
    assert_eq!((killed, s.status.created.get()), (None, 0));
    assert_eq!(s.first_use(7, FAST), Some(1));
}

#[test]
fn a_key_that_another_server_made_comes_with_its_table() {
    let s = started();
    let other = Recorder::default();
    let maker = Plugin::start(settings_of(s.directory.path()), &other).unwrap();
    assert_eq!(
        maker.first_use(7, new(FAST), &other, &Status::default()),
        Ok(Some(1))
    );
    s.add_table(7);
    assert_eq!(s.first_use(7, FAST), Some(1));
    assert_eq!(s.status.created.get(), 0);
    assert!(s.server.logged(Severity::Note, "noticed in keystore"));
    let bytes = |server: &Recorder| {
        let published = server.published.lock().unwrap().last().unwrap().clone();
        published.ring.key(7, 1).unwrap().with(<[u8]>::to_vec)
    };
    assert_eq!(bytes(&s.server), bytes(&other));
}

#[test]
fn a_missing_key_is_told_with_the_file_that_needs_it_and_a_question_for_one_is_not() {
    let s = started();
    s.add_table(7);
    let ring = s.plugin.published().ring;
    let lacks_key = |id, statement| {
        if s.plugin.should_report_key(id, statement) {
            s.plugin
                .report_missing_key(id, statement, &ring, false, &s.server);
        }
    };
    // A statement that names a key for its own table, and the server's look for a key of temporary
    // data.
    lacks_key(8, Statement::MakesOrAltersTable);
    lacks_key(2, Statement::MakesOrAltersTable);
    lacks_key(9, Statement::Other);
    assert!(!s.server.logged(Severity::Error, ""));
    lacks_key(7, Statement::Other);
    lacks_key(7, Statement::Other);
    // No statement of a user's: a thread that opens what is there.
    lacks_key(9, Statement::None);
    lacks_key(2, Statement::None);
    // One that imports data, wherever that lies.
    lacks_key(10, Statement::ImportsTablespace);
    let lines = s.server.lines.lock().unwrap();
    let errors: Vec<_> = lines
        .iter()
        .filter(|(level, _)| *level == Severity::Error)
        .collect();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(
        errors[2].1.starts_with("keyroll: key 10 was asked for, but"),
        "{errors:?}"
    );
    assert!(
        errors[1].1.starts_with("keyroll: key 9 was asked for, but"),
        "{errors:?}"
    );
    assert!(
        errors[0].1.starts_with(
            "keyroll: key 7 was asked for by shop/orders.ibd, but the store lacks it: it has keys 1, 2. It is keystore /"
        ),
        "{errors:?}"
    );
    assert_eq!(s.status.created.get(), 0);
}

#[test]
fn a_rotation_of_the_master_key_that_is_killed_when_it_is_done_says_what_is_in_force() {
    let s = started();
    let keystore = s.path("keystore");
    let before = fs::read(&keystore).unwrap();
    let is_replaced = move || fs::read(&keystore).unwrap() != before;
    let killed =
        crate::cancel::while_wanted(is_replaced, || s.plugin.rotate_master_key(&s.server, &s.status));
    let error = killed.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("version 2 of master key file ")
            && text.ends_with(
                "wraps the keystore now, but the statement was killed before the server showed it"
            ),
        "{text}"
    );
    assert!(error.hint().contains("keyroll_reload_keys"));
    assert_eq!(s.status.master_key_rotations.get(), 1);
    s.plugin.reload(&s.server, &s.status).unwrap();
    assert!(s.plugin.published().master_key.starts_with("version 2 of "));
}

#[test]
fn a_rotation_that_changes_a_keys_cipher_says_so() {
    let s = started();
    let new = NewVersions {
        spec: FAST,
        ..NewVersions::DEFAULT
    };
    s.plugin.rotate_keys(2, new, &s.server, &s.status).unwrap();
    assert!(s.server.logged(
        Severity::Note,
        "rotated key 2: version 3 (encrypts with aes_ctr, before with aes_256_xts) is the latest now"
    ));
    let published = s.server.published.lock().unwrap().last().unwrap().clone();
    assert_eq!(published.ring.algorithm(2, 1), Some(Algorithm::Aes256Xts));
    assert_eq!(published.ring.algorithm(2, 3), Some(Algorithm::AesCtr));
    assert_eq!(published.ring.algorithm(1, 1), Some(Algorithm::Aes256Xts));
}

#[test]
fn a_rotation_of_the_master_key_keeps_every_data_key() {
    let s = started();
    let keys = |s: &Started| {
        let published = s.server.published.lock().unwrap().last().unwrap().clone();
        let held = published.ring.held().into_iter();
        held.map(|v| {
            published
                .ring
                .key(v.name.id, v.name.version)
                .unwrap()
                .with(<[u8]>::to_vec)
        })
        .collect::<Vec<_>>()
    };
    let before = keys(&s);
    s.plugin.rotate_master_key(&s.server, &s.status).unwrap();
    assert_eq!(keys(&s), before);
    assert_eq!(s.status.master_key_rotations.get(), 1);
    assert!(s.server.logged(
        Severity::Note,
        "rotated the master key: version 2 of master key file "
    ));
    let published = s.server.published.lock().unwrap().last().unwrap().clone();
    assert!(
        published.master_key.starts_with("version 2 of "),
        "{}",
        published.master_key
    );
}

#[test]
fn data_keys_are_made_and_rotated_while_the_master_key_provider_keeps_a_rotation_waiting() {
    let s = started();
    let provider = fs::File::open(s.path("master")).unwrap();
    provider.lock().unwrap();
    std::thread::scope(|scope| {
        let rotation = scope.spawn(|| s.plugin.rotate_master_key(&s.server, &s.status));
        std::thread::sleep(Duration::from_millis(300));
        let began = Instant::now();
        assert_eq!(s.first_use(7, FAST), Some(1));
        s.plugin
            .rotate_keys(1, NewVersions::DEFAULT, &s.server, &s.status)
            .unwrap();
        s.plugin.reload(&s.server, &s.status).unwrap();
        assert!(!rotation.is_finished() && s.status.master_key_rotations.get() == 0);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        drop(provider);
        rotation.join().unwrap().unwrap();
    });
    assert_eq!((s.server.latest(7), s.server.latest(1)), (Some(1), Some(3)));
    let published = s.server.published.lock().unwrap().last().unwrap().clone();
    assert!(published.master_key.starts_with("version 2 of "));
    assert_eq!(published.ring.algorithm(7, 1), Some(Algorithm::AesCtr));
    assert_eq!(published.ring.algorithm(1, 1), Some(Algorithm::Aes256Xts));
    // All of it is on disk, and one key opens it.
    let again = Plugin::start(settings_of(s.directory.path()), &s.server).unwrap();
    assert_eq!(again.published().ring.versions(), published.ring.versions());
}

#[test]
fn a_rotation_of_the_master_key_that_fails_changes_nothing() {
    let s = started();
    let keystore = fs::read(s.path("keystore")).unwrap();
    fs::rename(s.path("master"), s.path("away")).unwrap();
    s.plugin.rotate_master_key(&s.server, &s.status).unwrap_err();
    assert_eq!(fs::read(s.path("keystore")).unwrap(), keystore);
    assert_eq!(s.status.master_key_rotations.get(), 0);
    // Only that needs the master key: data keys go on.
    s.plugin
        .rotate_keys(1, NewVersions::DEFAULT, &s.server, &s.status)
        .unwrap();
    assert_eq!(s.first_use(9, FAST), Some(1));
    assert_eq!(s.server.latest(1), Some(3));
}

#[test]
fn a_moved_keystore_is_followed_when_its_new_master_key_is_named() {
    let s = started();
    let other = s.path("other");
    MasterKeyFile::create(&other, None).unwrap();
    let moved = KeystoreFile::new(config(s.path("keystore"), &s.path("master"))).unwrap();
    let to = config(s.path("keystore"), &other).provider().unwrap();
    moved.move_to(&*to, None).unwrap();

    s.plugin.reload(&s.server, &s.status).unwrap_err();
    let wrong = uri(&s.path("none"));
    s.plugin.adopt_master_key(&wrong, &s.server).unwrap_err();
    s.plugin.adopt_master_key("kms", &s.server).unwrap_err();
    let error = s
        .plugin
        .adopt_master_key("exec:/bin/false", &s.server)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("because the server would run a program"),
        "{error}"
    );
    s.plugin.reload(&s.server, &s.status).unwrap_err();

    s.plugin.adopt_master_key(&uri(&other), &s.server).unwrap();
    s.plugin.reload(&s.server, &s.status).unwrap();
    s.plugin
        .rotate_keys(1, NewVersions::DEFAULT, &s.server, &s.status)
        .unwrap();
    s.plugin.rotate_master_key(&s.server, &s.status).unwrap();
    assert!(s.server.logged(Severity::Note, "opens keystore "));
}

#[test]
fn a_statement_never_sends_the_token_for_vault_to_another_host() {
    let s = started();
    let asked =
        |plugin: &Plugin, server: &Recorder, uri: &str| plugin.adopt_master_key(uri, server).unwrap_err();
    for uri in [
        "vault-transit:https://elsewhere:8200/transit/key",
        "vault-transit:http://127.0.0.1:1/transit/key",
        "vault-transit:no-url",
        "vault-transit:",
    ] {
        let error = asked(&s.plugin, &s.server, uri);
        assert!(
            error.to_string().ends_with("would go to another host"),
            "{uri}: {error}"
        );
    }
    s.plugin.state().unwrap().master_key = "vault-transit:https://127.0.0.1:1/transit/key".into();
    for uri in [
        "vault-transit:http://127.0.0.1:1/transit/key",
        "vault-transit:https://127.0.0.1:2/transit/key",
        "vault-transit:https://127.0.0.1.example.com:1/transit/key",
    ] {
        let error = asked(&s.plugin, &s.server, uri);
        assert!(
            error.to_string().ends_with("would go to another host"),
            "{uri}: {error}"
        );
    }
    // The host in force may be asked for another key; nobody answers there.
    let error = asked(
        &s.plugin,
        &s.server,
        "vault-transit:https://127.0.0.1:1/transit/other",
    );
    assert!(!matches!(error, PluginError::ByStatement { .. }), "{error}");
}

#[test]
fn settings_that_name_two_stores_or_no_master_key_are_refused() {
    let both = Settings {
        filename: b"/keys".to_vec(),
        ..settings_of(Path::new("/nowhere"))
    };
    let server = Recorder::default();
    assert!(matches!(
        Plugin::start(both, &server).map(|_| ()),
        Err(PluginError::Settings(SettingsError::SeveralStores { .. }))
    ));
    let no_master_key = Settings {
        master_key: Vec::new(),
        ..settings_of(Path::new("/nowhere"))
    };
    assert!(matches!(
        Plugin::start(no_master_key, &server).map(|_| ()),
        Err(PluginError::Settings(SettingsError::NoMasterKey))
    ));
}

#[test]
fn an_older_copy_that_lacks_no_key_is_accepted_and_told() {
    let (directory, data) = (made(), tempfile::tempdir().unwrap());
    let keystore = directory.path().join("keystore");
    let start = || {
        let server = Recorder {
            data_elsewhere: Some(data.path().into()),
            ..Recorder::default()
        };
        let plugin = Plugin::start(settings_of(directory.path()), &server).unwrap();
        let told = server.logged(
            Severity::Warning,
            "is an older copy, written 1 times, and this data has seen 2; no key is missing in it",
        );
        assert_eq!(server.logged(Severity::Warning, "older copy"), told);
        (plugin, server, told)
    };
    let (plugin, server, told) = start();
    assert!(!told);
    let older = fs::read(&keystore).unwrap();
    plugin.rotate_master_key(&server, &Status::default()).unwrap();
    let newest = fs::read(&keystore).unwrap();
    assert!(!start().2, "as old as the data knows");
    fs::write(&keystore, older).unwrap();
    assert!(start().2);
    fs::write(&keystore, newest).unwrap();
    assert!(!start().2, "newer than the data has seen last");
}
