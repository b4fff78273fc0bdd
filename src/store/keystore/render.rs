//! The layout of a keystore's text: for people and for `diff`, one key version on a line. It means nothing to a reader.

use super::canonical::write_text;
use super::json::{Object, Value};

/// The text of the object: its members on lines of their own, and those of objects and lists in it, and no deeper.
pub(super) fn render(root: &Object) -> Vec<u8> {
    let mut out = Vec::new();
    write_object(&mut out, root, Lines::Two);
    out.push(b'\n');
    out
}

/// How many more levels get lines of their own.
#[derive(Clone, Copy, PartialEq)]
enum Lines {
    Two,
    One,
    None,
}

impl Lines {
    fn less(self) -> Lines {
        match self {
            Lines::Two => Lines::One,
            Lines::One | Lines::None => Lines::None,
        }
    }

    /// What stands before an element, and before the closing bracket.
    fn indents(self) -> (&'static str, &'static str) {
        match self {
            Lines::Two => ("\n  ", "\n"),
            Lines::One => ("\n    ", "\n  "),
            Lines::None => ("", ""),
        }
    }
}

fn write_object(out: &mut Vec<u8>, object: &Object, lines: Lines) {
    write_elements(out, b"{}", lines, object.iter(), |out, (name, value)| {
        write_text(out, name);
        out.extend_from_slice(b": ");
        write_value(out, value, lines.less());
    });
}

fn write_value(out: &mut Vec<u8>, value: &Value, lines: Lines) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(truth) => out.extend_from_slice(truth.to_string().as_bytes()),
        Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Text(text) => write_text(out, text),
        Value::Object(object) => write_object(out, object, lines),
        Value::List(values) => write_elements(out, b"[]", lines, values.iter(), |out, value| {
            write_value(out, value, lines.less());
        }),
    }
}

fn write_elements<T>(
    out: &mut Vec<u8>,
    brackets: &[u8; 2],
    lines: Lines,
    elements: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    let (before, at_end) = lines.indents();
    let mut elements = elements.peekable();
    out.push(brackets[0]);
    let is_empty = elements.peek().is_none();
    while let Some(element) = elements.next() {
        out.extend_from_slice(before.as_bytes());
        write(out, element);
        match (elements.peek(), lines) {
            (None, _) => {}
            (Some(_), Lines::None) => out.extend_from_slice(b", "),
            (Some(_), _) => out.push(b','),
        }
    }
    if !is_empty {
        out.extend_from_slice(at_end.as_bytes());
    }
    out.push(brackets[1]);
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn a_keys_entry_is_one_line() {
        let text = r#"{
  "a": 1,
  "b": {
    "c": [{"d": [], "e": {"f": null, "g": true}}],
    "h": "\n"
  },
  "i": [
    {"j": 1, "k": [2, 3]},
    {},
    4
  ],
  "l": {},
  "m": []
}
"#;
        assert_eq!(
            String::from_utf8(render(&json::parse(text.as_bytes()).unwrap())).unwrap(),
            text
        );
    }
}
