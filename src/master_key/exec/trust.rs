//! Whether a command may be trusted with a key: nobody but root and we ourselves may be able to
//! change it, or to put another into its place.
//!
//! The path is walked from the root: each name is opened in the folder that was judged before it,
//! and symbolic links are followed by hand, so that what is judged is what is used. A binary is run
//! by its descriptor. A script is not, for its interpreter opens it anew by its path; but where
//! nobody else may change a folder on the way, nobody else can make that path lead elsewhere.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

use crate::durable::permissions::shell_word;
use crate::master_key::MasterKeyError;

const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// As many symbolic links as the system follows in one path.
const MOST_LINKS: usize = 40;

/// A command that was found trustworthy.
#[derive(Debug)]
pub(super) struct Program {
    /// The file, opened only to name it (`O_PATH`).
    file: File,
    /// Where it is, without a symbolic link.
    path: PathBuf,
}

impl Program {
    /// What to execute: the opened file itself where it is a binary.
    pub(super) fn name(&self) -> PathBuf {
        let opened = PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        let mut magic = [0; 4];
        match File::open(&opened).and_then(|mut file| file.read_exact(&mut magic)) {
            Ok(()) if &magic == b"\x7fELF" => opened,
            _ => self.path.clone(),
        }
    }
}

/// One step of the walk: a folder, a link or a file, opened to name it.
struct PathEntry {
    file: File,
    meta: Metadata,
    path: PathBuf,
}

/// The program that `path`, an absolute one, leads to, if nobody else may change it or put another
/// into its place. Errors: [`MasterKeyError::CannotRun`] if it is no file,
/// [`MasterKeyError::Untrusted`] with the command that mends it.
pub(super) fn resolve(path: &Path) -> Result<Program, MasterKeyError> {
    resolve_for(geteuid().as_raw(), path)
}

fn resolve_for(we: u32, path: &Path) -> Result<Program, MasterKeyError> {
    let failed = |source: io::Error| MasterKeyError::CannotRun {
        path: path.into(),
        source,
    };
    let step = |opened: nix::Result<OwnedFd>, path: PathBuf| -> Result<PathEntry, MasterKeyError> {
        let file = File::from(opened.map_err(|error| failed(error.into()))?);
        let meta = file.metadata().map_err(failed)?;
        check(&path, &meta, we)?;
        Ok(PathEntry { file, meta, path })
    };
    let named = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let root = || step(open("/", named, Mode::empty()), "/".into());

    let mut folder = root()?;
    let mut names = names_from_the_end(path);
    let mut links = 0;
    while let Some(name) = names.pop() {
        let at = match name.as_bytes() {
            b".." => folder.path.parent().unwrap_or(&folder.path).into(),
            _ => folder.path.join(&name),
        };
        let next = step(openat(&folder.file, name.as_os_str(), named, Mode::empty()), at)?;
        if next.meta.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(failed(Errno::ELOOP.into()));
            }
            let target = readlinkat(&next.file, "").map_err(|error| failed(error.into()))?;
            if Path::new(&target).is_absolute() {
                folder = root()?;
            }
            names.extend(names_from_the_end(Path::new(&target)));
        } else if next.meta.is_dir() {
            folder = next;
        } else if !names.is_empty() {
            return Err(failed(Errno::ENOTDIR.into()));
        } else if next.meta.is_file() {
            check_folder_of_command(&folder)?;
            let PathEntry { file, path, .. } = next;
            return Ok(Program { file, path });
        } else {
            break;
        }
    }
    let reason = "it is not a regular file";
    Err(failed(io::Error::new(io::ErrorKind::InvalidInput, reason)))
}

/// The names in a path, in the order in which they are taken from the end of the list.
fn names_from_the_end(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
        _ => None,
    });
    names.collect()
}

/// What is said of anything on the way.
fn check(path: &Path, meta: &Metadata, we: u32) -> Result<(), MasterKeyError> {
    let (mode, owner) = (meta.mode() & 0o7777, meta.uid());
    if owner != 0 && owner != we {
        let chown = if meta.is_symlink() { "chown -h" } else { "chown" };
        return Err(MasterKeyError::Untrusted {
            path: path.into(),
            reason: format!("it belongs to user {owner}, who may change it"),
            mend: format!("run `{chown} root {}`", shell_word(path)).into(),
        });
    }
    let others_may_write = mode & GROUP_OR_OTHERS_WRITE != 0 && !meta.is_symlink();
    match others_may_write {
        // Where the sticky bit is, nobody renames or removes what belongs to another.
        true if meta.is_dir() && mode & STICKY == 0 => {
            Err(loose_folder(path, mode, "rename or replace what is in it"))
        }
        true if !meta.is_dir() => Err(MasterKeyError::Untrusted {
            path: path.into(),
            reason: format!("its group or others may change it: its mode is {mode:04o}"),
            mend: format!("run `chmod go-w {}`", shell_word(path)).into(),
        }),
        _ => Ok(()),
    }
}

/// Nobody else may have files beside the command: an interpreter may load them, as Python does.
fn check_folder_of_command(folder: &PathEntry) -> Result<(), MasterKeyError> {
    let mode = folder.meta.mode() & 0o7777;
    match mode & GROUP_OR_OTHERS_WRITE {
        0 => Ok(()),
        _ => Err(loose_folder(&folder.path, mode, "put files beside the command")),
    }
}

fn loose_folder(path: &Path, mode: u32, what: &str) -> MasterKeyError {
    let mend = format!(
        "run `chmod go-w {}`, or move the command to another directory",
        shell_word(path)
    );
    MasterKeyError::Untrusted {
        path: path.into(),
        reason: format!("its group or others may {what}: its mode is {mode:04o}"),
        mend: mend.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;

    /// `outer/inner/command`, of these modes.
    fn place(outer: u32, inner: u32, command: u32) -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("inner");
        let path = folder.join("command");
        fs::create_dir(&folder).unwrap();
        fs::write(&path, "").unwrap();
        for (path, mode) in [
            (&path, command),
            (&folder, inner),
            (&directory.path().into(), outer),
        ] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        (directory, path)
    }

    /// Sees that the command is refused for this mode, and that the command in the hint mends it.
    fn refused((directory, path): (TempDir, PathBuf), mode: u32) {
        let error = resolve(&path).unwrap_err();
        assert!(matches!(error, MasterKeyError::Untrusted { .. }), "{error}");
        assert!(error.to_string().contains(&format!("{mode:04o}")), "{error}");
        let hint = error.hint();
        let mend = hint.split('`').nth(1).unwrap();
        let run = std::process::Command::new("sh").args(["-c", mend]).status();
        assert!(run.unwrap().success(), "{mend}");
        resolve(&path).unwrap();
        drop(directory);
    }

    #[test]
    fn nobody_else_may_change_the_command_and_the_chmod_mends_it() {
        for mode in [0o700, 0o755, 0o500, 0o600] {
            let (_directory, path) = place(0o755, 0o755, mode);
            resolve(&path).unwrap();
        }
        for mode in [0o775, 0o757, 0o777, 0o722, 0o720, 0o702] {
            refused(place(0o755, 0o755, mode), mode);
        }
    }

    #[test]
    fn nobody_else_may_put_files_beside_the_command_and_the_chmod_mends_it() {
        for mode in [0o757, 0o775, 0o777, 0o1777] {
            refused(place(0o755, mode, 0o755), mode);
        }
    }

    #[test]
    fn nobody_else_may_rename_a_folder_above_the_command_and_the_chmod_mends_it() {
        for mode in [0o757, 0o775, 0o777] {
            refused(place(mode, 0o755, 0o755), mode);
        }
        let (_directory, path) = place(0o1777, 0o755, 0o755);
        resolve(&path).unwrap();
    }

    #[test]
    fn each_folder_on_the_way_of_a_symbolic_link_counts() {
        let (directory, command) = place(0o755, 0o755, 0o755);
        let elsewhere = tempfile::tempdir().unwrap();
        let (link, folder) = (elsewhere.path().join("link"), elsewhere.path().join("folder"));
        symlink(&command, &link).unwrap();
        symlink(command.parent().unwrap(), &folder).unwrap();
        symlink("folder/../inner/./command", elsewhere.path().join("relative")).unwrap();
        let ways = [link, folder.join("command"), elsewhere.path().join("relative")];
        for way in &ways {
            assert_eq!(resolve(way).unwrap().path, command);
        }
        for loose in [elsewhere.path(), directory.path()] {
            fs::set_permissions(loose, Permissions::from_mode(0o777)).unwrap();
            for way in &ways {
                let error = resolve(way).unwrap_err().to_string();
                assert!(error.contains(loose.to_str().unwrap()), "{error}");
            }
            fs::set_permissions(loose, Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn a_circle_of_links_and_a_file_in_the_way_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let (link, file) = (directory.path().join("link"), directory.path().join("file"));
        symlink("link", &link).unwrap();
        fs::write(&file, "").unwrap();
        for (path, why) in [
            (link, "Too many levels of symbolic links"),
            (file.join("command"), "Not a directory"),
            (directory.path().into(), "not a regular file"),
            (directory.path().join("none"), "No such file"),
        ] {
            let error = resolve(&path).unwrap_err();
            assert!(matches!(error, MasterKeyError::CannotRun { .. }), "{error}");
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn what_belongs_to_another_user_is_not_used() {
        let (_directory, path) = place(0o755, 0o755, 0o755);
        let owner = fs::metadata(&path).unwrap().uid();
        // Only where the file is not root's can its owner be refused.
        assert_eq!(resolve_for(owner + 1, &path).is_ok(), owner == 0);
    }

    #[test]
    fn a_binary_is_run_by_its_descriptor_and_a_script_by_its_path() {
        let binary = resolve(Path::new("/bin/true")).unwrap();
        assert!(binary.name().starts_with("/proc/self/fd"), "{binary:?}");
        let (_directory, path) = place(0o755, 0o755, 0o755);
        for text in ["#!/bin/sh\n", "#!", ""] {
            fs::write(&path, text).unwrap();
            assert_eq!(resolve(&path).unwrap().name(), path);
        }
    }
}
