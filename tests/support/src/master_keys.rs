//! Master keys to try things on, each in a directory of its own.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use keyroll::master_key::file::MasterKeyFile;
use keyroll::master_key::{MasterKey, MasterKeyError, ProviderOptions, Wrapped, open};
use keyroll::notify::Notify;
use keyroll::secret::KeystoreKey;
use serde_json::json;
use tempfile::TempDir;

use crate::aws;
use crate::openbao::Bao;

pub const KEYSTORE: &str = "0190a5c3-1f2e-4d3c-8b4a-5f6e7d8c9b0a";
pub const OTHER_KEYSTORE: &str = "0190a5c3-1f2e-4d3c-8b4a-5f6e7d8c9b0b";

/// Long enough for a hundred commands at once on a busy machine.
pub const PATIENT: Duration = Duration::from_secs(120);

/// A master key at some provider, and what it is opened with.
pub struct Place {
    pub directory: TempDir,
    pub uri: String,
    pub options: ProviderOptions,
    told: Arc<Mutex<Vec<String>>>,
}

impl Place {
    pub fn empty() -> Place {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let lines = Arc::clone(&told);
        let mut options = ProviderOptions::new(PATIENT, BTreeMap::new());
        options.notify = Notify::new(move |line| lines.lock().unwrap().push(line.into()));
        Place {
            directory: tempfile::tempdir().unwrap(),
            uri: String::new(),
            options,
            told,
        }
    }

    /// A new master key file.
    pub fn file() -> Place {
        let mut place = Place::empty();
        let path = place.path("master");
        MasterKeyFile::create(&path, None).unwrap();
        place.uri = format!("file:{}", path.display());
        place
    }

    /// A credential with one random key.
    pub fn credential() -> Place {
        let key = KeystoreKey::random().unwrap();
        Place::credential_of(format!("{}\n", hex::encode(key.expose())).as_bytes())
    }

    pub fn credential_of(bytes: &[u8]) -> Place {
        let mut place = Place::empty();
        place.write("keyroll-master", bytes, 0o400);
        place.uri = "credential:keyroll-master".into();
        let directory = place.directory.path().to_owned();
        place.set("CREDENTIALS_DIRECTORY", &directory);
        place
    }

    /// The example command with one key.
    pub fn exec() -> Place {
        let mut place = Place::empty();
        let command = crate::root().join("examples/exec-provider-openssl.sh");
        // A copy, for a checkout may be writable for a group.
        let command = place.write("command", &fs::read(command).unwrap(), 0o755);
        let keys = place.path("keys");
        fs::create_dir(&keys).unwrap();
        place.uri = format!("exec:{}", command.display());
        place.set("KEYROLL_EXEC_KEYS", &keys);
        place.open().rotate().unwrap();
        place
    }

    /// A new KMS key, named by its id.
    pub fn aws_kms() -> Place {
        let (moto, mut place) = (aws::shared_moto(), Place::empty());
        place.uri = format!("aws-kms:{}", moto.create_key());
        for (name, value) in moto.environment() {
            place.set(&name, Path::new(&value));
        }
        place
    }

    /// An alias of a new KMS key.
    pub fn aws_kms_alias() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut place = Place::aws_kms();
        let alias = format!("alias/a{}", COUNT.fetch_add(1, Ordering::Relaxed));
        aws::shared_moto().point(&alias, place.uri.trim_start_matches("aws-kms:"));
        place.uri = format!("aws-kms:{alias}");
        place
    }

    /// Has the service make a new version, where others than keyroll do: an alias is pointed to a new KMS key.
    pub fn rotate_elsewhere(&self) {
        if let Some(alias) = self.uri.strip_prefix("aws-kms:") {
            let moto = aws::shared_moto();
            moto.point(alias, &moto.create_key());
        }
    }

    /// A new key of OpenBao's transit engine.
    pub fn vault_transit() -> Place {
        static MOUNT: OnceLock<String> = OnceLock::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let bao = Bao::shared();
        let mount = MOUNT.get_or_init(|| bao.mount(&json!({"type": "transit"})));
        let key = format!("k{}", COUNT.fetch_add(1, Ordering::Relaxed));
        bao.must("POST", &format!("{mount}/keys/{key}"), &json!({}));
        let mut place = Place::empty();
        place.uri = format!("vault-transit:{}", bao.url(&format!("{mount}/{key}")));
        place.set("VAULT_TOKEN", Path::new(&bao.root_token));
        place.set("VAULT_CACERT", &bao.path("ca.pem"));
        place
    }

    /// A command of this text.
    pub fn script(text: &str) -> Place {
        let mut place = Place::empty();
        let command = place.write("command", format!("#!/bin/sh\n{text}\n").as_bytes(), 0o755);
        place.uri = format!("exec:{}", command.display());
        let directory = place.directory.path().to_owned();
        place.set("KEYROLL_EXEC_DIRECTORY", &directory);
        place
    }

    pub fn with_timeout(mut self, request_timeout: Duration) -> Place {
        self.options.request_timeout = request_timeout;
        self
    }

    pub fn set(&mut self, name: &str, value: &Path) {
        self.options.environment.insert(name.into(), value.into());
    }

    pub fn open(&self) -> Box<dyn MasterKey> {
        open(&self.uri, &self.options).unwrap()
    }

    /// What the provider has told since the last call.
    pub fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8], mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

pub fn new_key() -> KeystoreKey {
    KeystoreKey::random().unwrap()
}

pub fn wrap(master: &dyn MasterKey) -> (KeystoreKey, Wrapped) {
    let key = new_key();
    let wrapped = master.wrap(&key, KEYSTORE).unwrap();
    (key, wrapped)
}

/// The error of a call that must fail.
pub fn refused<T>(result: Result<T, MasterKeyError>) -> MasterKeyError {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error,
    }
}
