//! A new keystore, and its master key where that is a file of ours.

use std::collections::BTreeMap;

use keyroll::keystore::envelope::Envelope;
use keyroll::keystore::{KeyName, KeySet, KeySpec, KeyStoreError};
use keyroll::master_key::file::MasterKeyFile;
use keyroll::secret::DataKey;

use crate::failure::Failure;
use crate::owner::Owner;
use crate::store::{KeystorePlace, in_words};
use crate::terminal;

/// Version 1 of each of these keys, at random.
pub(crate) fn random_keys(specs: &BTreeMap<u32, KeySpec>) -> Result<KeySet, Failure> {
    let mut keys = KeySet::default();
    for (&id, spec) in specs {
        let impossible = || KeyStoreError::ImpossibleSpec {
            bits: spec.bits,
            algorithm: spec.algorithm,
        };
        let length = spec.bits as usize / 8;
        let key = DataKey::random(length).filter(|_| spec.is_possible());
        let key = key
            .ok_or_else(impossible)?
            .map_err(KeyStoreError::NoRandomBytes)?;
        keys.insert_for(KeyName { id, version: 1 }, key, spec.algorithm);
    }
    Ok(keys)
}

/// Makes the keystore with these keys, and its master key file if it names one that does not exist, and tells so.
pub(crate) fn make(place: &KeystorePlace, keys: KeySet, owner: Option<Owner>) -> Result<(), Failure> {
    make_master_key_file(place, owner)?;
    let waiting = format!("waiting for {} ...", in_words(&place.master_key));
    let config = place.config()?;
    terminal::while_waiting(&waiting, || Envelope::create(config, keys, owner))?;
    terminal::say(&format!("made the keystore {}", place.path.display()));
    Ok(())
}

/// Makes the master key file if the keystore names one that does not exist, and tells so.
pub(crate) fn make_master_key_file(place: &KeystorePlace, owner: Option<Owner>) -> Result<(), Failure> {
    let Some(path) = place.master_key_file() else {
        return Ok(());
    };
    if path.symlink_metadata().is_err() {
        MasterKeyFile::create(path, owner)?;
        terminal::say(&format!("made the master key file {}", path.display()));
    }
    Ok(())
}
