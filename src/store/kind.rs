//! Which kind of store a file is, told by its text.

use std::path::Path;

use super::key_file::is_encrypted;
use super::keystore::{self, format::is_keystore};
use crate::durable::{FileError, read};

/// The kind of store that a file is taken for. What is none of them is taken for a plain key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFile {
    /// A keystore.
    Keystore,
    /// A key file in clear.
    PlainKeyFile,
    /// A key file that is encrypted with a password.
    EncryptedKeyFile,
}

impl StoreFile {
    /// Looks at the beginning of the file's text.
    pub fn at(path: &Path) -> Result<StoreFile, FileError> {
        let bytes = read::whole(&read::open_regular(path)?, path, &keystore::KIND)?;
        Ok(StoreFile::of(bytes.expose()))
    }

    fn of(text: &[u8]) -> StoreFile {
        match text {
            text if is_keystore(text) => StoreFile::Keystore,
            _ if is_encrypted(text) => StoreFile::EncryptedKeyFile,
            _ => StoreFile::PlainKeyFile,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_told_by_their_text() {
        for (text, kind) in [
            (&b"keyroll keystore 1\n{"[..], StoreFile::Keystore),
            (b"keyroll keystore 2\n", StoreFile::Keystore),
            (b"\xEF\xBB\xBFkeyroll keystore 1\r\n", StoreFile::Keystore),
            (b"{\n  \"format\": \"keyroll keystore\",", StoreFile::Keystore),
            (b"Salted__keyroll keystore 1\n", StoreFile::EncryptedKeyFile),
            (b"# keyroll keystore 1\n", StoreFile::PlainKeyFile),
            (
                b"# {\n1;00112233445566778899aabbccddeeff\n",
                StoreFile::PlainKeyFile,
            ),
            (b"", StoreFile::PlainKeyFile),
        ] {
            assert_eq!(StoreFile::of(text), kind, "{}", String::from_utf8_lossy(text));
        }
    }
}
