//! `--backup`: whether a copy of the key store is as new as the store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keyroll::durable::permissions::shell_word;
use keyroll::durable::read;
use keyroll::keys::{Comparison, KeyName};
use keyroll::store::key_file::format::KeyText;
use keyroll::store::keystore::KIND;
use keyroll::store::keystore::format::Document;
use keyroll::store::{StoreConfig, StoreError};

use super::report::{Outcome, Report};
use crate::failure::{Failure, named};

#[derive(clap::Args)]
pub(super) struct BackupArg {
    /// Compare the store with a backup of it, which needs no master key
    ///
    /// A backup that is older, newer or of another store is a warning.
    #[arg(long, value_name = "PATH")]
    backup: Option<PathBuf>,
}

impl BackupArg {
    /// Tells how the backup, if one is named, stands to the store.
    pub(super) fn check(&self, store: &StoreConfig, report: &mut Report) {
        let Some(backup) = &self.backup else {
            return;
        };
        let compared = match store {
            StoreConfig::Keystore(keystore) => of_keystore(&keystore.path, backup, report),
            StoreConfig::KeyFile(config) => of_key_file(&config.path, backup, report),
            StoreConfig::VaultKv(_) => {
                return report.add(
                    Outcome::NotCompared,
                    format!("{} is no file that --backup could be a copy of", store.describe()),
                    "back Vault up as its documentation says, and leave --backup out".into(),
                );
            }
        };
        if let Err(error) = compared {
            let failure = Failure::from(error);
            report.add(
                Outcome::NotCompared,
                format!("the backup cannot be compared: {failure}"),
                failure.hint(),
            );
        }
    }
}

/// A keystore tells which one it is and how many times it was written.
fn of_keystore(path: &Path, backup: &Path, report: &mut Report) -> Result<(), StoreError> {
    let (store, copy) = (Document::read(path)?, Document::read(backup)?);
    let shown = backup.display();
    let keep_both = "keep both, and see by `keyroll check --datadir DIR --against BACKUP` which of them belongs to the data";
    if store.uuid != copy.uuid {
        report.warning(
            format!(
                "the backup {shown} is one of another keystore, with UUID {}",
                copy.uuid
            ),
            "keep it for the data that it belongs to, and back up this keystore under another name".into(),
        );
    } else if copy == store {
        report.ok(format!("the backup {shown} is the same as the keystore"));
    } else if copy.generation < store.generation && has_all_of(&store, &copy) {
        report.warning(
            format!(
                "the backup {shown} is older than the keystore: it was written {} times, the keystore {}; {}",
                copy.generation,
                store.generation,
                lacking(&copy, &store)
            ),
            beside(path, backup),
        );
    } else {
        let how = if copy.generation > store.generation {
            "is newer than the keystore"
        } else if copy.generation == store.generation {
            "was written as often as the keystore, with something else"
        } else {
            "was written less often than the keystore, with something else"
        };
        report.warning(
            format!(
                "the backup {shown} {how}: it was written {} times, the keystore {}; the keystore: {}",
                copy.generation,
                store.generation,
                lacking(&store, &copy)
            ),
            keep_both.into(),
        );
    }
    Ok(())
}

/// Whether the keystore has all key versions of its copy. Where both have grown on their own, they
/// may hold two keys under one name, which were not made at one time.
fn has_all_of(store: &Document, copy: &Document) -> bool {
    let made = |document: &Document| -> BTreeSet<(KeyName, String)> {
        let keys = document.keys.iter();
        keys.map(|key| (key.name, key.created.clone())).collect()
    };
    made(copy).is_subset(&made(store))
}

/// Which versions of the other one a keystore does not have.
fn lacking(one: &Document, other: &Document) -> String {
    let names = |document: &Document| document.keys.iter().map(|key| key.name).collect::<Vec<_>>();
    let held = names(one);
    let mut lacks: Vec<KeyName> = names(other);
    lacks.retain(|name| !held.contains(name));
    match lacks.is_empty() {
        true => "it lacks no key version".into(),
        false => format!("it lacks {}", named(&lacks)),
    }
}

/// A key file says nothing of itself: only the same bytes are surely as new, and only what both
/// hold tells which of them lacks something.
fn of_key_file(path: &Path, backup: &Path, report: &mut Report) -> Result<(), StoreError> {
    let bytes = |path: &Path| read::whole(&read::open_regular(path)?, path, &KIND);
    let shown = backup.display();
    let (store, copy) = (bytes(path)?, bytes(backup)?);
    if store.expose() == copy.expose() {
        report.ok(format!("the backup {shown} is the same as the key file"));
        return Ok(());
    }
    let keep_both = "keep both, and see by `keyroll check --against BACKUP` what they do not have in common";
    // Those that are encrypted are not opened here.
    let (Ok(store), Ok(copy)) = (KeyText::parse(store), KeyText::parse(copy)) else {
        report.warning(
            format!("the backup {shown} is not the same as the key file"),
            keep_both.into(),
        );
        return Ok(());
    };
    let found = Comparison::of(&store.keys, &copy.keys);
    let mut differences = Vec::new();
    if !found.first_lacks.is_empty() {
        differences.push(format!("the key file lacks {}", named(&found.first_lacks)));
    }
    if !found.second_lacks.is_empty() {
        differences.push(format!("the backup lacks {}", named(&found.second_lacks)));
    }
    differences.extend(found.differing.iter().map(ToString::to_string));
    if differences.is_empty() {
        differences.push("they hold the same keys".into());
    }
    let has_all = found.first_lacks.is_empty() && found.differing.is_empty();
    report.warning(
        format!(
            "the backup {shown} is not the same as the key file: {}",
            differences.join("; ")
        ),
        match has_all {
            true => beside(path, backup),
            false => keep_both.into(),
        },
    );
    Ok(())
}

/// How to make a backup that takes the place of none: the store may be an old copy itself.
fn beside(path: &Path, backup: &Path) -> String {
    let name = |number: u32| {
        let mut name = backup.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    let free = (1..=u32::MAX)
        .map(name)
        .find(|name| name.symlink_metadata().is_err());
    let new = shell_word(&free.unwrap_or_else(|| name(0)));
    // What has this name by then keeps another one.
    format!(
        "keep it, and make a new one beside it: `cp -p --backup=numbered {} {new} && sync {new}`",
        shell_word(path)
    )
}
