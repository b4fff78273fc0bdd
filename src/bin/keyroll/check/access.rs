//! What the server's user may do with the files of a key store.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use keyroll::durable::permissions::shell_word;
use keyroll::durable::{Right, User, replace};

use super::file::File;
use super::report::{Outcome, Report};
use crate::owner;

/// Tells where the user cannot read the file, or run it where it is a command; `true` if it can.
pub(super) fn check(user: &User, file: &File, need: Right, meta: &Metadata, report: &mut Report) -> bool {
    if !can_reach(user, file, report) {
        return false;
    }
    let (who, kind, path) = (user.shown(), file.kind, file.path.display());
    match user.may(need, &file.path) {
        Ok(true) => true,
        Ok(false) => {
            let verb = if need == Right::Enter { "run" } else { "read" };
            report.add(
                Outcome::Failed,
                format!(
                    "the user {who} cannot {verb} the {kind} {path}: its mode is {:04o}, its owner {}",
                    meta.mode() & 0o7777,
                    owner::of_file(meta)
                ),
                let_use(user, file, need, meta),
            );
            false
        }
        Err(error) => {
            not_examined(user, &file.path, &error, report);
            false
        }
    }
}

/// Tells where the user cannot pass a directory on the way to the file; `true` if it can pass all.
pub(super) fn can_reach(user: &User, file: &File, report: &mut Report) -> bool {
    match user.barred_from(&file.path) {
        Ok(None) => true,
        Ok(Some(folder)) => {
            report.add(
                Outcome::Failed,
                format!(
                    "the user {} cannot reach the {} {}: it may not enter the directory {}",
                    user.shown(),
                    file.kind,
                    file.path.display(),
                    folder.display()
                ),
                let_in(user, &folder, file),
            );
            false
        }
        Err((folder, error)) => {
            not_examined(user, &folder, &error, report);
            false
        }
    }
}

/// Tells that a file or a directory could not be looked at by who runs this.
pub(super) fn not_examined(user: &User, path: &Path, error: &io::Error, report: &mut Report) {
    report.add(
        Outcome::NotJudged,
        format!("{} cannot be examined: {error}", path.display()),
        as_someone_else(user),
    );
}

/// Who could look at what we may not.
pub(super) fn as_someone_else(user: &User) -> String {
    match User::ourselves().id == user.id {
        true => "run it as root".into(),
        false => format!("run it as root or as {}", user.shown()),
    }
}

/// Tells where the user could not put a new file in the place of the key store, as a rotation does,
/// which reads it: `meta` is of the store's file, and `directory` the one that it really lies in.
pub(super) fn check_rotation(
    user: &User,
    store: &File,
    meta: &Metadata,
    directory: &Path,
    report: &mut Report,
) {
    let (who, kind, shown) = (user.shown(), store.kind, directory.display());
    if !may_write_in(user, directory) {
        let hint = match is_of_its_own(directory, store) {
            true => format!("run `{}`", give_directory(user, directory)),
            false => format!(
                "keep the {kind} in a directory of its own that {who} may write in, or run `keyroll rotate --all` as root"
            ),
        };
        report.warning(
            format!(
                "the user {who} cannot write in the directory {shown}: SET GLOBAL keyroll_rotate_key fails, which puts a new {kind} there"
            ),
            hint,
        );
    } else if user.id != 0 && !is_own(user, meta) {
        report.warning(
            format!(
                "the {kind} {} belongs to {}: SET GLOBAL keyroll_rotate_key fails, for {who} cannot give the new file this owner",
                store.path.display(),
                owner::of_file(meta)
            ),
            format!("run `chown {} {}`", user.as_owner(), shell_word(&store.path)),
        );
    }
}

/// Tells where the user could not put a new master key file in the place of the one in this
/// directory; root can, and may be meant to be the only one.
pub(super) fn check_master_key_rotation(user: &User, directory: &Path, report: &mut Report) {
    if !may_write_in(user, directory) {
        report.note(
            format!(
                "the user {} cannot write in the directory {}: SET GLOBAL keyroll_rotate_master_key fails, which puts a new master \
                 key file there",
                user.shown(),
                directory.display()
            ),
            "rotate the master key as root, by keyroll rotate-master-key".into(),
        );
    }
}

/// Whether the user may make and replace files in the directory.
fn may_write_in(user: &User, directory: &Path) -> bool {
    let may = |right| user.may(right, directory).is_ok_and(|may| may);
    may(Right::Write) && may(Right::Enter)
}

/// Whether a new file of the user can have the owner and the group of this one.
fn is_own(user: &User, meta: &Metadata) -> bool {
    // Of a number without a name no groups are known.
    meta.uid() == user.id && (user.name.is_none() || user.groups.contains(&meta.gid()))
}

/// What lets the user use the file: it becomes its owner, or where nothing is secret everybody may.
/// A file without keys, as Vault's client key, may be other services' too, by its owner and group:
/// these stay.
fn let_use(user: &User, file: &File, need: Right, meta: &Metadata) -> String {
    let (path, owner) = (shell_word(&file.path), user.as_owner());
    let rights = if need == Right::Enter { "rx" } else { "r" };
    let lacks = meta.mode() >> 6 & need as u32 == 0;
    let command = match (file.is_secret(), meta.uid() == user.id) {
        (false, _) => format!("chmod a+{rights} {path}"),
        (true, true) => format!("chmod u+{rights} {path}"),
        (true, false) if !file.holds_keys => {
            let entry = format!("u:{}:{rights}", user.shown());
            return format!(
                "run `setfacl -m {} {path}`, which leaves what others may as it is, or name a copy that belongs to {}",
                shell_word(Path::new(&entry)),
                user.shown()
            );
        }
        (true, false) if lacks => format!("chown {owner} {path} && chmod u+{rights} {path}"),
        (true, false) => format!("chown {owner} {path}"),
    };
    format!("run `{command}`")
}

/// What lets the user pass a directory on the way to the file.
fn let_in(user: &User, folder: &Path, file: &File) -> String {
    if file.path.parent() == Some(folder) && is_of_its_own(folder, file) {
        return format!("run `{}`", give_directory(user, folder));
    }
    format!(
        "run `chmod a+x {}`, which lets everybody pass it and nobody list it, or keep the {} elsewhere",
        shell_word(folder),
        file.kind
    )
}

fn give_directory(user: &User, directory: &Path) -> String {
    let directory = shell_word(directory);
    format!("chown {} {directory} && chmod u+rwx {directory}", user.as_owner())
}

/// Whether nothing else than the file, and what a change of it keeps or leaves beside it, is in the
/// directory: only then may it be given away.
fn is_of_its_own(directory: &Path, file: &File) -> bool {
    let Ok(mut entries) = fs::read_dir(directory) else {
        return false;
    };
    let own = [file.path.clone(), replace::previous_path(&file.path)];
    let own: Vec<_> = own.into_iter().chain(replace::leftovers(&file.path)).collect();
    let is_own = |name: &OsStr| own.iter().any(|own| own.file_name() == Some(name));
    entries.all(|entry| entry.is_ok_and(|entry| is_own(&entry.file_name())))
}
