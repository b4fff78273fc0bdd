//! The start of a server whose keys are in Vault: which keys it reads under which policy, and when it starts without any.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use keyroll::keys::{KeyName, KeySet};
use keyroll::plugin::{Plugin, PluginError, Published, Server, Severity, Status, Wake};
use keyroll::secret::{DataKey, SecretBytes};
use keyroll::settings::Settings;
use keyroll::store::MarkFile;
use serde_json::json;
use tempfile::TempDir;

use test_support::fault_proxy::{Fault, Proxy};
use test_support::openbao::Bao;
use test_support::vault_kv::*;

/// A server that has not started up yet, with a data directory.
struct Starting {
    data: TempDir,
    lines: Mutex<Vec<(Severity, String)>>,
    published: Mutex<Vec<(u32, u32)>>,
}

impl Starting {
    fn new() -> Starting {
        Starting {
            data: TempDir::new().unwrap(),
            lines: Mutex::default(),
            published: Mutex::default(),
        }
    }

    /// Makes a table that is encrypted with this key.
    fn has_table(&self, id: u32) {
        write_table_of(id, self.data.path());
    }

    fn start(&self, settings: Settings) -> Result<Plugin, PluginError> {
        Plugin::start(settings, self)
    }

    fn said(&self, severity: Severity, words: &str) -> usize {
        let lines = self.lines.lock().unwrap();
        assert!(lines.iter().all(|(_, text)| text.len() <= 511), "{lines:?}");
        let found = lines
            .iter()
            .filter(|(of, text)| *of == severity && text.contains(words));
        found.count()
    }

    fn keys(&self) -> Vec<(u32, u32)> {
        self.published.lock().unwrap().clone()
    }
}

impl Server for Starting {
    fn log(&self, level: Severity, text: &str) {
        self.lines.lock().unwrap().push((level, text.into()));
    }

    fn publish(&self, now: &Published) {
        let held = now.ring.held().into_iter();
        *self.published.lock().unwrap() = held.map(|held| (held.name.id, held.name.version)).collect();
    }

    fn wake_encryption_threads(&self) -> Wake {
        Wake::NotPossible
    }

    fn request_reencryption(&self) {}

    fn is_up(&self) -> bool {
        false
    }

    fn data_directory(&self) -> Option<PathBuf> {
        Some(self.data.path().into())
    }
}

fn settings(bao: &Bao, mount: &str, policy: &str) -> Settings {
    let token = bao.token(policy, &json!({}));
    Settings {
        vault_url: bao.url(&format!("v1/{mount}")).into(),
        vault_ca: bao.path("ca.pem").to_str().unwrap().into(),
        token: SecretBytes::new(token.into()),
        max_retries: 0,
        ..Settings::default()
    }
}

fn unchecked(settings: Settings) -> Settings {
    Settings {
        check_kv_version: false,
        ..settings
    }
}

#[test]
fn with_the_least_policy_a_server_starts_with_the_keys_of_its_tables_and_then_of_its_mark() {
    let bao = Bao::shared();
    let mount = bao.kv();
    for id in [1, 2, 7, 8] {
        bao.put(&mount, id, KEY);
        bao.put(&mount, id, LONG_KEY);
    }
    let server = Starting::new();
    server.has_table(7);
    let start = || server.start(settings(bao, &mount, &least(&mount))).unwrap();
    let plugin = start();
    let all = [1, 2, 7].map(|id| [(id, 1), (id, 2)]).concat();
    assert_eq!(server.keys(), all);
    assert_eq!(server.said(Severity::Note, "does not let its keys be listed"), 1);
    assert_eq!(server.said(Severity::Warning, ""), 0);

    bao.put(&mount, 7, KEY);
    plugin.reload(&server, &Status::default()).unwrap();
    assert!(server.keys().contains(&(7, 3)), "{:?}", server.keys());
    drop(plugin);

    // What the mark knows is read though no table names it.
    fs::remove_dir_all(server.data.path().join("test")).unwrap();
    start();
    assert_eq!(server.keys().len(), 7, "{:?}", server.keys());
}

#[test]
fn a_note_tells_what_a_wider_policy_adds_and_with_all_rights_there_is_none() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let listing = format!(
        r#"{} path "{mount}/metadata/" {{ capabilities = ["list"] }}"#,
        least(&mount)
    );
    const NOT_LISTED: &str = "does not let its keys be listed";
    const NOT_DESCRIBED: &str =
        "does not let the metadata of its keys be read. With `read` on MOUNT/metadata/*";
    for (policy, told) in [
        (least(&mount), [1, 0]),
        (listing, [0, 1]),
        (reading(&mount), [0, 0]),
    ] {
        let server = Starting::new();
        server.start(settings(bao, &mount, &policy)).unwrap();
        let said = [NOT_LISTED, NOT_DESCRIBED].map(|words| server.said(Severity::Note, words));
        assert_eq!(said, told, "{policy}");
    }
}

#[test]
fn without_the_check_a_vault_that_never_answers_is_waited_for_once() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    let proxy = Proxy::plain(bao.plain_port);
    proxy.makes(Fault::Hanging);
    let server = Starting::new();
    let settings = Settings {
        vault_url: format!("{}/v1/{mount}", proxy.url()).into(),
        timeout: 1,
        max_retries: 1,
        ..unchecked(settings(bao, &mount, &least(&mount)))
    };
    let began = Instant::now();
    server.start(settings).unwrap();
    // Each try takes all its time, and so two of them tell how often it asked.
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2), "{took:?}");
    assert_eq!(proxy.requests(), 2);
    assert_eq!(server.keys(), []);
    assert_eq!(server.said(Severity::Warning, "started without keys"), 1);
}

#[test]
fn a_server_whose_only_key_is_that_of_a_table_starts_with_it() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 7, KEY);
    let server = Starting::new();
    server.has_table(7);
    server.start(settings(bao, &mount, &least(&mount))).unwrap();
    assert_eq!(server.keys(), [(7, 1)]);
}

#[test]
fn a_secret_that_may_not_be_read_hinders_a_start_only_where_the_data_needs_it() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    bao.put(&mount, 7, KEY);
    bao.put(&mount, 8, "no key");
    let policy = format!(
        r#"{} path "{mount}/data/7" {{ capabilities = ["deny"] }}"#,
        reading(&mount)
    );
    let server = Starting::new();
    server.start(settings(bao, &mount, &policy)).unwrap();
    assert_eq!(server.keys(), [(1, 1)]);
    assert_eq!(server.said(Severity::Warning, "key 7 is left out"), 1);
    assert_eq!(
        server.said(Severity::Warning, &format!("{mount}/data/8?version=1")),
        1
    );
    for (id, words) in [
        (7, format!("does not allow {mount}/data/7")),
        (8, format!("{mount}/data/8?version=1")),
    ] {
        let server = Starting::new();
        server.has_table(id);
        let error = server.start(settings(bao, &mount, &policy)).err().unwrap();
        assert!(error.to_string().contains(&words), "{error}");
        let given_up = Settings {
            accept_lost_keys: true,
            ..settings(bao, &mount, &policy)
        };
        server.start(given_up).unwrap();
    }
}

#[test]
fn without_the_check_a_server_starts_before_its_keys_are_there_and_takes_them_up() {
    let bao = Bao::shared();
    let sealed = Bao::start();
    let never_made = sealed.kv();
    sealed.put(&never_made, 1, KEY);
    let of_sealed = || settings(&sealed, &never_made, &reading(&never_made));
    let (with, without) = (of_sealed(), unchecked(of_sealed()));
    sealed.seal();
    let empty = bao.kv();
    let of_empty = || settings(bao, &empty, &reading(&empty));
    let nowhere = || {
        settings(
            bao,
            "nowhere",
            r#"path "nowhere/*" { capabilities = ["list", "read"] }"#,
        )
    };
    for (checked, unchecked, words) in [
        (with, without, "is sealed"),
        (of_empty(), unchecked(of_empty()), "there is no key"),
        (nowhere(), unchecked(nowhere()), "no secrets engine"),
    ] {
        let server = Starting::new();
        let error = server.start(checked).err().unwrap();
        assert!(error.to_string().contains(words), "{error}");
        let _plugin = server.start(unchecked).unwrap();
        assert_eq!(server.keys(), []);
        let told = "started without keys, as keyroll_check_kv_version = OFF says: ";
        assert_eq!(server.said(Severity::Warning, told), 1);
        assert_eq!(server.said(Severity::Warning, words), 1);
    }
    let server = Starting::new();
    let plugin = server.start(unchecked(of_empty())).unwrap();
    bao.put(&empty, 1, KEY);
    let mut source = plugin.change_source().unwrap();
    let changes = source
        .refresh(&plugin.published().ring, &Default::default())
        .unwrap();
    assert!(plugin.apply(&changes, &server).unwrap());
    assert_eq!(server.keys(), [(1, 1)]);
    assert!(MarkFile::read(server.data.path()).unwrap().is_there());
}

fn write_table_of(id: u32, data: &Path) {
    let mut page = vec![0; 16_384];
    page[54..58].copy_from_slice(&[0, 0, 0, 0x15]);
    page[10_428..][..8].copy_from_slice(b"s\x0e\x0cREt\x01\x10");
    page[10_456..][..4].copy_from_slice(&id.to_be_bytes());
    fs::create_dir_all(data.join("test")).unwrap();
    fs::write(data.join(format!("test/of_{id}.ibd")), page).unwrap();
}

fn write_table(data: &Path) {
    write_table_of(7, data);
}

fn write_mark(data: &Path) {
    let name = KeyName { id: 1, version: 1 };
    let mut keys = KeySet::default();
    keys.insert(name, DataKey::new(&[1; 16]).unwrap());
    let mut file = MarkFile::read(data).unwrap();
    file.change(|mark| mark.learn(keys.iter().map(|(name, key)| (name, key.bytes()))))
        .unwrap();
}

fn write_redo_log(data: &Path) {
    let mut header = vec![0; 4096];
    header[..4].copy_from_slice(&[0xF0, 0x9F, 0x97, 0x9D]);
    header[48..56].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    fs::write(data.join("ib_logfile0"), header).unwrap();
}

fn write_no_redo_log(data: &Path) {
    fs::create_dir(data.join("ib_logfile0")).unwrap();
}

fn write_aria_table(data: &Path) {
    let mut header = [0; 394];
    header[..8].copy_from_slice(&[0xFE, 0xFE, 9, 3, 0, 0, 1, 0x8A]);
    header[372..374].copy_from_slice(&[1, 20]);
    fs::create_dir(data.join("test")).unwrap();
    fs::write(data.join("test/a.MAI"), header).unwrap();
}

fn write_no_aria_table(data: &Path) {
    fs::create_dir_all(data.join("test/a.MAI")).unwrap();
}

/// What makes data that needs keys, and what is said of it.
type Case = (fn(&Path), &'static str);

#[test]
fn a_server_whose_data_needs_keys_does_not_start_without_them_whatever_is_checked() {
    let bao = Bao::shared();
    let mount = bao.kv();
    let cases: [Case; 6] = [
        (write_mark, "its mark knows key 1"),
        (write_table, "test/of_7.ibd is encrypted"),
        (write_redo_log, "its redo log is encrypted"),
        (write_aria_table, "test/a.MAI is encrypted"),
        (write_no_aria_table, "test/a.MAI cannot be read"),
        (write_no_redo_log, "its redo log cannot be read"),
    ];
    for (make, words) in cases {
        for accept_lost_keys in [false, true] {
            let server = Starting::new();
            make(server.data.path());
            let settings = Settings {
                accept_lost_keys,
                ..unchecked(settings(bao, &mount, &reading(&mount)))
            };
            let error = server.start(settings).err().unwrap();
            assert!(matches!(error, PluginError::DataNeedsKeys { .. }), "{error}");
            let text = error.to_string();
            assert!(text.starts_with("there is no key in Vault KV"), "{text}");
            assert!(text.ends_with(words), "{text}");
            assert!(error.hint().ends_with("reads no data"), "{}", error.hint());
        }
    }
    // With its keys it starts.
    let server = Starting::new();
    write_table(server.data.path());
    bao.put(&mount, 1, KEY);
    bao.put(&mount, 7, KEY);
    server
        .start(unchecked(settings(bao, &mount, &reading(&mount))))
        .unwrap();
    assert_eq!(server.keys(), [(1, 1), (7, 1)]);
}
