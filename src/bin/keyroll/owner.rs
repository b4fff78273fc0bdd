//! Whom new files belong to.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{Gid, Group, Uid, User};

use crate::failure::Failure;

/// The user that servers run as, where there is such a user: it owns the files which root makes.
pub(crate) const SERVER_USER: &str = "mysql";

/// A user id and a group id.
pub(crate) type Owner = (u32, u32);

#[derive(clap::Args)]
pub(crate) struct OwnerArgs {
    /// Give new files to this user and its primary group
    ///
    /// When root runs this, the user mysql is the default if there is one.
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
}

impl OwnerArgs {
    /// User and group that new files are given to; `None` leaves them to the one who runs this.
    pub(crate) fn owner(&self) -> Result<Option<Owner>, Failure> {
        let name = self.owner.as_deref();
        let asked_for = name.or_else(|| Uid::effective().is_root().then_some(SERVER_USER));
        let Some(asked_for) = asked_for else {
            return Ok(None);
        };
        let found = User::from_name(asked_for).map_err(|source| Failure::UserLookup {
            name: asked_for.into(),
            source,
        })?;
        match found {
            Some(user) => Ok(Some((user.uid.as_raw(), user.gid.as_raw()))),
            None if name.is_some() => Err(Failure::NoSuchUser(asked_for.into())),
            None => Ok(None),
        }
    }
}

/// The user's name, or its number if it has none.
pub(crate) fn name_of(user: u32) -> String {
    match User::from_uid(Uid::from_raw(user)) {
        Ok(Some(user)) => user.name,
        _ => user.to_string(),
    }
}

/// The user and the group that a file belongs to, as `chown` takes them.
pub(crate) fn of_file(meta: &Metadata) -> String {
    let group = match Group::from_gid(Gid::from_raw(meta.gid())) {
        Ok(Some(group)) => group.name,
        _ => meta.gid().to_string(),
    };
    format!("{}:{group}", name_of(meta.uid()))
}
