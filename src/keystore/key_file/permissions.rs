//! Who may read a file that holds secrets.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::super::error::LoosePermissions;

const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITE: u32 = 0o020;

/// Finds fault with a file that others may read, or that anyone but its owner may change. The group may
/// read: that is how a server's user is given a file that root owns.
///
/// `meta` must come from the opened file, not from its path, so that it speaks of the bytes that are read.
pub(super) fn check(meta: &Metadata, path: &Path) -> Option<LoosePermissions> {
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

/// The path as one word for a shell.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
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
}
