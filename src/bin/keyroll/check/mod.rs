//! `keyroll check`: what the plugin would say about a key store, and what a careful look at its
//! files finds.

mod access;
mod against;
mod backup;
mod binary_logs;
mod file;
mod files;
mod plugins;
mod report;
mod server_user;
mod sql_files;
mod unencrypted;

use std::path::Path;
use std::process::ExitCode;

use keyroll::durable::{lock, replace};
use keyroll::keys::KeySet;
use keyroll::store::mark::format::MarkFormatError;
use keyroll::store::{MarkError, Warning};

use crate::datadir::{self, Compared, DatadirArg};
use crate::failure::Failure;
use crate::store::OpenStore;
use crate::store_args::{ChosenStore, StoreArgs};
use against::{AgainstArgs, Second};
use backup::BackupArg;
use binary_logs::BinaryLogs;
use files::Files;
use report::{Outcome, Report};
use server_user::UserArg;
use unencrypted::DefaultKey;

/// The key of temporary files and tables; the server uses key 1 where it is missing.
const TEMPORARY_DATA: u32 = 2;

/// Checks whether the plugin would accept a key store, without changing it
///
/// Opens the store with its master key or password, verifies every key version, and looks at the
/// modes, owners and places of all files, as they are for the user that the server runs as. Where
/// it reads the server's option files it tells as well what they leave unencrypted. Run it as root,
/// or as the server's user, before a restart of the server and from time to time.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  sudo keyroll check
      The key store of the server that is installed here.
  keyroll check --filename /var/lib/keyroll/keys --quiet ||
    echo 'look at the keys'
  keyroll check --json | jq -r .verdict
  keyroll check --backup /backup/keystore
      Whether the backup is as new as the server's keystore.
  keyroll check --against /backup/keystore \\
    --against-master-key file:/backup/master
      What the server's store and another one do not have in common.

Exit codes:
   0  the plugin accepts the store (\"ok\" in JSON)
   1  the plugin accepts the store, but there are warnings (\"warnings\");
      with --against also if one of the stores lacks a version that the
      other holds
   2  the plugin would refuse the store (\"refused\"), or no store is named,
      or who runs this may not read its files (\"not judged\");
      with --against also if both hold a version with other bytes or for
      another algorithm (\"differs\"), or the second store does not open
      (\"not compared\"), as with --backup
  64  the arguments make no sense")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    datadir: DatadirArg,

    #[command(flatten)]
    user: UserArg,

    #[command(flatten)]
    backup: BackupArg,

    /// Refuse files that others can read, as with keyroll_strict_permissions = ON
    #[arg(long)]
    strict_permissions: bool,

    /// Print nothing but warnings and failures
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    against: AgainstArgs,

    /// Print {version, store, user, verdict, steps: [{result, what, hint}]} for scripts; with
    /// --against also against: {store, same, lacks, lacked, differs}, with fingerprints
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut chosen = args.store.choose()?;
    if args.strict_permissions {
        chosen.store.be_strict();
    }
    let directory = args.datadir.directory(&chosen);
    let second = args.against.second(&chosen);
    if let Err(failure @ (Failure::NoOtherMasterKey(_) | Failure::LiteralFilekey)) = second {
        return Err(failure);
    }
    let report = check(args, chosen, second, directory.as_deref())?;
    report.print(args.quiet, args.json)?;
    Ok(match report.verdict() {
        Outcome::Ok | Outcome::Note => ExitCode::SUCCESS,
        Outcome::Warning => ExitCode::from(1),
        Outcome::NotCompared | Outcome::Differs | Outcome::NotJudged | Outcome::Failed => ExitCode::from(2),
    })
}

fn check(
    args: &Args,
    chosen: ChosenStore,
    second: Result<Option<Second>, Failure>,
    directory: Option<&Path>,
) -> Result<Report, Failure> {
    let mut report = Report::new(chosen.store.describe());
    if let Some(options) = &chosen.options {
        plugins::check(options, &mut report);
    }
    let user = args
        .user
        .find(chosen.options.as_deref(), directory, &mut report)?;
    let files = Files::of(&chosen.store, directory);
    let can_be_opened = files.check(&user, &mut report);
    if let Some(options) = &chosen.options {
        sql_files::check(options, &files, &mut report);
    }
    if let (Some(options), Some(_)) = (&chosen.options, directory) {
        unencrypted::check(options, &mut report);
    }
    if !can_be_opened {
        return Ok(report);
    }
    if let Some(path) = chosen.store.file() {
        leftovers(path, &mut report);
    }
    args.backup.check(&chosen.store, &mut report);
    if let Err(failure) = contents(chosen, second, &files, directory, &mut report) {
        report.add(Outcome::Failed, failure.to_string(), failure.hint());
    }
    Ok(report)
}

/// Opens the store and says what is in it.
fn contents(
    chosen: ChosenStore,
    second: Result<Option<Second>, Failure>,
    files: &Files,
    directory: Option<&Path>,
    report: &mut Report,
) -> Result<(), Failure> {
    let binary_logs = BinaryLogs::of(&chosen);
    let default_key = DefaultKey::of(&chosen);
    let store = chosen.open()?.beside(directory.map(Path::to_owned));
    let loaded = store.load()?;
    for warning in &loaded.warnings {
        match warning {
            Warning::LoosePermissions(loose) if files.tell_of(&loose.path) => {}
            Warning::LoosePermissions(loose) => {
                report.warning(loose.to_string(), loose.remedy());
            }
            Warning::Unread { reason, hint, .. } => report.warning(reason.clone(), hint.clone()),
            Warning::KeyBehindKey(behind) => report.warning(behind.to_string(), behind.remedy()),
            gone => report.warning(
                gone.to_string(),
                "bring the version back into the key store".into(),
            ),
        }
    }
    if let Some(master_key) = store.master_key() {
        report.ok(format!("the master key opens it: {master_key}"));
        report.ok("every key version and the file as a whole are what was written".into());
    }
    let keys = &loaded.keys;
    report.ok(format!("keys: {}, versions: {}", keys.ids().len(), keys.len()));
    if keys.latest(TEMPORARY_DATA).is_none() {
        report.ok("there is no key 2, so temporary files and tables use key 1".into());
    }
    binary_logs.check(keys, report);
    default_key.check(keys, report);
    match directory {
        Some(directory) => mark(directory, &store, keys, report),
        None => report
            .ok("no data directory is known (--datadir), so the store was not compared with its data".into()),
    }
    let compared = second.and_then(|second| match second {
        Some(second) => second.compare(&store.seen(), keys, directory, report),
        None => Ok(()),
    });
    if let Err(failure) = compared {
        report.add(Outcome::NotCompared, failure.to_string(), failure.hint());
    }
    Ok(())
}

/// Compares the store with the mark beside the data.
fn mark(directory: &Path, store: &OpenStore, keys: &KeySet, report: &mut Report) {
    let shown = directory.display();
    match datadir::compare(directory, store, keys) {
        Ok(None) => {
            report.ok(format!("the data directory {shown} has no mark, so any store is accepted for it"));
        }
        Ok(Some(Compared { known, older: None, .. })) => {
            report.ok(format!("it holds all {known} versions that the data in {shown} knows"));
        }
        Ok(Some(Compared {
            known,
            older: Some((is, was)),
            ..
        })) => report.warning(
            format!(
                "it holds all {known} versions that the data in {shown} knows, but is an older copy: it was written {is} \
                 times, and the data has seen {was}"
            ),
            "put the newest copy in its place if there is one: an older copy may be opened by an older master key".into(),
        ),
        // A server starts with a mark that is damaged; one that cannot be read here may be readable
        // for the server's user.
        Err(
            error @ (MarkError::File(_)
            | MarkError::Unreadable {
                source: MarkFormatError::Damaged,
                ..
            }),
        ) => report.warning(error.to_string(), error.hint()),
        Err(error) => report.add(Outcome::Failed, error.to_string(), error.hint()),
    }
}

/// What an interrupted change left, and the copy from before the last one.
fn leftovers(path: &Path, report: &mut Report) {
    let Ok(path) = path.canonicalize() else {
        return;
    };
    // A change that is at work is not one that was interrupted. One that hangs is told of when the
    // store is opened.
    let found = match lock::shared_if_possible(&path, lock::TIMEOUT) {
        Ok(_no_change) => replace::leftovers(&path),
        Err(_) => return,
    };
    for leftover in &found {
        report.warning(
            format!("a change was interrupted and left {}", leftover.display()),
            "the next rotation removes it".into(),
        );
    }
    if found.is_empty() {
        report.ok("no interrupted change left anything".into());
    }
}
