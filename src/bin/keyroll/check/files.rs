//! The files of a key store: who may read and change them, and where they lie.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use keyroll::durable::{FileError, Right, SecretSource, User, permissions, read, replace};
use keyroll::master_key::{Provider, file_of};
use keyroll::service::vault::VaultAccess;
use keyroll::store::StoreConfig;
use keyroll::store::mark::FILE_NAME;

use super::access;
use super::file::{File, Secrecy};
use super::report::{Outcome, Report};
use crate::owner;

/// The write permission of group and others.
const OTHERS_WRITE: u32 = 0o022;
/// With it, nobody but a file's owner may remove it from a directory.
const STICKY: u32 = 0o1000;
/// InnoDB's system tablespace, which lies in every data directory.
const SIGN_OF_DATADIR: &str = "ibdata1";

/// The files that a store consists of: its own, what opens it, and the copy from before the last
/// change; those that its key service is asked with; and the mark beside the data.
#[derive(Default)]
pub(super) struct Files {
    store: Option<File>,
    secret: Option<File>,
    previous: Option<File>,
    others: Vec<File>,
    mark: Option<File>,
    /// Whether they open by nothing that could lie on the same disk.
    are_sealed_by_service: bool,
    /// Whether the server refuses files that others can read.
    is_strict: bool,
}

impl Files {
    pub(super) fn of(store: &StoreConfig, directory: Option<&Path>) -> Files {
        let mut files = Files {
            store: store
                .file()
                .map(|path| File::with_keys(store.kind(), path, Secrecy::Secret)),
            is_strict: store.is_strict(),
            ..Files::default()
        };
        match store {
            StoreConfig::KeyFile(config) => {
                let path = config.filekey.as_ref().and_then(SecretSource::file);
                files.secret = path.map(|path| File::with_keys("password file", path, Secrecy::Secret));
            }
            StoreConfig::Keystore(keystore) => {
                let path = keystore.path.canonicalize().unwrap_or(keystore.path.clone());
                let previous = File {
                    need: None,
                    ..File::with_keys(
                        "keystore before its last change",
                        &replace::previous_path(&path),
                        Secrecy::Secret,
                    )
                };
                files.previous = Some(previous).filter(|file| file.path.exists());
                files.secret = file_of(&keystore.master_key)
                    .map(|path| File::with_keys("master key file", path, Secrecy::OwnerOnly));
                if let Some((provider, rest)) = Provider::of(&keystore.master_key) {
                    files.are_sealed_by_service = provider.is_service;
                    match (provider.scheme, &keystore.options.vault) {
                        ("exec", _) => files.others.push(command(rest)),
                        ("vault-transit", Some(vault)) => files.others.extend(of_vault(vault)),
                        _ => {}
                    }
                }
            }
            StoreConfig::VaultKv(config) => files.others.extend(of_vault(&config.vault.access)),
        }
        let mark = directory.map(|directory| directory.join(FILE_NAME));
        files.mark = mark.map(|path| File::with_keys("mark", &path, Secrecy::Secret));
        files
    }

    fn all(&self) -> impl Iterator<Item = &File> {
        let own = [&self.store, &self.secret, &self.previous].into_iter().flatten();
        own.chain(&self.others)
    }

    /// The files that nobody but the server is to read.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Path> {
        let secrets = self.all().filter(|file| file.is_secret());
        secrets.map(|file| file.path.as_path())
    }

    /// Whether [`check`](Self::check) tells of the modes of this file.
    pub(super) fn tell_of(&self, path: &Path) -> bool {
        let same = |own: &Path| own == path || own.canonicalize().is_ok_and(|own| own == path);
        self.secrets().any(same)
    }

    /// Tells of every file, of its directory, and of how they lie to each other and to the data, as
    /// they are for the server's user. `true` if the store can be opened, as far as they tell: what
    /// it would be refused for has been told otherwise.
    pub(super) fn check(&self, user: &User, report: &mut Report) -> bool {
        let mut directories: Vec<PathBuf> = Vec::new();
        let mut can_be_opened = true;
        for file in self.all() {
            let meta = match file.path.metadata() {
                Ok(meta) => meta,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    can_be_opened = false;
                    if access::can_reach(user, file, report) {
                        access::not_examined(user, &file.path, &error, report);
                    }
                    continue;
                }
                // What is not there is told of when the store is opened.
                Err(_) => continue,
            };
            can_be_opened &= self.check_file(user, file, &meta, report);
            let Some(directory) = directory_of(&file.path).filter(|_| file.holds_keys) else {
                continue;
            };
            if !directories.contains(&directory) {
                check_directory(user, &directory, &meta, report);
                if !self.are_sealed_by_service {
                    beside_data(file, &directory, report);
                }
                directories.push(directory);
            }
        }
        if let (Some(store), Some(secret)) = (&self.store, &self.secret) {
            apart(store, secret, report);
        }
        // One that we may not examine is told of when it is read.
        if let Some((mark, meta)) = self
            .mark
            .as_ref()
            .and_then(|mark| Some((mark, mark.path.metadata().ok()?)))
        {
            access::check(user, mark, Right::Read, &meta, report);
        }
        can_be_opened
    }

    /// Tells of one file; `false` if the store cannot be opened because of it.
    fn check_file(&self, user: &User, file: &File, meta: &Metadata, report: &mut Report) -> bool {
        // One remedy for one file: a mode is not mended before the file can be used.
        let is_usable = match file.need {
            // A pipe (`FILE:/dev/stdin`) is for who runs this alone.
            Some(need) if meta.is_file() => access::check(user, file, need, meta, report),
            _ => true,
        };
        let mut can_be_opened = true;
        if is_usable {
            match self.fault(user, file, meta) {
                None => report.ok(format!(
                    "{} {}: mode {:04o}, owner {}",
                    file.kind,
                    file.path.display(),
                    meta.mode() & 0o7777,
                    owner::name_of(meta.uid())
                )),
                Some((Outcome::Failed, what, hint)) => {
                    can_be_opened = false;
                    report.add(Outcome::Failed, what, hint);
                }
                Some((outcome, what, hint)) => report.add(outcome, what, hint),
            }
            let is_store = self.store.as_ref().is_some_and(|store| store.path == file.path);
            match directory_of(&file.path) {
                Some(directory) if is_store => {
                    access::check_rotation(user, file, meta, &directory, report);
                }
                Some(directory) if file.secrecy == Secrecy::OwnerOnly => {
                    access::check_master_key_rotation(user, &directory, report);
                }
                _ => {}
            }
        }
        can_be_opened && is_open_to_us(user, file, meta, report)
    }

    /// What is wrong with the mode or the owner of a file that the user can read.
    fn fault(&self, user: &User, file: &File, meta: &Metadata) -> Option<(Outcome, String, String)> {
        match file.secrecy {
            Secrecy::Open => None,
            Secrecy::Secret => permissions::check_for(user, meta, &file.path).map(|loose| {
                let outcome = if self.is_strict {
                    Outcome::Failed
                } else {
                    Outcome::Warning
                };
                (outcome, loose.to_string(), loose.remedy())
            }),
            Secrecy::OwnerOnly => {
                let loose = permissions::owner_only_for(user, meta, &file.path).err()?;
                let error = FileError::NotOwnerOnly(loose);
                Some((Outcome::Failed, error.to_string(), error.hint()))
            }
        }
    }
}

/// Whether we can read the file, if the server does.
fn is_open_to_us(user: &User, file: &File, meta: &Metadata, report: &mut Report) -> bool {
    if file.need != Some(Right::Read) || !meta.is_file() || User::ourselves().id == user.id {
        return true;
    }
    match read::regular(&file.path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            report.add(
                Outcome::NotJudged,
                format!(
                    "the {} {} cannot be read by who runs this: what is in it was not judged",
                    file.kind,
                    file.path.display()
                ),
                access::as_someone_else(user),
            );
            false
        }
        _ => true,
    }
}

/// The files that Vault is asked with.
fn of_vault(vault: &VaultAccess) -> impl Iterator<Item = File> {
    vault.files().into_iter().map(|file| File {
        kind: file.kind,
        path: file.path.to_owned(),
        secrecy: if file.is_secret {
            Secrecy::Secret
        } else {
            Secrecy::Open
        },
        need: Some(Right::Read),
        holds_keys: false,
    })
}

/// The command that gives the master key.
fn command(path: &str) -> File {
    File {
        need: Some(Right::Enter),
        holds_keys: false,
        ..File::with_keys("command", Path::new(path), Secrecy::Open)
    }
}

/// The directory that really holds the file, behind all symbolic links.
fn directory_of(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    path.parent().map(Path::to_owned)
}

/// What opens the keys is better not beside them.
fn apart(store: &File, secret: &File, report: &mut Report) {
    let (of_store, of_secret) = (directory_of(&store.path), directory_of(&secret.path));
    if of_store.is_some() && of_store == of_secret {
        report.warning(
            format!("the {} lies in the directory of the {}", secret.kind, store.kind),
            "keep what opens the keys apart from them: who copies the directory has both".into(),
        );
    }
}

/// Who may write in a directory may put another file in the place of this one.
fn check_directory(user: &User, directory: &Path, file: &Metadata, report: &mut Report) {
    let shown = directory.display();
    let meta = match directory.metadata() {
        Ok(meta) => meta,
        Err(error) => return access::not_examined(user, directory, &error, report),
    };
    let mode = meta.mode() & 0o7777;
    let owner = owner::name_of(meta.uid());
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        report.warning(
            format!("others may replace files in the directory {shown}: its mode is {mode:04o}"),
            format!("run `chmod go-w {}`", permissions::shell_word(directory)),
        );
    } else if ![0, file.uid(), user.id].contains(&meta.uid()) {
        report.warning(
            format!("the directory {shown} belongs to {owner}, who may replace files in it"),
            format!(
                "run `chown {} {}`",
                user.as_owner(),
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
