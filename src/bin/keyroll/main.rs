//! The command `keyroll`: makes, lists, rotates and checks the data keys that the plugin `keyroll.so` reads.
//!
//! One file per subcommand; each has `Args`, which clap fills, and `run`. No subcommand prints a key byte or a
//! password, and none takes a password as an argument.

mod check;
mod completions;
mod failure;
mod init;
mod key_file_args;
mod list;
mod my_cnf;
mod password_file;
mod rotate;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// What a script sees when the command did not do what it was asked for.
const EXIT_FAILED: u8 = 2;
/// What a script sees when the arguments make no sense: `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;

/// Makes, lists, rotates and checks the data keys that MariaDB Server reads through the plugin keyroll
#[derive(Parser)]
#[command(
    name = "keyroll",
    version,
    after_long_help = "\
Examples:
  keyroll init /var/lib/keyroll/keys --filekey-file /etc/mysql/keyroll.password
  keyroll list /var/lib/keyroll/keys --filekey-file /etc/mysql/keyroll.password
  keyroll rotate /var/lib/keyroll/keys --all --filekey-file /etc/mysql/keyroll.password

Passwords:
  There is no option that takes a password itself: other users could read it in the list of processes.
  Give a file with --filekey-file, or set KEYROLL_FILEKEY in the environment.

Environment:
  KEYROLL_FILEKEY  what keyroll_filekey is in my.cnf: the password of the key file, or FILE: and the
                   path of a file that holds it. Read only where --filekey-file is not given.

Exit codes:
   0  done
   1  `check` only: the server would accept the keys, but there are warnings
   2  failed; the reason is on standard error
  64  the arguments make no sense"
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
    Check(check::Args),
    Completions(completions::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // Help and version come this way too. Nobody is left to tell if they cannot be written.
            let _ = answer.print();
            return if answer.use_stderr() {
                EXIT_USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let done = match &cli.command {
        Command::Init(args) => init::run(args).map(|()| ExitCode::SUCCESS),
        Command::List(args) => list::run(args).map(|()| ExitCode::SUCCESS),
        Command::Rotate(args) => rotate::run(args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check::run(args),
        Command::Completions(args) => completions::run(args).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|failure: Failure| {
        terminal::say(&format!("keyroll: {failure}\nhint: {}", failure.hint()));
        EXIT_FAILED.into()
    })
}
