//! What every write of a keystore has in common: a keystore key that the provider has wrapped, data
//! keys under it, and a file that is read back.

use std::path::Path;
use std::time::SystemTime;

use uuid::Uuid;

use super::derived_keys::DerivedKeys;
use super::error::KeystoreError;
use super::format::Document;
use super::open::{check_mac, open_all, read_text};
use super::records::{MasterKeyRecord, UNKNOWN_TIME};
use crate::clock;
use crate::crypto::Algorithm;
use crate::durable::{FileError, read};
use crate::keys::{KeySet, KeySpec};
use crate::master_key::MasterKey;
use crate::secret::{DataKey, KeystoreKey};
use crate::store::StoreError;

/// A keystore key that a master key has wrapped.
pub(super) struct NewKeystoreKey {
    pub(super) key: KeystoreKey,
    pub(super) derived: DerivedKeys,
    pub(super) record: MasterKeyRecord,
}

impl NewKeystoreKey {
    /// A new random keystore key, wrapped, and unwrapped again to be sure that it can be.
    pub(super) fn wrapped_by(
        master_key: &dyn MasterKey,
        path: &Path,
        uuid: &Uuid,
    ) -> Result<NewKeystoreKey, StoreError> {
        let failed = |source| KeystoreError::no_master_key(path.into(), source);
        let unusable = |reason: &str| KeystoreError::UnusableProvider {
            provider: master_key.describe(),
            reason: reason.into(),
        };
        let key = KeystoreKey::random().map_err(StoreError::NoRandomBytes)?;
        let context = uuid.to_string();
        let wrapped = master_key.wrap(&key, &context).map_err(failed)?;
        wrapped.check(&key).map_err(|reason| unusable(&reason))?;
        let again = master_key.unwrap(&wrapped, &context).map_err(failed)?;
        let derived = DerivedKeys::new(key.expose(), uuid);
        if !DerivedKeys::new(again.expose(), uuid).is_checked_by(&derived.check()) {
            return Err(unusable("it does not unwrap what it has just wrapped").into());
        }
        let record = MasterKeyRecord {
            provider: master_key.describe(),
            wrapped,
            wrapped_at: clock::rfc3339(SystemTime::now()),
            key_check: derived.check(),
        };
        Ok(NewKeystoreKey { key, derived, record })
    }
}

/// Adds these data keys to the document, wrapped, each with its algorithm and its time.
pub(super) fn add_wrapped(
    document: &mut Document,
    derived: &DerivedKeys,
    keys: &KeySet,
) -> Result<(), StoreError> {
    for (name, key) in keys.iter() {
        let algorithm = keys.algorithm(name).unwrap_or(KeySpec::DEFAULT.algorithm);
        let created = keys
            .created(name)
            .map_or_else(|| UNKNOWN_TIME.into(), clock::rfc3339);
        let record = derived
            .seal(name, spec_of(key, algorithm), &created, key)
            .map_err(|source| KeystoreError::CannotSeal { name, source })?;
        document.keys.push(record);
    }
    Ok(())
}

/// Algorithm and length of a key.
pub(super) fn spec_of(key: &DataKey, algorithm: Algorithm) -> KeySpec {
    // A data key has 16, 24 or 32 bytes.
    let bits = key.len() as u32 * 8;
    KeySpec { algorithm, bits }
}

/// A random key as the spec says.
pub(super) fn random_key(spec: KeySpec) -> Result<DataKey, StoreError> {
    let KeySpec { algorithm, bits } = spec;
    match DataKey::random(bits as usize / 8) {
        Some(key) if spec.is_possible() => key.map_err(StoreError::NoRandomBytes),
        _ => Err(StoreError::ImpossibleSpec { bits, algorithm }),
    }
}

/// Reads the file anew, not through the lock, which a change holds on this very file, and compares
/// it with what was meant, byte by byte and key by key.
pub(super) fn read_back(
    path: &Path,
    written: &[u8],
    derived: &DerivedKeys,
    meant: &KeySet,
) -> Result<KeySet, StoreError> {
    let file = read::open_regular(path)?;
    let text = read_text(path, &file)?;
    check_mac(path, &text, derived)?;
    let found = open_all(path, &text.document, derived)?;
    let same_keys = found.len() == meant.len()
        && meant.iter().all(|(name, key)| {
            found.get(name).is_some_and(|k| k.same_bytes(key.expose()))
                && found.algorithm(name) == meant.algorithm(name)
        });
    if text.bytes.expose() != written || !same_keys {
        return Err(FileError::NotAsWritten { path: path.into() }.into());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::keys::KeyName;
    use crate::master_key::DEFAULT_REQUEST_TIMEOUT;
    use crate::master_key::ProviderOptions;
    use crate::master_key::file::MasterKeyFile;
    use crate::store::KeyStore;
    use crate::store::keystore::{KeystoreConfig, KeystoreFile, NewKey};

    #[test]
    fn what_is_read_back_must_be_the_text_and_the_keys_that_were_meant() {
        let directory = tempfile::tempdir().unwrap();
        let (path, master) = (directory.path().join("keystore"), directory.path().join("master"));
        MasterKeyFile::create(&master, None).unwrap();
        let options = ProviderOptions::of_this_process(DEFAULT_REQUEST_TIMEOUT);
        let store = KeystoreFile::new(KeystoreConfig {
            path: path.clone(),
            master_key: format!("file:{}", master.display()),
            options,
            strict_permissions: false,
        })
        .unwrap();
        let spec = KeySpec::DEFAULT;
        store.create(&[NewKey { id: 1, spec }], None).unwrap();
        let held = store.load().unwrap().keys;
        let text = fs::read(&path).unwrap();
        let signed = read_text(&path, &fs::File::open(&path).unwrap()).unwrap();
        let keys = store.unwrap(&path, &signed).unwrap();

        let name = KeyName { id: 1, version: 1 };
        let key = || DataKey::new(held.get(name).unwrap().expose()).unwrap();
        let other = || DataKey::new(&[1; 32]).unwrap();
        let next = KeyName { id: 1, version: 3 };
        let set = |versions: Vec<(KeyName, DataKey, Algorithm)>| {
            let mut set = KeySet::default();
            for (name, key, algorithm) in versions {
                set.insert_for(name, key, algorithm);
            }
            set
        };
        let as_meant = |text: &[u8], meant: &KeySet| match read_back(&path, text, &keys, meant) {
            Ok(_) => true,
            Err(StoreError::File(FileError::NotAsWritten { .. })) => false,
            Err(error) => panic!("{error}"),
        };
        let xts = Algorithm::Aes256Xts;
        assert!(as_meant(&text, &held));
        assert!(!as_meant(&[&text[..], b" "].concat(), &held), "another text");
        assert!(!as_meant(&text, &KeySet::default()), "one more");
        assert!(
            !as_meant(&text, &set(vec![(name, key(), xts), (next, key(), xts)])),
            "one less"
        );
        assert!(!as_meant(&text, &set(vec![(next, key(), xts)])), "another name");
        assert!(!as_meant(&text, &set(vec![(name, other(), xts)])), "other bytes");
        let algorithm = Algorithm::AesCtr;
        assert!(
            !as_meant(&text, &set(vec![(name, key(), algorithm)])),
            "another cipher"
        );
    }
}
