//! Keystores and key files under real programs, whose system calls strace makes fail or hang. Debian: `apt-get install strace`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use keyroll::keys::KeySpec;
use keyroll::master_key::ProviderOptions;
use keyroll::master_key::file::MasterKeyFile;
use keyroll::store::KeyStore;
use keyroll::store::key_file::{Digest, KeyFile, KeyFileConfig, NewFileKey};
use keyroll::store::keystore::{KeystoreConfig, KeystoreFile, NewKey};
use tempfile::TempDir;

use test_support::programs::{self, plain_keys};

/// A store in one folder, and its master key, if it has one, in another.
pub(crate) struct Traced {
    pub(crate) folder: TempDir,
    pub(crate) apart: TempDir,
    pub(crate) path: PathBuf,
    /// What the command is told the store by.
    pub(crate) arguments: Vec<String>,
    open: fn(&Traced, Duration) -> Box<dyn KeyStore>,
}

impl Traced {
    pub(crate) fn keystore() -> Traced {
        let (folder, apart) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (path, master) = (folder.path().join("keystore"), apart.path().join("master"));
        MasterKeyFile::create(&master, None).unwrap();
        let uri = format!("file:{}", master.display());
        let arguments = ["--keystore", path.to_str().unwrap(), "--master-key", &uri];
        let traced = Traced {
            arguments: arguments.map(str::to_owned).to_vec(),
            folder,
            apart,
            path,
            open: |traced, timeout| Box::new(traced.envelope(timeout)),
        };
        let spec = KeySpec::DEFAULT;
        let keys = [1, 2].map(|id| NewKey { id, spec });
        traced
            .envelope(Duration::from_secs(60))
            .create(&keys, None)
            .unwrap();
        traced
    }

    pub(crate) fn key_file() -> Traced {
        let (folder, apart) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = folder.path().join("keystore");
        let traced = Traced {
            arguments: vec!["--filename".into(), path.to_str().unwrap().into()],
            folder,
            apart,
            path,
            open: |traced, timeout| {
                let store = KeyFile::new(traced.key_file_config()).unwrap();
                Box::new(store.with_lock_timeout(timeout))
            },
        };
        let keys = [1, 2].map(|id| NewFileKey { id, bits: 256 });
        KeyFile::create(traced.key_file_config(), &keys, None).unwrap();
        traced
    }

    fn envelope(&self, timeout: Duration) -> KeystoreFile {
        let options = ProviderOptions::new(Duration::from_secs(60), BTreeMap::new());
        KeystoreFile::new(KeystoreConfig {
            path: self.path.clone(),
            master_key: self.arguments[3].clone(),
            options,
            strict_permissions: false,
        })
        .unwrap()
        .with_lock_timeout(timeout)
    }

    fn key_file_config(&self) -> KeyFileConfig {
        KeyFileConfig {
            path: self.path.clone(),
            filekey: None,
            digest: Digest::Sha1,
            pbkdf2_rounds: 0,
            strict_permissions: false,
        }
    }

    /// The store as a server has it that has just begun, which waits this long for the lock.
    pub(crate) fn store(&self, timeout: Duration) -> Box<dyn KeyStore> {
        (self.open)(self, timeout)
    }

    pub(crate) fn keys(&self) -> programs::Keys {
        plain_keys(&self.store(Duration::from_secs(60)).load().unwrap().keys)
    }

    /// The command on this store.
    pub(crate) fn keyroll(&self, action: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
        command
            .args(action)
            .arg("--no-defaults")
            .args(&self.arguments)
            .env_remove("KEYROLL_FILEKEY");
        command
    }

    /// The same under strace, with these faults; standard error is its own.
    pub(crate) fn under(&self, faults: &[&str], action: &[&str]) -> Output {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null"]);
        for fault in faults {
            strace.args(["-e", &format!("inject={fault}")]);
        }
        let command = self.keyroll(action);
        strace
            .arg("--")
            .arg(command.get_program())
            .args(command.get_args())
            .env_remove("KEYROLL_FILEKEY")
            .output()
            .unwrap()
    }

    /// The calls of these names that the command makes, as strace writes them.
    pub(crate) fn calls(&self, names: &str, action: &[&str]) -> Vec<String> {
        let log = tempfile::NamedTempFile::new().unwrap();
        let command = self.keyroll(action);
        let status = Command::new("strace")
            .args([
                "-f",
                "-y",
                "-e",
                "signal=none",
                "-e",
                &format!("trace={names}"),
                "-o",
            ])
            .arg(log.path())
            .arg("--")
            .arg(command.get_program())
            .args(command.get_args())
            .env_remove("KEYROLL_FILEKEY")
            .output()
            .unwrap()
            .status;
        assert!(status.success());
        fs::read_to_string(log.path())
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}
