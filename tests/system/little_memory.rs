//! A keystore that has grown, in a process that may have only so much more memory: a statement fails then, and the process
//! goes on. An allocation that fails would end it.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use keyroll::crypto::Algorithm;
use keyroll::keys::{KeyName, KeySet};
use keyroll::master_key::DEFAULT_REQUEST_TIMEOUT;
use keyroll::master_key::ProviderOptions;
use keyroll::master_key::file::MasterKeyFile;
use keyroll::secret::DataKey;
use keyroll::store::keystore::{KeystoreConfig, KeystoreFile};
use test_support::programs;

const VERSIONS: u32 = 20_000;

fn keys(ids: u32, versions: u32) -> KeySet {
    let mut keys = KeySet::default();
    for id in 1..=ids {
        for version in 1..=versions {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&id.to_le_bytes());
            bytes[4..8].copy_from_slice(&version.to_le_bytes());
            keys.insert_for(
                KeyName { id, version },
                DataKey::new(&bytes).unwrap(),
                Algorithm::Aes256Xts,
            );
        }
    }
    keys
}

#[test]
fn a_reload_or_a_rotation_that_lacks_memory_fails_and_ends_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    MasterKeyFile::create(&at("master"), None).unwrap();
    let uri = format!("file:{}", at("master").display());
    let options = ProviderOptions::of_this_process(DEFAULT_REQUEST_TIMEOUT);
    let store = KeystoreFile::new(KeystoreConfig {
        path: at("keystore"),
        master_key: uri.clone(),
        options,
        strict_permissions: false,
    })
    .unwrap();
    store.import(&keys(1, 1), Algorithm::Aes256Xts, None).unwrap();
    fs::copy(at("keystore"), at("small")).unwrap();
    store
        .add_all("the test", &keys(4, VERSIONS / 4), Algorithm::Aes256Xts)
        .unwrap();
    fs::copy(at("keystore"), at("grown")).unwrap();

    let driver = programs::program("reload_in_little_memory");
    for action in ["reload", "rotate"] {
        let (mut failed, mut succeeded) = (0, 0);
        for mib in (0..=350).step_by(25) {
            fs::copy(at("small"), at("keystore")).unwrap();
            // It would be newer than the small one.
            let _ = fs::remove_file(at("keystore.previous"));
            let output = Command::new(&driver)
                .args([at("keystore").to_str().unwrap(), &uri])
                .arg(at("grown"))
                .args([&mib.to_string(), action])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(
                output.status.signal(),
                None,
                "{action} with {mib} MiB: {output:?}"
            );
            match said.trim_end().strip_prefix("failed: ") {
                Some(message) => {
                    assert!(message.contains("there is no memory for "), "{message}");
                    assert_eq!(fs::read(at("keystore")).unwrap(), fs::read(at("grown")).unwrap());
                    failed += 1;
                }
                None => {
                    assert_eq!(said, "done\n", "{output:?}");
                    succeeded += 1;
                }
            }
        }
        assert!(failed > 0 && succeeded > 0, "{action}: {failed} {succeeded}");
    }
}
