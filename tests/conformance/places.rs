//! One of each kind of key store, with keys 1 and 2, and the program that works on it from another process.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use keyroll::durable::SecretSource;
use keyroll::keys::KeySpec;
use keyroll::master_key::ProviderOptions;
use keyroll::master_key::file::MasterKeyFile;
use keyroll::secret::DataKey;
use keyroll::store::KeyStore;
use keyroll::store::key_file::{Digest, KeyFile, KeyFileConfig, NewFileKey};
use keyroll::store::keystore::{KeystoreConfig, KeystoreFile, NewKey};
use serde_json::Value;
use tempfile::TempDir;

use test_support::openbao::Bao;
use test_support::programs::{self, Keys, plain_keys, set_mode};
use test_support::vault_kv;

const PATIENT: Duration = Duration::from_secs(60);

/// A key store, wherever it is.
pub(crate) trait Place {
    /// The store as a process that has just begun has it.
    fn store(&self) -> Box<dyn KeyStore>;

    /// What messages call it.
    fn description(&self) -> String;

    /// All that it holds, to see whether anything was written.
    fn bytes(&self) -> Vec<u8>;

    /// The names of what is there.
    fn names(&self) -> Vec<String>;

    /// The names before any change.
    fn untouched(&self) -> &[&str];

    /// The names after a change.
    fn kept(&self) -> &[&str];

    /// How many versions of a key there are more after a rotation that goes up by this step.
    fn written(&self, step: usize) -> usize;

    fn keys(&self) -> Keys {
        plain_keys(&self.store().load().unwrap().keys)
    }
}

/// A store that is the only file in its directory.
pub(crate) struct FilePlace {
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
    open: Box<dyn Fn() -> Box<dyn KeyStore> + Send + Sync>,
    /// The program that works on it, and what it is given behind the path: what opens the store.
    driver: &'static str,
    secret: String,
    /// What messages call such a file.
    pub(crate) kind: &'static str,
    kept: &'static [&'static str],
    /// What lies elsewhere.
    pub(crate) elsewhere: Option<TempDir>,
}

pub(crate) fn plain_key_file() -> FilePlace {
    key_file("")
}

pub(crate) fn encrypted_key_file() -> FilePlace {
    key_file("correct horse")
}

fn key_file(filekey: &'static str) -> FilePlace {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    let config = {
        let path = path.clone();
        move || KeyFileConfig {
            path: path.clone(),
            filekey: SecretSource::from_setting(filekey.as_bytes()),
            digest: Digest::Sha1,
            pbkdf2_rounds: 0,
            strict_permissions: false,
        }
    };
    let keys = [1, 2].map(|id| NewFileKey { id, bits: 256 });
    KeyFile::create(config(), &keys, None).unwrap();
    FilePlace {
        directory,
        path,
        open: Box::new(move || Box::new(KeyFile::new(config()).unwrap().with_lock_timeout(PATIENT))),
        driver: "rotate_key_file",
        secret: filekey.into(),
        kind: "key file",
        kept: &["keys"],
        elsewhere: None,
    }
}

pub(crate) fn keystore() -> FilePlace {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (path, master_key) = (directory.path().join("keys"), elsewhere.path().join("master"));
    MasterKeyFile::create(&master_key, None).unwrap();
    let uri = format!("file:{}", master_key.display());
    let open = {
        let (path, uri) = (path.clone(), uri.clone());
        move || {
            let options = ProviderOptions::new(PATIENT, BTreeMap::new());
            let config = KeystoreConfig {
                path: path.clone(),
                master_key: uri.clone(),
                options,
                strict_permissions: false,
            };
            KeystoreFile::new(config).unwrap().with_lock_timeout(PATIENT)
        }
    };
    let keys = [1, 2].map(|id| NewKey {
        id,
        spec: KeySpec::DEFAULT,
    });
    open().create(&keys, None).unwrap();
    FilePlace {
        directory,
        path,
        open: Box::new(move || Box::new(open())),
        driver: "change_keystore",
        secret: uri,
        kind: "keystore",
        kept: &["keys", "keys.previous"],
        elsewhere: Some(elsewhere),
    }
}

impl Place for FilePlace {
    fn store(&self) -> Box<dyn KeyStore> {
        (self.open)()
    }

    fn description(&self) -> String {
        format!("{} {}", self.kind, self.path.display())
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    fn names(&self) -> Vec<String> {
        programs::names(self.directory.path())
    }

    fn untouched(&self) -> &[&str] {
        &["keys"]
    }

    fn kept(&self) -> &[&str] {
        self.kept
    }

    fn written(&self, _: usize) -> usize {
        1
    }
}

impl FilePlace {
    /// The driver and its arguments, to do something with this store.
    pub(crate) fn driver(&self, action: &[&str]) -> Vec<String> {
        let program = programs::program(self.driver);
        [
            program.to_str().unwrap(),
            self.path.to_str().unwrap(),
            &self.secret,
            "60000",
        ]
        .iter()
        .chain(action)
        .map(|word| (*word).to_owned())
        .collect()
    }

    /// The driver with a copy of itself that everyone can reach, and this store's directory and file with these modes.
    pub(crate) fn reachable(&self, directory_mode: u32, file_mode: u32) -> (PathBuf, TempDir) {
        let tools = tempfile::tempdir().unwrap();
        let copy = tools.path().join(self.driver);
        // By another process: a descriptor of ours that writes to a program would be inherited by what other tests start
        // at this moment, and the program could not be run ("text file busy").
        let copied = Command::new("cp")
            .arg(programs::program(self.driver))
            .arg(&copy)
            .status();
        assert!(copied.unwrap().success());
        set_mode(tools.path(), 0o755);
        if let Some(elsewhere) = &self.elsewhere {
            set_mode(elsewhere.path(), 0o755);
        }
        set_mode(&self.path, file_mode);
        set_mode(self.directory.path(), directory_mode);
        (copy, tools)
    }

    /// What a shell script says to make the driver do something: `rotate`, `load`.
    pub(crate) fn functions_for_shell(&self) -> String {
        let words = |action: &[&str]| {
            let words: Vec<String> = self
                .driver(action)
                .iter()
                .map(|word| format!("'{word}'"))
                .collect();
            words.join(" ")
        };
        format!(
            "set -e; DIR={}; rotate() {{ {}; }}; load() {{ {}; }}; ",
            self.directory.path().display(),
            words(&["rotate", "all"]),
            words(&["load"])
        )
    }

    /// Lets the master key be read by the user without rights, as its owner.
    pub(crate) fn give_secret_to(&self, user: u32) {
        if let Some(elsewhere) = &self.elsewhere
            && nix::unistd::geteuid().is_root()
        {
            std::os::unix::fs::chown(elsewhere.path().join("master"), Some(user), Some(user)).unwrap();
        }
    }
}

/// A mount of the real OpenBao that all these tests share.
pub(crate) struct VaultPlace {
    mount: String,
}

pub(crate) fn vault_kv() -> VaultPlace {
    let bao = Bao::shared();
    let mount = bao.kv();
    for id in [1, 2] {
        vault_kv::keep_versions(bao, &mount, id, 1000);
        bao.put(
            &mount,
            id,
            &hex::encode(DataKey::random(32).unwrap().unwrap().expose()),
        );
    }
    VaultPlace { mount }
}

impl Place for VaultPlace {
    fn store(&self) -> Box<dyn KeyStore> {
        Box::new(vault_kv::store(Bao::shared(), &self.mount))
    }

    fn description(&self) -> String {
        format!("Vault KV {} at 127.0.0.1:{}", self.mount, Bao::shared().port)
    }

    fn bytes(&self) -> Vec<u8> {
        let metadata = [1, 2].map(|id| {
            let path = format!("{}/metadata/{id}", self.mount);
            Bao::shared().must("GET", &path, &Value::Null)["data"].to_string()
        });
        format!("{metadata:?} {:?}", self.keys()).into()
    }

    fn names(&self) -> Vec<String> {
        let listed = Bao::shared().must("GET", &format!("{}/metadata?list=true", self.mount), &Value::Null);
        let names = listed["data"]["keys"].as_array().unwrap().iter();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    fn untouched(&self) -> &[&str] {
        &["1", "2"]
    }

    fn kept(&self) -> &[&str] {
        &["1", "2"]
    }

    /// Vault counts versions by itself: those between are written, too.
    fn written(&self, step: usize) -> usize {
        step
    }
}
