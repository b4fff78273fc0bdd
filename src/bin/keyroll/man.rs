//! `keyroll man`: the manual pages of this command.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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
        for page in &pages {
            write(dir, page)?;
        }
        return terminal::print(
            format!("{} pages in {}\n", pages.len(), one_line(&dir.to_string_lossy())).as_bytes(),
        );
    }
    let name = match &args.subcommand {
        Some(subcommand) => format!("keyroll-{subcommand}"),
        None => "keyroll".into(),
    };
    let page = pages.iter().find(|page| page.name == name);
    let page = page.ok_or_else(|| Failure::NoSuchSubcommand(args.subcommand.clone().unwrap_or_default()))?;
    terminal::print(&page.text)
}

struct Page {
    name: String,
    text: Vec<u8>,
}

/// The page of the command and of each of its subcommands.
fn pages() -> io::Result<Vec<Page>> {
    let mut command = Cli::command();
    command.build();
    let mut pages = vec![page("keyroll".into(), &command)?];
    for subcommand in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        pages.push(page(format!("keyroll-{}", subcommand.get_name()), subcommand)?);
    }
    Ok(pages)
}

fn page(name: String, command: &clap::Command) -> io::Result<Page> {
    let mut text = Vec::new();
    let version = concat!("keyroll ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone())
        .title(name.clone())
        .source(version)
        .manual("MariaDB encryption")
        .render(&mut text)?;
    Ok(Page { name, text })
}

fn write(dir: &Path, page: &Page) -> Result<(), Failure> {
    let path = dir.join(format!("{}.1", page.name));
    fs::write(&path, &page.text).map_err(|source| Failure::ManPage { path, source })
}
