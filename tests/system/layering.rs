//! The floors of the code: a `use` only points down, files need each other in no circle, `unsafe` stands
//! in its places, settings have their names from one floor, files and comments stay short.

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

/// The floors from the top down. A file of one floor may name its own and those below it.
const FLOORS: [&str; 16] = [
    "ffi",
    "plugin",
    "settings",
    "store",
    "master_key",
    "service",
    "net",
    "datadir",
    "keys",
    "crypto",
    "durable",
    "secret",
    "clock",
    "cancel",
    "notify",
    "one_line",
];

/// The highest floor that the command may use.
const BELOW_THE_COMMAND: &str = "settings";

const LONGEST_FILE: usize = 600;

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push((
                    path.strip_prefix(&root).unwrap().to_path_buf(),
                    fs::read_to_string(&path).unwrap(),
                ));
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// The code of a line, without a comment at its end.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// The names that follow `prefix::` in the line.
fn named_after<'a>(line: &'a str, prefix: &str) -> Vec<&'a str> {
    let prefix = format!("{prefix}::");
    line.match_indices(&prefix)
        .map(|(at, _)| {
            let rest = &line[at + prefix.len()..];
            rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .unwrap_or_default()
        })
        .collect()
}

#[test]
fn a_use_points_to_its_own_floor_or_down() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let mut parts = path
            .components()
            .map(|c| c.as_os_str().to_str().unwrap().trim_end_matches(".rs"));
        let floor = parts.next().unwrap();
        let (prefix, highest) = match floor {
            "lib" => continue,
            "bin" => ("keyroll", BELOW_THE_COMMAND),
            floor => ("crate", floor),
        };
        let Some(at) = FLOORS.iter().position(|f| *f == highest) else {
            panic!("{highest} is on no floor: name it in FLOORS");
        };
        let allowed = &FLOORS[at..];
        for (number, line) in text.lines().enumerate() {
            for name in named_after(code(line), prefix) {
                if FLOORS.contains(&name) && !allowed.contains(&name) {
                    wrong.push(format!("{}:{}: {name}", path.display(), number + 1));
                }
                assert!(
                    !name.is_empty(),
                    "{}:{}: name each floor in a use of its own",
                    path.display(),
                    number + 1
                );
            }
        }
    }
    assert!(wrong.is_empty(), "these point up: {wrong:#?}");
}

/// The server's pointers, ciphers by hand, one call of posix_spawn, and memory that is read while it is written.
const PLACES_OF_UNSAFE: [&str; 4] = [
    "ffi",
    "crypto/x86_64",
    "master_key/exec/spawn.rs",
    "secret/key_memory.rs",
];

#[test]
fn unsafe_stands_in_its_four_places_alone() {
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|(path, _)| !PLACES_OF_UNSAFE.iter().any(|place| path.starts_with(place)))
        .flat_map(|(path, text)| {
            text.lines().enumerate().filter_map(move |(number, line)| {
                let is_unsafe = code(line)
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .any(|w| w == "unsafe");
                is_unsafe.then(|| format!("{}:{}", path.display(), number + 1))
            })
        })
        .collect();
    assert!(wrong.is_empty(), "unsafe outside its places: {wrong:#?}");
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|(_, text)| text.lines().count() > LONGEST_FILE)
        .map(|(path, text)| format!("{}: {} lines", path.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn no_files_need_each_other_in_a_circle() {
    let circles = circles::circles(&sources());
    assert!(circles.is_empty(), "{}", circles.join("\n\n"));
}

#[test]
fn no_floor_below_the_settings_names_one() {
    let below = FLOORS.iter().skip_while(|floor| **floor != "settings").skip(1);
    let below: Vec<&str> = below.copied().collect();
    let mut named = Vec::new();
    for (path, text) in sources() {
        let first = path.iter().next().unwrap().to_str().unwrap();
        if !below.contains(&first.trim_end_matches(".rs")) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let is_name = |at: usize| line[at..].starts_with(|c: char| c.is_ascii_lowercase());
            let mut names = code(line).match_indices("keyroll_");
            if names.any(|(at, name)| is_name(at + name.len())) {
                named.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(named.is_empty(), "{named:#?}");
}

/// The longest line of a comment.
const COMMENT_WIDTH: usize = 100;

#[test]
fn comments_are_at_most_a_hundred_columns_wide() {
    let mut wide = Vec::new();
    for (path, text) in sources() {
        let mut is_drawing = false;
        for (number, line) in text.lines().enumerate() {
            let comment = line.trim_start();
            let content = comment.trim_start_matches(['/', '!', ' ']);
            is_drawing ^= comment.starts_with("//") && content.starts_with("```");
            // Drawings and tables cannot be wrapped.
            let is_free = is_drawing || content.starts_with('|') || !comment.starts_with("//");
            if !is_free && line.chars().count() > COMMENT_WIDTH {
                wide.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn floors_below_the_settings_name_none_of_them() {
    let below = &FLOORS[FLOORS.iter().position(|floor| *floor == "settings").unwrap() + 1..];
    let is_name = |(at, prefix): (usize, &str), line: &str| {
        let begins = line[..at].chars().next_back();
        let goes_on = line[at + prefix.len()..].chars().next();
        !begins.is_some_and(|c| c.is_alphanumeric() || c == '_')
            && goes_on.is_some_and(|c| c.is_ascii_lowercase())
    };
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let floor = path
            .iter()
            .next()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        for (number, line) in text
            .lines()
            .enumerate()
            .filter(|_| below.contains(&floor.as_str()))
        {
            if line.match_indices("keyroll_").any(|found| is_name(found, line)) {
                wrong.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "write ‹name› instead: {wrong:#?}");
}
