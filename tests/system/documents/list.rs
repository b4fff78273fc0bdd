//! `docs/README.md` lists every page, and `CONTRIBUTING.md` every folder of the source.

use std::fs;
use std::path::Path;

use super::{pages, root, text};

#[test]
fn the_list_of_pages_has_every_page_of_the_folder() {
    let list = text(Path::new("docs/README.md"));
    for page in pages() {
        let Ok(name) = page.strip_prefix("docs") else {
            continue;
        };
        let link = format!("]({})", name.display());
        assert!(
            name == Path::new("README.md") || list.contains(&link),
            "docs/README.md lacks {}",
            page.display()
        );
    }
}

#[test]
fn the_map_of_the_code_has_every_folder_of_the_source() {
    let map = text(Path::new("CONTRIBUTING.md"));
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let entry = entry.unwrap();
        let folder = format!("`src/{}/", entry.file_name().into_string().unwrap());
        assert!(
            !entry.file_type().unwrap().is_dir() || map.contains(&folder),
            "CONTRIBUTING.md lacks {folder}"
        );
    }
}

#[test]
fn the_readme_stays_short_enough_to_be_read() {
    let length = text(Path::new("README.md")).len();
    assert!(
        length < 10_000,
        "README.md has {length} bytes: what is looked up belongs in docs"
    );
}

#[test]
fn the_picture_of_the_demo_shows_the_steps_that_the_demo_has() {
    let picture = text(Path::new("docs/demo.svg"));
    let demo = text(Path::new("scripts/demo.sh"));
    let steps: Vec<_> = demo
        .lines()
        .filter_map(|line| line.strip_prefix("step \""))
        .collect();
    assert!(steps.len() > 4, "{steps:?}");
    for step in steps {
        for words in step.trim_end_matches('"').split("$rows") {
            assert!(
                picture.contains(words),
                "docs/demo.svg lacks {words:?}: run `make picture` and look at it"
            );
        }
    }
}
