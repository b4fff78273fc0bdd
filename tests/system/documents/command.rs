//! `docs/command.md`: what `keyroll SUBCOMMAND --help` prints, made from the command itself.

use std::fmt::Write;
use std::process::Command;

/// The headings of the options that all subcommands share, and that the page has once.
const SHARED: [&str; 2] = ["Key store (without these", "Option files of the server"];

fn help(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyroll"));
    let output = command
        .args(arguments)
        .arg("--help")
        .env("COLUMNS", "110")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names of all subcommands, as the command lists them.
fn subcommands(help: &str) -> Vec<String> {
    let (_, list) = help.split_once("\nCommands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let names = list.lines().filter(|line| !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_string());
    names.filter(|name| name != "help").collect()
}

/// The text cut before each line that is not indented: a heading and what belongs to it.
fn blocks(help: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in help.lines() {
        let line = line.trim_end();
        if line.starts_with(|c: char| !c.is_whitespace()) || blocks.is_empty() {
            blocks.push(String::new());
        }
        let block = blocks.last_mut().unwrap();
        block.push_str(line);
        block.push('\n');
    }
    blocks
}

fn page() -> String {
    let top = help(&[]);
    let mut made = format!("\n## keyroll\n\n```\n{}\n```\n", top.trim_end());
    let mut shared: Vec<String> = Vec::new();
    for name in subcommands(&top) {
        let blocks = blocks(&help(&[&name]));
        let is_shared = |block: &String| SHARED.iter().any(|heading| block.starts_with(heading));
        let common: Vec<String> = blocks.iter().filter(|block| is_shared(block)).cloned().collect();
        if shared.is_empty() {
            shared = common;
        }
        // A subcommand that takes fewer of them has its own.
        let own: Vec<String> = blocks
            .into_iter()
            .filter(|block| !shared.contains(block))
            .collect();
        write!(
            made,
            "\n## keyroll {name}\n\n```\n{}\n```\n",
            own.concat().trim_end()
        )
        .unwrap();
    }
    assert_eq!(shared.len(), SHARED.len());
    write!(
        made,
        "\n## Options of all subcommands that work on a key store\n\n```\n{}\n```\n\n",
        shared.concat().trim_end()
    )
    .unwrap();
    made
}

#[test]
fn the_page_of_the_command_is_made_from_its_help() {
    super::hold_part("docs/command.md", "help", &page());
}
