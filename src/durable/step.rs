//! The steps of putting a file on disk, and what the disk holds when one of them fails.

use std::fmt;
use std::io;
use std::path::Path;

use super::FileKind;

/// One step on the way to a new file.
#[allow(missing_docs, reason = "the words of each step say what it is")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Examine,
    Lock,
    RemoveStale,
    Remove,
    Create,
    Owner,
    Attributes,
    Mode,
    Write,
    Sync,
    Rename,
    SyncDirectory,
    ReadBack,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Examine => "examine",
            Step::Lock => "lock",
            Step::RemoveStale => "remove the stale",
            Step::Remove => "remove",
            Step::Create => "create",
            Step::Owner => "set the owner of",
            Step::Attributes => "set the access control lists and extended attributes of",
            Step::Mode => "set the mode of",
            Step::Write => "write",
            Step::Sync => "sync",
            Step::Rename => "replace",
            Step::SyncDirectory => "sync the directory of",
            Step::ReadBack => "read back",
        })
    }
}

impl Step {
    /// What a DBA can do when this step failed.
    pub(super) fn hint(self, path: &Path, error: &io::Error, state: &DiskState, kind: &FileKind) -> String {
        let as_root = match state {
            DiskState::NoFile => Some("make it as root, or elsewhere"),
            _ => kind.replace_as_root,
        };
        let or_as_root = as_root
            .map(|as_root| format!(", or {as_root}"))
            .unwrap_or_default();
        let directory = path.parent().unwrap_or(path).display();
        let hint = match (self, error.raw_os_error()) {
            (_, Some(libc::ENOSPC | libc::EDQUOT)) => format!("free space in {directory}"),
            (Step::Examine | Step::Create, Some(libc::ENOENT)) => {
                "make its folder first; the server's user should own it".into()
            }
            (_, Some(libc::EROFS)) => {
                format!("{directory} is on a read-only file system: remount it{or_as_root}")
            }
            (Step::Rename, Some(libc::EBUSY | libc::EXDEV)) => format!(
                "{} seems to be a mount point of its own (a bind-mounted file): mount its directory instead",
                path.display()
            ),
            (Step::Owner, _) => {
                format!(
                    "only root can give a file to another owner or group: give the file to the server's user{or_as_root}"
                )
            }
            (
                Step::Examine | Step::Create | Step::RemoveStale | Step::Remove | Step::Rename,
                Some(libc::EACCES | libc::EPERM),
            ) => {
                format!(
                    "the server's user may not read and write in {directory}: give it these rights{or_as_root}"
                )
            }
            (Step::Attributes | Step::Mode, _) => format!("give the file to the server's user{or_as_root}"),
            (Step::Lock, Some(libc::EACCES | libc::EPERM)) => format!(
                "on NFS only who may write the file itself may lock it: let the server's user write it{or_as_root}"
            ),
            (Step::Lock, _) => "the file system must support locks (flock)".into(),
            _ => "check the disk and the system log".into(),
        };
        match state {
            DiskState::MayHoldUnused { .. } => format!("{hint}, before the next reload or rotation"),
            _ => hint,
        }
    }
}

/// What the disk holds after a failure.
#[allow(missing_docs, reason = "the words of each state say what it is")]
#[derive(Debug)]
pub enum DiskState {
    AsItWas,
    Replaced,
    /// The file was replaced, then its old bytes were put back durably.
    PutBack,
    /// The file was replaced and could not be put back.
    MayHoldUnused {
        why: io::Error,
    },
    NoFile,
}

impl DiskState {
    pub(super) fn in_words(&self, kind: &FileKind) -> String {
        let (name, unused) = (kind.name, kind.when_not_put_back);
        match self {
            DiskState::AsItWas => format!("the {name} is as it was"),
            DiskState::Replaced => format!("the {name} itself is written"),
            DiskState::PutBack => format!("the {name} was put back as it was"),
            DiskState::MayHoldUnused { why } => {
                format!("to put the old {name} back failed too ({why}): it may still hold {unused}")
            }
            DiskState::NoFile => format!("no {name} was made"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::KIND;
    use super::*;

    #[test]
    fn each_failure_has_the_hint_that_helps() {
        use DiskState::{AsItWas, NoFile};
        let not_allowed = "the server's user may not read and write in /srv: give it these rights, or ";
        let may_hold_unused = || DiskState::MayHoldUnused {
            why: io::Error::other("why"),
        };
        for (step, code, state, hint) in [
            (Step::Write, libc::ENOSPC, AsItWas, "free space in /srv"),
            (Step::Sync, libc::EDQUOT, AsItWas, "free space in /srv"),
            (
                Step::Create,
                libc::EROFS,
                NoFile,
                "/srv is on a read-only file system: remount it, or make it as root, or elsewhere",
            ),
            (
                Step::Rename,
                libc::EBUSY,
                AsItWas,
                "/srv/file seems to be a mount point of its own (a bind-mounted file): mount its directory instead",
            ),
            (
                Step::Owner,
                libc::EPERM,
                AsItWas,
                "only root can give a file to another owner or group: give the file to the server's user, or replace it as root",
            ),
            (
                Step::Create,
                libc::EACCES,
                AsItWas,
                &*format!("{not_allowed}replace it as root"),
            ),
            (
                Step::Examine,
                libc::EACCES,
                NoFile,
                &*format!("{not_allowed}make it as root, or elsewhere"),
            ),
            (
                Step::Attributes,
                libc::EPERM,
                AsItWas,
                "give the file to the server's user, or replace it as root",
            ),
            (
                Step::Mode,
                libc::EPERM,
                AsItWas,
                "give the file to the server's user, or replace it as root",
            ),
            (
                Step::Lock,
                libc::ENOLCK,
                AsItWas,
                "the file system must support locks (flock)",
            ),
            (
                Step::Sync,
                libc::EIO,
                AsItWas,
                "check the disk and the system log",
            ),
            (
                Step::Write,
                libc::ENOSPC,
                may_hold_unused(),
                "free space in /srv, before the next reload or rotation",
            ),
        ] {
            let error = io::Error::from_raw_os_error(code);
            let said = step.hint(Path::new("/srv/file"), &error, &state, &KIND);
            assert_eq!(said, hint, "{step:?} {code} {state:?}");
        }
    }
}
