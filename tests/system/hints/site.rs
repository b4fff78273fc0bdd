//! A folder with stores to make faults in, under a name that a shell would split, and a user's shell there.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use keyroll::crypto::Algorithm;
use keyroll::durable::SecretSource;
use keyroll::keys::{KeySet, KeySpec, NewVersions, Ring};
use keyroll::master_key::ProviderOptions;
use keyroll::master_key::file::MasterKeyFile;
use keyroll::store::key_file::{Digest, KeyFile, KeyFileConfig};
use keyroll::store::keystore::{KeystoreConfig, KeystoreFile, NewKey};
use keyroll::store::mark::StoreSeen;
use keyroll::store::{KeyStore, MarkFile, Rotate};
use tempfile::TempDir;

pub(crate) const ONE: &str = "1;00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";
pub(crate) const TWO: &str = "2;ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100\n";

/// A lock that someone holds is not waited for long.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_millis(100);

pub(crate) struct Site {
    folder: TempDir,
    root: PathBuf,
}

/// All versions by id and version, with their bytes.
pub(crate) type Keys = BTreeMap<(u32, u32), Vec<u8>>;

pub(crate) fn plain(keys: &KeySet) -> Keys {
    let bytes = |(name, key): (keyroll::keys::KeyName, &keyroll::secret::DataKey)| {
        ((name.id, name.version), key.expose().to_vec())
    };
    keys.iter().map(bytes).collect()
}

pub(crate) fn keys_of(store: &dyn KeyStore) -> Keys {
    plain(&store.load().unwrap().keys)
}

pub(crate) fn rotate_all(store: &dyn KeyStore) -> Keys {
    plain(
        &store
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
            .unwrap()
            .keys,
    )
}

impl Site {
    pub(crate) fn new() -> Site {
        let folder = TempDir::new().unwrap();
        let root = folder.path().canonicalize().unwrap().join("the server's keys");
        for name in ["", "store", "apart", "data"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        Site { folder, root }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The path as one word of a shell.
    pub(crate) fn word(&self, name: &str) -> String {
        format!("'{}'", self.path(name).to_str().unwrap().replace('\'', r"'\''"))
    }

    pub(crate) fn uri_word(&self, name: &str) -> String {
        format!("file:{}", self.word(name))
    }

    /// Writes a file of mode 0600.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        set_mode(&self.path(name), 0o600);
    }

    /// The option file that the command finds, as the server does.
    pub(crate) fn my_cnf(&self, lines: &[String]) {
        self.write(
            "my.cnf",
            &format!("[mysqld]\nplugin_load_add=keyroll\n{}\n", lines.join("\n")),
        );
    }

    pub(crate) fn option(&self, name: &str, path: &str) -> String {
        format!("{name} = \"{}\"", self.path(path).display())
    }

    /// What a user's shell makes of the command.
    pub(crate) fn shell(&self, command: &str) -> Output {
        let bin = Path::new(env!("CARGO_BIN_EXE_keyroll")).parent().unwrap();
        Command::new("sh")
            .args(["-c", command])
            .current_dir(&self.root)
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()))
            .env("MARIADB_HOME", &self.root)
            .env("CREDENTIALS_DIRECTORY", self.path("apart"))
            .env_remove("KEYROLL_FILEKEY")
            .output()
            .unwrap()
    }

    /// What the command says to a user who may read these files and not write in this folder: root gives its rights up, a normal
    /// user has none.
    pub(crate) fn refused_without_rights(&self, folder: &str, files: &[&str], arguments: &str) -> String {
        let user = if nix::unistd::geteuid().is_root() {
            set_mode(self.folder.path(), 0o755);
            for path in ["", "store", "apart"] {
                set_mode(&self.path(path), 0o755);
            }
            for file in files {
                chown(self.path(file), Some(65534), Some(65534)).unwrap();
            }
            "setpriv --reuid=65534 --regid=65534 --clear-groups"
        } else {
            set_mode(&self.path(folder), 0o555);
            ""
        };
        let program = self.path("program");
        fs::copy(env!("CARGO_BIN_EXE_keyroll"), &program).unwrap();
        set_mode(&program, 0o755);
        let output = self.shell(&format!(
            "exec {user} {} {arguments} --no-defaults",
            self.word("program")
        ));
        set_mode(&self.path(folder), 0o755);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub(crate) fn key_file_config(&self, name: &str, filekey: &str) -> KeyFileConfig {
        KeyFileConfig {
            path: self.path(name),
            filekey: SecretSource::from_setting(filekey.as_bytes()),
            digest: Digest::Sha1,
            pbkdf2_rounds: 0,
            strict_permissions: false,
        }
    }

    pub(crate) fn key_file(&self) -> KeyFile {
        KeyFile::new(self.key_file_config("store/keys", ""))
            .unwrap()
            .with_lock_timeout(LOCK_TIMEOUT)
    }

    /// Makes a master key file and a keystore under it, with keys 1 and 2 that were rotated once.
    pub(crate) fn make_keystore(&self) -> Keys {
        MasterKeyFile::create(&self.path("apart/master"), None).unwrap();
        let spec = KeySpec::DEFAULT;
        self.keystore()
            .create(&[1, 2].map(|id| NewKey { id, spec }), None)
            .unwrap();
        self.my_cnf(&[
            self.option("keyroll_keystore", "store/keystore"),
            format!(
                "keyroll_master_key = \"file:{}\"",
                self.path("apart/master").display()
            ),
            self.option("datadir", "data"),
        ]);
        rotate_all(&self.keystore())
    }

    /// The keystore as a process that has just begun has it.
    pub(crate) fn keystore(&self) -> KeystoreFile {
        self.keystore_at("store/keystore", "apart/master")
    }

    pub(crate) fn keystore_at(&self, name: &str, master: &str) -> KeystoreFile {
        let config = self.keystore_config(name, master);
        KeystoreFile::new(config).unwrap().with_lock_timeout(LOCK_TIMEOUT)
    }

    pub(crate) fn keystore_config(&self, name: &str, master: &str) -> KeystoreConfig {
        let options = ProviderOptions::of_this_process(Duration::from_secs(10));
        let uri = format!("file:{}", self.path(master).display());
        KeystoreConfig {
            path: self.path(name),
            master_key: uri,
            options,
            strict_permissions: false,
        }
    }

    /// The mark of a server that works with this store.
    pub(crate) fn write_mark(&self, store: &dyn KeyStore) {
        let keys = store.load().unwrap().keys;
        let mut file = MarkFile::read(&self.path("data")).unwrap();
        file.change(|mark| {
            mark.learn(keys.iter().map(|(name, key)| (name, key.bytes())));
            mark.store = StoreSeen::of(store);
        })
        .unwrap();
    }
}

pub(crate) fn ring(keys: &KeySet) -> Ring {
    Ring::new(keys, Algorithm::AesCbc).unwrap()
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
