//! Links and anchors of the pages, and paths that pages and sources name.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::{files, pages, root, text};

/// The page without what stands between fences of code.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The targets of all links and pictures of the page that are no web addresses.
fn targets(text: &str) -> Vec<String> {
    let prose = prose(text);
    let links = prose.split("](").skip(1);
    let links = links.filter_map(|rest| Some(rest.split_once(')')?.0.to_string()));
    let pictures = prose.split("src=\"").skip(1);
    let pictures = pictures.filter_map(|rest| Some(rest.split_once('"')?.0.to_string()));
    let all = links.chain(pictures);
    all.filter(|link| !link.contains("://")).collect()
}

/// The anchors of a page's headings, as hosts of Markdown make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// The path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut made = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => assert!(made.pop(), "{} leads out of the checkout", path.display()),
            Component::CurDir => {}
            other => made.push(other),
        }
    }
    made
}

#[test]
fn every_link_of_every_page_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for target in targets(&text(&page)) {
            seen += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() {
                page.clone()
            } else {
                plain(&page.parent().unwrap().join(file))
            };
            let there = root().join(&file).exists();
            if !there || (!anchor.is_empty() && !anchors(&text(&file)).contains(anchor)) {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(seen > 40, "only {seen} links were found");
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

/// Folders of the checkout in which a path is looked for.
const FOLDERS: [&str; 11] = [
    "src/",
    "tests/",
    "docs/",
    "scripts/",
    "benches/",
    "fuzz/",
    "cmake/",
    "examples/",
    "include/",
    "mariadb-test/",
    "support-files/",
];

/// Whether paths in the file are looked at. Those in mtr's tests are of the server's own tree.
fn names_paths(name: &str) -> bool {
    let kinds = [".md", ".rs", ".py", ".sh", ".toml", ".cmake", "Makefile"];
    // Releases are told of in the past tense.
    name != "CHANGELOG.md" && (kinds.iter().any(|kind| name.ends_with(kind)) || name == "run")
}

#[test]
fn every_path_of_the_checkout_that_a_page_or_a_source_names_exists() {
    let mut missing = Vec::new();
    let mut seen = 0;
    for page in files(names_paths) {
        let text = text(&page);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "./_-*<{$".contains(c)));
        for word in words {
            let path = word.trim_end_matches(['.', '/', '-']);
            if !FOLDERS.iter().any(|folder| word.starts_with(folder)) || path.contains(['*', '<', '{', '$']) {
                continue;
            }
            seen += 1;
            if !root().join(path).exists() {
                missing.push(format!("{}: {path}", page.display()));
            }
        }
    }
    assert!(seen > 200, "only {seen} paths were found");
    assert!(
        missing.is_empty(),
        "paths that are not there:\n{}",
        missing.join("\n")
    );
}
