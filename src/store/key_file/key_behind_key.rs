//! A key that nobody reads, because it stands on the line of another one.

use std::fmt;
use std::path::PathBuf;

use super::format::HiddenKey;
use crate::durable::OddText;

/// What looks like a key in a key file and is a remark there, behind another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBehindKey {
    /// The key file.
    pub path: PathBuf,
    /// Where in its text, decrypted.
    pub place: HiddenKey,
    /// Whether the file is encrypted.
    pub encrypted: bool,
}

impl fmt::Display for KeyBehindKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HiddenKey { line, column, .. } = self.place;
        write!(
            f,
            "a key seems to stand behind another one at {} line {line}, column {column}: there it is a remark",
            self.path.display()
        )
    }
}

impl KeyBehindKey {
    /// What makes a key of it.
    pub fn remedy(&self) -> String {
        const LINE_OF_ITS_OWN: &str =
            "if it is meant to be a key, write it on a line of its own; else write a # before it";
        match self.place.behind_carriage_return {
            true if self.encrypted => {
                format!("the text {}; {LINE_OF_ITS_OWN}", OddText::CarriageReturns.told())
            }
            true => format!(
                "the text {}; {} makes line feeds of them",
                OddText::CarriageReturns.told(),
                OddText::CarriageReturns.mend(&self.path)
            ),
            false => LINE_OF_ITS_OWN.into(),
        }
    }
}
