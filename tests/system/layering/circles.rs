//! Circles between files: which file names what of which other one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A file's module: `["crate", "store", "mark"]`, or `["bin", "check"]` of the command.
type Module = Vec<String>;

/// One file, as far as imports go.
#[derive(Default)]
struct Source {
    /// Names that it defines.
    items: BTreeSet<String>,
    /// What its `use` declarations bring: the local name, and the whole path.
    aliases: BTreeMap<String, Vec<String>>,
    /// The modules of which it imports everything.
    globs: Vec<Vec<String>>,
    /// The paths that it names, in `use` declarations for itself and in code.
    paths: Vec<Vec<String>>,
}

/// The circles: groups of files each of which needs all others of its group, with what ties them.
pub(crate) fn circles(sources: &[(PathBuf, String)]) -> Vec<String> {
    let house: BTreeMap<Module, Source> = sources
        .iter()
        .map(|(path, text)| (module_of(path), parse(&tokens(&without_tests(text)))))
        .collect();
    let arrows: BTreeMap<&Module, Arrows> = house
        .iter()
        .map(|(module, source)| (module, arrows_of(&house, module, source)))
        .collect();
    let reached: BTreeMap<&Module, BTreeSet<Module>> = arrows
        .keys()
        .map(|module| (*module, reach(&arrows, module)))
        .collect();
    let mut found = BTreeSet::new();
    for (module, ends) in &reached {
        let circle = ends.iter().filter(|end| reached[end].contains(*module));
        let circle: BTreeSet<&Module> = circle.collect();
        let mut ties = Vec::new();
        for from in &circle {
            for (to, names) in arrows[*from].iter().filter(|(to, _)| circle.contains(to)) {
                ties.push(format!("{} -> {}: {names:?}", from.join("::"), to.join("::")));
            }
        }
        if !ties.is_empty() {
            found.insert(ties.join("\n"));
        }
    }
    found.into_iter().collect()
}

/// What a file takes from which other file.
type Arrows = BTreeMap<Module, BTreeSet<String>>;

fn arrows_of(house: &BTreeMap<Module, Source>, module: &Module, source: &Source) -> Arrows {
    let mut arrows = Arrows::new();
    for path in &source.paths {
        // A file is part of the modules that it stands in: what it takes from these ties nothing.
        if let Some(end) = resolve(house, module, path, 0).filter(|end| !module.starts_with(end)) {
            arrows.entry(end).or_default().extend(path.last().cloned());
        }
    }
    arrows
}

fn module_of(path: &Path) -> Module {
    let mut parts: Vec<String> = path
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if parts
        .last()
        .is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str()))
    {
        parts.pop();
    }
    match parts.first().map(String::as_str) {
        Some("bin") => drop(parts.remove(1)),
        _ => parts.insert(0, "crate".into()),
    }
    parts
}

/// All modules that can be reached from this one by arrows.
fn reach(arrows: &BTreeMap<&Module, Arrows>, from: &Module) -> BTreeSet<Module> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(module) = open.pop() {
        for end in arrows[module].keys() {
            if seen.insert(end.clone()) {
                open.push(end);
            }
        }
    }
    seen
}

/// The module that defines what this path names, seen from `module`.
fn resolve(
    house: &BTreeMap<Module, Source>,
    module: &Module,
    path: &[String],
    depth: usize,
) -> Option<Module> {
    let (name, rest) = path.split_first()?;
    let mut at = module.clone();
    match name.as_str() {
        "crate" => at.truncate(1),
        "keyroll" if at[0] == "bin" => at = vec!["crate".into()],
        "self" => {}
        "super" => drop(at.pop()),
        _ => {
            let mut child = at.clone();
            child.push(name.clone());
            if house.contains_key(&child) {
                at = child;
            } else {
                let source = house.get(&at)?;
                if source.items.contains(name) {
                    return Some(at);
                }
                if depth > 10 {
                    return None;
                }
                return match source.aliases.get(name) {
                    Some(alias) => {
                        let whole: Vec<String> = alias.iter().chain(rest).cloned().collect();
                        resolve(house, module, &whole, depth + 1)
                    }
                    None => source.globs.iter().find_map(|glob| {
                        let whole: Vec<String> = glob.iter().chain(path).cloned().collect();
                        resolve(house, module, &whole, depth + 1)
                    }),
                };
            }
        }
    }
    // A module alone is nobody's content.
    resolve(house, &at, rest, depth)
}

/// The text without what is for tests alone.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let indent = &line[..line.len() - line.trim_start().len()];
            // At its own depth: `mod tests;` or the brace that ends a body.
            let is_over = |line: &str| match line.strip_prefix(indent) {
                Some(rest) => !rest.starts_with(' ') && rest.ends_with(['}', ';']),
                None => false,
            };
            while lines.next().is_some_and(|line| !is_over(line)) {}
            continue;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

/// Words and signs, without comments, strings and characters.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        let c = chars[at];
        if c.is_alphanumeric() || c == '_' {
            let end = chars[at..].iter().position(|c| !c.is_alphanumeric() && *c != '_');
            let end = end.map_or(chars.len(), |length| at + length);
            let word: String = chars[at..end].iter().collect();
            at = end;
            if let Some(end) = end_of_raw_string(&word, &chars[at..]) {
                at += end;
            } else {
                found.push(word);
            }
        } else if c == '/' && chars.get(at + 1) == Some(&'/') {
            at += chars[at..]
                .iter()
                .position(|c| *c == '\n')
                .unwrap_or(chars.len() - at);
        } else if c == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if c == '\'' && (chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'')) {
            at += 2;
            while at < chars.len() && chars[at] != '\'' {
                at += 1;
            }
            at += 1;
        } else if c == ':' && chars.get(at + 1) == Some(&':') {
            found.push("::".into());
            at += 2;
        } else {
            if !c.is_whitespace() {
                found.push(c.into());
            }
            at += 1;
        }
    }
    found
}

/// Where a raw string ends that this word begins, counted from behind the word.
fn end_of_raw_string(word: &str, rest: &[char]) -> Option<usize> {
    let signs = rest.iter().take_while(|c| **c == '#').count();
    if !["r", "br", "cr"].contains(&word) || rest.get(signs) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = format!("\"{}", "#".repeat(signs)).chars().collect();
    let body = &rest[signs + 1..];
    let length = body.windows(end.len()).position(|window| window == end)?;
    Some(signs + 1 + length + end.len())
}

const DEFINES: [&str; 8] = [
    "fn", "struct", "enum", "trait", "const", "static", "type", "union",
];

fn parse(tokens: &[String]) -> Source {
    let mut source = Source::default();
    let (mut at, mut depth) = (0, 0);
    while at < tokens.len() {
        let word = tokens[at].as_str();
        match word {
            "{" => depth += 1,
            "}" => depth -= 1,
            "use" => {
                let is_public = tokens[..at]
                    .iter()
                    .rev()
                    .take(5)
                    .take_while(|t| *t != ";" && *t != "}")
                    .any(|t| t == "pub");
                let end = at + tokens[at..].iter().position(|t| t == ";").unwrap_or(0);
                let mut leaves = Vec::new();
                leaves_of(&tokens[at + 1..end], &[], &mut leaves);
                for (path, name) in leaves {
                    match name.as_str() {
                        "*" => source.globs.push(path),
                        _ => {
                            // What is handed on is not needed for that alone.
                            if !is_public {
                                source.paths.push(path.clone());
                            }
                            source.aliases.insert(name, path);
                        }
                    }
                }
                at = end;
            }
            "macro_rules" => {
                source.items.insert(tokens[at + 2].clone());
            }
            _ if DEFINES.contains(&word) && depth == 0 && tokens.get(at + 1).is_some() => {
                source.items.insert(tokens[at + 1].clone());
            }
            _ if word.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && (at == 0 || !["::", ".", "fn", "mod"].contains(&tokens[at - 1].as_str())) =>
            {
                let mut path = vec![word.to_string()];
                while tokens.get(at + 1).is_some_and(|t| t == "::")
                    && tokens
                        .get(at + 2)
                        .is_some_and(|t| t.starts_with(|c: char| c.is_alphabetic() || c == '_'))
                {
                    path.push(tokens[at + 2].clone());
                    at += 2;
                }
                source.paths.push(path);
            }
            _ => {}
        }
        at += 1;
    }
    source
}

/// The paths of a `use` tree, each with its local name.
fn leaves_of(tree: &[String], prefix: &[String], leaves: &mut Vec<(Vec<String>, String)>) {
    let mut path = prefix.to_vec();
    let mut at = 0;
    while at < tree.len() {
        match tree[at].as_str() {
            "::" => {}
            "{" => {
                let (mut depth, mut from) = (0, at + 1);
                for (end, token) in tree.iter().enumerate().skip(at) {
                    match token.as_str() {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 || depth == 1 && token == "," {
                        leaves_of(&tree[from..end], &path, leaves);
                        from = end + 1;
                    }
                    if depth == 0 {
                        break;
                    }
                }
                return;
            }
            "as" => {
                leaves.push((path, tree[at + 1].clone()));
                return;
            }
            "*" => {
                leaves.push((path, "*".into()));
                return;
            }
            "self" if !path.is_empty() => {}
            name => path.push(name.into()),
        }
        at += 1;
    }
    if let Some(name) = path
        .last()
        .cloned()
        .filter(|_| path.len() > prefix.len() || !tree.is_empty())
    {
        leaves.push((path, name));
    }
}
