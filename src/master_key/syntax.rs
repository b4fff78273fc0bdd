//! What can be wrong with the text of a master key, and where.

use thiserror::Error;

/// What is wrong with the text of a master key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages and the fields say what they hold")]
pub enum KeyListProblem {
    #[error("syntax error")]
    Syntax,
    #[error("invalid version of the master key")]
    Version,
    #[error("invalid master key")]
    Key,
    #[error("something stands behind the master key")]
    Trailing,
    /// A version stands on two lines with different keys.
    #[error("another key for version {version} than in line {first_line}")]
    Conflict { version: u32, first_line: usize },
    #[error("there is no master key in it")]
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

/// A problem and its place. Line and column, which is a byte's, are counted from 1.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{line}:{column}: {problem}")]
#[allow(missing_docs, reason = "the fields are told above")]
pub struct KeyListError {
    pub problem: KeyListProblem,
    pub line: usize,
    pub column: usize,
}
