//! Names of settings in the texts of the floors below, which know no names: `‹filename›` is shown
//! as the variable `keyroll_filename` by the plugin, and as the argument `--filename` by the
//! command.
//!
//! A path with such a text in it is shown with a name in its place, and nothing else can come of
//! that: commands to be copied escape the sign (`durable::permissions::shell_word`).

use std::borrow::Cow;

use super::{PREFIX, variables};

const OPEN: char = '‹';
const CLOSE: char = '›';

/// The text with the names of settings as system variables.
pub fn as_variables(text: &str) -> Cow<'_, str> {
    with_names(text, |_| None)
}

/// The text with the names of settings as `shown` has them, given without the prefix; where it has
/// none, as system variables.
pub fn with_names<'a>(text: &'a str, shown: impl Fn(&str) -> Option<&'static str>) -> Cow<'a, str> {
    let Some((first, mut rest)) = text.split_once(OPEN) else {
        return Cow::Borrowed(text);
    };
    let variables = variables();
    let known = |name: &str| {
        let mut names = variables.iter().map(|variable| variable.name);
        names.find(|full| full.strip_prefix(PREFIX) == Some(name))
    };
    let mut made = first.to_owned();
    loop {
        match rest
            .split_once(CLOSE)
            .map(|(name, after)| (name, known(name), after))
        {
            Some((name, Some(variable), after)) => {
                made.push_str(shown(name).unwrap_or(variable));
                rest = after;
            }
            _ => made.push(OPEN),
        }
        let Some((text, after)) = rest.split_once(OPEN) else {
            made.push_str(rest);
            return Cow::Owned(made);
        };
        made.push_str(text);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn names_of_settings_are_shown_and_other_texts_stay() {
        for (text, shown) in [
            ("", ""),
            (
                "set ‹filename› and ‹token›",
                "set keyroll_filename and keyroll_token",
            ),
            ("‹filename›", "keyroll_filename"),
            ("‹none› ‹ ‹filekey› ‹", "‹none› ‹ keyroll_filekey ‹"),
            ("‹‹filename››", "‹keyroll_filename›"),
        ] {
            assert_eq!(as_variables(text), shown);
        }
        let argument = |name: &str| (name == "filename").then_some("--filename");
        assert_eq!(
            with_names("‹filename› or ‹keystore›", argument),
            "--filename or keyroll_keystore"
        );
    }

    #[test]
    fn every_placeholder_in_the_sources_names_a_row_of_the_table() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        walk(&root, &mut files);
        let mut count = 0;
        for file in files
            .iter()
            .filter(|file| !file.ends_with("settings/placeholder.rs"))
        {
            let text = fs::read_to_string(file).unwrap();
            for (at, _) in text
                .match_indices(OPEN)
                .filter(|(at, _)| !text[*at..].starts_with("‹'"))
            {
                let end = text[at..]
                    .find(CLOSE)
                    .map_or(text.len(), |end| at + end + CLOSE.len_utf8());
                let placeholder = &text[at..end];
                assert_ne!(as_variables(placeholder), placeholder, "{}", file.display());
                count += 1;
            }
        }
        assert!(count > 30, "{count} were found");
    }

    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, files),
                false => files.push(path),
            }
        }
    }
}
