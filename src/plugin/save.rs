//! `SET GLOBAL keyroll_save_keys`: all keys in memory into a new keystore, whatever became of the
//! key store.

use std::path::{Path, PathBuf};

use super::{Plugin, PluginError, Server, State, log, mark};
use crate::durable::FileError;
use crate::keys::{Additions, KeySet, KeySpec};
use crate::master_key::DEFAULT_REQUEST_TIMEOUT;
use crate::master_key::file::MasterKeyFile;
use crate::master_key::{MasterKeyError, ProviderOptions};
use crate::settings::SettingsError;
use crate::store::StoreError;
use crate::store::keystore::format::Document;
use crate::store::keystore::{KeystoreConfig, KeystoreFile};

/// The only scheme that a statement may name.
const FILE: &str = "file:";

/// Where keys are to be saved.
#[derive(Debug, PartialEq, Eq)]
struct SaveRequest {
    keystore: PathBuf,
    /// A master key file; `None`: the master key stays the one of the server's keystore.
    master_key: Option<PathBuf>,
}

impl SaveRequest {
    /// Reads `PATH` or `PATH file:MASTERKEYPATH`. A path may have spaces in it.
    ///
    /// # Errors
    /// Whoever may set variables may not thereby have keys sent to another host, nor run programs:
    /// any other master key.
    fn parse(text: &[u8]) -> Result<SaveRequest, PluginError> {
        let text = std::str::from_utf8(text).map_err(|_| PluginError::SaveTo {
            path: String::from_utf8_lossy(text).into_owned(),
        })?;
        let uri = text
            .match_indices(char::is_whitespace)
            .map(|(at, space)| (&text[..at], &text[at + space.len()..]))
            .find(|(_, rest)| has_scheme(rest));
        let (keystore, master_key) = match uri {
            None => (text, None),
            Some((keystore, uri)) => match uri.trim_end().strip_prefix(FILE) {
                Some(path) => (keystore, Some(absolute(path)?)),
                None => return Err(PluginError::SaveUnder { uri: uri.into() }),
            },
        };
        Ok(SaveRequest {
            keystore: absolute(keystore)?,
            master_key,
        })
    }
}

fn has_scheme(text: &str) -> bool {
    let of_scheme = |byte| u8::is_ascii_alphanumeric(&byte) || b"+-.".contains(&byte);
    text.split_once(':')
        .is_some_and(|(scheme, _)| !scheme.is_empty() && scheme.bytes().all(of_scheme))
}

/// Refuses a relative path: it would be one below the data directory, and another one in my.cnf.
fn absolute(path: &str) -> Result<PathBuf, PluginError> {
    let path = path.trim();
    match Path::new(path) {
        absolute if absolute.is_absolute() => Ok(absolute.into()),
        _ => Err(PluginError::SaveTo { path: path.into() }),
    }
}

impl Plugin {
    /// Writes all keys of the ring durably into a new keystore, from memory alone.
    ///
    /// # Errors
    /// There is no new keystore then. A master key file that was made stays, and the next try takes
    /// it.
    pub fn save_keys(&self, request: &[u8], server: &dyn Server) -> Result<(), PluginError> {
        let request = SaveRequest::parse(request)?;
        let mut state = self.state()?;
        let keys = state.published.ring.keys_with(&KeySet::default())?;
        match &request.master_key {
            None => state.store.save(&keys, &request.keystore).map_err(in_the_way)?,
            Some(file) => save_under(file, &request.keystore, &keys)?,
        }
        let State {
            mark,
            published,
            store,
            missing,
            ..
        } = &mut *state;
        if let Some(file) = mark {
            // The store may have been written anew. Without new versions a failure is only logged.
            let nothing = Additions::default();
            let _ = mark::note(file, &published.ring, &nothing, store.as_ref(), missing, server);
        }
        let master_key = match &request.master_key {
            Some(file) => format!("{FILE}{}", file.display()),
            None => state.master_key.clone(),
        };
        log::saved(server, &request.keystore, &master_key, &state.published);
        Ok(())
    }
}

/// A new keystore under a master key file, which is made where there is none.
fn save_under(master_key: &Path, keystore: &Path, keys: &KeySet) -> Result<(), PluginError> {
    let failed = |error: MasterKeyError| -> PluginError { SettingsError::MasterKey(Box::new(error)).into() };
    let envelope = KeystoreFile::new(KeystoreConfig {
        path: keystore.into(),
        master_key: format!("{FILE}{}", master_key.display()),
        options: ProviderOptions::of_this_process(DEFAULT_REQUEST_TIMEOUT),
        strict_permissions: false,
    })
    .map_err(SettingsError::from)?;
    // Told before a master key is made for nothing.
    if keystore.symlink_metadata().is_ok() || keystore == master_key {
        return Err(save_over(keystore.into()));
    }
    if master_key.symlink_metadata().is_err() {
        // It stays whatever comes: another server that saves at this moment may have wrapped its
        // keys with it.
        MasterKeyFile::create(master_key, None).map_err(failed)?;
    }
    envelope
        .import(keys, KeySpec::DEFAULT.algorithm, None)
        .map_err(in_the_way)?;
    Ok(())
}

fn in_the_way(error: StoreError) -> PluginError {
    match error {
        StoreError::File(FileError::FileExists { path }) => save_over(path),
        error => error.into(),
    }
}

fn save_over(path: PathBuf) -> PluginError {
    PluginError::SaveOver {
        is_keystore: Document::read(&path).is_ok(),
        path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_a_keystore_and_at_most_a_master_key_file() {
        let parsed = |text: &str| {
            let request = SaveRequest::parse(text.as_bytes()).unwrap();
            let master_key = request.master_key.map(|path| path.display().to_string());
            (request.keystore.display().to_string(), master_key)
        };
        assert_eq!(parsed("/a/keystore"), ("/a/keystore".into(), None));
        assert_eq!(parsed("/a b/k c"), ("/a b/k c".into(), None));
        assert_eq!(
            parsed("/a b/k  file:/m n/o"),
            ("/a b/k".into(), Some("/m n/o".into()))
        );
    }

    #[test]
    fn no_statement_runs_a_program_or_sends_keys_away() {
        for uri in [
            "exec:/bin/sh",
            "aws-kms:alias/mine",
            "vault-transit:https://elsewhere/transit/k",
            "credential:x",
            "EXEC:/bin/sh",
            "exec:/bin/sh file:/m",
        ] {
            let error = SaveRequest::parse(format!("/a/keystore {uri}").as_bytes()).unwrap_err();
            assert!(matches!(error, PluginError::SaveUnder { .. }), "{uri}: {error}");
        }
    }

    #[test]
    fn paths_are_absolute() {
        for text in ["keystore", "./k", "file:/m", " ", "/k file:m", "/k file:"] {
            let error = SaveRequest::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(error, PluginError::SaveTo { .. }), "{text}: {error}");
        }
    }
}
