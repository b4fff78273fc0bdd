//! Key files to try things on, and the driver that does it in a process of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyroll::durable::SecretSource;
use keyroll::store::KeyStore;
use keyroll::store::key_file::{Digest, KeyFile, KeyFileConfig};
use tempfile::TempDir;

use test_support::programs::{self, Keys, plain_keys};

pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) const TEXT: &str = "\
# made for a test
1;00112233445566778899aabbccddeeff
1;3;ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100
2;a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7  # aria
";

/// A directory with a key file `keys` in it.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) filekey: &'static str,
}

impl Place {
    pub(crate) fn plain() -> Place {
        Place::of(TEXT.as_bytes(), "")
    }

    /// As `openssl enc` itself makes it.
    pub(crate) fn encrypted() -> Place {
        Place::encrypted_with(PASSWORD)
    }

    pub(crate) fn encrypted_with(password: &'static str) -> Place {
        let place = Place::plain();
        let plain = place.directory.path().join("plain");
        fs::rename(&place.path, &plain).unwrap();
        let made = Command::new("openssl")
            .args(["enc", "-aes-256-cbc", "-md", "sha1", "-pass"])
            .arg(format!("pass:{password}"))
            .arg("-in")
            .arg(&plain)
            .arg("-out")
            .arg(&place.path)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        fs::remove_file(plain).unwrap();
        Place {
            filekey: password,
            ..place
        }
        .with_mode(0o600)
    }

    pub(crate) fn of(text: &[u8], filekey: &'static str) -> Place {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        fs::write(&path, text).unwrap();
        Place {
            directory,
            path,
            filekey,
        }
        .with_mode(0o600)
    }

    pub(crate) fn with_mode(self, mode: u32) -> Place {
        fs::set_permissions(&self.path, Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(crate) fn store(&self) -> KeyFile {
        KeyFile::new(config(&self.path, self.filekey)).unwrap()
    }

    pub(crate) fn keys(&self) -> Keys {
        plain_keys(&self.store().load().unwrap().keys)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    /// The driver, to do something with this file.
    pub(crate) fn driver(&self, action: &[&str]) -> Vec<String> {
        let path = self.path.to_str().unwrap();
        let driver = driver();
        [driver.to_str().unwrap(), path, self.filekey, "30000"]
            .iter()
            .chain(action)
            .map(|word| (*word).to_owned())
            .collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        programs::names(self.directory.path())
    }

    pub(crate) fn assert_nothing_left_behind(&self) {
        assert_eq!(self.names(), ["keys"]);
    }
}

pub(crate) fn config(path: &Path, filekey: &str) -> KeyFileConfig {
    KeyFileConfig {
        path: path.into(),
        filekey: SecretSource::from_setting(filekey.as_bytes()),
        digest: Digest::Sha1,
        pbkdf2_rounds: 0,
        strict_permissions: false,
    }
}

/// The program that does it.
pub(crate) fn driver() -> PathBuf {
    programs::program("rotate_key_file")
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
