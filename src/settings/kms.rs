//! What a KMS key comes to that is named by `keyroll_master_key_id` alone, as in
//! aws_key_management: a master key, and a keystore for it.

use std::path::Path;

use super::{Settings, SettingsError};
use crate::service::aws::{DEFAULT_KEYSTORE, KmsSettings};
use crate::store::aws_key_files;

impl Settings {
    /// How AWS KMS is reached, and which of its keys is named by its id.
    pub fn kms(&self) -> KmsSettings {
        // What is not UTF-8 is no key, no region and no URL, and is refused as such.
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        KmsSettings {
            master_key_id: text(&self.master_key_id),
            region: text(&self.region),
            endpoint_url: text(&self.endpoint_url),
            log_level: self.log_level,
        }
    }

    /// Refuses a start without a keystore beside keys of aws_key_management: they are to be
    /// imported first.
    ///
    /// # Errors
    /// [`SettingsError::KeysOfPeer`].
    pub(super) fn refuse_keys_of_peer(&self) -> Result<(), SettingsError> {
        let Some(uri) = self.kms().master_key().filter(|_| self.keystore.is_empty()) else {
            return Ok(());
        };
        refuse_keys_of_peer(uri, &self.data_directory)
    }
}

fn refuse_keys_of_peer(master_key: String, directory: &Path) -> Result<(), SettingsError> {
    // A directory that cannot be read has an error of its own, later.
    let files = aws_key_files::find(directory).unwrap_or_default();
    if files.is_empty() || directory.join(DEFAULT_KEYSTORE).symlink_metadata().is_ok() {
        return Ok(());
    }
    Err(SettingsError::KeysOfPeer {
        directory: directory.into(),
        count: files.len(),
        master_key,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::StoreSettings;
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
            StoreSettings::Keystore(found) => Ok((found.path.to_str().unwrap().into(), found.master_key)),
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
        settings.refuse_keys_of_peer().unwrap();
        fs::write(directory.path().join("aws-kms-key.1.1"), "x").unwrap();
        let refused = settings.refuse_keys_of_peer().unwrap_err();
        let command = format!(
            "keyroll import --from-aws {0} --keystore {0}/keyroll.keystore --master-key aws-kms:alias/mariadb",
            directory.path().display()
        );
        assert!(refused.hint().contains(&command), "{}", refused.hint());
        fs::write(&keystore, "x").unwrap();
        settings.refuse_keys_of_peer().unwrap();
    }
}
