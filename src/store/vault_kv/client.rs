//! Requests to the KV engine, version 2: a key is the secret named by its id, field `data` in hex
//! digits; the secret's version is the key's.
//!
//! Source: API of the KV secrets engine version 2 (`MOUNT/metadata/`, `MOUNT/data/`), and what
//! OpenBao 2.7.2 answers.

use std::collections::BTreeMap;

use once_cell::sync::OnceCell;
use serde::Deserialize;

use super::{KvError, VaultKvConfig};
use crate::keys::{KeyName, LAST_VERSION};
use crate::secret::{DataKey, MAX_DATA_KEY_LENGTH, SecretBytes};
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
}

/// Where the engine is mounted, and the folder in it.
#[derive(Debug)]
struct Folder {
    mount: String,
    /// Empty, or ends with a slash.
    path: String,
}

/// What Vault tells of a secret beside its content.
#[derive(Debug, Deserialize)]
pub(super) struct SecretMetadata {
    pub(super) current_version: u32,
    #[serde(default)]
    max_versions: u64,
    #[serde(default)]
    oldest_version: u32,
    versions: BTreeMap<u32, VersionMetadata>,
}

#[derive(Debug, Deserialize)]
struct VersionMetadata {
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

/// What became of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It can be brought back with `vault kv undelete`.
    Deleted,
    /// Its bytes are gone for good.
    Destroyed,
    /// Vault does not know it (any more).
    Missing,
}

impl Gone {
    /// As one would say it.
    pub fn name(self) -> &'static str {
        match self {
            Gone::Deleted => "deleted",
            Gone::Destroyed => "destroyed",
            Gone::Missing => "missing",
        }
    }
}

impl SecretMetadata {
    /// All version numbers that Vault knows, and those that surely cannot be read.
    pub(super) fn versions(&self) -> impl Iterator<Item = (u32, Option<Gone>)> {
        self.versions
            .iter()
            .filter(|(version, _)| (1..=LAST_VERSION).contains(*version))
            // A time to come is a deletion to come: the answer to a read tells.
            .map(|(version, about)| (*version, about.destroyed.then_some(Gone::Destroyed)))
    }

    /// What became of a version that was there once.
    pub(super) fn fate(&self, version: u32) -> Option<Gone> {
        match self.versions.get(&version) {
            None => Some(Gone::Missing),
            Some(about) if about.destroyed => Some(Gone::Destroyed),
            Some(about) if !about.deletion_time.is_empty() => Some(Gone::Deleted),
            Some(_) => None,
        }
    }

    /// The first version that would go if so many were added, where Vault keeps `kept`.
    pub(super) fn first_lost(&self, kept: u64, new: u32) -> Option<u32> {
        let oldest = u64::from(self.oldest_version.max(1));
        let after = u64::from(self.current_version) + u64::from(new);
        let first_kept = (after + 1).saturating_sub(kept);
        (first_kept > oldest).then(|| u32::try_from(oldest).unwrap_or(u32::MAX))
    }
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
struct MountConfig {
    #[serde(default)]
    max_versions: u64,
}

/// A secret with its content, which is null where the version is deleted or destroyed.
#[derive(Deserialize)]
struct Secret {
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

    /// The ids of all keys: the secrets whose names are numbers as one writes them.
    pub(super) fn ids(&self) -> Result<Vec<u32>, KvError> {
        let folder = self.folder()?;
        let path = format!("{}/metadata/{}?list=true", folder.mount, folder.path);
        let keys = match self.vault.read(&path, self.vault.allowance()) {
            Ok(answer) => answer.data::<SecretNames>()?.keys,
            Err(error) if error.is(Refusal::NotFound) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let id = |name: &String| {
            let id = name.parse().ok();
            id.filter(|id: &u32| *id > 0 && id.to_string() == *name)
        };
        let mut ids: Vec<u32> = keys.iter().filter_map(id).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// What Vault tells of a secret; `None` if there is none.
    pub(super) fn metadata(&self, id: u32) -> Result<Option<SecretMetadata>, KvError> {
        let path = self.path_of("metadata", id)?;
        match self.vault.read(&path, self.vault.allowance()) {
            Ok(answer) => Ok(Some(answer.data()?)),
            Err(error) if error.is(Refusal::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The bytes of a version, or what became of it.
    pub(super) fn key(&self, name: KeyName) -> Result<Result<DataKey, Gone>, KvError> {
        let path = format!("{}?version={}", self.path_of("data", name.id)?, name.version);
        let answer = match self.vault.read(&path, self.vault.allowance()) {
            Ok(answer) => answer,
            Err(error) if error.is(Refusal::NotFound) => return Ok(Err(Gone::Missing)),
            Err(error) => return Err(error.into()),
        };
        let not_a_key = |reason| KvError::NotAKey {
            host: self.vault.host().into(),
            path: path.clone(),
            reason,
        };
        let secret: Secret = answer.data()?;
        let Some(fields) = secret.data else {
            return Ok(Err(match secret.metadata.destroyed {
                true => Gone::Destroyed,
                false => Gone::Deleted,
            }));
        };
        if !fields.contains_key("data") {
            return Err(not_a_key("it has no field data"));
        }
        let content: SecretContent = answer
            .data()
            .map_err(|_| not_a_key("its field data is no text"))?;
        parse_key(&content.data.data).map_err(not_a_key).map(Ok)
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
        match self.vault.read(&path, self.vault.allowance()) {
            Ok(answer) => match answer.data::<MountConfig>()?.max_versions {
                0 => Ok(KEPT_BY_DEFAULT),
                kept => Ok(kept),
            },
            // Not to be learned: the least that it can be without having been set.
            Err(error) if is_hidden(&error) => Ok(KEPT_BY_DEFAULT),
            Err(error) => Err(error.into()),
        }
    }

    fn path_of(&self, what: &str, id: u32) -> Result<String, KvError> {
        let folder = self.folder()?;
        Ok(format!("{}/{what}/{}{id}", folder.mount, folder.path))
    }

    /// Asks once where the engine is mounted and which version it has. Where that may not be asked,
    /// or shall not be, the mount is the first part of the path.
    fn folder(&self) -> Result<&Folder, KvError> {
        self.folder.get_or_try_init(|| {
            let (first, rest) = self.path.split_once('/').unwrap_or((&self.path, ""));
            let assumed = Folder {
                mount: first.into(),
                path: with_slash(rest),
            };
            if !self.check_kv_version {
                return Ok(assumed);
            }
            let path = format!("sys/internal/ui/mounts/{}", self.path);
            let info: MountInfo = match self.vault.read(&path, self.vault.allowance()) {
                Ok(answer) => answer.data()?,
                Err(error) if is_hidden(&error) => return Ok(assumed),
                Err(error) => return Err(error.into()),
            };
            let version = info.options.as_ref().and_then(|options| options.get("version"));
            let mount = info.path.trim_matches('/').to_owned();
            if info.r#type != "kv" || version.is_none_or(|version| version == "1") {
                return Err(KvError::KvVersion1 { mount });
            }
            Ok(match self.path.strip_prefix(&mount) {
                Some(rest) => Folder {
                    path: with_slash(rest.trim_matches('/')),
                    mount,
                },
                None => assumed,
            })
        })
    }
}

/// Whether it may not be known.
fn is_hidden(error: &VaultError) -> bool {
    error.is(Refusal::Forbidden) || error.is(Refusal::NotFound)
}

fn with_slash(path: &str) -> String {
    match path {
        "" => String::new(),
        path => format!("{path}/"),
    }
}

/// As the peer reads it: hex digits and nothing else.
fn parse_key(text: &str) -> Result<DataKey, &'static str> {
    let mut bytes = zeroize::Zeroizing::new([0; MAX_DATA_KEY_LENGTH]);
    let length = text.len() / 2;
    if !text.len().is_multiple_of(2) || length > MAX_DATA_KEY_LENGTH {
        return Err("its field data is not 32, 48 or 64 hex digits long");
    }
    hex::decode_to_slice(text, &mut bytes[..length])
        .map_err(|_| "its field data has other characters than hex digits")?;
    DataKey::new(&bytes[..length]).ok_or("its field data is not 32, 48 or 64 hex digits long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_hex_digits_of_a_key_length_and_nothing_else() {
        for length in [16, 24, 32] {
            assert_eq!(
                parse_key(&"aB".repeat(length)).unwrap().expose(),
                vec![0xab; length]
            );
        }
        for wrong in [
            "",
            "a",
            "ab",
            &"ab".repeat(15),
            &"ab".repeat(17),
            &"ab".repeat(33),
        ] {
            assert!(parse_key(wrong).unwrap_err().contains("long"), "{wrong}");
        }
        for wrong in ["zz".repeat(16), " ".repeat(32), format!("{}\n ", "ab".repeat(15))] {
            assert!(
                parse_key(&wrong).unwrap_err().contains("other characters"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_rotation_knows_which_version_it_would_push_out() {
        let metadata = |current_version, oldest_version| SecretMetadata {
            current_version,
            max_versions: 0,
            oldest_version,
            versions: BTreeMap::new(),
        };
        assert_eq!(metadata(1, 0).first_lost(10, 2), None);
        assert_eq!(metadata(8, 0).first_lost(10, 2), None);
        assert_eq!(metadata(9, 0).first_lost(10, 2), Some(1));
        assert_eq!(metadata(12, 3).first_lost(10, 1), Some(3));
        assert_eq!(metadata(12, 5).first_lost(10, 1), None);
    }
}
