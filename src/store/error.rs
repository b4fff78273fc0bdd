//! What can go wrong with a key store: on which object, why, and what helps.
//!
//! Where the server's own key file plugin (file_key_management) has a message, its words are kept
//! to the letter, because scripts know them; what we add is in [`StoreError::hint`].

use std::fs::File;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::key_file::clue::Clue;
use super::key_file::format::ParseError;
use super::key_file::key_behind_key::KeyBehindKey;
use super::keystore::KeystoreError;
use super::vault_kv::KvError;
use crate::crypto::Algorithm;
use crate::durable::permissions::shell_word;
use crate::durable::{FileError, LoosePermissions, OddText, permissions};
use crate::keys::{KeyName, KeysError, LAST_VERSION};

/// A failure of a key store. Nothing was changed, on disk or in memory, unless the variant says so.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they are")]
pub enum StoreError {
    #[error("keyroll-filename is not set")]
    FilenameNotSet,

    #[error(transparent)]
    File(#[from] FileError),

    #[error(transparent)]
    Keystore(#[from] KeystoreError),

    #[error(transparent)]
    VaultKv(#[from] KvError),

    #[error("{}", error.at(path))]
    KeyFileSyntax {
        path: PathBuf,
        error: ParseError,
        /// What shows why the password may be another one; `None` for a plain file.
        decrypted: Option<Box<Clue>>,
    },

    #[error("Cannot decrypt {}. Wrong key?", path.display())]
    WrongKey { path: PathBuf, clue: Box<Clue> },

    #[error("Cannot decrypt {}. Not encrypted", path.display())]
    NotEncrypted {
        path: PathBuf,
        odd: Option<OddText>,
        /// It begins as an encrypted file, and ends there.
        is_cut_off: bool,
    },

    #[error("Cannot encrypt {}: {reason}", path.display())]
    CannotEncrypt { path: PathBuf, reason: String },

    #[error("the password in {} ends at its first zero byte: the file {}", path.display(), odd.told())]
    PasswordCutOff { path: PathBuf, odd: OddText },

    #[error("Cannot read {}, the filekey is too long, max secret size is 256B ", path.display())]
    FilekeyTooLong { path: PathBuf },

    #[error(transparent)]
    Keys(#[from] KeysError),

    #[error("there is no key {id} in {store}, which holds {}", id_list(ids))]
    UnknownKey { id: u32, store: String, ids: Vec<u32> },

    #[error(
        "{store} gives no version of {}, and does not let its keys be listed",
        id_list(ids)
    )]
    NoneOfKeys { store: String, ids: Vec<u32> },

    #[error("no version is left {step} above {latest}: the last possible one is {LAST_VERSION}")]
    VersionsUsedUp { latest: KeyName, step: u32 },

    #[error("cannot make key {id}: {reason}")]
    InvalidNewKey { id: u32, reason: &'static str },

    #[error("cannot make a key file without key 1, which encrypts the server's own data")]
    NoSystemKey,

    #[error("there is a key {id} in {store} already")]
    KeyExists { id: u32, store: String },

    #[error("there is no key {id} in {store}, and keys are not made there by themselves")]
    KeysAreMadeElsewhere { id: u32, store: String },

    #[error("{store} has no master key: its data keys are not wrapped")]
    NoMasterKey { store: String },

    #[error("{store} has no master key in memory that the keys could be saved under")]
    NoMasterKeyHeld { store: String },

    #[error("{} of {wanted} new versions were written ({}), then: {source}", written.len(), name_list(written))]
    KeyRotationUnfinished {
        written: Vec<KeyName>,
        wanted: usize,
        source: Box<StoreError>,
    },

    #[error("{source}; {provider} may hold a new version of the master key that nothing uses")]
    MasterKeyRotationUnfinished {
        provider: String,
        source: Box<StoreError>,
    },

    #[error("a key of {bits} bits cannot be made for {}", algorithm.name())]
    ImpossibleSpec { bits: u32, algorithm: Algorithm },

    #[error("no random bytes from the system: {0}")]
    NoRandomBytes(getrandom::Error),
}

/// `keys 1, 2 and 7`; the first twenty of many.
fn id_list(ids: &[u32]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = ids.iter().take(SHOWN).map(u32::to_string).collect();
    match (shown.split_last(), ids.len()) {
        (None, _) => "no key".into(),
        (Some((only, [])), _) => format!("key {only}"),
        (Some((last, rest)), count) if count <= SHOWN => format!("keys {} and {last}", rest.join(", ")),
        (Some(_), count) => format!("keys {} and {} more", shown.join(", "), count - SHOWN),
    }
}

fn name_list(names: &[KeyName]) -> String {
    let names: Vec<String> = names.iter().map(KeyName::to_string).collect();
    names.join(", ")
}

impl StoreError {
    /// What a DBA can do about it: for the error log and the command, not part of the message.
    pub fn hint(&self) -> String {
        match self {
            StoreError::FilenameNotSet => {
                "set ‹filename› to the path of a key file; `keyroll init --filename PATH` makes one"
                    .into()
            }
            StoreError::File(error) => error.hint(),
            StoreError::VaultKv(error) => error.hint(),
            StoreError::Keystore(error) => error.hint(),
            StoreError::KeyFileSyntax {
                path,
                error,
                decrypted,
            } => syntax_hint(path, error, decrypted.as_deref()),
            StoreError::WrongKey { path, clue } => clue.hint(path),
            StoreError::NotEncrypted { is_cut_off: true, .. } => {
                "it ends where an encrypted file begins: put it back whole from a backup".into()
            }
            StoreError::NotEncrypted {
                path,
                odd: Some(odd @ OddText::OpensslBase64),
                ..
            } => format!("the file {}: {} makes of it what is read", odd.told(), odd.mend(path)),
            StoreError::NotEncrypted { .. } => {
                "unset ‹filekey›, or encrypt the file with `openssl enc -aes-256-cbc -md sha1`".into()
            }
            StoreError::CannotEncrypt { .. } => "this is a fault of keyroll: please report it".into(),
            StoreError::PasswordCutOff { path, odd } => {
                format!("{} makes a line of plain text of it", odd.mend(path))
            }
            StoreError::FilekeyTooLong { path } => {
                format!("put the password alone into {}, on one line", path.display())
            }
            StoreError::Keys(error) => error.hint(),
            StoreError::UnknownKey { .. } => "name one of these, or -1 for all keys".into(),
            StoreError::NoneOfKeys { .. } => {
                "check the path in ‹vault_url› and ‹vault_namespace›. `vault kv undelete -versions=VERSION MOUNT/ID` brings a \
                 deleted version back; where no data is encrypted yet, `vault kv put MOUNT/1 data=$(openssl rand -hex 32)` makes key 1"
                    .into()
            }
            StoreError::VersionsUsedUp { latest, .. } if latest.version == LAST_VERSION => {
                "make a key with another id, and change tables to it: ALTER TABLE ... ENCRYPTION_KEY_ID = ID".into()
            }
            StoreError::VersionsUsedUp { .. } => "set a smaller ‹rotate_version_step›".into(),
            StoreError::KeyExists { id, .. } => format!(
                "`SET GLOBAL ‹reload_keys› = 1` takes it up where a server lacks it; `keyroll rotate --key {id}` makes a new version of it"
            ),
            StoreError::KeysAreMadeElsewhere { .. } => "add the key to the store, then reload".into(),
            StoreError::NoMasterKey { .. } => {
                "`keyroll import --keystore PATH --master-key URI` moves the keys into a keystore, which has a master key".into()
            }
            StoreError::NoMasterKeyHeld { .. } => {
                "name a master key file, which is made if need be: SET GLOBAL ‹save_keys› = 'PATH file:MASTERKEYPATH'".into()
            }
            StoreError::KeyRotationUnfinished {
                written,
                wanted,
                source,
            } => format!(
                "the ones that were written do no harm and will be in force; {} when it is mended: {}",
                match written.len() < *wanted {
                    true => "rotate again",
                    false => "SET GLOBAL ‹reload_keys› = 1 takes them up",
                },
                source.hint()
            ),
            StoreError::MasterKeyRotationUnfinished { source, .. } => source.hint(),
            StoreError::ImpossibleSpec { algorithm, .. } => format!(
                "{} needs keys of 256 bits: set ‹key_spec› = AES_256, or another ‹key_algorithm›",
                algorithm.name()
            ),
            StoreError::NoSystemKey => "add key 1".into(),
            StoreError::InvalidNewKey { .. } => "name each key once, as ID or ID:BITS".into(),
            StoreError::NoRandomBytes(_) => "check the system log".into(),
        }
    }
}

/// What helps with the text of a key file.
fn syntax_hint(path: &Path, error: &ParseError, decrypted: Option<&Clue>) -> String {
    let of_text = error.problem.hint();
    match (error.odd, decrypted) {
        (Some(odd), None) => format!("the file {}: {} mends that", odd.told(), odd.mend(path)),
        (None, None) => of_text.into(),
        (Some(odd @ (OddText::ByteOrderMark | OddText::Utf16(_))), Some(_)) => format!(
            "the encrypted text {}: decrypt the file, mend the text and encrypt it again",
            odd.told()
        ),
        (_, Some(Clue::Nothing | Clue::NoPassword)) => {
            format!("{of_text}; a wrong filekey, digest or use_pbkdf2 can also show like this")
        }
        (_, Some(clue)) => format!(
            "{of_text}; a wrong filekey, digest or use_pbkdf2 can also show like this: {}",
            clue.hint(path)
        ),
    }
}

/// Something that works but should be mended.
#[derive(Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they are")]
pub enum Warning {
    #[error("{0}; {remedy}", remedy = .0.remedy())]
    LoosePermissions(LoosePermissions),

    #[error("{0}; {remedy}", remedy = .0.remedy())]
    KeyBehindKey(KeyBehindKey),

    #[error("{} opens with an older master key; the next change of the keystore removes it, or `rm {}`", path.display(), shell_word(path))]
    OlderMasterKeyOpens { path: PathBuf },

    /// The store cannot give a version that it once had.
    #[error("{name} is {how} in the key store; data that is encrypted with it cannot be read")]
    VersionGone { name: KeyName, how: &'static str },

    /// What stands in the place of a version is none.
    #[error("{reason}")]
    NotAKey { reason: String },

    /// The store does not give a key that it has.
    #[error("{reason}; key {id} is left out until that is mended. Hint: {hint}")]
    Unread { id: u32, reason: String, hint: String },

    #[error(
        "{name} is {how} in the key store; this server goes on with it, but a restart will fail: save the keys with \
         SET GLOBAL ‹save_keys› = 'PATH file:MASTERKEYPATH', and start with what that makes"
    )]
    HeldVersionGone { name: KeyName, how: &'static str },
}

impl Warning {
    /// Finds fault with an open file that others may read or change: a warning, or an error where
    /// that is refused.
    pub(super) fn of_permissions(
        file: &File,
        path: &Path,
        strict: bool,
    ) -> Result<Option<Warning>, FileError> {
        let meta = file.metadata().map_err(|source| FileError::ReadFailed {
            path: path.into(),
            source,
        })?;
        let loose = permissions::check(&meta, path);
        loose.map(|loose| Warning::of_loose(loose, strict)).transpose()
    }

    /// A warning, or an error where that is refused.
    pub(super) fn of_loose(loose: LoosePermissions, strict: bool) -> Result<Warning, FileError> {
        match strict {
            true => Err(loose.into()),
            false => Ok(Warning::LoosePermissions(loose)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_are_listed_as_one_would_say_them() {
        assert_eq!(id_list(&[]), "no key");
        assert_eq!(id_list(&[1]), "key 1");
        assert_eq!(id_list(&[1, 2]), "keys 1 and 2");
        assert_eq!(id_list(&[1, 2, 7]), "keys 1, 2 and 7");
        let many: Vec<u32> = (1..=100).collect();
        assert!(
            id_list(&many).ends_with("19, 20 and 80 more"),
            "{}",
            id_list(&many)
        );
    }
}
