//! The key file: data keys as lines of text, plain or encrypted with a password. The format is that
//! of the server's own file_key_management, with versions.

pub(crate) mod clue;
pub(crate) mod config;
mod encrypted;
pub mod format;
pub(crate) mod key_behind_key;

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

pub use clue::Clue;
pub use config::{Digest, KeyFileConfig};
pub(super) use encrypted::is_encrypted;
pub use key_behind_key::KeyBehindKey;

use self::format::KeyText;
use super::error::{StoreError, Warning};
use super::new_keys::{first_name, named_twice, next_names, not_an_id, random_key};
use super::{KeyStore, KeysAdded, Loaded, Rotate};
use crate::durable::odd_text::without_line_ends;
use crate::durable::replace::{Previous, Replacement};
use crate::durable::secret_source::SecretKind;
use crate::durable::{FileError, FileKind, OddText, SecretSource, lock, read, replace};
use crate::keys::set::{Inserted, KeyName, KeySet};
use crate::keys::{KeySpec, NewVersions, Ring};
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

/// What the settings give as the password.
#[derive(Default)]
struct Password {
    /// `None` if there is none, or one in a file that has nothing but line ends and zero bytes, as
    /// for file_key_management, which refuses a file of no bytes for a plain key file.
    secret: Option<SecretBytes>,
    /// What shows why it may not be the one that was meant.
    clue: Clue,
}

/// What a key file is to those who look after it.
static KIND: FileKind = FileKind {
    name: "key file",
    size_limit: FILE_SIZE_LIMIT,
    when_too_large: "it has room for some 400,000 versions, and none is ever removed: rotate single keys and not all",
    replace_as_root: Some(
        "run `keyroll rotate --key ID` or `keyroll add-key --key ID`, whichever failed, as root, then `SET GLOBAL ‹reload_keys› = 1` \
         takes up what is new",
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
        let is_empty = |secret: &SecretBytes| secret.expose().is_empty();
        if let Some(SecretSource::File(path)) = &store.config.filekey
            && password.secret.as_ref().is_none_or(is_empty)
        {
            // The file is to be encrypted, and would not be.
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, "there is no password in it");
            let path = path.clone();
            return Err(FileError::ReadFailed { path, source }.into());
        }
        // As it is read, it may be one character long.
        if let Clue::OddPassword(path, odd @ (OddText::Nul | OddText::Utf16(_))) = password.clue {
            return Err(StoreError::PasswordCutOff { path, odd });
        }
        let bytes = store.seal(text, password.secret.as_ref())?;
        let path = &store.config.path;
        replace::create(path, &KIND, bytes.expose(), owner, store.lock_timeout, || {
            store.read_back(path, &password, &bytes, &meant)
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

    /// Decrypts, if it is encrypted, and parses the file's bytes.
    fn understand(&self, bytes: &SecretBytes, password: &Password) -> Result<KeyText, StoreError> {
        let path = &self.config.path;
        let file = bytes.expose();
        let not_parsed = |decrypted| {
            move |error| StoreError::KeyFileSyntax {
                path: path.clone(),
                error,
                decrypted,
            }
        };
        if !encrypted::is_encrypted(file) {
            if password.secret.is_some() {
                return Err(StoreError::NotEncrypted {
                    path: path.clone(),
                    odd: OddText::at_begin(file),
                    is_cut_off: encrypted::is_cut_off(file),
                });
            }
            return KeyText::parse(SecretBytes::copy_of(file)).map_err(not_parsed(None));
        }
        let clue = Box::new(encrypted::clue(file).unwrap_or_else(|| password.clue.clone()));
        let wrong_key = || StoreError::WrongKey {
            path: path.clone(),
            clue: clue.clone(),
        };
        match password
            .secret
            .as_ref()
            .filter(|secret| !secret.expose().is_empty())
        {
            // file_key_management tries an empty password then, and some files have one.
            None => {
                let text = encrypted::open(file, &SecretBytes::default(), &self.config);
                KeyText::parse(text.ok_or_else(wrong_key)?).map_err(|_| wrong_key())
            }
            Some(secret) => {
                let text = encrypted::open(file, secret, &self.config).ok_or_else(wrong_key)?;
                KeyText::parse(text).map_err(not_parsed(Some(clue)))
            }
        }
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
        password: &Password,
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
    fn password(&self, warnings: &mut Vec<Warning>) -> Result<Password, StoreError> {
        let source = match &self.config.filekey {
            None => {
                return Ok(Password {
                    secret: None,
                    clue: Clue::NoPassword,
                });
            }
            Some(source) => source,
        };
        let mut is_of_no_bytes = false;
        let (content, clue) = match source {
            SecretSource::Value(password) => (SecretBytes::copy_of(password), Clue::of_value(source)),
            SecretSource::File(path) => {
                let content = self.password_in(path, warnings)?;
                is_of_no_bytes = content.expose().is_empty();
                let clue = Clue::of_password_file(path, content.expose());
                let password = (PASSWORD.trim)(content.expose());
                (SecretBytes::copy_of(password), clue)
            }
        };
        // A C string, for file_key_management as for openssl.
        let secret = content.expose().split(|&byte| byte == 0).next();
        let secret = secret.filter(|secret| !secret.is_empty() || is_of_no_bytes);
        Ok(Password {
            secret: secret.map(SecretBytes::copy_of),
            clue,
        })
    }

    /// All that is in the password's file.
    fn password_in(&self, path: &Path, warnings: &mut Vec<Warning>) -> Result<SecretBytes, StoreError> {
        let file = PASSWORD.open(path)?;
        warnings.extend(Warning::of_permissions(
            &file,
            path,
            self.config.strict_permissions,
        )?);
        let content = PASSWORD.content(&file, path)?;
        let content = content.ok_or_else(|| StoreError::FilekeyTooLong { path: path.into() })?;
        // A key file may soon hang on what a killed process has written.
        replace::settle(&file, path)?;
        Ok(content)
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
        let text = self.understand(&bytes, &password)?;
        warnings.extend(text.hidden.map(|place| {
            Warning::KeyBehindKey(KeyBehindKey {
                path: path.clone(),
                place,
                encrypted: encrypted::is_encrypted(bytes.expose()),
            })
        }));
        replace::settle(&file, path)?;
        Ok(Loaded::all(text.keys, warnings))
    }

    fn rotate_keys(
        &self,
        which: Rotate,
        new: NewVersions<'_>,
        known: Option<&Ring>,
    ) -> Result<KeysAdded, StoreError> {
        self.append(known, |keys| {
            let names = next_names(keys, which, new, || self.describe())?;
            let as_long = |name: KeyName| (name, keys.latest_bits(name.id));
            Ok(names.into_iter().map(as_long).collect())
        })
    }

    fn add_key(&self, id: u32, spec: KeySpec, known: Option<&Ring>) -> Result<KeysAdded, StoreError> {
        self.append(known, |keys| {
            Ok(vec![(first_name(keys, id, || self.describe())?, spec.bits)])
        })
    }
}

impl KeyFile {
    /// Adds a random version with each of the names and lengths that `wanted` gives for the keys
    /// that there are, in one durable replacement.
    fn append(
        &self,
        known: Option<&Ring>,
        wanted: impl FnOnce(&KeySet) -> Result<Vec<(KeyName, u32)>, StoreError>,
    ) -> Result<KeysAdded, StoreError> {
        let password = self.password(&mut Vec::new())?;
        // The file that a symbolic link names is replaced, not the link.
        let path = read::resolve(&self.config.path)?;
        let file = lock::exclusive(&path, &KIND, self.lock_timeout)?;
        let old = self.read(&file, &mut Vec::new())?;
        let text = self.understand(&old, &password)?;
        if let Some(ring) = known {
            ring.check_successor(&text.keys)?;
        }

        // What was encrypted stays encrypted, also with an empty password.
        let empty = encrypted::is_encrypted(old.expose()).then(SecretBytes::default);
        let seal_with = password.secret.as_ref().or(empty.as_ref());
        let random = |(name, bits): (KeyName, u32)| Ok((name, random_key(name.id, bits)?));
        let wanted = wanted(&text.keys)?.into_iter();
        let new: Vec<_> = wanted.map(random).collect::<Result<_, StoreError>>()?;
        let names = new.iter().map(|(name, _)| *name).collect();
        let bytes = self.seal(text.with_new_versions(&new), seal_with)?;
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
        let replaced = replace::replace(&replacement, || self.read_back(&path, &password, &bytes, &meant))?;
        Ok(KeysAdded {
            keys: replaced.read_back,
            new: names,
        })
    }
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
            match store.read_back(&path, &Password::default(), &text, meant) {
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
