//! What a key file store is made of: the file, the password and how the one is encrypted with the
//! other.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

pub use crate::crypto::password::Digest;
use crate::secret::LockedMemory;

/// What a filekey that names a file begins with.
const FILE_PREFIX: &[u8] = b"FILE:";

/// The settings of a key file. `Debug` shows no secret.
#[derive(Debug)]
pub struct KeyFileConfig {
    /// The key file (the setting `filename`).
    pub path: PathBuf,
    /// The password of an encrypted key file (the setting `filekey`).
    pub filekey: FileKey,
    /// The hash with which key and IV are made from the password (the setting `digest`).
    pub digest: Digest,
    /// Rounds of PBKDF2, 0 for OpenSSL's older derivation of one round (the setting `use_pbkdf2`).
    pub pbkdf2_rounds: u32,
    /// Refuse files that others may read or change, instead of a warning (the setting
    /// `strict_permissions`).
    pub strict_permissions: bool,
}

/// The password of a key file.
pub enum FileKey {
    /// The key file is plain.
    None,
    /// This is the password.
    Password(LockedMemory),
    /// The password is in this file: 256 bytes at most, line ends at its end do not count.
    File(PathBuf),
}

impl FileKey {
    /// Reads the setting as file_key_management does: empty for none, `FILE:path`, or the password
    /// itself.
    pub fn from_setting(setting: &[u8]) -> Self {
        match setting.strip_prefix(FILE_PREFIX) {
            Some(path) => FileKey::File(PathBuf::from(OsStr::from_bytes(path))),
            None if setting.is_empty() => FileKey::None,
            None => FileKey::Password(LockedMemory::copy_of(setting)),
        }
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileKey::None => f.write_str("None"),
            FileKey::Password(_) => f.write_str("Password(redacted)"),
            FileKey::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_nothing_a_file_or_a_password() {
        assert!(matches!(FileKey::from_setting(b""), FileKey::None));
        assert!(
            matches!(FileKey::from_setting(b"FILE:/a b"), FileKey::File(path) if path.as_os_str() == "/a b")
        );
        for password in [&b"file:/x"[..], b"FILE", b" ", b"\xFF\x00"] {
            match FileKey::from_setting(password) {
                FileKey::Password(secret) => assert_eq!(*secret, *password),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn debug_output_shows_no_password() {
        let config = KeyFileConfig {
            path: "/keys".into(),
            filekey: FileKey::from_setting(b"hunter2"),
            digest: Digest::Sha1,
            pbkdf2_rounds: 0,
            strict_permissions: false,
        };
        let shown = format!("{config:?}");
        assert!(
            shown.contains("redacted") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
