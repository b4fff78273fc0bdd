//! `keyroll man`: the manual pages of this command.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_mangen::Man;
use keyroll::one_line::one_line;

use crate::failure::Failure;
use crate::{Cli, terminal};

/// Prints the manual page of a subcommand, or writes all pages into a directory
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  keyroll man --dir /usr/local/share/man/man1
  keyroll man rotate | man -l -")]
pub(crate) struct Args {
    /// The subcommand whose page is printed; without one, the page of keyroll itself
    #[arg(value_name = "SUBCOMMAND", conflicts_with = "dir")]
    subcommand: Option<String>,

    /// Write the pages of keyroll and of every subcommand into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let pages = pages().map_err(Failure::Output)?;
    if let Some(dir) = &args.dir {
        for (name, text) in &pages {
            let path = dir.join(format!("{name}.1"));
            fs::write(&path, text).map_err(|source| Failure::ManPage { path, source })?;
        }
        return terminal::print(
            format!("{} pages in {}\n", pages.len(), one_line(&dir.to_string_lossy())).as_bytes(),
        );
    }
    let name = match &args.subcommand {
        Some(subcommand) => format!("keyroll-{subcommand}"),
        None => "keyroll".into(),
    };
    let page = pages.iter().find(|(known, _)| *known == name);
    let (_, text) =
        page.ok_or_else(|| Failure::NoSuchSubcommand(args.subcommand.clone().unwrap_or_default()))?;
    terminal::print(text)
}

/// Name and text of the page of the command and of each of its subcommands.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = Cli::command();
    command.build();
    let mut pages = vec![page("keyroll".into(), &command)?];
    for subcommand in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        pages.push(page(format!("keyroll-{}", subcommand.get_name()), subcommand)?);
    }
    Ok(pages)
}

fn page(name: String, command: &clap::Command) -> io::Result<(String, Vec<u8>)> {
    let mut text = Vec::new();
    let version = concat!("keyroll ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone())
        .title(name.clone())
        .source(version)
        .manual("MariaDB encryption")
        .render(&mut text)?;
    Ok((name, text))
}
