//! `keyroll man`: the manual pages of this command.

mod sections;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
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

/// Pages of the server's packages that say more.
const SERVER_PAGES: [(&str, &str); 3] = [("mariadb", "1"), ("mariadbd", "8"), ("my_print_defaults", "1")];

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
    // `keyroll help` is no subcommand with a page of its own.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let name = |subcommand: &clap::Command| format!("keyroll-{}", subcommand.get_name());
    let others: Vec<String> = command.get_subcommands().map(name).collect();
    let mut pages = vec![("keyroll".into(), page("keyroll", &command, &others)?)];
    for subcommand in command.get_subcommands() {
        let name = name(subcommand);
        let text = page(&name, subcommand, &["keyroll".into()])?;
        pages.push((name, text));
    }
    Ok(pages)
}

/// The page of a command that refers to other pages of this package.
fn page(name: &str, command: &clap::Command, others: &[String]) -> io::Result<Vec<u8>> {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_string();
    let man = Man::new(command.clone().override_usage(usage));
    let mut text = Vec::new();
    // No date: it would be that of the build, and other bytes each time. (An empty word is none for
    // the crate's own macro.)
    let title = name.to_uppercase();
    let version = env!("CARGO_PKG_VERSION");
    writeln!(
        text,
        r#".TH {title} 1 "" "keyroll {version}" "MariaDB encryption""#
    )?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    if let Some(help) = command.get_after_long_help() {
        sections::of(&help.to_string()).to_writer(&mut text)?;
    }
    see_also(others).to_writer(&mut text)?;
    Ok(text)
}

/// The section that names other pages.
fn see_also(others: &[String]) -> Roff {
    let ours = others.iter().map(|name| (name.as_str(), "1"));
    let mut pages: Vec<(&str, &str)> = ours.chain(SERVER_PAGES).collect();
    pages.sort_by_key(|&(name, section)| (section, name));
    let last = pages.len() - 1;
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    for (at, (name, section)) in pages.into_iter().enumerate() {
        let end = if at == last { "" } else { "," };
        roff.text([bold(name), roman(format!("({section}){end}"))]);
    }
    roff.control("PP", []);
    roff.text([roman("Documentation: /usr/share/doc/mariadb-plugin-keyroll")]);
    roff
}
