//! The manual pages that `keyroll man` makes, as `man` reads them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::help::subcommands;

/// Names and paths of all pages, made in this directory.
fn pages(dir: &Path) -> Vec<(String, std::path::PathBuf)> {
    let made = Command::new(env!("CARGO_BIN_EXE_keyroll"))
        .args(["man", "--dir"])
        .arg(dir)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut pages: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_string(), path))
        .collect();
    pages.sort();
    pages
}

/// The page as `man` shows it in 80 columns, without bold letters and hyphenation.
fn shown(page: &Path) -> String {
    let man = Command::new("man")
        .args(["--warnings=all", "--no-hyphenation", "--local-file"])
        .arg(page)
        .envs([
            ("MANWIDTH", "80"),
            ("LC_ALL", "C.UTF-8"),
            ("MAN_KEEP_FORMATTING", ""),
        ])
        .env("MANPAGER", "cat")
        .output()
        .expect("man is installed (Debian: man-db)");
    let complaints = String::from_utf8_lossy(&man.stderr);
    assert!(
        man.status.success() && complaints.is_empty(),
        "{}: {complaints}",
        page.display()
    );
    String::from_utf8(man.stdout).unwrap()
}

/// The headings of a page: lines at the margin between the first and the last line.
fn headings(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.trim().lines().collect();
    let inner = lines[1..lines.len() - 1].iter().copied();
    inner
        .filter(|line| !line.starts_with(' ') && !line.is_empty())
        .collect()
}

#[test]
fn every_page_is_read_by_man_without_a_warning_and_fits_in_80_columns() {
    let dir = tempfile::tempdir().unwrap();
    let pages = pages(dir.path());
    assert_eq!(pages.len(), subcommands().len() + 1);
    for (name, path) in pages {
        let text = shown(&path);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
        let headings = headings(&text);
        for heading in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "EXAMPLES",
            "SEE ALSO",
        ] {
            assert!(headings.contains(&heading), "{name}: {headings:?}");
        }
        assert!(!headings.contains(&"EXTRA"), "{name}: {headings:?}");
    }
}

#[test]
fn the_page_of_the_command_has_files_environment_and_exit_status() {
    let dir = tempfile::tempdir().unwrap();
    pages(dir.path());
    let text = shown(&dir.path().join("keyroll.1"));
    let headings = headings(&text);
    for heading in ["FILES", "ENVIRONMENT", "EXIT STATUS", "SUBCOMMANDS"] {
        assert!(headings.contains(&heading), "{headings:?}");
    }
    let (_, files) = text.split_once("\nFILES\n").unwrap();
    let (files, _) = files.split_once("\nEXIT STATUS\n").unwrap();
    let packaging =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/packaging.md")).unwrap();
    let paths: Vec<&str> = files
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .collect();
    assert_eq!(paths.len(), 3, "{files}");
    for path in paths {
        let below_prefix = path.trim_start_matches("/usr/").trim_start_matches('/');
        assert!(
            packaging.contains(below_prefix),
            "docs/packaging.md does not know {path}"
        );
    }
}

/// The pages that a text refers to: words like `mariadbd(8)`.
fn references(text: &str) -> BTreeSet<String> {
    text.split(|c: char| c.is_whitespace() || c == ',')
        .filter_map(|word| word.strip_suffix(')').map(|rest| (word, rest)))
        .filter(|(_, rest)| rest.ends_with(|c: char| c.is_ascii_digit()) && rest.contains('('))
        .map(|(word, _)| word.to_string())
        .collect()
}

/// The pages that the server's packages install, whether or not this system keeps them on its disk.
fn pages_of_server() -> BTreeSet<String> {
    let listed = Command::new("dpkg")
        .args(["-L", "mariadb-client-core", "mariadb-server-core"])
        .output()
        .unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let files = listed.lines().filter(|line| line.contains("/share/man/man"));
    files
        .filter_map(|file| file.rsplit('/').next()?.strip_suffix(".gz")?.rsplit_once('.'))
        .map(|(name, section)| format!("{name}({section})"))
        .collect()
}

#[test]
fn every_page_that_is_referred_to_exists() {
    let dir = tempfile::tempdir().unwrap();
    let pages = pages(dir.path());
    let ours: BTreeSet<String> = pages.iter().map(|(name, _)| format!("{name}(1)")).collect();
    let servers = pages_of_server();
    for (name, path) in &pages {
        let references = references(&shown(path));
        assert!(references.len() > 3, "{name}: {references:?}");
        // The page names itself at its head, in capitals.
        let itself = format!("{}(1)", name.to_uppercase());
        for reference in references.iter().filter(|&reference| *reference != itself) {
            assert!(
                ours.contains(reference) || servers.contains(reference),
                "{name}: there is no {reference}"
            );
        }
    }
}
