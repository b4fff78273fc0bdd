//! Keystores to try things on, and a master key to open them with.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyroll::crypto::Algorithm;
use keyroll::crypto::wrap::{Sealed, WrappingKey};
use keyroll::keys::{KeyName, KeySet, KeySpec};
use keyroll::master_key::{MasterKey, MasterKeyError, ProviderOptions, Wrapped};
use keyroll::notify::Notify;
use keyroll::secret::KeystoreKey;
use keyroll::store::keystore::derived_keys::DerivedKeys;
use keyroll::store::keystore::format::Document;
use keyroll::store::keystore::{KeystoreConfig, KeystoreFile, NewKey};
use keyroll::store::{KeyStore, StoreError};
use tempfile::TempDir;

use test_support::programs;

use test_support::forgery::Forgery;

pub(crate) const XTS: KeySpec = KeySpec::DEFAULT;
pub(crate) const CTR_128: KeySpec = KeySpec {
    algorithm: Algorithm::AesCtr,
    bits: 128,
};

/// A master key in the memory of the test. It counts its calls, and can be taken away.
pub(crate) struct TestMasterKey {
    name: String,
    versions: Mutex<Vec<[u8; 32]>>,
    pub(crate) unwraps: AtomicUsize,
    pub(crate) wraps: AtomicUsize,
    pub(crate) rotations: AtomicUsize,
    pub(crate) away: AtomicBool,
}

impl TestMasterKey {
    pub(crate) fn new(name: &str) -> Arc<TestMasterKey> {
        let mut first = [0; 32];
        first[..name.len()].copy_from_slice(name.as_bytes());
        Arc::new(TestMasterKey {
            name: name.into(),
            versions: Mutex::new(vec![first]),
            unwraps: AtomicUsize::new(0),
            wraps: AtomicUsize::new(0),
            rotations: AtomicUsize::new(0),
            away: AtomicBool::new(false),
        })
    }

    pub(crate) fn calls(&self) -> (usize, usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (count(&self.unwraps), count(&self.wraps), count(&self.rotations))
    }

    fn count(&self, counter: &AtomicUsize) -> Result<(), MasterKeyError> {
        counter.fetch_add(1, Ordering::Relaxed);
        match self.away.load(Ordering::Relaxed) {
            true => Err(MasterKeyError::Unreachable {
                provider: format!("test master key {}", self.name),
                reason: "it was taken away".into(),
            }),
            false => Ok(()),
        }
    }
}

/// What a store owns of it.
pub(crate) struct Handle(pub(crate) Arc<TestMasterKey>);

impl MasterKey for Handle {
    fn describe(&self) -> String {
        format!("test master key {}", self.0.name)
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        self.0.count(&self.0.wraps)?;
        let versions = self.0.versions.lock().unwrap();
        let sealed = WrappingKey::new(versions.last().unwrap())
            .seal(keystore.as_bytes(), key.expose())
            .unwrap();
        Ok(Wrapped {
            bytes: sealed.to_bytes(),
            key_version: versions.len().to_string(),
        })
    }

    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError> {
        self.0.count(&self.0.unwraps)?;
        let sealed = Sealed::from_bytes(&wrapped.bytes);
        let versions = self.0.versions.lock().unwrap();
        let opened = sealed.and_then(|sealed| {
            versions
                .iter()
                .find_map(|key| WrappingKey::new(key).open(keystore.as_bytes(), &sealed))
        });
        opened
            .and_then(|bytes| KeystoreKey::new(bytes.expose()))
            .ok_or_else(|| MasterKeyError::WrongKey {
                provider: self.describe(),
                reason: "no version of it opens what is wrapped".into(),
            })
    }

    fn rotate(&self) -> Result<(), MasterKeyError> {
        self.0.count(&self.0.rotations)?;
        let mut versions = self.0.versions.lock().unwrap();
        let mut next = versions[0];
        next[31] = versions.len() as u8;
        versions.push(next);
        Ok(())
    }
}

pub(crate) type Keys = BTreeMap<(u32, u32), (Vec<u8>, Option<Algorithm>)>;

pub(crate) fn plain_keys(keys: &KeySet) -> Keys {
    keys.iter()
        .map(|(name, key)| {
            let KeyName { id, version } = name;
            ((id, version), (key.expose().to_vec(), keys.algorithm(name)))
        })
        .collect()
}

/// A directory with a keystore `keystore` in it, and its master key.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) master_key: Arc<TestMasterKey>,
}

impl Place {
    /// Keys 1 (aes_256_xts) and 2 (aes_ctr, 128 bits).
    pub(crate) fn new() -> Place {
        let place = Place::empty();
        let keys = [NewKey { id: 1, spec: XTS }, NewKey { id: 2, spec: CTR_128 }];
        place.store().create(&keys, None).unwrap();
        place
    }

    /// No keystore yet.
    pub(crate) fn empty() -> Place {
        let directory = tempfile::tempdir().unwrap();
        Place {
            path: directory.path().join("keystore"),
            directory,
            master_key: TestMasterKey::new("one"),
        }
    }

    /// A store as a process that has just begun has it.
    pub(crate) fn store(&self) -> KeystoreFile {
        self.store_with(&self.master_key)
    }

    pub(crate) fn store_with(&self, master_key: &Arc<TestMasterKey>) -> KeystoreFile {
        self.store_behind(Handle(Arc::clone(master_key)))
    }

    pub(crate) fn store_behind(&self, master_key: impl MasterKey + 'static) -> KeystoreFile {
        KeystoreFile::behind(Box::new(master_key), self.config())
    }

    fn store_of(&self, config: KeystoreConfig) -> KeystoreFile {
        KeystoreFile::behind(Box::new(Handle(Arc::clone(&self.master_key))), config)
    }

    /// A store, and what it tells beside its answers.
    pub(crate) fn telling_store(&self) -> (Arc<Mutex<Vec<String>>>, KeystoreFile) {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let lines = Arc::clone(&told);
        let mut config = self.config();
        config.options.notify = Notify::new(move |line| lines.lock().unwrap().push(line.into()));
        (told, self.store_of(config))
    }

    pub(crate) fn strict_store(&self) -> KeystoreFile {
        let mut config = self.config();
        config.strict_permissions = true;
        self.store_of(config)
    }

    /// Its master key is behind no URI.
    fn config(&self) -> KeystoreConfig {
        KeystoreConfig {
            path: self.path.clone(),
            master_key: String::new(),
            options: options(),
            strict_permissions: false,
        }
    }

    pub(crate) fn keys(&self) -> Keys {
        plain_keys(&self.store().load().unwrap().keys)
    }

    pub(crate) fn refused(&self) -> StoreError {
        self.store().load().expect_err("it must not open")
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        programs::names(self.directory.path())
    }
}

pub(crate) fn options() -> ProviderOptions {
    ProviderOptions::new(Duration::from_secs(5), BTreeMap::new())
}

impl Place {
    /// Puts what was forged in the keystore's place.
    pub(crate) fn put(&self, forgery: &Forgery) {
        fs::write(&self.path, forgery.text()).unwrap();
    }

    /// The same, signed as only someone with the keystore key can.
    pub(crate) fn put_signed(&self, forgery: &Forgery) {
        let document = Document::parse(&forgery.text()).unwrap();
        fs::write(&self.path, forgery.signed_text(&self.derived_keys(&document))).unwrap();
    }

    /// The keys that the master key gives who holds it.
    pub(crate) fn derived_keys(&self, document: &Document) -> DerivedKeys {
        let key = Handle(Arc::clone(&self.master_key))
            .unwrap(&document.master_key.wrapped, &document.uuid.to_string())
            .unwrap();
        DerivedKeys::new(key.expose(), &document.uuid)
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
