//! What a key file store is made of: the file, the password and how the one is encrypted with the
//! other.

use std::path::PathBuf;

pub use crate::crypto::password::Digest;
use crate::durable::SecretSource;

/// The settings of a key file. `Debug` shows no secret.
#[derive(Debug)]
pub struct KeyFileConfig {
    /// The key file (the setting `filename`).
    pub path: PathBuf,
    /// The password of an encrypted key file (the setting `filekey`); `None` for a plain one. In a
    /// file it has 256 bytes at most, and line ends at its end do not count.
    pub filekey: Option<SecretSource>,
    /// The hash with which key and IV are made from the password (the setting `digest`).
    pub digest: Digest,
    /// Rounds of PBKDF2, 0 for OpenSSL's older derivation of one round (the setting `use_pbkdf2`).
    pub pbkdf2_rounds: u32,
    /// Refuse files that others may read or change, instead of a warning (the setting
    /// `strict_permissions`).
    pub strict_permissions: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_password() {
        let config = KeyFileConfig {
            path: "/keys".into(),
            filekey: SecretSource::from_setting(b"hunter2"),
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
