//! The user that the server runs as: a check judges for that one, whoever runs it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use keyroll::durable::User;
use keyroll::settings::ServerOption;

use super::report::{Outcome, Report};
use crate::failure::Failure;
use crate::owner::SERVER_USER;

#[derive(clap::Args)]
pub(super) struct UserArg {
    /// The user that the server runs as, for whom files are judged
    ///
    /// The default is user of the server's option files, or else the owner of the data directory,
    /// or else mysql where there is such a user, or else who runs this.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

impl UserArg {
    /// The server's user, as far as arguments, option files and this data directory tell. The
    /// report says which, and why that one.
    ///
    /// # Errors
    /// The argument names none; the system's users cannot be read.
    pub(super) fn find(
        &self,
        options: Option<&[ServerOption]>,
        directory: Option<&Path>,
        report: &mut Report,
    ) -> Result<User, Failure> {
        let (user, because) = self.find_with_reason(options.unwrap_or_default(), directory, report)?;
        report.judged_for(&user);
        report.ok(format!("judged for the user {}, {because}", user.shown()));
        Ok(user)
    }

    fn find_with_reason(
        &self,
        options: &[ServerOption],
        directory: Option<&Path>,
        report: &mut Report,
    ) -> Result<(User, String), Failure> {
        if let Some(name) = &self.user {
            let user = by_name(name)?.ok_or_else(|| Failure::NoSuchUser(name.clone()))?;
            return Ok((user, "as --user says".into()));
        }
        if let Some(name) = of_options(options) {
            if let Some(user) = by_name(&name)? {
                return Ok((user, "as the option files say".into()));
            }
            report.add(
                Outcome::Failed,
                format!("the option files have user = {name}, and no user is called so"),
                "write the name of the user that the server is to run as".into(),
            );
        }
        let owner = directory.and_then(|directory| Some((directory, fs::metadata(directory).ok()?.uid())));
        if let Some((directory, owner)) = owner {
            let because = format!("who owns the data directory {}", directory.display());
            return Ok((by_id(owner)?, because));
        }
        if let Some(user) = by_name(SERVER_USER)? {
            return Ok((user, "as servers do run: --user names another".into()));
        }
        let we = User::ourselves();
        Ok((by_id(we.id)?, "who runs this: --user names another".into()))
    }
}

/// The user of the option files. The server takes the first, unlike with its other options, so that
/// the command line, which comes last, cannot undo what the files say.
fn of_options(options: &[ServerOption]) -> Option<String> {
    let mut meant = options.iter().filter_map(ServerOption::meaning);
    let (_, value) = meant.find(|(name, value)| name == "user" && !value.bytes().is_empty())?;
    Some(String::from_utf8_lossy(value.bytes()).into_owned())
}

fn by_name(name: &str) -> Result<Option<User>, Failure> {
    User::find(name).map_err(|source| Failure::UserLookup {
        name: name.into(),
        source,
    })
}

fn by_id(id: u32) -> Result<User, Failure> {
    User::of_id(id).map_err(|source| Failure::UserLookup {
        name: id.to_string(),
        source,
    })
}
