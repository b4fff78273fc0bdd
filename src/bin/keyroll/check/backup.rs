//! `--backup`: whether a copy of the key store is as new as the store.

use std::path::{Path, PathBuf};

use keyroll::durable::permissions::shell_word;
use keyroll::durable::read;
use keyroll::keys::KeyName;
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
    let again = format!("`{}` makes a new one", copy_command(path, backup));
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
    } else if copy.generation < store.generation {
        report.warning(
            format!(
                "the backup {shown} is older than the keystore: it was written {} times, the keystore {}; {}",
                copy.generation,
                store.generation,
                lacking(&copy, &store)
            ),
            again,
        );
    } else {
        let how = match copy.generation > store.generation {
            true => "is newer than the keystore",
            false => "was written as often as the keystore, with something else",
        };
        report.warning(
            format!(
                "the backup {shown} {how}: it was written {} times, the keystore {}; the keystore: {}",
                copy.generation,
                store.generation,
                lacking(&store, &copy)
            ),
            "keep both, and see by `keyroll check --datadir DIR --against BACKUP` which of them belongs to the data".into(),
        );
    }
    Ok(())
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

/// A key file says nothing of itself: only the same bytes are surely as new.
fn of_key_file(path: &Path, backup: &Path, report: &mut Report) -> Result<(), StoreError> {
    let bytes = |path: &Path| read::whole(&read::open_regular(path)?, path, &KIND);
    let shown = backup.display();
    if bytes(path)?.expose() == bytes(backup)?.expose() {
        report.ok(format!("the backup {shown} is the same as the key file"));
        return Ok(());
    }
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let (how, hint) = match changed(backup) < changed(path) {
        true => (
            "older than the key file and",
            format!("`{}` makes a new one", copy_command(path, backup)),
        ),
        false => (
            "newer than the key file and",
            "keep both, and see by `keyroll check --against BACKUP` what they do not have in common".into(),
        ),
    };
    report.warning(format!("the backup {shown} is {how} not the same"), hint);
    Ok(())
}

/// At no moment there is no whole backup.
fn copy_command(path: &Path, backup: &Path) -> String {
    let mut new = backup.as_os_str().to_owned();
    new.push(".new");
    let new = shell_word(Path::new(&new));
    format!(
        "cp -p {} {new} && sync {new} && mv {new} {}",
        shell_word(path),
        shell_word(backup)
    )
}
