//! Who may read a file that holds secrets.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::FileError;
use crate::one_line::one_line;

/// Others may read a secret file, or change it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("others may read or change {}: its mode is {mode:04o}", path.display())]
pub struct LoosePermissions {
    /// The file.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// The command that mends it, ready for a shell.
    pub chmod: String,
}

/// All bits of a mode that are not its owner's to read and write.
const BEYOND_OWNER_ONLY: u32 = 0o7777 & !0o600;
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITE: u32 = 0o020;

/// Finds fault with a file that others may read, or that anyone but its owner may change. The group may
/// read: that is how a server's user is given a file that root owns.
///
/// `meta` must come from the opened file, not from its path, so that it speaks of the bytes that are read.
pub fn check(meta: &Metadata, path: &Path) -> Option<LoosePermissions> {
    // A pipe or a terminal (`FILE:/dev/stdin`) lies nowhere for others to read.
    if !meta.is_file() {
        return None;
    }
    let mode = meta.mode() & 0o7777;
    let mut mend = Vec::new();
    if mode & GROUP_WRITE != 0 {
        mend.push("g-w");
    }
    if mode & (OTHERS_READ | OTHERS_WRITE) != 0 {
        mend.push("o-rwx");
    }
    if mend.is_empty() {
        return None;
    }
    let chmod = format!("chmod {} {}", mend.join(","), shell_word(path));
    Some(LoosePermissions {
        path: path.to_owned(),
        mode,
        chmod,
    })
}

/// Refuses a file that is not of mode 0600 or stricter: one whose secret nobody but its owner has to know.
///
/// `meta` must come from the opened file, as in [`check`]. An access control list that lets others in shows in
/// the mode too, as bits of the group.
///
/// # Errors
/// [`FileError::NotOwnerOnly`].
pub fn owner_only(meta: &Metadata, path: &Path) -> Result<(), FileError> {
    let mode = meta.mode() & 0o7777;
    if mode & BEYOND_OWNER_ONLY == 0 {
        return Ok(());
    }
    Err(FileError::NotOwnerOnly(LoosePermissions {
        path: path.to_owned(),
        mode,
        chmod: format!("chmod 0600 {}", shell_word(path)),
    }))
}

/// The path as one word for a shell, in one line.
pub fn shell_word(path: &Path) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+=:,@".contains(byte);
    let bytes = path.as_os_str().as_bytes();
    match path.to_str() {
        Some(text) if bytes.iter().all(is_plain) => text.into(),
        Some(text) if one_line(text) == text => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let escaped = |byte: &u8| match is_plain(byte) {
                true => char::from(*byte).to_string(),
                false => format!("\\{byte:03o}"),
            };
            let word: String = bytes.iter().map(escaped).collect();
            format!("\"$(printf '{word}')\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fault(name: &str, mode: u32) -> Option<(u32, String)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        let file = File::create(&path).unwrap();
        file.set_permissions(Permissions::from_mode(mode)).unwrap();
        let found = check(&file.metadata().unwrap(), &path)?;
        assert_eq!(found.path, path);
        let run = std::process::Command::new("sh")
            .args(["-c", &found.chmod])
            .status()
            .unwrap();
        assert!(run.success());
        assert_eq!(
            check(&file.metadata().unwrap(), &path),
            None,
            "the chmod mends it"
        );
        Some((
            found.mode,
            found.chmod.replace(dir.path().to_str().unwrap(), "DIR"),
        ))
    }

    #[test]
    fn the_owner_may_do_anything_and_the_group_may_read() {
        for mode in [0o400, 0o600, 0o640, 0o440, 0o700, 0o750] {
            assert_eq!(fault("keys", mode), None, "{mode:o}");
        }
    }

    #[test]
    fn the_chmod_takes_away_what_is_too_much_and_no_more() {
        assert_eq!(fault("keys", 0o644), Some((0o644, "chmod o-rwx DIR/keys".into())));
        assert_eq!(fault("keys", 0o602), Some((0o602, "chmod o-rwx DIR/keys".into())));
        assert_eq!(fault("keys", 0o660), Some((0o660, "chmod g-w DIR/keys".into())));
        assert_eq!(
            fault("keys", 0o666),
            Some((0o666, "chmod g-w,o-rwx DIR/keys".into()))
        );
    }

    #[test]
    fn the_chmod_works_for_names_that_a_shell_would_split() {
        assert_eq!(
            fault("my 'keys'", 0o644).unwrap().1,
            r"chmod o-rwx 'DIR/my '\''keys'\'''"
        );
    }

    #[test]
    fn the_chmod_is_one_line_and_works_for_names_of_several() {
        for name in ["my\nkeys'%d", "\x1b[2K\t\\"] {
            let chmod = fault(name, 0o644).unwrap().1;
            assert!(!chmod.contains(|c: char| c.is_control()), "{chmod:?}");
        }
    }

    #[test]
    fn what_is_its_owners_alone_has_mode_0600_or_stricter() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let judge = |mode| {
            let open = file.as_file();
            open.set_permissions(Permissions::from_mode(mode)).unwrap();
            owner_only(&open.metadata().unwrap(), file.path())
        };
        for mode in [0o600, 0o400, 0o200, 0o000] {
            assert!(judge(mode).is_ok(), "{mode:o}");
        }
        for mode in [0o640, 0o604, 0o620, 0o602, 0o601, 0o610, 0o700, 0o4600, 0o1600] {
            let refused = judge(mode).unwrap_err();
            let path = file.path().display();
            assert_eq!(refused.hint(), format!("run `chmod 0600 {path}`"), "{mode:o}");
            assert!(
                refused.to_string().ends_with(&format!("its mode is {mode:04o}")),
                "{refused}"
            );
        }
    }
}
