//! The members of an object, read as what they must be; errors name where they stand.

use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::format::FormatError;
use super::json::{Object, Value};
use crate::clock;

/// An object and where it stands.
pub(super) struct Members<'a> {
    /// Empty at the top, else what stands before a member's name: `keys[3].`.
    path: String,
    object: &'a Object,
}

impl<'a> Members<'a> {
    pub(super) fn of_root(object: &'a Object) -> Self {
        Members {
            path: String::new(),
            object,
        }
    }

    /// An error about a member.
    pub(super) fn wrong(&self, name: &str, problem: impl Into<String>) -> FormatError {
        FormatError::member(format!("{}{name}", self.path), problem)
    }

    pub(super) fn value(&self, name: &str) -> Result<&'a Value, FormatError> {
        self.object
            .get(name)
            .ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// A string of at most `limit` bytes without control characters, which would garble a terminal or a log.
    pub(super) fn text(&self, name: &str, limit: usize) -> Result<&'a str, FormatError> {
        match self.value(name)? {
            Value::Text(text) if text.len() > limit => {
                Err(self.wrong(name, format!("has more than {limit} bytes")))
            }
            Value::Text(text) if text.chars().any(char::is_control) => {
                Err(self.wrong(name, "holds a control character"))
            }
            Value::Text(text) => Ok(text),
            _ => Err(self.wrong(name, "is not a string")),
        }
    }

    /// A time as RFC 3339 writes it, in UTC and whole seconds.
    pub(super) fn time(&self, name: &str) -> Result<&'a str, FormatError> {
        let text = self.text(name, usize::MAX)?;
        if clock::is_rfc3339(text) {
            return Ok(text);
        }
        Err(self.wrong(name, "is not a time as 2026-01-31T23:59:59Z"))
    }

    /// A number within these bounds.
    pub(super) fn number<N>(&self, name: &str, bounds: RangeInclusive<N>) -> Result<N, FormatError>
    where
        N: TryFrom<i128> + PartialOrd + std::fmt::Display,
    {
        let Value::Integer(number) = self.value(name)? else {
            return Err(self.wrong(name, "is not a number"));
        };
        let within = N::try_from(*number).ok().filter(|number| bounds.contains(number));
        within.ok_or_else(|| {
            let (least, most) = (bounds.start(), bounds.end());
            self.wrong(name, format!("is {number}, not a number from {least} to {most}"))
        })
    }

    /// Bytes in base64 (RFC 4648, 4, with padding), this many of them.
    pub(super) fn bytes(&self, name: &str, lengths: RangeInclusive<usize>) -> Result<Vec<u8>, FormatError> {
        let Value::Text(text) = self.value(name)? else {
            return Err(self.wrong(name, "is not a string"));
        };
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| self.wrong(name, format!("is not base64: {error}")))?;
        if lengths.contains(&bytes.len()) {
            return Ok(bytes);
        }
        let (least, most) = (lengths.start(), lengths.end());
        let wanted = if least == most {
            least.to_string()
        } else {
            format!("{least} to {most}")
        };
        Err(self.wrong(name, format!("holds {} bytes instead of {wanted}", bytes.len())))
    }

    /// Exactly `N` bytes in base64.
    pub(super) fn array<const N: usize>(&self, name: &str) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes(name, N..=N)?);
        Ok(array)
    }

    /// An object within this one.
    pub(super) fn object(&self, name: &str) -> Result<Members<'a>, FormatError> {
        match self.value(name)? {
            Value::Object(object) => Ok(Members {
                path: format!("{}{name}.", self.path),
                object,
            }),
            _ => Err(self.wrong(name, "is not an object")),
        }
    }

    /// A list of objects.
    pub(super) fn objects(&self, name: &str) -> Result<Vec<Members<'a>>, FormatError> {
        let Value::List(values) = self.value(name)? else {
            return Err(self.wrong(name, "is not a list"));
        };
        let element = |(index, value): (usize, &'a Value)| {
            let name = format!("{name}[{index}]");
            match value {
                Value::Object(object) => Ok(Members {
                    path: format!("{}{name}.", self.path),
                    object,
                }),
                _ => Err(self.wrong(&name, "is not an object")),
            }
        };
        values.iter().enumerate().map(element).collect()
    }
}

/// Bytes as a string in base64.
pub(super) fn base64(bytes: &[u8]) -> Value {
    Value::Text(STANDARD.encode(bytes))
}
