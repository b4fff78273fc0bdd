//! What a KMS key comes to that is named by `keyroll_master_key_id` alone, as in
//! aws_key_management: a master key, and a keystore for it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::values::text;
use super::{Settings, SettingsError};
use crate::master_key::Provider;
use crate::service::aws::{LOG_LEVEL, LOG_LEVELS};
use crate::store::{StoreConfig, aws_key_files};

/// The keystore in the data directory of a server that names a KMS key and no keystore. KMS wraps
/// it, so that it may lie there, as the peer's key files do.
pub(super) const DEFAULT_KEYSTORE: &str = "keyroll.keystore";

impl Settings {
    /// The URI of the master key that `keyroll_master_key_id` names, if it is set.
    pub(super) fn kms_master_key(&self) -> Option<String> {
        (!self.master_key_id.is_empty()).then(|| format!("aws-kms:{}", text(&self.master_key_id)))
    }

    /// Puts how AWS KMS is reached before what this environment says, which is not the process's
    /// own. A setting that is empty, or 0, changes nothing.
    pub fn put_kms_into(&self, environment: &mut BTreeMap<OsString, OsString>) {
        let log_level = LOG_LEVELS.get(self.log_level).filter(|_| self.log_level > 0);
        for (name, value) in [
            ("AWS_REGION", text(&self.region)),
            ("AWS_ENDPOINT_URL_KMS", text(&self.endpoint_url)),
            (LOG_LEVEL, log_level.copied().unwrap_or_default().into()),
        ] {
            if !value.is_empty() {
                environment.insert(name.into(), value.into());
            }
        }
        if !self.endpoint_url.is_empty() {
            environment.remove(&OsString::from("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"));
        }
    }

    /// Takes from these settings how AWS KMS is reached, where nothing says it yet.
    pub fn fill_from_kms(&mut self, other: Settings) {
        if self.region.is_empty() {
            self.region = other.region;
        }
        if self.endpoint_url.is_empty() {
            self.endpoint_url = other.endpoint_url;
        }
        if self.log_level == 0 {
            self.log_level = other.log_level;
        }
    }
}

/// Refuses a keystore under a KMS key that is not there, beside keys of aws_key_management in this
/// directory: they are to be imported first.
///
/// # Errors
/// [`SettingsError::KeysOfPeer`].
pub fn refuse_keys_of_peer(store: &StoreConfig, directory: &Path) -> Result<(), SettingsError> {
    let StoreConfig::Keystore(keystore) = store else {
        return Ok(());
    };
    let is_of_kms =
        Provider::of(&keystore.master_key).is_some_and(|(provider, _)| provider.scheme == "aws-kms");
    if !is_of_kms || keystore.path.symlink_metadata().is_ok() {
        return Ok(());
    }
    // A directory that cannot be read has an error of its own, later.
    let files = aws_key_files::find(directory).unwrap_or_default();
    match files.is_empty() {
        true => Ok(()),
        false => Err(SettingsError::KeysOfPeer {
            directory: directory.into(),
            keystore: keystore.path.clone(),
            count: files.len(),
            master_key: keystore.master_key.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn chosen(
        keystore: &str,
        master_key: &str,
        master_key_id: &str,
    ) -> Result<(String, String), SettingsError> {
        let settings = Settings {
            keystore: keystore.into(),
            master_key: master_key.into(),
            master_key_id: master_key_id.into(),
            data_directory: "/data".into(),
            ..Settings::default()
        };
        match settings.store()? {
            StoreConfig::Keystore(found) => Ok((found.path.to_str().unwrap().into(), found.master_key)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_kms_key_alone_is_a_master_key_and_a_keystore_in_the_data_directory() {
        let names = |(path, uri): (&str, &str)| (path.to_owned(), uri.to_owned());
        assert_eq!(
            chosen("", "", "alias/mariadb").unwrap(),
            names(("/data/keyroll.keystore", "aws-kms:alias/mariadb"))
        );
        assert_eq!(chosen("/k", "", "x").unwrap(), names(("/k", "aws-kms:x")));
        assert_eq!(chosen("/k", "file:/m", "").unwrap(), names(("/k", "file:/m")));
        for keystore in ["", "/k"] {
            let two = chosen(keystore, "file:/m", "x");
            assert!(matches!(two, Err(SettingsError::TwoMasterKeys)));
        }
    }

    #[test]
    fn keys_of_the_peer_are_to_be_imported_before_the_server_starts_without_them() {
        let directory = tempfile::tempdir().unwrap();
        let keystore = directory.path().join(DEFAULT_KEYSTORE);
        let settings = Settings {
            master_key_id: b"alias/mariadb".to_vec(),
            data_directory: directory.path().into(),
            ..Settings::default()
        };
        let refuse = || refuse_keys_of_peer(&settings.store().unwrap(), directory.path());
        refuse().unwrap();
        fs::write(directory.path().join("aws-kms-key.1.1"), "x").unwrap();
        let refused = refuse().unwrap_err();
        let command = format!(
            "keyroll import --from-aws {0} --keystore {0}/keyroll.keystore --master-key aws-kms:alias/mariadb",
            directory.path().display()
        );
        assert!(refused.hint().contains(&command), "{}", refused.hint());
        fs::write(&keystore, "x").unwrap();
        refuse().unwrap();
    }

    #[test]
    fn settings_stand_before_the_environment_and_empty_ones_do_not() {
        let environment = |variables: &[(&str, &str)]| -> BTreeMap<OsString, OsString> {
            variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect()
        };
        let before = environment(&[
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL_KMS", "https://other"),
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
        ]);
        let mut unchanged = before.clone();
        Settings::default().put_kms_into(&mut unchanged);
        assert_eq!(unchanged, before);
        let settings = Settings {
            region: "us-west-2".into(),
            endpoint_url: "https://kms.example".into(),
            log_level: 4,
            ..Settings::default()
        };
        let mut changed = before;
        settings.put_kms_into(&mut changed);
        let expected = environment(&[
            ("AWS_REGION", "us-west-2"),
            ("AWS_ENDPOINT_URL_KMS", "https://kms.example"),
            (LOG_LEVEL, "Info"),
        ]);
        assert_eq!(changed, expected);
        assert_eq!(settings.kms_master_key(), None);
    }
}
