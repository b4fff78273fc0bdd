//! Key versions that encrypt although their key's latest version has another algorithm.
//!
//! A redo log goes on under the version that its header names, over any number of starts, and the
//! header is protected by nothing. So whoever may write to a stopped server's disk can have an old
//! version encrypt again; what he gains by that, `docs/rotation.md` says.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::{PluginError, Server};
use crate::datadir::redo_log;
use crate::keys::{KeyName, Ring};

/// The key of the redo log.
const SYSTEM_KEY: u32 = 1;

/// InnoDB's system tablespace: where it is, there is a redo log.
const SYSTEM_TABLESPACE: &str = "ibdata1";

/// The versions that were reported since the start.
#[derive(Debug, Default)]
pub(crate) struct Downgrades {
    reported: Mutex<BTreeSet<KeyName>>,
}

impl Downgrades {
    /// Whether this version is to be reported, because it was not yet. Waits for nothing and takes
    /// little stack.
    pub(crate) fn is_first(&self, name: KeyName) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.insert(name)
    }
}

/// Refuses a start after which the redo log would go on under a version that is a downgrade of the
/// latest one.
///
/// Only at a start: where InnoDB's redo log cannot be encrypted, the server ends by an assertion.
///
/// # Errors
/// [`PluginError::RedoLogDowngrade`]; [`PluginError::RedoLogUnseen`] where that cannot be told.
pub(super) fn check_redo_log(ring: &Ring, server: &dyn Server) -> Result<(), PluginError> {
    let could_be = ring
        .versions_of(SYSTEM_KEY)
        .into_iter()
        .any(|name| ring.is_downgrade(name));
    // A server that is up has started with other keys, and mariadb-backup has no data directory.
    let Some(directory) = server.data_directory().filter(|_| could_be && !server.is_up()) else {
        return Ok(());
    };
    check_in(&directory, ring)
}

fn check_in(directory: &Path, ring: &Ring) -> Result<(), PluginError> {
    let path = redo_log::path(directory);
    let name = match redo_log::key_of(&path) {
        Ok(name) => name,
        // A server that makes its first tables.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && !directory.join(SYSTEM_TABLESPACE).exists() =>
        {
            None
        }
        Err(source) => return Err(PluginError::RedoLogUnseen { path, source }),
    };
    let Some(name) = name.filter(|name| ring.is_downgrade(*name)) else {
        return Ok(());
    };
    let algorithm = ring.algorithm(name.id, name.version);
    match (algorithm, ring.latest_algorithm(name.id)) {
        (Some(algorithm), Some((latest, latest_algorithm))) => Err(PluginError::RedoLogDowngrade {
            path,
            name,
            algorithm,
            latest,
            latest_algorithm,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::crypto::Algorithm;
    use crate::keys::KeySet;
    use crate::plugin::tests::Recorder;
    use crate::plugin::{Severity, log};
    use crate::secret::DataKey;

    fn ring(versions: &[(u32, Algorithm)]) -> Ring {
        let mut keys = KeySet::default();
        for (version, algorithm) in versions {
            let name = KeyName {
                id: 1,
                version: *version,
            };
            keys.insert_for(name, DataKey::new(&[1; 32]).unwrap(), *algorithm);
        }
        Ring::new(&keys, Algorithm::AesCbc).unwrap()
    }

    const MOVED: [(u32, Algorithm); 2] = [(1, Algorithm::AesCtr), (3, Algorithm::Aes256Xts)];

    fn redo_log(directory: &Path, version: u8) {
        let mut header = vec![0; 4096];
        header[..4].copy_from_slice(&[0xF0, 0x9F, 0x97, 0x9D]);
        header[48..56].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, version]);
        fs::write(directory.join("ib_logfile0"), header).unwrap();
    }

    #[test]
    fn a_start_is_refused_where_the_redo_log_would_go_on_under_a_downgrade() {
        let dir = tempfile::tempdir().unwrap();
        redo_log(dir.path(), 1);
        let error = check_in(dir.path(), &ring(&MOVED)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("ib_logfile0 goes on under version 1 of key 1, which is for aes_ctr"),
            "{text}"
        );
        assert!(
            text.contains("the latest version, 3, is for aes_256_xts"),
            "{text}"
        );
        assert!(error.hint().contains("innodb_log_file_size"), "{}", error.hint());
        for version in [3, 2, 5] {
            redo_log(dir.path(), version);
            check_in(dir.path(), &ring(&MOVED)).unwrap();
        }
        redo_log(dir.path(), 1);
        check_in(
            dir.path(),
            &ring(&[(1, Algorithm::AesCtr), (3, Algorithm::AesCtr)]),
        )
        .unwrap();
    }

    #[test]
    fn a_redo_log_that_is_elsewhere_or_cannot_be_read_is_not_taken_for_a_good_one() {
        let dir = tempfile::tempdir().unwrap();
        check_in(dir.path(), &ring(&MOVED)).expect("there is no data yet");
        fs::write(dir.path().join("ibdata1"), "").unwrap();
        let unseen = |dir: &Path| {
            matches!(
                check_in(dir, &ring(&MOVED)),
                Err(PluginError::RedoLogUnseen { .. })
            )
        };
        assert!(unseen(dir.path()));
        fs::create_dir(dir.path().join("ib_logfile0")).unwrap();
        assert!(unseen(dir.path()));
    }

    #[test]
    fn a_server_that_is_up_is_not_refused_and_its_files_are_left_alone() {
        // The recorder is one.
        let server = Recorder::default();
        redo_log(&server.data_directory().unwrap(), 1);
        check_redo_log(&ring(&MOVED), &server).unwrap();
    }

    #[test]
    fn each_version_is_reported_once_with_what_it_may_mean_and_what_to_do() {
        let (downgrades, server) = (Downgrades::default(), Recorder::default());
        let ring = ring(&[
            (1, Algorithm::AesCtr),
            (2, Algorithm::AesCbc),
            (3, Algorithm::Aes256Xts),
        ]);
        for version in [1, 1, 2, 1, 2] {
            let name = KeyName { id: 1, version };
            if downgrades.is_first(name) {
                log::downgrade(&server, name, &ring);
            }
        }
        let lines = server.lines.lock().unwrap();
        assert_eq!(lines.len(), 2);
        for ((severity, text), (version, algorithm)) in lines.iter().zip([(1, "aes_ctr"), (2, "aes_cbc")]) {
            assert_eq!(*severity, Severity::Error);
            assert!(text.len() < 512, "{} bytes", text.len());
            for part in [
                &format!("version {version} of key 1, for {algorithm}, still encrypts"),
                "the latest version, 3, is for aes_256_xts",
                "another innodb_log_file_size",
                "FLUSH BINARY LOGS",
                "keyroll_algorithm_downgrade = strict",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }
}
