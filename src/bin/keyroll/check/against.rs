//! `--against`: a second store beside the one that is checked, and which of the two belongs to the
//! data.

use std::path::{Path, PathBuf};

use keyroll::durable::SecretSource;
use keyroll::durable::permissions::shell_word;
use keyroll::keys::{Comparison, Differing, KeyName, KeySet};
use keyroll::store::StoreConfig;
use keyroll::store::key_file::KeyFileConfig;
use keyroll::store::keystore::KeystoreConfig;
use keyroll::store::mark::{Lost, StoreSeen};
use keyroll::store::{MarkFile, StoreFile};

use super::report::{Outcome, Report};
use crate::failure::{Failure, named};
use crate::key_file_args::{key_file_args, key_file_at};
use crate::store::OpenStore;
use crate::store_args::{ChosenStore, keystore_at};

/// Above the options, in the help text.
const SECOND: &str = "Second store";

#[derive(clap::Args)]
pub(super) struct AgainstArgs {
    /// Compare the store with another keystore or key file, which its text tells apart
    ///
    /// A version that one of them lacks is a warning: data that needs it cannot be opened with that
    /// store. A version that differs is a failure: only one of the two belongs to the data.
    #[arg(long, value_name = "PATH", help_heading = SECOND)]
    against: Option<PathBuf>,

    /// The second keystore's master key [default: the same]
    #[arg(long, value_name = "URI", requires = "against", help_heading = SECOND)]
    against_master_key: Option<String>,

    #[command(flatten)]
    encryption: KeyFileArgs,
}

key_file_args! {
    struct KeyFileArgs of "against" under SECOND;
    /// The file with the second key file's password [default: that of the first one, or
    /// KEYROLL_FILEKEY]
    against_filekey;
    /// The second key file's digest [default: that of the first one, or sha1]
    against_digest;
    /// The second key file's number of PBKDF2 rounds [default: that of the first one, or 0]
    against_use_pbkdf2;
}

/// The store that is compared with.
pub(super) struct Second {
    store: OpenStore,
    /// What adds its versions to the first store, where that is a keystore.
    add: Option<String>,
}

impl AgainstArgs {
    /// The second store, if one is named; nothing of its keys is read yet.
    pub(super) fn second(&self, chosen: &ChosenStore) -> Result<Option<Second>, Failure> {
        let Some(path) = &self.against else {
            return Ok(None);
        };
        let second = match StoreFile::at(path)? {
            StoreFile::Keystore => StoreConfig::Keystore(self.keystore(path, chosen)?),
            kind => StoreConfig::KeyFile(self.key_file(path, kind, chosen)?),
        };
        let add = match &chosen.store {
            StoreConfig::Keystore(first) => add_command(first, &second),
            _ => None,
        };
        let store = OpenStore::new(second)?;
        Ok(Some(Second { store, add }))
    }

    fn keystore(&self, path: &Path, chosen: &ChosenStore) -> Result<KeystoreConfig, Failure> {
        let uri = match (&self.against_master_key, &chosen.store) {
            (Some(uri), _) => uri,
            (None, StoreConfig::Keystore(first)) => &first.master_key,
            (None, _) => return Err(Failure::NoOtherMasterKey(path.into())),
        };
        Ok(KeystoreConfig {
            strict_permissions: false,
            ..keystore_at(path, uri, &chosen.settings)?
        })
    }

    fn key_file(&self, path: &Path, kind: StoreFile, chosen: &ChosenStore) -> Result<KeyFileConfig, Failure> {
        let first = match &chosen.store {
            StoreConfig::KeyFile(first) => Some(first),
            _ => None,
        };
        let (filekey, digest, rounds) = self.encryption.given();
        let digest = digest.or(first.map(|first| first.digest));
        let rounds = rounds.or(first.map(|first| first.pbkdf2_rounds));
        let mut second = key_file_at(path, (filekey, digest, rounds), &chosen.settings)?;
        second.strict_permissions = false;
        if filekey.is_none() {
            second.filekey = match kind {
                // What opens the first one is no reason to refuse a plain file.
                StoreFile::PlainKeyFile => None,
                _ => first.and_then(|first| first.filekey.clone()).or(second.filekey),
            };
        }
        Ok(second)
    }
}

/// The command that adds to the first store what it lacks of the second one.
fn add_command(first: &KeystoreConfig, second: &StoreConfig) -> Option<String> {
    let word = |text: &str| shell_word(Path::new(text));
    let from = match second {
        StoreConfig::Keystore(second) if second.master_key == first.master_key => {
            format!("--from-keystore {}", shell_word(&second.path))
        }
        StoreConfig::Keystore(second) => format!(
            "--from-keystore {} --from-master-key {}",
            shell_word(&second.path),
            word(&second.master_key)
        ),
        StoreConfig::KeyFile(second) => {
            let mut from = format!("--from-filename {}", shell_word(&second.path));
            if let Some(path) = second.filekey.as_ref().and_then(SecretSource::file) {
                from += &format!(" --from-filekey FILE:{}", shell_word(path));
            }
            if second.filekey.is_some() {
                from += &format!(
                    " --from-digest {} --from-use-pbkdf2 {}",
                    second.digest.name(),
                    second.pbkdf2_rounds
                );
            }
            from + " --from-encryption-algorithm ALGORITHM"
        }
        StoreConfig::VaultKv(_) => return None,
    };
    Some(format!(
        "keyroll import --add --keystore {} --master-key {} {from}",
        shell_word(&first.path),
        word(&first.master_key)
    ))
}

impl Second {
    /// Reads the second store and tells how the first one, which has been read, differs from it.
    ///
    /// # Errors
    /// The second store does not open.
    pub(super) fn compare(
        &self,
        first: &StoreSeen,
        keys: &KeySet,
        directory: Option<&Path>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let second_keys = self.store.load()?.keys;
        let second = self.store.seen();
        let found = Comparison::of(keys, &second_keys);
        report.ok(format!(
            "compared with {}{}; versions that are the same in both: {}",
            second.described,
            relation(first, &second),
            found.same
        ));
        if !found.first_lacks.is_empty() {
            report.warning(
                lacks(first, &found.first_lacks, &second),
                match &self.add {
                    Some(command) if found.differing.is_empty() => {
                        format!("`{command}` adds what it lacks, which does no harm")
                    }
                    _ => format!("data that needs them opens with {} alone", second.described),
                },
            );
        }
        if !found.second_lacks.is_empty() {
            report.warning(
                lacks(&second, &found.second_lacks, first),
                format!("data that needs them opens with {} alone", first.described),
            );
        }
        let belongs = belongs_to_data(directory, keys, &second_keys, &found.differing, first, &second);
        for (at, differing) in found.differing.iter().enumerate() {
            let is_last = at + 1 == found.differing.len();
            let hint = if is_last { belongs.clone() } else { String::new() };
            report.add(
                Outcome::Differs,
                format!("not the same in both: {differing}"),
                hint,
            );
        }
        report.compared(second.described, &found, keys, &second_keys);
        Ok(())
    }
}

/// How the keystores are related, in words.
fn relation(first: &StoreSeen, second: &StoreSeen) -> String {
    match (&first.identity, &second.identity) {
        (Some(one), Some(two)) if one.uuid == two.uuid => format!(
            ", a copy of the same keystore: that one was written {} times, this one {}",
            two.generation, one.generation
        ),
        (Some(_), Some(_)) => ", another keystore".into(),
        (Some(_), None) => ", which records no algorithms".into(),
        (None, _) => String::new(),
    }
}

fn lacks(one: &StoreSeen, names: &[KeyName], other: &StoreSeen) -> String {
    format!(
        "{} lacks {}, which {} holds",
        one.described,
        named(names),
        other.described
    )
}

/// Which of two stores, which hold other bytes under one name, the data was worked on with, as far
/// as its mark knows.
fn belongs_to_data(
    directory: Option<&Path>,
    first_keys: &KeySet,
    second_keys: &KeySet,
    differing: &[Differing],
    first: &StoreSeen,
    second: &StoreSeen,
) -> String {
    const KEEP: &str = "keep both for as long as any data or backup needs them";
    let unknown = format!(
        "the data tells which one it needs, by the mark in its data directory: give --datadir DIR, or see which of the two \
         a server starts with; {KEEP}"
    );
    let Some(file) = directory.and_then(|directory| MarkFile::read(directory).ok()) else {
        return unknown;
    };
    let mark = file.mark();
    let is_known = |name: KeyName| mark.versions().any(|(known, _)| known == name);
    if !differing.iter().any(|differing| is_known(differing.name)) {
        return unknown;
    }
    let lost = |keys| -> Vec<Lost> { mark.lost_in(keys) };
    let path = file.path().display();
    match (lost(first_keys).is_empty(), lost(second_keys).is_empty()) {
        (true, false) => format!("{} belongs to the data, as {path} says; {KEEP}", first.described),
        (false, true) => format!(
            "{} belongs to the data, as {path} says: put it in place; {KEEP}",
            second.described
        ),
        (true, true) => format!(
            "{path} knows the bytes and not the algorithm: the one belongs to the data with which a server reads it; {KEEP}"
        ),
        (false, false) => format!(
            "neither belongs to the data alone, as {path} says: look for the store that it was worked on with, {}; {KEEP}",
            mark.store.described
        ),
    }
}
