//! The name of a table, for a statement, from the path of its file.
//!
//! The server writes a character of a name that is no letter, digit or underscore as `@` and
//! four hexadecimal digits, a unit of UTF-16; some letters have shorter forms, which are left
//! alone here. Behind `#P#` or `#p#` stands a partition.

use std::path::Path;

/// Database and table, each in the quotes of SQL; `None` where the path tells no such name.
pub(super) fn of(path: &Path) -> Option<String> {
    let table = path.file_stem()?.to_str()?;
    let database = path.parent()?.file_name()?.to_str()?;
    let table = table.split("#P#").next()?.split("#p#").next()?;
    let is_own = table.starts_with('#') || table.starts_with("FTS_") || path.extension()? == "isl";
    if is_own {
        return None;
    }
    Some(format!(
        "{}.{}",
        quoted(&decoded(database)?),
        quoted(&decoded(table)?)
    ))
}

/// A backquote.
const QUOTE: char = '\u{60}';

fn quoted(name: &str) -> String {
    let twice = [QUOTE, QUOTE].iter().collect::<String>();
    format!("{QUOTE}{}{QUOTE}", name.replace(QUOTE, &twice))
}

fn decoded(name: &str) -> Option<String> {
    let mut units = Vec::new();
    let mut rest = name;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        if character == '@' {
            units.push(u16::from_str_radix(rest.get(..4)?, 16).ok()?);
            rest = &rest[4..];
        } else {
            units.extend(character.encode_utf16(&mut [0; 2]).iter());
        }
    }
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_named_as_a_statement_needs_it() {
        let name = |path: &str| of(Path::new(path)).map(|name| name.replace(QUOTE, "'"));
        assert_eq!(name("/data/shop/orders.ibd").as_deref(), Some("'shop'.'orders'"));
        assert_eq!(name("/data/shop/a@002db.MAI").as_deref(), Some("'shop'.'a-b'"));
        assert_eq!(name("/data/shop/a@0060.ibd").as_deref(), Some("'shop'.'a'''"));
        assert_eq!(name("/data/shop/t#P#p0.ibd").as_deref(), Some("'shop'.'t'"));
        assert_eq!(name("/data/shop/t#P#p0#SP#s1.ibd").as_deref(), Some("'shop'.'t'"));
        for none in [
            "/data/shop/FTS_00_INDEX_1.ibd",
            "/data/shop/#sql-1.ibd",
            "/data/shop/a@0g.ibd",
            "/data/shop/a@00",
            "/",
        ] {
            assert_eq!(name(none), None, "{none}");
        }
    }
}
