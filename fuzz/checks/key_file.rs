//! What must hold for any bytes given to the key file's parser. Used by the fuzz target and, over the seed
//! corpus, by `cargo test`.

use keyroll::keys::{KeyName, LAST_VERSION};
use keyroll::secret::{DataKey, SecretBytes};
use keyroll::store::key_file::format::{KeyText, ParseError};

/// Parses, checks the place of an error, puts new versions in and parses again.
pub(crate) fn check(bytes: &[u8]) {
    let text = match KeyText::parse(SecretBytes::new(bytes.to_vec())) {
        Ok(text) => text,
        Err(error) => return check_place(bytes, &error),
    };
    let keys = &text.keys;
    assert!(keys.latest(1).is_some());

    let new: Vec<(KeyName, DataKey)> = keys
        .ids()
        .into_iter()
        .filter_map(|id| keys.latest(id).filter(|latest| latest.version < LAST_VERSION))
        .map(|latest| KeyName {
            version: latest.version + 1,
            ..latest
        })
        .map(|name| (name, DataKey::new(&[0x5A; 16]).expect("16 bytes are a key")))
        .collect();
    let changed = text.with_new_versions(&new);
    let again = KeyText::parse(SecretBytes::new(changed.expose().to_vec())).expect("the new text parses");
    assert_eq!(again.keys.len(), keys.len() + new.len());
    for (name, key) in keys.iter().chain(new.iter().map(|(name, key)| (*name, key))) {
        assert!(
            again
                .keys
                .get(name)
                .is_some_and(|found| found.same_bytes(key.expose())),
            "{name}"
        );
    }
    check_other_bytes(bytes, changed.expose(), &new);
}

/// Without the new lines, the text is the old one.
fn check_other_bytes(before: &[u8], after: &[u8], new: &[(KeyName, DataKey)]) {
    let is_new = |line: &[u8]| {
        new.iter().any(|(name, key)| {
            let start = format!("{};{};", name.id, name.version);
            line.strip_prefix(start.as_bytes()).is_some_and(|rest| {
                rest.trim_ascii_end() == "5a".repeat(key.len()).as_bytes() && rest.ends_with(b"\n")
            })
        })
    };
    // Zero bytes behind the text stay behind the new lines.
    let (before, nuls) = before.split_at(end_of_text(before));
    let after = after
        .strip_suffix(nuls)
        .expect("what is behind the text stays there");
    let kept: Vec<u8> = after
        .split_inclusive(|&byte| byte == b'\n')
        .filter(|line| !is_new(line))
        .flatten()
        .copied()
        .collect();
    let added = kept
        .strip_prefix(before)
        .expect("every old byte stays where it was");
    // A last line that had no end got one.
    assert!(added.is_empty() || (!before.ends_with(b"\n") && [&b"\n"[..], b"\r\n"].contains(&added)));
}

/// Where the zero bytes begin that nothing but white space stands behind.
fn end_of_text(text: &[u8]) -> usize {
    let nul = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    let is_filler = |byte: &u8| matches!(byte, 0 | b' ' | b'\t'..=b'\r');
    match text[nul..].iter().all(is_filler) {
        true => nul,
        false => text.len(),
    }
}

fn check_place(bytes: &[u8], error: &ParseError) {
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    assert!(error.line <= lines.len(), "{error:?}");
    let length = error.line.checked_sub(1).map_or(0, |line| lines[line].len());
    assert!((1..=length + 1).contains(&error.column), "{error:?}");
}
