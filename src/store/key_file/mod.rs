//! The key file: data keys as lines of text, plain or encrypted with a password. The format is that
//! of the server's own file_key_management, with versions.

pub(crate) mod config;
mod encrypted;
pub mod format;

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

pub use config::{Digest, KeyFileConfig};
pub(super) use encrypted::is_encrypted;

use self::format::KeyText;
use super::error::{StoreError, Warning};
use super::new_keys::{named_twice, next_names, not_an_id, random_key};
use super::{KeyStore, KeysAdded, Loaded, Rotate};
use crate::durable::replace::{Previous, Replacement};
use crate::durable::secret_source::{NoSecret, SecretKind};
use crate::durable::{FileError, FileKind, SecretSource, lock, read, replace};
use crate::keys::set::{Inserted, KeyName, KeySet};
use crate::keys::{NewVersions, Ring};
use crate::secret::SecretBytes;

/// The largest key file, in bytes, encrypted or not: it has room for the versions of the largest
/// keystore. (file_key_management reads 1 MiB.)
pub const FILE_SIZE_LIMIT: u64 = 32 * 1024 * 1024;

/// The password of a key file, as file_key_management reads it from a file.
static PASSWORD: SecretKind = SecretKind {
    limit: 256,
    may_be_pipe: true,
    trim: without_line_ends,
};

/// What a key file is to those who look after it.
static KIND: FileKind = FileKind {
    name: "key file",
    size_limit: FILE_SIZE_LIMIT,
    when_too_large: "it has room for some 400,000 versions, and none is ever removed: rotate single keys and not all",
    replace_as_root: Some(
        "run `keyroll rotate --key ID` as root, then `SET GLOBAL ‹reload_keys› = 1` takes the new version up",
    ),
    when_not_put_back: "the unused new version, which does no harm as no data uses it",
};

const HEADER: &str = "\
# Data keys of MariaDB Server, made by keyroll. A line is id;key or id;version;key.
# Never remove a line: data may need it for ever. Keep a copy in a safe place.
";

/// A key that [`KeyFile::create`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFileKey {
    /// The key id, 1..=2^32-1.
    pub id: u32,
    /// The key's length in bits: 128, 192 or 256.
    pub bits: u32,
}

/// A key file as a key store.
#[derive(Debug)]
pub struct KeyFile {
    config: KeyFileConfig,
    lock_timeout: Duration,
}

impl KeyFile {
    /// A key file with these settings; reads nothing yet.
    pub fn new(config: KeyFileConfig) -> Result<KeyFile, StoreError> {
        if config.path.as_os_str().is_empty() {
            return Err(StoreError::FilenameNotSet);
        }
        Ok(KeyFile {
            config,
            lock_timeout: lock::TIMEOUT,
        })
    }

    /// The same with another time to wait for the file's lock; 10 seconds unless told.
    #[must_use]
    pub fn with_lock_timeout(self, lock_timeout: Duration) -> KeyFile {
        KeyFile { lock_timeout, ..self }
    }

    /// Makes a new key file of mode 0600 with version 1 of each of these keys, durably, and reads
    /// it back. With a filekey it is encrypted. `owner` is a user id and a group id; without, the
    /// file belongs to who makes it.
    ///
    /// # Errors
    /// A file of this name, keys that cannot be (two of one id, no key 1, no such length), a
    /// failing disk. There is no new file then.
    pub fn create(
        config: KeyFileConfig,
        keys: &[NewFileKey],
        owner: Option<(u32, u32)>,
    ) -> Result<KeySet, StoreError> {
        KeyFile::create_with(config, new_keys(keys)?, owner)
    }

    /// Like [`create`](Self::create), with these keys. What the set records beside their bytes is
    /// not in the file.
    pub fn create_with(
        config: KeyFileConfig,
        meant: KeySet,
        owner: Option<(u32, u32)>,
    ) -> Result<KeySet, StoreError> {
        let store = KeyFile::new(config)?;
        if meant.latest(1).is_none() {
            return Err(StoreError::NoSystemKey);
        }
        let text = format::render(HEADER, &meant);
        let password = store.password(&mut Vec::new())?;
        let bytes = store.seal(text, password.as_ref())?;
        let path = &store.config.path;
        replace::create(path, &KIND, bytes.expose(), owner, store.lock_timeout, || {
            store.read_back(path, password.as_ref(), &bytes, &meant)
        })
    }

    /// Reads the file's bytes as they are on disk.
    fn read(&self, file: &File, warnings: &mut Vec<Warning>) -> Result<SecretBytes, StoreError> {
        let Self { config, .. } = self;
        warnings.extend(Warning::of_permissions(
            file,
            &config.path,
            config.strict_permissions,
        )?);
        Ok(read::whole(file, &config.path, &KIND)?)
    }

    /// Decrypts, if there is a password, and parses the file's bytes.
    fn understand(&self, bytes: &SecretBytes, password: Option<&SecretBytes>) -> Result<KeyText, StoreError> {
        let path = &self.config.path;
        let wrong_key = || StoreError::WrongKey {
            path: path.clone(),
            filekey_set: password.is_some(),
        };
        let text = match password {
            None if encrypted::is_encrypted(bytes.expose()) => {
                // file_key_management tries an empty password then, and some files have one.
                let text = encrypted::open(bytes.expose(), &SecretBytes::default(), &self.config);
                return KeyText::parse(text.ok_or_else(wrong_key)?).map_err(|_| wrong_key());
            }
            None => SecretBytes::copy_of(bytes.expose()),
            Some(_) if !encrypted::is_encrypted(bytes.expose()) => {
                return Err(StoreError::NotEncrypted { path: path.clone() });
            }
            Some(password) => {
                encrypted::open(bytes.expose(), password, &self.config).ok_or_else(wrong_key)?
            }
        };
        let decrypted = password.is_some();
        KeyText::parse(text).map_err(|error| StoreError::KeyFileSyntax {
            path: path.clone(),
            error,
            decrypted,
        })
    }

    /// The bytes of a file with this text.
    fn seal(&self, text: SecretBytes, password: Option<&SecretBytes>) -> Result<SecretBytes, StoreError> {
        match password {
            None => Ok(text),
            Some(password) => encrypted::seal(&text, password, &self.config),
        }
    }

    /// Reads the file anew and compares it with what was meant, byte by byte and key by key.
    fn read_back(
        &self,
        path: &Path,
        password: Option<&SecretBytes>,
        written: &SecretBytes,
        meant: &KeySet,
    ) -> Result<KeySet, StoreError> {
        // Not through the lock, which a rotation holds on this very file.
        let file = read::open_regular(path)?;
        let bytes = self.read(&file, &mut Vec::new())?;
        let keys = self.understand(&bytes, password)?.keys;
        let same_keys = keys.len() == meant.len()
            && meant
                .iter()
                .all(|(name, key)| keys.get(name).is_some_and(|k| k.same_bytes(key.expose())));
        if bytes.expose() != written.expose() || !same_keys {
            return Err(FileError::NotAsWritten { path: path.into() }.into());
        }
        Ok(keys)
    }

    /// The password that the settings give, if they give one.
    fn password(&self, warnings: &mut Vec<Warning>) -> Result<Option<SecretBytes>, StoreError> {
        let path = match &self.config.filekey {
            None => return Ok(None),
            Some(SecretSource::Value(password)) => return Ok(Some(SecretBytes::copy_of(password))),
            Some(SecretSource::File(path)) => path,
        };
        let file = PASSWORD.open(path)?;
        warnings.extend(Warning::of_permissions(
            &file,
            path,
            self.config.strict_permissions,
        )?);
        let password = PASSWORD.read(&file, path).map_err(|error| match error {
            NoSecret::File(error) => StoreError::File(error),
            NoSecret::TooLong => StoreError::FilekeyTooLong { path: path.clone() },
            NoSecret::Empty => {
                let source = io::Error::new(io::ErrorKind::UnexpectedEof, "there is no password in it");
                let path = path.clone();
                FileError::ReadFailed { path, source }.into()
            }
        })?;
        // A key file may soon hang on what a killed process has written.
        replace::settle(&file, path)?;
        Ok(Some(password))
    }
}

impl KeyStore for KeyFile {
    fn describe(&self) -> String {
        format!("key file {}", self.config.path.display())
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        let mut warnings = Vec::new();
        let password = self.password(&mut warnings)?;
        let path = &self.config.path;
        let file = lock::shared_if_possible(path, self.lock_timeout)?;
        let bytes = self.read(&file, &mut warnings)?;
        let keys = self.understand(&bytes, password.as_ref())?.keys;
        replace::settle(&file, path)?;
        Ok(Loaded::all(keys, warnings))
    }

    fn rotate_keys(
        &self,
        which: Rotate,
        new: NewVersions<'_>,
        known: Option<&Ring>,
    ) -> Result<KeysAdded, StoreError> {
        let password = self.password(&mut Vec::new())?;
        // The file that a symbolic link names is replaced, not the link.
        let path = read::resolve(&self.config.path)?;
        let file = lock::exclusive(&path, &KIND, self.lock_timeout)?;
        let old = self.read(&file, &mut Vec::new())?;
        let text = self.understand(&old, password.as_ref())?;
        if let Some(ring) = known {
            ring.check_successor(&text.keys)?;
        }

        // What was encrypted stays encrypted, also with an empty password.
        let password = password.or_else(|| encrypted::is_encrypted(old.expose()).then(SecretBytes::default));
        let names = next_names(&text.keys, which, new, || self.describe())?;
        let random = |&name: &KeyName| Ok((name, random_key(name.id, text.keys.latest_bits(name.id))?));
        let new: Vec<_> = names.iter().map(random).collect::<Result<_, StoreError>>()?;
        let bytes = self.seal(text.with_new_versions(&new), password.as_ref())?;
        let mut meant = text.keys;
        for (name, key) in new {
            meant.insert(name, key);
        }
        let replacement = Replacement {
            path: &path,
            kind: &KIND,
            locked: &file,
            old: old.expose(),
            new: bytes.expose(),
            previous: Previous::None,
        };
        let replaced = replace::replace(&replacement, || {
            self.read_back(&path, password.as_ref(), &bytes, &meant)
        })?;
        Ok(KeysAdded {
            keys: replaced.read_back,
            new: names,
        })
    }
}

/// The text of a password's file without the line ends at its end.
fn without_line_ends(text: &[u8]) -> &[u8] {
    let last = text.iter().rposition(|byte| !b"\r\n".contains(byte));
    &text[..last.map_or(0, |last| last + 1)]
}

/// Version 1 of each of these keys.
fn new_keys(wanted: &[NewFileKey]) -> Result<KeySet, StoreError> {
    let mut keys = KeySet::default();
    for &NewFileKey { id, bits } in wanted {
        if id == 0 {
            return Err(not_an_id(id));
        }
        let key = random_key(id, bits)?;
        if keys.insert(KeyName { id, version: 1 }, key) != Inserted::New {
            return Err(named_twice(id));
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::DataKey;

    #[test]
    fn what_is_read_back_must_be_the_text_and_the_keys_that_were_meant() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let text = format!("1;{}\n", "01".repeat(16));
        std::fs::write(&path, &text).unwrap();
        let store = KeyFile::new(KeyFileConfig {
            path: path.clone(),
            filekey: None,
            digest: Digest::Sha1,
            pbkdf2_rounds: 0,
            strict_permissions: false,
        })
        .unwrap();
        let set = |versions: &[(u32, u8)]| {
            let mut set = KeySet::default();
            for &(version, byte) in versions {
                set.insert(KeyName { id: 1, version }, DataKey::new(&[byte; 16]).unwrap());
            }
            set
        };
        let as_meant = |text: &str, meant: &KeySet| {
            let text = SecretBytes::new(text.as_bytes().to_vec());
            match store.read_back(&path, None, &text, meant) {
                Ok(_) => true,
                Err(StoreError::File(FileError::NotAsWritten { .. })) => false,
                Err(error) => panic!("{error}"),
            }
        };
        assert!(as_meant(&text, &set(&[(1, 1)])));
        assert!(!as_meant(&format!("{text}\n"), &set(&[(1, 1)])), "another text");
        assert!(!as_meant(&text, &set(&[])), "one more");
        assert!(!as_meant(&text, &set(&[(1, 1), (3, 1)])), "one less");
        assert!(!as_meant(&text, &set(&[(3, 1)])), "another name");
        assert!(!as_meant(&text, &set(&[(1, 2)])), "other bytes");
    }
}
