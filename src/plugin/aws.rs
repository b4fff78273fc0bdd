//! What a KMS key comes to that is named by `keyroll_master_key_id` alone, as in aws_key_management: a master key, and a
//! keystore for it.

use std::env;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::PluginError;
use crate::service::aws::{DEFAULT_KEYSTORE, KmsSettings};
use crate::store::aws_key_files;

/// Has such a KMS key stand for a master key, and for a keystore where none is named.
///
/// # Errors
/// Another master key is named, too; or the keystore is not there, but the peer's keys are.
pub(super) fn put_in_place(
    kms: &KmsSettings,
    keystore: &mut Vec<u8>,
    master_key: &mut Vec<u8>,
) -> Result<(), PluginError> {
    let Some(uri) = kms.master_key() else {
        return Ok(());
    };
    if !master_key.is_empty() {
        return Err(PluginError::TwoMasterKeys);
    }
    if keystore.is_empty() {
        // A server's working directory is its data directory.
        let directory = env::current_dir().unwrap_or_default();
        let path = directory.join(DEFAULT_KEYSTORE);
        refuse_keys_of_peer(&uri, &directory, &path)?;
        *keystore = path.into_os_string().into_vec();
    }
    *master_key = uri.into_bytes();
    Ok(())
}

fn refuse_keys_of_peer(uri: &str, directory: &Path, keystore: &Path) -> Result<(), PluginError> {
    // A directory that cannot be read has an error of its own, later.
    let files = aws_key_files::find(directory).unwrap_or_default();
    if files.is_empty() || keystore.symlink_metadata().is_ok() {
        return Ok(());
    }
    Err(PluginError::KeysOfPeer {
        directory: directory.into(),
        count: files.len(),
        master_key: uri.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn kms(id: &str) -> KmsSettings {
        KmsSettings {
            master_key_id: id.into(),
            ..KmsSettings::default()
        }
    }

    #[test]
    fn a_kms_key_alone_is_a_master_key_and_a_keystore_in_the_data_directory() {
        let (mut keystore, mut master_key) = (Vec::new(), Vec::new());
        put_in_place(&kms("alias/mariadb"), &mut keystore, &mut master_key).unwrap();
        assert_eq!(master_key, b"aws-kms:alias/mariadb");
        assert!(keystore.starts_with(b"/") && keystore.ends_with(b"/keyroll.keystore"));

        let (mut keystore, mut master_key) = (b"/k".to_vec(), Vec::new());
        put_in_place(&kms("x"), &mut keystore, &mut master_key).unwrap();
        assert_eq!((&*keystore, &*master_key), (&b"/k"[..], &b"aws-kms:x"[..]));

        let (mut keystore, mut master_key) = (Vec::new(), b"file:/m".to_vec());
        put_in_place(&kms(""), &mut keystore, &mut master_key).unwrap();
        assert_eq!((&*keystore, &*master_key), (&b""[..], &b"file:/m"[..]));
        let two = put_in_place(&kms("x"), &mut keystore, &mut master_key);
        assert!(matches!(two, Err(PluginError::TwoMasterKeys)));
    }

    #[test]
    fn keys_of_the_peer_are_to_be_imported_before_the_server_starts_without_them() {
        let directory = tempfile::tempdir().unwrap();
        let keystore = directory.path().join(DEFAULT_KEYSTORE);
        let uri = "aws-kms:alias/mariadb";
        refuse_keys_of_peer(uri, directory.path(), &keystore).unwrap();
        fs::write(directory.path().join("aws-kms-key.1.1"), "x").unwrap();
        let refused = refuse_keys_of_peer(uri, directory.path(), &keystore).unwrap_err();
        let command = format!(
            "keyroll import --from-aws {0} --keystore {0}/keyroll.keystore --master-key aws-kms:alias/mariadb",
            directory.path().display()
        );
        assert!(refused.hint().contains(&command), "{}", refused.hint());
        fs::write(&keystore, "x").unwrap();
        refuse_keys_of_peer(uri, directory.path(), &keystore).unwrap();
    }
}
