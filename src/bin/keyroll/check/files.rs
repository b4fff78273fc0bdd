//! The files of a key store: who may read and change them, and where they lie.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use keyroll::durable::{SecretSource, permissions, replace};
use keyroll::master_key::{Provider, file_of};
use keyroll::store::StoreConfig;

use super::report::Report;
use crate::owner;

/// The write permission of group and others.
const OTHERS_WRITE: u32 = 0o022;
/// With it, nobody but a file's owner may remove it from a directory.
const STICKY: u32 = 0o1000;
/// InnoDB's system tablespace, which lies in every data directory.
const SIGN_OF_DATADIR: &str = "ibdata1";

/// A file, and what it is.
struct File {
    kind: &'static str,
    path: PathBuf,
}

/// The files that a store consists of: its own, what opens it, and the copy from before the last
/// change.
#[derive(Default)]
pub(super) struct Files {
    store: Option<File>,
    secret: Option<File>,
    previous: Option<File>,
    /// Whether they open by nothing that could lie on the same disk.
    are_sealed_by_service: bool,
}

impl Files {
    pub(super) fn of(store: &StoreConfig) -> Files {
        let file = |kind, path: &Path| File {
            kind,
            path: path.to_owned(),
        };
        let mut files = Files {
            store: store.file().map(|path| file(store.kind(), path)),
            ..Files::default()
        };
        match store {
            StoreConfig::KeyFile(config) => {
                let path = config.filekey.as_ref().and_then(SecretSource::file);
                files.secret = path.map(|path| file("password file", path));
            }
            StoreConfig::Keystore(keystore) => {
                let path = keystore.path.canonicalize().unwrap_or(keystore.path.clone());
                let previous = file("keystore before its last change", &replace::previous_path(&path));
                files.previous = Some(previous).filter(|file| file.path.exists());
                files.secret = file_of(&keystore.master_key).map(|path| file("master key file", path));
                files.are_sealed_by_service =
                    Provider::of(&keystore.master_key).is_some_and(|(provider, _)| provider.is_service);
            }
            StoreConfig::VaultKv(_) => {}
        }
        files
    }

    fn all(&self) -> impl Iterator<Item = &File> {
        [&self.store, &self.secret, &self.previous].into_iter().flatten()
    }

    /// Whether [`check`](Self::check) tells of the modes of this file.
    pub(super) fn tell_of(&self, path: &Path) -> bool {
        let same = |file: &File| file.path == path || file.path.canonicalize().is_ok_and(|own| own == path);
        self.all().any(same)
    }

    /// Tells of every file, of its directory, and of how they lie to each other and to the data.
    pub(super) fn check(&self, report: &mut Report) {
        let mut directories: Vec<PathBuf> = Vec::new();
        for file in self.all() {
            // What is not there is told of when the store is opened.
            let Ok(meta) = file.path.metadata() else {
                continue;
            };
            mode_of(file, &meta, report);
            let Some(directory) = directory_of(&file.path) else {
                continue;
            };
            if !directories.contains(&directory) {
                check_directory(&directory, &meta, report);
                if !self.are_sealed_by_service {
                    beside_data(file, &directory, report);
                }
                directories.push(directory);
            }
        }
        let (Some(store), Some(secret)) = (&self.store, &self.secret) else {
            return;
        };
        let (of_store, of_secret) = (directory_of(&store.path), directory_of(&secret.path));
        if of_store.is_some() && of_store == of_secret {
            report.warning(
                format!("the {} lies in the directory of the {}", secret.kind, store.kind),
                "keep what opens the keys apart from them: who copies the directory has both".into(),
            );
        }
    }
}

/// The directory that really holds the file, behind all symbolic links.
fn directory_of(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    path.parent().map(Path::to_owned)
}

fn mode_of(file: &File, meta: &Metadata, report: &mut Report) {
    match permissions::check(meta, &file.path) {
        Some(loose) => report.warning(loose.to_string(), loose.remedy()),
        None => report.ok(format!(
            "{} {}: mode {:04o}, owner {}",
            file.kind,
            file.path.display(),
            meta.mode() & 0o7777,
            owner::name_of(meta.uid())
        )),
    }
}

/// Who may write in a directory may put another file in the place of this one.
fn check_directory(directory: &Path, file: &Metadata, report: &mut Report) {
    let shown = directory.display();
    let Ok(meta) = directory.metadata() else {
        return report.warning(
            format!("directory {shown} cannot be examined"),
            "run this as the server's user or as root".into(),
        );
    };
    let mode = meta.mode() & 0o7777;
    let owner = owner::name_of(meta.uid());
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        report.warning(
            format!("others may replace files in the directory {shown}: its mode is {mode:04o}"),
            format!("run `chmod go-w {}`", permissions::shell_word(directory)),
        );
    } else if meta.uid() != 0 && meta.uid() != file.uid() {
        report.warning(
            format!("the directory {shown} belongs to {owner}, who may replace files in it"),
            format!(
                "run `chown {} {}`",
                owner::name_of(file.uid()),
                permissions::shell_word(directory)
            ),
        );
    } else {
        report.ok(format!("directory {shown}: mode {mode:04o}, owner {owner}"));
    }
}

/// Keys that travel with the data protect nothing.
fn beside_data(file: &File, directory: &Path, report: &mut Report) {
    let datadir = directory
        .ancestors()
        .find(|ancestor| ancestor.join(SIGN_OF_DATADIR).exists());
    if let Some(datadir) = datadir {
        report.warning(
            format!(
                "the {} lies in the data directory {}",
                file.kind,
                datadir.display()
            ),
            "keep it elsewhere: a copy of the data directory would hold both the data and its keys".into(),
        );
    }
}
