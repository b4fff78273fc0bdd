//! The command `keyroll`: makes, lists, rotates, moves and checks the data keys that the plugin
//! `keyroll.so` reads.
//!
//! One file per subcommand; each has `Args`, which clap fills, and `run`. No subcommand prints a
//! key byte or a password, and none takes a password as an argument.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod add_key;
mod check;
mod cnf_file;
mod completions;
mod config;
mod datadir;
mod export;
mod failure;
mod import;
mod init;
mod key_file_args;
mod list;
mod man;
mod my_cnf;
mod names;
mod new_key;
mod new_keystore;
mod option_files;
mod owner;
mod password_file;
mod rotate;
mod rotate_master_key;
mod scan;
mod spec_args;
mod store;
mod store_args;
mod table;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use keyroll::one_line::one_line;
use serde::Serialize;

use failure::{Failure, USAGE};
use names::named;

/// Makes, lists, rotates, moves and checks the data keys that MariaDB Server reads through the
/// plugin keyroll
#[derive(Parser)]
#[command(
    name = "keyroll",
    version,
    after_long_help = "\
Examples:
  keyroll init --keystore /var/lib/keyroll/keystore \\
    --master-key file:/srv/keyroll-master/key
  keyroll check
      The key store that the server's option files name.
  keyroll rotate --all | mariadb

Key stores:
  Every subcommand is told in the same way which key store it works on:
  --keystore and --master-key, or --filename (with --filekey if it is
  encrypted), or else as the option files of the server say (keyroll_keystore,
  keyroll_filename or keyroll_vault_url), which --defaults-file and its like
  choose as with MariaDB's own tools. How AWS KMS and Vault are reached is read
  from option files in any case.

Passwords:
  There is no option that takes a password itself: other users could read it
  in the list of processes. Give a file with --filekey FILE:PATH, or set
  KEYROLL_FILEKEY in the environment.

Environment:
  KEYROLL_FILEKEY  what keyroll_filekey is in my.cnf: the password of the key
                   file, or FILE: and the path of a file that holds it. Read
                   only where nothing else gives a filekey.

Files:
  /etc/mysql/mariadb.conf.d/keyroll.cnf
      Every setting of the plugin, commented out.
  /var/lib/keyroll
      The folder for keystores; the package makes it and never removes it.
  /usr/share/keyroll/encrypt_everything.cnf
      The lines that make a server encrypt everything.

Exit codes:
   0  done
   1  `check` only: the server would accept the keys, but there are warnings
   2  failed; the reason is on standard error
  64  the arguments make no sense
  65  the master key or the password is not the one of this key store
  73  what was to be made is there already; it was left as it is
  75  a key service cannot be reached now

JSON:
  With --json standard output is one object, also of a failure, with
  \"version\": 1 and \"code\" (\"verdict\" of check), a word for what came
  of it; a failure has
  \"failed\", \"wrong_key\", \"exists\" or \"unreachable\" there, and
  \"error\" and \"hint\"."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Args),
    List(list::Args),
    Rotate(rotate::Args),
    AddKey(add_key::Args),
    RotateMasterKey(rotate_master_key::Args),
    Check(check::Args),
    Import(import::Args),
    Export(export::Args),
    Scan(scan::Args),
    Config(config::Args),
    Completions(completions::Args),
    Man(man::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // Help and version come this way too. Nobody is left to tell if they cannot be written.
            let _ = answer.print();
            return if answer.use_stderr() {
                USAGE.exit.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let done = match &cli.command {
        Command::Init(args) => init::run(args).map(|()| ExitCode::SUCCESS),
        Command::List(args) => list::run(args).map(|()| ExitCode::SUCCESS),
        Command::Rotate(args) => rotate::run(args).map(|()| ExitCode::SUCCESS),
        Command::AddKey(args) => add_key::run(args).map(|()| ExitCode::SUCCESS),
        Command::RotateMasterKey(args) => rotate_master_key::run(args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check::run(args),
        Command::Import(args) => import::run(args).map(|()| ExitCode::SUCCESS),
        Command::Export(args) => export::run(args).map(|()| ExitCode::SUCCESS),
        Command::Scan(args) => scan::run(args),
        Command::Config(args) => config::run(args).map(|()| ExitCode::SUCCESS),
        Command::Completions(args) => completions::run(args).map(|()| ExitCode::SUCCESS),
        Command::Man(args) => man::run(args).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|failure: Failure| {
        terminal::say(&format!("keyroll: {failure}"));
        terminal::say(&format!("hint: {}", failure.hint()));
        let code = failure.code();
        if cli.command.is_for_scripts() {
            let (error, hint) = (failure.to_string(), failure.hint());
            let failed = Failed {
                code: code.word,
                error: one_line(&named(&error)).into(),
                hint: one_line(&named(&hint)).into(),
            };
            // It has been said already.
            let _ = terminal::print_json(&failed);
        }
        code.exit.into()
    })
}

/// What `--json` prints of a failure.
#[derive(Serialize)]
struct Failed {
    code: &'static str,
    error: String,
    hint: String,
}

impl Command {
    /// Whether the result is to be JSON.
    fn is_for_scripts(&self) -> bool {
        match self {
            Command::Init(args) => args.json,
            Command::List(args) => args.json,
            Command::Rotate(args) => args.json,
            Command::AddKey(args) => args.json,
            Command::Check(args) => args.json,
            Command::Scan(args) => args.json,
            _ => false,
        }
    }
}
