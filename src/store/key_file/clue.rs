//! Why an encrypted key file may not open: what its bytes, the password and the password's file
//! show.

use std::path::{Path, PathBuf};

use crate::durable::odd_text::without_line_ends;
use crate::durable::permissions::shell_word;
use crate::durable::{OddText, SecretSource};

/// What shows why an encrypted key file does not open. No part of a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Clue {
    /// Nothing.
    #[default]
    Nothing,
    /// No password is set.
    NoPassword,
    /// The ciphertext is not of whole blocks, as all of its kind are. The length that the file
    /// would have without the line end behind it, if that is all.
    NotWholeBlocks(Option<usize>),
    /// The setting holds what looks like a path: it is the password as it stands.
    PasswordIsPath,
    /// The password's file is empty.
    EmptyPassword(PathBuf),
    /// The password's file ends in a carriage return and a line feed.
    PasswordWithCrLf(PathBuf),
    /// What is odd about the password's file.
    OddPassword(PathBuf, OddText),
}

impl Clue {
    /// What the setting shows, if it holds the password itself.
    pub(super) fn of_value(source: &SecretSource) -> Clue {
        match source.looks_like_path() {
            true => Clue::PasswordIsPath,
            false => Clue::Nothing,
        }
    }

    /// What all that is in the password's file shows.
    pub(super) fn of_password_file(path: &Path, content: &[u8]) -> Clue {
        match OddText::of_one_line(content) {
            Some(odd) => Clue::OddPassword(path.into(), odd),
            None if without_line_ends(content).is_empty() => Clue::EmptyPassword(path.into()),
            None if content.ends_with(b"\r\n") => Clue::PasswordWithCrLf(path.into()),
            None => Clue::Nothing,
        }
    }

    /// What helps to open the key file at this path.
    pub(crate) fn hint(&self, key_file: &Path) -> String {
        const AS_ENCRYPTED: &str = "check ‹filekey›, ‹digest› and ‹use_pbkdf2›: they must be what the file was encrypted with \
                                    (`openssl enc -aes-256-cbc -md DIGEST [-pbkdf2 -iter ROUNDS]`)";
        let file = shell_word(key_file);
        match self {
            Clue::Nothing => format!(
                "{AS_ENCRYPTED}. If that was md5, as with OpenSSL before 1.1.0, no setting fits: docs/stores.md says how to \
                 encrypt the file anew"
            ),
            Clue::NoPassword => "the file is encrypted: set ‹filekey›".into(),
            Clue::NotWholeBlocks(None) => {
                "no password opens it: its length is no multiple of 16 bytes, so it was cut off or something was added. \
                 Put it back whole from a backup"
                    .into()
            }
            Clue::NotWholeBlocks(Some(length)) => format!(
                r#"no password opens it while a line end stands behind it, which `f={file}; cp -p "$f" "$f.old" && truncate -s {length} "$f"` removes"#
            ),
            Clue::PasswordIsPath => {
                "‹filekey› is the password as it stands, and looks like a path: to name a file, write FILE: before \
                 the path, in capitals"
                    .into()
            }
            Clue::EmptyPassword(path) => {
                format!("there is no password in {}: see what writes or mounts that file", path.display())
            }
            Clue::PasswordWithCrLf(path) => format!(
                "{} ends its line with CR and LF: openssl takes the CR for a part of the password, and the server does not. \
                 docs/stores.md says how to encrypt the key file anew. Or else {AS_ENCRYPTED}",
                path.display()
            ),
            Clue::OddPassword(path, OddText::SeveralLines) => format!(
                "{} has more than one line, and all of it is the password, where openssl -pass file: takes the first line \
                 alone, which {} leaves. Or else check ‹digest› and ‹use_pbkdf2›",
                path.display(),
                OddText::SeveralLines.mend(path)
            ),
            Clue::OddPassword(path, odd @ OddText::Nul) => format!(
                "the password in {} ends at a zero byte, which {} removes with all that follows. Or else check the password, \
                 ‹digest› and ‹use_pbkdf2›",
                path.display(),
                odd.mend(path)
            ),
            Clue::OddPassword(path, odd) => format!(
                "{} {}: {} makes a plain text of it. Or else check ‹digest› and ‹use_pbkdf2›",
                path.display(),
                odd.told(),
                odd.mend(path)
            ),
        }
    }
}
