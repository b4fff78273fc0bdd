//! A new keystore, and its master key where that is a file of ours.

use keyroll::keys::KeySet;
use keyroll::master_key::file::MasterKeyFile;
use keyroll::master_key::file_of;
use keyroll::store::StoreError;
use keyroll::store::keystore::KeystoreConfig;
use keyroll::store::keystore::KeystoreFile;

use crate::failure::Failure;
use crate::owner::Owner;
use crate::store::{in_words, open_keystore};
use crate::terminal;

/// Makes the keystore, and its master key file if it names one that does not exist, and tells so.
pub(crate) fn make(
    place: &KeystoreConfig,
    owner: Option<Owner>,
    create: impl FnOnce(&KeystoreFile) -> Result<KeySet, StoreError>,
) -> Result<KeySet, Failure> {
    let keystore = open_keystore(place)?;
    make_master_key_file(place, owner)?;
    let waiting = format!("waiting for {} ...", in_words(&place.master_key));
    let made = terminal::while_waiting(&waiting, || create(&keystore))?;
    terminal::say(&format!("made the keystore {}", place.path.display()));
    Ok(made)
}

/// Makes the master key file if the keystore names one that does not exist, and tells so.
pub(crate) fn make_master_key_file(place: &KeystoreConfig, owner: Option<Owner>) -> Result<(), Failure> {
    let Some(path) = file_of(&place.master_key) else {
        return Ok(());
    };
    if path.symlink_metadata().is_err() {
        MasterKeyFile::create(path, owner)?;
        terminal::say(&format!("made the master key file {}", path.display()));
    }
    Ok(())
}
