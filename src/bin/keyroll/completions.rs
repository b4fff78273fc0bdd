//! `keyroll completions`: lets a shell complete subcommands and options.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::failure::Failure;
use crate::{Cli, terminal};

/// Prints a script that lets a shell complete this command
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  keyroll completions bash \\
    > /usr/share/bash-completion/completions/keyroll
  keyroll completions zsh > /usr/local/share/zsh/site-functions/_keyroll
  keyroll completions fish > ~/.config/fish/completions/keyroll.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // By way of a buffer, because `generate` panics when its writer fails.
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "keyroll", &mut script);
    terminal::print(&script)
}
