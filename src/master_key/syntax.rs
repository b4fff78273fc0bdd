//! What can be wrong with the text of a master key, and where.

use std::fmt;

/// What is wrong with the text of a master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyListProblem {
    /// Not a line of a master key.
    Syntax,
    /// The version is 0 or above 2^32-1.
    Version,
    /// The key has not 64 hexadecimal digits.
    Key,
    /// Something stands behind the key.
    Trailing,
    /// The version stands on an earlier line with another key.
    Conflict {
        /// The version.
        version: u32,
        /// The earlier line, counted from 1.
        first_line: usize,
    },
    /// There is no version at all.
    Empty,
}

impl KeyListProblem {
    /// What a DBA can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            KeyListProblem::Syntax | KeyListProblem::Trailing => {
                "a line is `version;key`, with the key in 64 hexadecimal digits"
            }
            KeyListProblem::Version => "a version is a number from 1 to 4294967295",
            KeyListProblem::Key => "a key has 64 hexadecimal digits, as `openssl rand -hex 32` makes them",
            KeyListProblem::Conflict { .. } => {
                "find out from a backup which of the two lines wrapped the keystore, and remove the other"
            }
            KeyListProblem::Empty => {
                "put the lines back from a backup; for a new keystore write `1;` and what `openssl rand -hex 32` makes"
            }
        }
    }
}

impl fmt::Display for KeyListProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyListProblem::Syntax => f.write_str("syntax error"),
            KeyListProblem::Version => f.write_str("invalid version of the master key"),
            KeyListProblem::Key => f.write_str("invalid master key"),
            KeyListProblem::Trailing => f.write_str("something stands behind the master key"),
            KeyListProblem::Conflict { version, first_line } => {
                write!(f, "another key for version {version} than in line {first_line}")
            }
            KeyListProblem::Empty => f.write_str("there is no master key in it"),
        }
    }
}

/// A problem and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyListError {
    /// What is wrong.
    pub problem: KeyListProblem,
    /// The line, counted from 1.
    pub line: usize,
    /// The byte in the line, counted from 1.
    pub column: usize,
}

impl fmt::Display for KeyListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.problem)
    }
}
