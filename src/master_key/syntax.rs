//! What can be wrong with the text of a master key, and where.

use std::path::Path;

use thiserror::Error;

use crate::durable::OddText;
use crate::durable::permissions::shell_word;

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
    /// 64 hexadecimal digits and nothing else.
    #[error("the master key stands there without its version")]
    NoVersion,
    #[error("the master key is in base64, and not in hexadecimal digits")]
    Base64,
    #[error("the master key is there as 32 bytes, and not in hexadecimal digits")]
    Bytes,
    #[error("the text {}", .0.told())]
    Odd(OddText),
}

impl KeyListProblem {
    /// What a DBA can do about it.
    fn hint(&self) -> &'static str {
        match self {
            KeyListProblem::Syntax | KeyListProblem::Trailing | KeyListProblem::Odd(_) => {
                "a line is `version;key`, with the key in 64 hexadecimal digits"
            }
            KeyListProblem::NoVersion => "a line is `version;key`: write `1;` before the key",
            KeyListProblem::Version => "a version is a number from 1 to 4294967295",
            KeyListProblem::Key | KeyListProblem::Base64 | KeyListProblem::Bytes => {
                "a key has 64 hexadecimal digits, as `openssl rand -hex 32` makes them"
            }
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

impl KeyListError {
    /// What a DBA can do about it where the text is in this file, which can be changed.
    pub fn hint_for(&self, path: &Path) -> String {
        let file = shell_word(path);
        const DONE: &str = "writes the same key as it is read";
        match self.problem {
            KeyListProblem::Base64 => {
                let digits = r#"$(base64 -d "$f.old" | od -An -v -tx1 | tr -d ' \n')"#;
                format!(r#"`f={file}; cp -p "$f" "$f.old" && printf '1;%s\n' {digits} > "$f"` {DONE}"#)
            }
            KeyListProblem::Bytes => {
                let digits = r#"$(od -An -v -tx1 "$f.old" | tr -d ' \n')"#;
                format!(r#"`f={file}; cp -p "$f" "$f.old" && printf '1;%s\n' {digits} > "$f"` {DONE}"#)
            }
            KeyListProblem::Odd(odd) => format!("{} mends that", odd.mend(path)),
            problem => problem.hint().into(),
        }
    }

    /// What a DBA can do about it where the text comes from elsewhere.
    pub fn hint(&self) -> String {
        self.problem.hint().into()
    }
}
