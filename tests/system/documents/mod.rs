//! Tests that hold the documentation: tables made from the code, paths, links, figures and the list of pages.
//!
//! After a change of the system variables or of the command: `KEYROLL_WRITE_DOCS=1 cargo test --test system documents` writes
//! the parts that are made from them; read the difference.

mod claims;
mod command;
mod examples;
mod links;
mod list;
mod variables;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The checkout.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All pages of Markdown of the checkout, relative to it, in order.
fn pages() -> Vec<PathBuf> {
    files(|name| name.ends_with(".md"))
}

/// All files of the checkout with such a name, relative to it, in order.
fn files(is_one: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            if entry.file_type().unwrap().is_dir() {
                if name != "target" && name != "build" && name != ".git" {
                    folders.push(path);
                }
            } else if is_one(&name) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 15, "{found:?}");
    found
}

/// The text of a page.
fn text(page: &Path) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

/// Compares the part of a page between `<!-- NAME: ... -->` and `<!-- end of NAME -->` with what the code makes now;
/// with `KEYROLL_WRITE_DOCS` in the environment writes it first.
#[track_caller]
fn hold_part(page: &str, name: &str, wanted: &str) {
    let path = Path::new(page);
    let held = text(path);
    let (head, rest) = held.split_once(&format!("<!-- {name}: ")).unwrap();
    let (how, rest) = rest.split_once("-->\n").unwrap();
    let (_, tail) = rest.split_once(&format!("<!-- end of {name} -->")).unwrap();
    let whole = format!("{head}<!-- {name}: {how}-->\n{wanted}<!-- end of {name} -->{tail}");
    if env::var_os("KEYROLL_WRITE_DOCS").is_some() {
        fs::write(root().join(path), &whole).unwrap();
    }
    assert!(
        text(path) == whole,
        "{page} differs from the code: run `KEYROLL_WRITE_DOCS=1 cargo test --test system documents` and read the difference"
    );
}
