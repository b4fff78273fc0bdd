//! Who may read a file that holds secrets.

use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::User;
use crate::one_line::one_line;

/// Others may read a secret file, or change it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("others may read or change {}: its mode is {mode:04o}", path.display())]
#[allow(missing_docs, reason = "the message says what path and mode are")]
pub struct LoosePermissions {
    pub path: PathBuf,
    pub mode: u32,
    /// The command that mends it, ready for a shell. Whoever reads the file now can read it
    /// afterwards.
    pub mend: String,
    /// Whether the server can read the file afterwards only if it runs as root: nobody says here
    /// who it runs as.
    readable_for_root_alone: bool,
}

impl LoosePermissions {
    /// What a DBA can do about it.
    pub fn remedy(&self) -> String {
        let owner = match self.readable_for_root_alone {
            true => ", and `chown` it to the server's user, unless that is root",
            false => "",
        };
        format!("run `{}`{owner}", self.mend)
    }
}

/// All bits of a mode that are not its owner's to read and write.
const BEYOND_OWNER_ONLY: u32 = 0o7777 & !0o600;
const GROUP_READ: u32 = 0o040;
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITE: u32 = 0o020;

/// Finds fault with a file that others may read, or that anyone but its owner may change. The group
/// may read: that is how a server's user is given a file that root owns.
///
/// `meta` must come from the opened file, not from its path, so that it speaks of the bytes that
/// are read.
pub fn check(meta: &Metadata, path: &Path) -> Option<LoosePermissions> {
    check_for(&User::ourselves(), meta, path)
}

/// Finds fault like [`check`] with a file that someone else reads; none with one that is not there
/// or cannot be seen.
pub fn check_path(path: &Path) -> Option<LoosePermissions> {
    check(&fs::metadata(path).ok()?, path)
}

/// Finds fault like [`check`] with a file that this user is to read.
pub fn check_for(reader: &User, meta: &Metadata, path: &Path) -> Option<LoosePermissions> {
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
    let group = (mode & GROUP_READ != 0).then_some(meta.gid());
    Some(mended_by(reader, meta, path, &mend.join(","), group))
}

/// What is wrong, and the chmod that mends it. The owner, and `group` where one is named, can read
/// the file afterwards: where `reader` is not among them, it must be given to him.
fn mended_by(
    reader: &User,
    meta: &Metadata,
    path: &Path,
    mode: &str,
    group: Option<u32>,
) -> LoosePermissions {
    let file = shell_word(path);
    let chmod = format!("chmod {mode} {file}");
    let can_read = reader.id == 0
        || reader.id == meta.uid()
        || group.is_some_and(|group| reader.groups.contains(&group));
    LoosePermissions {
        path: path.to_owned(),
        mode: meta.mode() & 0o7777,
        mend: match can_read {
            true => chmod,
            false => format!("chown {} {file} && {chmod}", reader.as_owner()),
        },
        // One that was looked up by its name is the server's.
        readable_for_root_alone: reader.id == 0
            && reader.name.is_none()
            && meta.uid() == 0
            && group.is_none_or(|group| group == 0),
    }
}

/// Refuses a file that is not of mode 0600 or stricter: one whose secret nobody but its owner has
/// to know.
///
/// `meta` must come from the opened file, as in [`check`]. An access control list that lets others
/// in shows in the mode too, as bits of the group.
///
/// # Errors
/// Who may read it, and the command that mends it.
pub fn owner_only(meta: &Metadata, path: &Path) -> Result<(), LoosePermissions> {
    owner_only_for(&User::ourselves(), meta, path)
}

/// Refuses like [`owner_only`] a file that this user is to read.
///
/// # Errors
/// Who may read it, and the command that mends it.
pub fn owner_only_for(reader: &User, meta: &Metadata, path: &Path) -> Result<(), LoosePermissions> {
    let mode = meta.mode() & 0o7777;
    if mode & BEYOND_OWNER_ONLY == 0 {
        return Ok(());
    }
    Err(mended_by(reader, meta, path, "0600", None))
}

/// The path as one word for a shell, in one line.
pub fn shell_word(path: &Path) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+=:,@".contains(byte);
    let bytes = path.as_os_str().as_bytes();
    match path.to_str() {
        Some(text) if bytes.iter().all(is_plain) => text.into(),
        // The sign begins the name of a setting in our texts.
        Some(text) if one_line(text) == text && !text.contains('‹') => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
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
            .args(["-c", &found.mend])
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
            found.mend.replace(dir.path().to_str().unwrap(), "DIR"),
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
    fn who_reads_the_file_now_can_read_it_afterwards() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (path, name) = (file.path(), file.path().display());
        let mend = |reader: &User, mode| {
            let open = file.as_file();
            open.set_permissions(Permissions::from_mode(mode)).unwrap();
            check_for(reader, &open.metadata().unwrap(), path).unwrap().mend
        };
        let meta = file.as_file().metadata().unwrap();
        let of = |id, group| User {
            id,
            name: None,
            groups: vec![group],
        };
        let (stranger, member) = (of(meta.uid() + 1, meta.gid() + 1), of(meta.uid() + 1, meta.gid()));
        let chmod = format!("chmod o-rwx {name}");
        let chown = format!("chown {} {name} && {chmod}", stranger.id);
        assert_eq!(mend(&of(meta.uid(), meta.gid()), 0o604), chmod);
        assert_eq!(mend(&member, 0o644), chmod);
        assert_eq!(mend(&member, 0o604), chown);
        assert_eq!(mend(&stranger, 0o644), chown);
    }

    #[test]
    fn where_nobody_says_who_the_server_runs_as_a_file_of_root_is_to_be_given_to_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file()
            .set_permissions(Permissions::from_mode(0o604))
            .unwrap();
        let meta = file.as_file().metadata().unwrap();
        let root = User {
            id: 0,
            name: None,
            groups: vec![0],
        };
        let remedy = check_for(&root, &meta, file.path()).unwrap().remedy();
        assert_eq!(
            remedy.contains("`chown` it to the server's user"),
            meta.uid() == 0,
            "{remedy}"
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
            assert!(
                refused.remedy().starts_with(&format!("run `chmod 0600 {path}`")),
                "{mode:o}"
            );
            assert!(
                refused.to_string().ends_with(&format!("its mode is {mode:04o}")),
                "{refused}"
            );
        }
    }
}
