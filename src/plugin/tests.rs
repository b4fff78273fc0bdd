//! The plugin on a real key file in a temporary directory, in a server that only records.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::crypto::{Algorithm, CipherError, Direction, Message, Padding, PageCipher};
use crate::keys::KeyName;
use crate::secret::SecretBytes;
use crate::settings::{HIDDEN, SettingsError};

/// A server that runs a statement that makes a table, and has no data yet.
pub(super) struct Recorder {
    pub(super) lines: Mutex<Vec<(Severity, String)>>,
    pub(super) published: Mutex<Vec<Published>>,
    /// How often re-encryption was requested.
    pub(super) reencryptions: AtomicUsize,
    pub(super) data: Option<tempfile::TempDir>,
    /// The data directory, where it is not `data`.
    pub(super) data_elsewhere: Option<PathBuf>,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder {
            lines: Mutex::default(),
            published: Mutex::default(),
            reencryptions: AtomicUsize::new(0),
            data: Some(tempfile::tempdir().unwrap()),
            data_elsewhere: None,
        }
    }
}

impl Server for Recorder {
    fn log(&self, level: Severity, text: &str) {
        self.lines.lock().unwrap().push((level, text.into()));
    }
    fn publish(&self, now: &Published) {
        self.published.lock().unwrap().push(now.clone());
    }
    fn wake_encryption_threads(&self) -> Wake {
        Wake::NotPossible
    }
    fn request_reencryption(&self) {
        self.reencryptions.fetch_add(1, Ordering::SeqCst);
    }
    fn is_up(&self) -> bool {
        true
    }
    fn data_directory(&self) -> Option<PathBuf> {
        let own = self.data.as_ref().map(|dir| dir.path().into());
        self.data_elsewhere.clone().or(own)
    }
}

impl Recorder {
    pub(super) fn latest(&self, id: u32) -> Option<u32> {
        self.published
            .lock()
            .unwrap()
            .last()
            .and_then(|p| p.ring.latest(id))
    }
    pub(super) fn logged(&self, level: Severity, words: &str) -> bool {
        self.lines
            .lock()
            .unwrap()
            .iter()
            .any(|(l, text)| *l == level && text.contains(words))
    }
}

const PLAIN: &str = "1;00112233445566778899aabbccddeeff\n2;ffeeddccbbaa99887766554433221100\n";

pub(super) fn settings(path: &Path) -> Settings {
    Settings {
        filename: path.to_str().unwrap().into(),
        encryption_algorithm: 1,
        ..Settings::default()
    }
}

struct Started {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    server: Recorder,
    status: Status,
    plugin: Plugin,
}

fn started(content: &str) -> Started {
    started_with(content, Algorithm::AesCtr).unwrap()
}

fn started_with(content: &str, algorithm: Algorithm) -> Result<Started, PluginError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    fs::write(&path, content).unwrap();
    let server = Recorder::default();
    let mut settings = settings(&path);
    settings.encryption_algorithm = Algorithm::ALL.iter().position(|a| *a == algorithm).unwrap();
    let plugin = Plugin::start(settings, &server)?;
    Ok(Started {
        _dir: dir,
        path,
        server,
        status: Status::default(),
        plugin,
    })
}

/// Keys that are long enough for aes_256_xts.
const LONG: &str = "1;00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n\
                    2;ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100\n";

#[test]
fn aes_256_xts_refuses_to_start_with_a_short_key_and_names_it() {
    for (digits, bits) in [(32, 128), (48, 192)] {
        let content = format!("{LONG}2;3;{}\n", "ab".repeat(digits / 2));
        let error = started_with(&content, Algorithm::Aes256Xts).err().unwrap();
        assert_eq!(
            error.to_string(),
            format!("version 3 of key 2 has {bits} bits, but aes_256_xts needs data keys of 256 bits")
        );
        assert!(error.hint().contains("64 hex digits"), "{}", error.hint());
        assert!(started_with(&content, Algorithm::AesCbc).is_ok());
    }
}

#[test]
fn aes_256_xts_refuses_a_short_key_that_came_later_and_changes_nothing() {
    let s = started_with(LONG, Algorithm::Aes256Xts).unwrap();
    s.plugin
        .rotate_keys(-1, NewVersions::DEFAULT, &s.server, &s.status)
        .unwrap();
    assert_eq!((s.server.latest(1), s.server.latest(2)), (Some(3), Some(3)));

    let content = fs::read_to_string(&s.path).unwrap() + "3;ffeeddccbbaa99887766554433221100\n";
    fs::write(&s.path, &content).unwrap();
    for refused in [
        s.plugin.reload(&s.server, &s.status),
        s.plugin
            .rotate_keys(1, NewVersions::DEFAULT, &s.server, &s.status),
        s.plugin
            .rotate_keys(-1, NewVersions::DEFAULT, &s.server, &s.status),
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.starts_with("version 1 of key 3 has 128 bits"), "{error}");
    }
    assert_eq!(fs::read_to_string(&s.path).unwrap(), content);
    assert_eq!((s.server.latest(1), s.server.latest(3)), (Some(3), None));
    assert_eq!((s.status.key_rotations.get(), s.status.reloads.get()), (1, 0));
}

#[test]
fn aes_256_xts_encrypts_under_the_named_data_key_and_under_no_unknown_one() {
    let s = started_with(LONG, Algorithm::Aes256Xts).unwrap();
    s.plugin
        .rotate_keys(1, NewVersions::DEFAULT, &s.server, &s.status)
        .unwrap();
    let keys = s.server.published.lock().unwrap().last().cloned().unwrap();
    let encrypt = |id, version| {
        let name = KeyName { id, version };
        let mut cipher = PageCipher::new(&Message {
            cipher: keys
                .ring
                .message_cipher(name)
                .ok_or(CipherError::NoDataKey)?
                .cipher,
            padding: Padding::None,
            direction: Direction::Encrypt,
            key: &[1; 16],
            iv: &[2; 16],
        })?;
        let mut data = [3; 32];
        cipher.update_in_place(&mut data)?;
        Ok(data)
    };
    let [first, rotated, other] = [(1, 1), (1, 3), (2, 1)].map(|(id, version)| encrypt(id, version).unwrap());
    assert!(first != rotated && first != other && rotated != other);
    assert_eq!(encrypt(1, 1), Ok(first));
    for (id, version) in [(1, 2), (1, 4), (3, 1), (0, 0), (1, u32::MAX)] {
        assert_eq!(
            encrypt(id, version),
            Err(CipherError::NoDataKey),
            "{id} {version}"
        );
    }
}

#[test]
fn a_start_publishes_all_keys_and_logs_how_many() {
    let s = started(PLAIN);
    assert_eq!(
        (s.server.latest(1), s.server.latest(2), s.server.latest(3)),
        (Some(1), Some(1), None)
    );
    assert!(s.server.logged(Severity::Note, "loaded 2 keys in 2 versions"));
    assert!(s.server.logged(Severity::Note, "encrypting with aes_ctr"));
}

#[test]
fn a_start_in_a_running_server_warns_of_its_next_crash() {
    let s = started(PLAIN);
    assert!(s.server.logged(Severity::Warning, "plugin_load_add = keyroll"));
}

#[test]
fn a_rotation_publishes_a_version_that_is_in_the_file() {
    let s = started(PLAIN);
    s.plugin
        .rotate_keys(1, NewVersions::DEFAULT, &s.server, &s.status)
        .unwrap();
    assert_eq!((s.server.latest(1), s.server.latest(2)), (Some(3), Some(1)));
    assert!(fs::read_to_string(&s.path).unwrap().contains("\n1;3;"));
    s.plugin
        .rotate_keys(
            -1,
            NewVersions {
                step: VersionStep::new(5).unwrap(),
                ..NewVersions::DEFAULT
            },
            &s.server,
            &s.status,
        )
        .unwrap();
    assert_eq!((s.server.latest(1), s.server.latest(2)), (Some(8), Some(6)));
    assert_eq!(s.status.key_rotations.get(), 2);
    assert!(s.server.logged(Severity::Note, "rotated key 2: version 6"));
}

#[test]
fn a_rotation_of_what_is_no_key_id_changes_nothing() {
    let s = started(PLAIN);
    for request in [0, -2, 3, i64::MAX, i64::MIN, 1 << 32] {
        s.plugin
            .rotate_keys(request, NewVersions::DEFAULT, &s.server, &s.status)
            .unwrap_err();
    }
    assert_eq!(fs::read_to_string(&s.path).unwrap(), PLAIN);
    assert_eq!(s.server.published.lock().unwrap().len(), 1);
    assert_eq!(s.status.key_rotations.get(), 0);
}

#[test]
fn a_reload_takes_up_added_versions_and_refuses_lost_or_changed_ones() {
    let s = started(PLAIN);
    fs::write(&s.path, format!("{PLAIN}1;7;00000000000000000000000000000000\n")).unwrap();
    s.plugin.reload(&s.server, &s.status).unwrap();
    assert_eq!(s.server.latest(1), Some(7));
    assert!(
        s.server
            .logged(Severity::Note, "reloaded 2 keys in 3 versions, 1 of them new")
    );

    fs::write(&s.path, PLAIN).unwrap();
    let error = s.plugin.reload(&s.server, &s.status).unwrap_err();
    assert!(error.to_string().contains("version 7 of key 1"), "{error}");

    fs::write(&s.path, format!("{PLAIN}1;7;00000000000000000000000000000001\n")).unwrap();
    let error = s.plugin.reload(&s.server, &s.status).unwrap_err();
    assert!(error.to_string().contains("other bytes"), "{error}");
    assert_eq!((s.server.latest(1), s.status.reloads.get()), (Some(7), 1));
}

#[test]
fn a_start_with_a_hidden_password_says_what_to_do() {
    let mut with_hidden = settings(Path::new("/nowhere"));
    with_hidden.filekey = SecretBytes::new(HIDDEN.into());
    let error = Plugin::start(with_hidden, &Recorder::default())
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(
        error,
        PluginError::Settings(SettingsError::SecretHidden { .. })
    ));
    assert!(error.hint().contains("FILE:path"));
}

#[test]
fn the_log_says_when_a_rotation_will_re_encrypt_nothing() {
    let server = Recorder::default();
    log::woken(
        &server,
        Wake::Done {
            threads: 0,
            rotate_key_age: 1,
        },
        VersionStep::DEFAULT,
    );
    log::woken(
        &server,
        Wake::Done {
            threads: 4,
            rotate_key_age: 2,
        },
        VersionStep::DEFAULT,
    );
    log::woken(
        &server,
        Wake::Done {
            threads: 4,
            rotate_key_age: 0,
        },
        VersionStep::DEFAULT,
    );
    log::woken(&server, Wake::NotPossible, VersionStep::DEFAULT);
    assert_eq!(server.lines.lock().unwrap().len(), 4);
    log::woken(
        &server,
        Wake::Done {
            threads: 4,
            rotate_key_age: 1,
        },
        VersionStep::DEFAULT,
    );
    assert_eq!(server.lines.lock().unwrap().len(), 4);
}
