//! The canonical form: the one sequence of bytes that stands for an object, whatever its layout in the file.
//!
//! ```text
//! {"a":1,"b":[true,null,"x"],"é":{}}
//! ```
//!
//! UTF-8 without white space. Members in ascending order of their names' bytes. Integers in decimal, `-` before a negative
//! one, no leading zero. In strings `"` and `\` are escaped with a `\`, the control characters U+0008, U+0009, U+000A, U+000C
//! and U+000D are `\b`, `\t`, `\n`, `\f` and `\r`, the others below U+0020 are `\u00` and two lower-case hex digits; all else
//! stands for itself. For what a keystore may hold this is RFC 8785 (JCS) but for the order of names, which JCS takes by
//! UTF-16 code units: names in the Basic Multilingual Plane below U+D800 come out alike.

use super::json::{Object, Value};

/// The canonical form of the object without these of its members.
pub fn bytes_without(object: &Object, left_out: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    write_object(&mut out, object, left_out);
    out
}

/// The canonical form of the whole object.
pub fn bytes(object: &Object) -> Vec<u8> {
    bytes_without(object, &[])
}

fn write_object(out: &mut Vec<u8>, object: &Object, left_out: &[&str]) {
    let mut members: Vec<(&str, &Value)> = object
        .iter()
        .filter(|(name, _)| !left_out.contains(name))
        .collect();
    members.sort_unstable_by_key(|(name, _)| name.as_bytes());
    out.push(b'{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(out, name);
        out.push(b':');
        write_value(out, value);
    }
    out.push(b'}');
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Text(text) => write_text(out, text),
        Value::Object(object) => write_object(out, object, &[]),
        Value::List(values) => {
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(out, value);
            }
            out.push(b']');
        }
    }
}

/// A string with its quotes and escapes.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0C => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x00..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::json;
    use super::*;

    fn canonical(text: &str) -> String {
        String::from_utf8(bytes(&json::parse(text.as_bytes()).unwrap())).unwrap()
    }

    #[test]
    fn layout_and_order_make_no_difference() {
        let wanted = r#"{"a":[true,false,null,-1,0,"x"],"b":{"A":1,"z":{}},"é":"/","😀":[]}"#;
        assert_eq!(
            canonical(
                "{ \"\\ud83d\\ude00\": [ ],\r\n\t\"b\": {\"z\": {}, \"A\": 1}, \"\\u00e9\": \"\\/\", \
                 \"a\": [true, false, null, -1, 0, \"\\u0078\"]}"
            ),
            wanted
        );
        assert_eq!(canonical(wanted), wanted);
    }

    #[test]
    fn members_are_left_out_at_the_top_alone() {
        let object = json::parse(br#"{"mac": 1, "a": {"mac": 2}, "z": 3}"#).unwrap();
        assert_eq!(
            bytes_without(&object, &["mac", "none"]),
            br#"{"a":{"mac":2},"z":3}"#
        );
    }

    proptest! {
        #[test]
        fn strings_are_escaped_as_serde_json_does(text in any::<String>()) {
            let mut out = Vec::new();
            write_text(&mut out, &text);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn control_characters_are_escaped_as_serde_json_does() {
        for byte in 0..=0x7F_u8 {
            let text = char::from(byte).to_string();
            let mut out = Vec::new();
            write_text(&mut out, &text);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                serde_json::to_string(&text).unwrap()
            );
        }
    }
}
