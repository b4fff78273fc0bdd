//! A user, and what it may do with a file: as the kernel decides it, by owner, group, mode and
//! access control list.
//!
//! What a security module (AppArmor, SELinux), a read-only mount or a network file system refuses
//! beside that is not known here.

use std::ffi::CString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};

use nix::unistd::{Gid, Uid, getegid, geteuid, getgrouplist, getgroups};

/// Where Linux keeps an access control list.
const ACL: &str = "system.posix_acl_access";
/// The only format of it: a number of 4 bytes, then entries.
const ACL_VERSION: u32 = 2;
/// An entry: a tag and rights of 2 bytes each, and the id of a user or a group, little-endian.
const ACL_ENTRY: usize = 8;

/// A user and the groups that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub id: u32,
    /// The name; `None` if it has none or nobody asked.
    pub name: Option<String>,
    /// All its groups.
    pub groups: Vec<u32>,
}

/// What one wants to do with a file, as a bit of a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Read it.
    Read = 4,
    /// Change it; of a directory: make, rename and remove files in it.
    Write = 2,
    /// Run it; of a directory: reach what is in it.
    Enter = 1,
}

impl User {
    /// The user that this process runs as.
    pub fn ourselves() -> User {
        let mut groups = getgroups().unwrap_or_default();
        groups.push(getegid());
        User {
            id: geteuid().as_raw(),
            name: None,
            groups: groups.into_iter().map(Gid::as_raw).collect(),
        }
    }

    /// The user of this name, or of this number, with the groups that a server is given which
    /// changes to it; `None` if there is none. A number without a name is in no group.
    ///
    /// # Errors
    /// The system's list of users or groups cannot be read.
    pub fn find(name_or_id: &str) -> nix::Result<Option<User>> {
        if let Some(entry) = nix::unistd::User::from_name(name_or_id)? {
            return User::of_entry(entry).map(Some);
        }
        match name_or_id.parse() {
            Ok(id) => User::of_id(id).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// The user of this number, like [`find`](Self::find).
    ///
    /// # Errors
    /// The system's list of users or groups cannot be read.
    pub fn of_id(id: u32) -> nix::Result<User> {
        match nix::unistd::User::from_uid(Uid::from_raw(id))? {
            Some(entry) => User::of_entry(entry),
            None if geteuid().as_raw() == id => Ok(User::ourselves()),
            None => Ok(User {
                id,
                name: None,
                groups: Vec::new(),
            }),
        }
    }

    fn of_entry(entry: nix::unistd::User) -> nix::Result<User> {
        let name = CString::new(entry.name.as_str()).map_err(|_| nix::Error::EINVAL)?;
        let groups = getgrouplist(&name, entry.gid)?;
        Ok(User {
            id: entry.uid.as_raw(),
            name: Some(entry.name),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
        })
    }

    /// The name, or the number where there is none.
    pub fn shown(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.id.to_string())
    }

    /// What `chown` gives a file to this user with: with its group, which a new file of this user
    /// has, too.
    pub fn as_owner(&self) -> String {
        match &self.name {
            Some(name) => format!("{name}:"),
            None => self.id.to_string(),
        }
    }

    /// Whether the user may do this with what the path leads to, if it gets there: see
    /// [`barred_from`](Self::barred_from).
    ///
    /// # Errors
    /// The file cannot be examined.
    pub fn may(&self, right: Right, path: &Path) -> io::Result<bool> {
        let meta = fs::metadata(path)?;
        if self.id == 0 {
            return Ok(right != Right::Enter || meta.is_dir() || meta.mode() & 0o111 != 0);
        }
        // A file system without such lists has modes alone.
        let acl = xattr::get_deref(path, ACL).unwrap_or_default();
        let acl = acl.as_deref().and_then(Acl::parse);
        Ok(self.rights(&meta, acl.as_ref()) & right as u32 != 0)
    }

    /// The first directory on the way to the file that the user cannot pass, on the path as it is
    /// written and behind symbolic links.
    ///
    /// # Errors
    /// A directory cannot be examined, which is named.
    pub fn barred_from(&self, path: &Path) -> Result<Option<PathBuf>, (PathBuf, io::Error)> {
        let written = absolute(path).map_err(|error| (path.into(), error))?;
        let real = written.canonicalize().unwrap_or_else(|_| written.clone());
        for path in [written, real] {
            let mut folders: Vec<&Path> = path.ancestors().skip(1).collect();
            folders.reverse();
            for folder in folders {
                match self.may(Right::Enter, folder) {
                    Ok(true) => {}
                    Ok(false) => return Ok(Some(folder.into())),
                    Err(error) => return Err((folder.into(), error)),
                }
            }
        }
        Ok(None)
    }

    /// The three bits of rights that the user has.
    fn rights(&self, meta: &Metadata, acl: Option<&Acl>) -> u32 {
        let mode = meta.mode();
        let is_member = |group: u32| self.groups.contains(&group);
        if self.id == meta.uid() {
            return mode >> 6 & 7;
        }
        match acl {
            Some(acl) => acl.rights(self.id, is_member, meta.gid()),
            None if is_member(meta.gid()) => mode >> 3 & 7,
            None => mode & 7,
        }
    }
}

/// An access control list, as the kernel hands it out: acl(5).
#[derive(Debug)]
struct Acl(Vec<Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u16,
    rights: u32,
    id: u32,
}

const USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;

impl Acl {
    fn parse(bytes: &[u8]) -> Option<Acl> {
        let (version, entries) = bytes.split_first_chunk()?;
        if u32::from_le_bytes(*version) != ACL_VERSION || entries.len() % ACL_ENTRY != 0 {
            return None;
        }
        let entry = |entry: &[u8]| {
            let [t0, t1, r0, r1, id @ ..] = *entry.first_chunk::<ACL_ENTRY>()?;
            Some(Entry {
                tag: u16::from_le_bytes([t0, t1]),
                rights: u16::from_le_bytes([r0, r1]).into(),
                id: u32::from_le_bytes(id),
            })
        };
        entries
            .chunks(ACL_ENTRY)
            .map(entry)
            .collect::<Option<_>>()
            .map(Acl)
    }

    fn of(&self, tag: u16) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter(move |entry| entry.tag == tag)
    }

    /// What someone has who is not the owner: by an entry of its own; else by those of its groups
    /// together, of which for one right one is enough; else as all others.
    fn rights(&self, user: u32, is_member: impl Fn(u32) -> bool, owning_group: u32) -> u32 {
        let mask = self.of(MASK).next().map_or(7, |mask| mask.rights);
        if let Some(own) = self.of(USER).find(|entry| entry.id == user) {
            return own.rights & mask;
        }
        let of_owning = self.of(OWNING_GROUP).filter(|_| is_member(owning_group));
        let of_named = self.of(GROUP).filter(|entry| is_member(entry.id));
        let of_groups = of_owning.chain(of_named).map(|entry| entry.rights);
        match of_groups.reduce(|all, one| all | one) {
            Some(rights) => rights & mask,
            None => self.of(OTHERS).next().map_or(0, |others| others.rights),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    /// Users that no file here belongs to.
    const STRANGER: u32 = 54_321;
    const OTHER_GROUP: u32 = 54_322;

    fn user(id: u32, groups: &[u32]) -> User {
        User {
            id,
            name: None,
            groups: groups.into(),
        }
    }

    fn may_read(file: &File, path: &Path, mode: u32, user: &User) -> bool {
        file.set_permissions(Permissions::from_mode(mode)).unwrap();
        user.may(Right::Read, path).unwrap()
    }

    #[test]
    fn a_mode_says_what_owner_group_and_others_may_and_only_the_first_that_fits_counts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let meta = file.as_file().metadata().unwrap();
        let may = |mode, user: &User| may_read(file.as_file(), file.path(), mode, user);
        let member = user(STRANGER, &[OTHER_GROUP, meta.gid()]);
        assert!(may(0o040, &member) && !may(0o404, &member));
        let other = user(STRANGER, &[OTHER_GROUP]);
        assert!(may(0o004, &other) && !may(0o640, &other));
        let owner = User::ourselves();
        assert!(may(0o400, &owner));
        assert_eq!(may(0o044, &owner), meta.uid() == 0, "root alone reads all");
        assert!(may(0o000, &user(0, &[])), "root reads all");
    }

    #[test]
    fn an_access_control_list_counts_as_the_kernel_counts_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path();
        let set = |entries: &str| {
            let set = Command::new("setfacl").args(["-m", entries]).arg(path).status();
            set.is_ok_and(|status| status.success())
        };
        let (named, member) = (user(STRANGER, &[]), user(STRANGER + 1, &[OTHER_GROUP]));
        let may = |user: &User| user.may(Right::Read, path).unwrap();
        assert!(!may(&named) && !may(&member));
        assert!(
            set(&format!("u:{STRANGER}:r,g:{OTHER_GROUP}:r")),
            "setfacl (package acl) and a file system with access control lists are needed"
        );
        assert!(may(&named) && may(&member));
        assert!(!may(&user(STRANGER + 2, &[])));
        // As `chmod 0600` does.
        assert!(set("m::-"));
        assert!(!may(&named) && !may(&member));
    }

    #[test]
    fn the_directory_that_bars_the_way_is_named_also_behind_a_symbolic_link() {
        let top = tempfile::tempdir().unwrap();
        let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        open(top.path(), 0o755);
        let (outer, inner) = (top.path().join("outer"), top.path().join("outer/inner"));
        fs::create_dir_all(&inner).unwrap();
        open(&outer, 0o711);
        open(&inner, 0o700);
        fs::write(inner.join("file"), "").unwrap();
        std::os::unix::fs::symlink(&inner, top.path().join("link")).unwrap();
        let stranger = user(STRANGER, &[]);
        let real = inner.canonicalize().unwrap();
        assert_eq!(
            stranger.barred_from(&inner.join("file")).unwrap(),
            Some(inner.clone())
        );
        assert_eq!(
            stranger.barred_from(&top.path().join("link/file")).unwrap(),
            Some(top.path().join("link"))
        );
        open(&inner, 0o701);
        assert_eq!(stranger.barred_from(&real.join("file")).unwrap(), None);
    }

    #[test]
    fn a_user_is_found_by_name_and_by_number_with_its_groups() {
        let root = User::find("root").unwrap().unwrap();
        assert_eq!(
            (root.id, root.shown().as_str(), root.as_owner().as_str()),
            (0, "root", "root:")
        );
        assert!(root.groups.contains(&0));
        assert_eq!(User::find("0").unwrap().unwrap(), root);
        let nameless = User::find("54321").unwrap().unwrap();
        assert_eq!(
            (nameless.as_owner().as_str(), nameless.groups.len()),
            ("54321", 0)
        );
        assert_eq!(User::find("nobody-of-that-name").unwrap(), None);
    }
}
