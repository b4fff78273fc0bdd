//! JSON (RFC 8259) as a keystore has it: no fractions, no member twice, not deep. Members keep their order.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

/// How deep objects and lists may lie within each other, the outermost one counted.
pub const DEPTH_LIMIT: usize = 16;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction or exponent, from -2^63 to 2^64 - 1.
    Integer(i128),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object.
    Object(Object),
}

impl Value {
    /// The string, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Members in the order in which they stand in the file, each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object(Vec<(String, Value)>);

impl Object {
    /// The member's value.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// The member's value, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        let member = self.0.iter_mut().find(|(known, _)| known == name);
        member.map(|(_, value)| value)
    }

    /// Gives the member this value, in its place if it is there and else at the end.
    pub fn set(&mut self, name: &str, value: Value) {
        match self.get_mut(name) {
            Some(place) => *place = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// The members in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<const N: usize> From<[(&str, Value); N]> for Object {
    /// An object of these members, no two of which have the same name.
    fn from(members: [(&str, Value); N]) -> Object {
        Object(members.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

/// What is wrong with the text, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct JsonError {
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: String,
    /// Whether the text ends before the object does.
    pub at_end: bool,
}

/// Reads one object and nothing else.
pub fn parse(text: &[u8]) -> Result<Object, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let root = Seed { path: &Path::Root }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| JsonError {
            line: error.line().max(1),
            column: error.column().max(1),
            problem: without_place(&error),
            at_end: error.is_eof(),
        })?;
    match root {
        Value::Object(object) => Ok(object),
        _ => Err(JsonError {
            line: 1,
            column: 1,
            problem: "not an object".into(),
            at_end: false,
        }),
    }
}

/// The message alone: serde_json puts the place behind it.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((message, _)) => message.to_owned(),
        None => text,
    }
}

/// Where a value stands: `keys[3].id`.
enum Path<'p> {
    Root,
    Member(&'p Path<'p>, &'p str),
    Element(&'p Path<'p>, usize),
}

impl Path<'_> {
    fn depth(&self) -> usize {
        match self {
            Path::Root => 0,
            Path::Member(parent, _) | Path::Element(parent, _) => 1 + parent.depth(),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => f.write_str("the keystore"),
            Path::Member(Path::Root, name) => write!(f, "{}", name.escape_debug()),
            Path::Member(parent, name) => write!(f, "{parent}.{}", name.escape_debug()),
            Path::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Builds the value at a path.
struct Seed<'p> {
    path: &'p Path<'p>,
}

impl Seed<'_> {
    fn check_depth<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.path.depth() < DEPTH_LIMIT {
            return Ok(());
        }
        let path = self.path;
        Err(E::custom(format_args!(
            "{path}: nested more than {DEPTH_LIMIT} deep"
        )))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without fractions")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Value, E> {
        let path = self.path;
        Err(E::custom(format_args!(
            "{path}: a number must be whole and fit into 64 bits, without fraction or exponent"
        )))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut values = Vec::new();
        loop {
            let path = Path::Element(self.path, values.len());
            match list.next_element_seed(Seed { path: &path })? {
                Some(value) => values.push(value),
                None => return Ok(Value::List(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut names = HashSet::new();
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let path = Path::Member(self.path, &name);
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("{path}: the member stands twice")));
            }
            let value = map.next_value_seed(Seed { path: &path })?;
            members.push((name, value));
        }
        Ok(Value::Object(Object(members)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn members_keep_their_order() {
        let object =
            parse(br#"{"b": [1, -2, 18446744073709551615], "a": {"x": null, "\u00e9": "\n"}}"#).unwrap();
        let names: Vec<&str> = object.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "a"]);
        let inner = Object::from([("x", Value::Null), ("é", Value::Text("\n".into()))]);
        assert_eq!(object.get("a"), Some(&Value::Object(inner)));
    }

    #[test]
    fn what_two_readers_could_take_differently_is_refused() {
        for (text, wanted) in [
            (
                r#"{"a": 1, "a": 1}"#,
                "line 1, column 12: a: the member stands twice",
            ),
            (
                r#"{"k": [{"a": 1, "\u0061": 2}]}"#,
                "line 1, column 24: k[0].a: the member stands twice",
            ),
            (
                "{\n\"keys\": [{}, {\"id\": 1.0}]}",
                "line 2, column 23: keys[1].id: a number must be whole and fit into 64 bits, without fraction or exponent",
            ),
            (
                r#"{"a": 18446744073709551616}"#,
                "line 1, column 26: a: a number must be whole and fit into 64 bits, without fraction or exponent",
            ),
            ("[]", "line 1, column 1: not an object"),
            ("", "line 1, column 1: EOF while parsing a value"),
            (r#"{"a": 1} {}"#, "line 1, column 10: trailing characters"),
            (r#"{"a": 01}"#, "line 1, column 8: invalid number"),
            (
                r#"{"a": "\ud800"}"#,
                "line 1, column 14: unexpected end of hex escape",
            ),
            (r#"{"a": 1,}"#, "line 1, column 9: trailing comma"),
        ] {
            assert_eq!(problem(text), wanted, "{text}");
        }
        for number in ["-0", "1e3", "1E0", "0.5", "-1.0"] {
            assert!(
                parse(format!("{{\"a\": {number}}}").as_bytes()).is_err(),
                "{number}"
            );
        }
        assert!(parse(b"{\"a\": \"\xff\"}").is_err());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\": {}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(parse(nested(DEPTH_LIMIT).as_bytes()).is_ok());
        assert!(problem(&nested(DEPTH_LIMIT + 1)).ends_with("nested more than 16 deep"));
        assert!(parse("[".repeat(1_000_000).as_bytes()).is_err());
    }
}
