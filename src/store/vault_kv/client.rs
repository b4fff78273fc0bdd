//! Requests to the KV engine, version 2: a key is the secret named by its id, field `data` in hex
//! digits; the secret's version is the key's.
//!
//! Source: API of the KV secrets engine version 2 (`MOUNT/metadata/`, `MOUNT/data/`), and what
//! OpenBao 2.7.2 answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use once_cell::sync::OnceCell;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::secret::{Found, Gone, Secret, SecretMetadata, VersionMetadata, parse_key};
use super::{KvError, VaultKvConfig};
use crate::keys::{KeyName, LAST_VERSION};
use crate::secret::{DataKey, SecretBytes};
use crate::service::vault::{Refusal, SecretText, VaultClient, VaultError};
use crate::store::hex_digits::push_hex;

/// The versions that Vault keeps where neither the secret nor the mount says.
const KEPT_BY_DEFAULT: u64 = 10;

/// The secrets of one path in one mount.
#[derive(Debug)]
pub(super) struct KvClient {
    pub(super) vault: VaultClient,
    path: String,
    check_kv_version: bool,
    folder: OnceCell<Folder>,
    hidden: Mutex<Hidden>,
}

/// What may not be seen, as far as it was tried. A token with the least rights may read the secrets
/// and nothing else.
#[derive(Debug, Default)]
struct Hidden {
    list: bool,
    /// All metadata, so far as it was looked at, of a folder that may not be listed.
    all_metadata: bool,
    /// That of these secrets.
    metadata: BTreeSet<u32>,
}

/// Where the engine is mounted, and the folder in it.
#[derive(Debug)]
struct Folder {
    mount: String,
    /// Empty, or ends with a slash.
    path: String,
}

#[derive(Deserialize)]
struct SecretNames {
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct MountInfo {
    path: String,
    #[serde(default)]
    r#type: String,
    options: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct MountTuning {
    options: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct MountConfig {
    #[serde(default)]
    max_versions: u64,
}

/// A secret with its content, which is null where the version is deleted or destroyed.
#[derive(Deserialize)]
struct SecretVersion {
    data: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    metadata: VersionMetadata,
}

#[derive(Deserialize)]
struct SecretContent {
    data: Fields,
}

#[derive(Deserialize)]
struct Fields {
    data: SecretText,
}

#[derive(Deserialize)]
struct Written {
    version: u32,
}

impl KvClient {
    pub(super) fn new(config: VaultKvConfig) -> Result<KvClient, KvError> {
        Ok(KvClient {
            vault: VaultClient::new(config.vault)?,
            path: config.path,
            check_kv_version: config.check_kv_version,
            folder: OnceCell::new(),
            hidden: Mutex::default(),
        })
    }

    /// `secret at vault:8200`, for people.
    pub(super) fn describe(&self) -> String {
        format!("Vault KV {} at {}", self.path, self.vault.host())
    }

    /// The error where there is none.
    pub(super) fn no_keys(&self) -> KvError {
        KvError::NoKeys {
            store: self.describe(),
            path: self.path.clone(),
            namespace: self.vault.access().namespace.clone(),
        }
    }

    /// Whether it asks Vault at the start which version the engine has.
    pub(super) fn checks_kv_version(&self) -> bool {
        self.check_kv_version
    }

    /// Has what was hidden be looked for again: a policy may have been widened.
    pub(super) fn forget_what_is_hidden(&self) {
        *self.hidden() = Hidden::default();
    }

    /// Whether some metadata that was asked for since then may not be read.
    pub(super) fn hides_metadata(&self) -> bool {
        let hidden = self.hidden();
        hidden.all_metadata || !hidden.metadata.is_empty()
    }

    fn hidden(&self) -> MutexGuard<'_, Hidden> {
        // Each change is one call, so that a panic leaves it whole.
        self.hidden.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ids of all keys: the secrets whose names are numbers as one writes them. `None` where
    /// they may not be listed.
    pub(super) fn ids(&self) -> Result<Option<Vec<u32>>, KvError> {
        if self.hidden().list {
            return Ok(None);
        }
        let folder = self.folder()?;
        let path = format!("{}/metadata/{}?list=true", folder.mount, folder.path);
        let keys = match self.vault.read(&path, self.vault.allowance()) {
            Ok(answer) => answer.data::<SecretNames>()?.keys,
            Err(error) if error.is(Refusal::NotFound) => Vec::new(),
            Err(error) if is_forbidden(&error) => {
                self.hidden().list = true;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let id = |name: &String| {
            let id = name.parse().ok();
            id.filter(|id: &u32| *id > 0 && id.to_string() == *name)
        };
        let mut ids: Vec<u32> = keys.iter().filter_map(id).collect();
        ids.sort_unstable();
        Ok(Some(ids))
    }

    /// What Vault tells of a secret: its metadata, or what its newest version tells.
    pub(super) fn secret(&self, id: u32) -> Result<Secret, KvError> {
        let is_hidden = {
            let hidden = self.hidden();
            hidden.all_metadata || hidden.metadata.contains(&id)
        };
        if is_hidden {
            return self.newest(id);
        }
        let path = self.path_of("metadata", id)?;
        match self.vault.read(&path, self.vault.allowance()) {
            Ok(answer) => Ok(Secret::Described(answer.data()?)),
            Err(error) if error.is(Refusal::NotFound) => Ok(Secret::Missing),
            Err(error) if is_forbidden(&error) => {
                let mut hidden = self.hidden();
                hidden.all_metadata = hidden.list;
                hidden.metadata.insert(id);
                drop(hidden);
                self.newest(id)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn newest(&self, id: u32) -> Result<Secret, KvError> {
        Ok(match self.read_version(id, None)? {
            None => Secret::Missing,
            Some((_, Found::Refused(error))) => Secret::Refused(error),
            Some((version, _)) if !(1..=LAST_VERSION).contains(&version) => Secret::Missing,
            Some((version, found)) => Secret::Newest(version, found),
        })
    }

    /// The bytes of a version, or why there are none.
    pub(super) fn key(&self, name: KeyName) -> Result<Found, KvError> {
        let found = self.read_version(name.id, Some(name.version))?;
        Ok(found.map_or(Found::Gone(Gone::Missing), |(_, found)| found))
    }

    /// A version of a secret, the newest unless told, with its number, which is 0 where it may not
    /// be read; `None` where Vault does not know it.
    fn read_version(&self, id: u32, version: Option<u32>) -> Result<Option<(u32, Found)>, KvError> {
        let path = self.path_of("data", id)?;
        let of_version = |version| format!("{path}?version={version}");
        let asked = version.map_or_else(|| path.clone(), of_version);
        let answer = match self.vault.read(&asked, self.vault.allowance()) {
            Ok(answer) => answer,
            Err(error) if error.is(Refusal::NotFound) => return Ok(None),
            Err(error) if error.is(Refusal::Forbidden) => {
                return Ok(Some((0, Found::Refused(error.into()))));
            }
            Err(error) => return Err(error.into()),
        };
        let secret: SecretVersion = answer.data()?;
        let version = version.unwrap_or(secret.metadata.version);
        let not_a_key = |reason| {
            Found::NotAKey(KvError::NotAKey {
                host: self.vault.host().into(),
                path: of_version(version),
                reason,
            })
        };
        let found = match secret.data {
            None if secret.metadata.destroyed => Found::Gone(Gone::Destroyed),
            None => Found::Gone(Gone::Deleted),
            Some(fields) if !fields.contains_key("data") => not_a_key("it has no field data"),
            Some(_) => match answer.data::<SecretContent>() {
                Err(_) => not_a_key("its field data is no text"),
                Ok(content) => parse_key(&content.data.data)
                    .map_or_else(not_a_key, |key| Found::Key(key, secret.metadata.created())),
            },
        };
        Ok(Some((version, found)))
    }

    /// Writes the version after `current`, if `current` is still the latest one.
    pub(super) fn put(&self, id: u32, current: u32, key: &DataKey) -> Result<u32, KvError> {
        let path = self.path_of("data", id)?;
        let start = format!("{{\"options\":{{\"cas\":{current}}},\"data\":{{\"data\":\"");
        let end = b"\"}}";
        let mut body = SecretBytes::with_capacity(start.len() + 2 * key.len() + end.len());
        body.expose_mut().extend_from_slice(start.as_bytes());
        push_hex(body.expose_mut(), key);
        body.expose_mut().extend_from_slice(end);
        let answer = self.vault.write(&path, &body, self.vault.allowance())?;
        Ok(answer.data::<Written>()?.version)
    }

    /// As many versions as Vault keeps of this secret.
    pub(super) fn kept_versions(&self, metadata: &SecretMetadata) -> Result<u64, KvError> {
        if metadata.max_versions > 0 {
            return Ok(metadata.max_versions);
        }
        let path = format!("{}/config", self.folder()?.mount);
        Ok(match self.read_if_shown::<MountConfig>(&path)? {
            // Not to be learned: the least that it can be without having been set.
            None | Some(MountConfig { max_versions: 0 }) => KEPT_BY_DEFAULT,
            Some(config) => config.max_versions,
        })
    }

    fn path_of(&self, what: &str, id: u32) -> Result<String, KvError> {
        let folder = self.folder()?;
        Ok(format!("{}/{what}/{}{id}", folder.mount, folder.path))
    }

    /// Asks once where the engine is mounted and which version it has. Where that may not be asked,
    /// or shall not be, the mount is the first part of the path.
    fn folder(&self) -> Result<&Folder, KvError> {
        self.folder.get_or_try_init(|| {
            let first = self.path.split('/').next().unwrap_or_default();
            if !self.check_kv_version {
                return Ok(self.folder_in(first));
            }
            let path = format!("sys/internal/ui/mounts/{}", self.path);
            if let Some(info) = self.read_if_shown::<MountInfo>(&path)? {
                let mount = info.path.trim_matches('/');
                check_version(mount, info.r#type == "kv", info.options)?;
                return Ok(self.folder_in(mount));
            }
            // What hashicorp_key_management asks, of each mount that it can be.
            let ends = self.path.match_indices('/').map(|(at, _)| at);
            for end in ends.chain([self.path.len()]).rev() {
                let mount = &self.path[..end];
                let path = format!("sys/mounts/{mount}/tune");
                if let Some(tuning) = self.read_if_shown::<MountTuning>(&path)? {
                    check_version(mount, true, tuning.options)?;
                    return Ok(self.folder_in(mount));
                }
            }
            Ok(self.folder_in(first))
        })
    }

    /// The rest of the path in this mount.
    fn folder_in(&self, mount: &str) -> Folder {
        let (mount, rest) = match self.path.strip_prefix(mount) {
            Some(rest) => (mount, rest),
            None => self.path.split_once('/').unwrap_or((&self.path, "")),
        };
        Folder {
            mount: mount.into(),
            path: with_slash(rest.trim_matches('/')),
        }
    }

    /// What Vault has there; `None` where that may not be known.
    fn read_if_shown<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, KvError> {
        match self.vault.read(path, self.vault.allowance()) {
            Ok(answer) => Ok(Some(answer.data()?)),
            Err(error) if is_hidden(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Versions are what this store is about.
fn check_version(mount: &str, is_kv: bool, options: Option<BTreeMap<String, String>>) -> Result<(), KvError> {
    let version = options.as_ref().and_then(|options| options.get("version"));
    match version {
        Some(version) if is_kv && version != "1" => Ok(()),
        _ => Err(KvError::KvVersion1 { mount: mount.into() }),
    }
}

/// Whether the token may not do it. A token that may not look at itself is taken for an invalid
/// one: whether it is, the reading of a secret tells.
fn is_forbidden(error: &VaultError) -> bool {
    error.is(Refusal::Forbidden) || error.is(Refusal::TokenInvalid)
}

/// Whether it may not be known. Status 400: no mount is there.
fn is_hidden(error: &VaultError) -> bool {
    is_forbidden(error)
        || error.is(Refusal::NotFound)
        || matches!(error.refusal(), Some(Refusal::Other(400, _)))
}

fn with_slash(path: &str) -> String {
    match path {
        "" => String::new(),
        path => format!("{path}/"),
    }
}
