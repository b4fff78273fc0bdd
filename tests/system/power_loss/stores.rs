//! What stands in a folder after a power cut, as the library itself reads it, and how life goes on there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use keyroll::crypto::Algorithm;
use keyroll::durable::SecretSource;
use keyroll::durable::replace::{Previous, Replacement, leftovers, previous_path, replace};
use keyroll::durable::{FileError, FileKind, lock, read};
use keyroll::keys::{Fingerprint, KeyName, KeySet, NewVersions, Ring};
use keyroll::master_key::{self, MasterKey, ProviderOptions, key_list::KeyList};
use keyroll::secret::DataKey;
use keyroll::store::key_file::{Digest, KeyFile, KeyFileConfig};
use keyroll::store::keystore::{KeystoreConfig, KeystoreFile};
use keyroll::store::mark::MarkFile;
use keyroll::store::{KeyStore, Rotate};

/// What is looked at, and what opens it; paths are below the folder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Store {
    /// A keystore, and the master key files of which one opens it: the first that does is meant.
    Keystore(&'static [&'static str]),
    /// A key file, with the file that holds its password.
    KeyFile(Option<&'static str>),
    /// A master key file by itself.
    MasterKeyFile,
    /// The mark of a data directory.
    Mark,
    /// A file that is as a whole or is not.
    Whole,
}

/// What was read: the versions by name (of a [`Store::Whole`], the text), which master key opened it, and how many times it had
/// been written. Nothing is no file.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    pub(crate) versions: BTreeMap<String, Vec<u8>>,
    pub(crate) opened_by: &'static str,
    pub(crate) generation: u64,
}

impl Found {
    pub(crate) fn is_absent(&self) -> bool {
        *self == Found::default()
    }
}

static KIND: FileKind = FileKind {
    name: "test file",
    size_limit: 1 << 20,
    when_too_large: "",
    replace_as_root: None,
    when_not_put_back: "",
};

impl Store {
    /// Reads the file; an error is why it cannot be opened.
    pub(crate) fn find(self, root: &Path, file: &str) -> Result<Found, String> {
        let path = root.join(file);
        if !path.exists() {
            return Ok(Found::default());
        }
        match self {
            Store::Keystore(masters) => {
                let mut last = String::new();
                for master in masters {
                    let store = keystore(root, file, master)?;
                    match store.load() {
                        Ok(loaded) => {
                            let generation = store.document().map_err(in_words)?.generation;
                            return Ok(Found {
                                opened_by: master,
                                generation,
                                ..found(&loaded.keys)
                            });
                        }
                        Err(error) => last = in_words(error),
                    }
                }
                Err(last)
            }
            Store::KeyFile(password) => {
                let loaded = key_file(root, file, password).load().map_err(in_words)?;
                Ok(found(&loaded.keys))
            }
            Store::MasterKeyFile => {
                let text = fs::read(&path).map_err(in_words)?;
                KeyList::parse(&text).map_err(in_words)?;
                master_key_file(root, file).map(|_| ())?;
                let text = String::from_utf8(text).map_err(in_words)?;
                let line = |line: &str| {
                    line.split_once(';')
                        .map(|(version, key)| (version.into(), key.into()))
                };
                let versions = text
                    .lines()
                    .filter(|line| !line.starts_with('#'))
                    .filter_map(line);
                Ok(Found {
                    versions: versions.collect(),
                    ..Found::default()
                })
            }
            Store::Mark => {
                let file = MarkFile::read(path.parent().unwrap()).map_err(in_words)?;
                let version = |(name, fingerprint): (KeyName, Fingerprint)| {
                    (
                        format!("{};{}", name.id, name.version),
                        fingerprint.to_string().into_bytes(),
                    )
                };
                Ok(Found {
                    versions: file.mark().versions().map(version).collect(),
                    ..Found::default()
                })
            }
            Store::Whole => Ok(Found {
                versions: BTreeMap::from([("text".into(), fs::read(&path).map_err(in_words)?)]),
                ..Found::default()
            }),
        }
    }

    /// Whether nothing of `wanted` is missing in what was found; once the user was told, it must be the file itself that he knows of.
    pub(crate) fn keeps(self, wanted: &Found, found: &Found, told: bool) -> bool {
        let same_file = (wanted.opened_by, wanted.generation) == (found.opened_by, found.generation);
        if matches!(self, Store::Whole) && !told {
            return wanted.is_absent() || !found.is_absent();
        }
        let has = |(name, key)| found.versions.get(name) == Some(key);
        wanted.versions.iter().all(has) && (same_file || !told)
    }

    /// Makes the next change of a file that is there, and reads it again.
    pub(crate) fn go_on(self, root: &Path, file: &str) -> Result<Found, String> {
        match self {
            Store::Keystore(masters) => {
                let opens = self.find(root, file)?.opened_by;
                let store = keystore(root, file, opens)?;
                let rotated = store
                    .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, None)
                    .map_err(in_words)?;
                assert_eq!(rotated.new.len(), 1);
                // What lies beside a master key file goes with the next change of that.
                let is_left = |master: &&&str| !leftovers(&root.join(master)).is_empty();
                for master in masters.iter().filter(is_left) {
                    match *master == opens {
                        true => store.rotate_master_key(None).map(|_| ()).map_err(in_words)?,
                        false => master_key_file(root, master)?.rotate().map_err(in_words)?,
                    }
                }
            }
            Store::KeyFile(password) => {
                let store = key_file(root, file, password);
                store
                    .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
                    .map_err(in_words)?;
            }
            Store::MasterKeyFile => master_key_file(root, file)?.rotate().map_err(in_words)?,
            Store::Mark => {
                let mut mark = MarkFile::read(root.join(file).parent().unwrap()).map_err(in_words)?;
                let mut keys = KeySet::default();
                keys.insert(KeyName { id: 1, version: 99 }, DataKey::new(&[99; 32]).unwrap());
                let ring = Ring::new(&keys, Algorithm::AesCbc).map_err(in_words)?;
                mark.change(|mark| mark.learn(ring.each_key()))
                    .map_err(in_words)?;
            }
            Store::Whole => replace_text(&root.join(file), "next").map_err(in_words)?,
        }
        self.find(root, file)
    }

    /// What is kept of the file as it was, if anything is: it must be readable, too.
    pub(crate) fn find_previous(self, root: &Path, file: &str) -> Result<Found, String> {
        let previous = previous_path(Path::new(file));
        self.find(root, previous.to_str().unwrap())
            .map_err(|error| format!("the kept copy: {error}"))
    }
}

fn in_words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn found(keys: &KeySet) -> Found {
    let version = |(name, key): (KeyName, &DataKey)| {
        let algorithm = format!("{:?}", keys.algorithm(name));
        (
            format!("{};{}", name.id, name.version),
            [key.expose(), algorithm.as_bytes()].concat(),
        )
    };
    Found {
        versions: keys.iter().map(version).collect(),
        ..Found::default()
    }
}

fn options() -> ProviderOptions {
    ProviderOptions::of_this_process(Duration::from_secs(5))
}

pub(crate) fn keystore(root: &Path, file: &str, master: &str) -> Result<KeystoreFile, String> {
    let config = KeystoreConfig {
        path: root.join(file),
        master_key: format!("file:{}", root.join(master).display()),
        options: options(),
        strict_permissions: false,
    };
    KeystoreFile::new(config).map_err(in_words)
}

fn master_key_file(root: &Path, file: &str) -> Result<Box<dyn MasterKey>, String> {
    let uri = format!("file:{}", root.join(file).display());
    master_key::open(&uri, &options()).map_err(in_words)
}

pub(crate) fn key_file_config(root: &Path, file: &str, password: Option<&str>) -> KeyFileConfig {
    let filekey = password.map(|password| format!("FILE:{}", root.join(password).display()));
    KeyFileConfig {
        path: root.join(file),
        filekey: SecretSource::from_setting(filekey.unwrap_or_default().as_bytes()),
        digest: Digest::Sha1,
        pbkdf2_rounds: 0,
        strict_permissions: false,
    }
}

fn key_file(root: &Path, file: &str, password: Option<&str>) -> KeyFile {
    KeyFile::new(key_file_config(root, file, password)).unwrap()
}

/// As whatever keeps the file before it is replaced.
fn replace_text(path: &Path, text: &str) -> Result<(), FileError> {
    let path = read::resolve(path)?;
    let file = lock::exclusive(&path, &KIND, lock::TIMEOUT)?;
    let old = read::whole(&file, &path, &KIND)?;
    let replacement = Replacement {
        path: &path,
        kind: &KIND,
        locked: &file,
        old: old.expose(),
        new: text.as_bytes(),
        previous: Previous::Keep,
    };
    replace(&replacement, || Ok::<(), FileError>(())).map(drop)
}
