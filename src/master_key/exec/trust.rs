//! Whether a command may be trusted with a key: nobody but root and we ourselves may be able to change it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::durable::permissions::shell_word;
use crate::master_key::MasterKeyError;

const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
const OTHERS_WRITE: u32 = 0o002;

/// The file that `path` leads to, if nobody else may change it or put another into its place.
///
/// # Errors
/// [`MasterKeyError::CannotRun`] if it is no file, [`MasterKeyError::Untrusted`] with the command that mends it.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, MasterKeyError> {
    let cannot_run = |source| MasterKeyError::CannotRun {
        path: path.into(),
        source,
    };
    let file = fs::canonicalize(path).map_err(cannot_run)?;
    let meta = fs::metadata(&file).map_err(cannot_run)?;
    if !meta.is_file() {
        return Err(cannot_run(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        )));
    }
    check_file(&file, &meta, geteuid().as_raw())?;
    // A symbolic link can be replaced as well as what it names.
    for directory in [path.parent(), file.parent()].into_iter().flatten() {
        check_directory(directory, &fs::metadata(directory).map_err(cannot_run)?)?;
    }
    Ok(file)
}

fn check_file(file: &Path, meta: &Metadata, we: u32) -> Result<(), MasterKeyError> {
    let (mode, owner) = (meta.mode() & 0o7777, meta.uid());
    if mode & GROUP_OR_OTHERS_WRITE != 0 {
        return Err(MasterKeyError::Untrusted {
            path: file.into(),
            reason: format!("its group or others may change it: its mode is {mode:04o}"),
            mend: format!("run `chmod go-w {}`", shell_word(file)).into(),
        });
    }
    if owner != 0 && owner != we {
        return Err(MasterKeyError::Untrusted {
            path: file.into(),
            reason: format!("it belongs to user {owner}, who may change it"),
            mend: format!("run `chown root {}`", shell_word(file)).into(),
        });
    }
    Ok(())
}

fn check_directory(directory: &Path, meta: &Metadata) -> Result<(), MasterKeyError> {
    let mode = meta.mode() & 0o7777;
    if mode & OTHERS_WRITE == 0 {
        return Ok(());
    }
    Err(MasterKeyError::Untrusted {
        path: directory.into(),
        reason: format!("others may put files into the command's directory: its mode is {mode:04o}"),
        mend: format!(
            "run `chmod o-w {}`, or move the command to another directory",
            shell_word(directory)
        )
        .into(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A directory with a command in it, and what is said of the two with these modes.
    fn judged(file_mode: u32, directory_mode: u32) -> Result<PathBuf, MasterKeyError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("command");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(file_mode)).unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(directory_mode)).unwrap();
        let judged = resolve(&path);
        if let Err(error) = &judged {
            let hint = error.hint();
            let mend = hint.split('`').nth(1).unwrap();
            let run = std::process::Command::new("sh")
                .args(["-c", mend])
                .status()
                .unwrap();
            assert!(run.success(), "{mend}");
            resolve(&path).unwrap();
        }
        judged
    }

    #[test]
    fn nobody_else_may_change_the_command_and_the_chmod_mends_it() {
        for mode in [0o700, 0o755, 0o500, 0o600] {
            assert!(judged(mode, 0o755).is_ok(), "{mode:o}");
        }
        for mode in [0o775, 0o757, 0o777, 0o722, 0o720, 0o702] {
            let refused = judged(mode, 0o755).unwrap_err().to_string();
            assert!(refused.contains(&format!("{mode:04o}")), "{refused}");
        }
    }

    #[test]
    fn others_may_not_put_files_beside_the_command_and_the_chmod_mends_it() {
        for mode in [0o700, 0o755, 0o775] {
            assert!(judged(0o755, mode).is_ok(), "{mode:o}");
        }
        for mode in [0o757, 0o777, 0o1777] {
            let refused = judged(0o755, mode).unwrap_err().to_string();
            assert!(refused.contains(&format!("{mode:04o}")), "{refused}");
        }
    }

    #[test]
    fn the_directory_of_a_symbolic_link_counts_as_well() {
        let (safe, open) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (command, link) = (safe.path().join("command"), open.path().join("link"));
        fs::write(&command, "").unwrap();
        symlink(&command, &link).unwrap();
        assert_eq!(resolve(&link).unwrap(), command);
        fs::set_permissions(open.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(resolve(&link), Err(MasterKeyError::Untrusted { .. })));
    }

    #[test]
    fn a_command_of_another_user_is_not_run() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let meta = file.as_file().metadata().unwrap();
        assert!(check_file(file.path(), &meta, meta.uid()).is_ok());
        // Only where the file is not root's can its owner be refused.
        let refused = check_file(file.path(), &meta, meta.uid() + 1);
        assert_eq!(refused.is_ok(), meta.uid() == 0);
    }
}
