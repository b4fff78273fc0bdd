//! What can go wrong with keys in Vault KV.

use thiserror::Error;

use crate::keys::KeyName;
use crate::service::ServiceError;
use crate::service::vault::VaultError;

/// How many versions a hint makes room for beyond those that are needed now.
const MORE_ROOM: u64 = 1000;

/// A failure of the store. The words of hashicorp_key_management are kept where it has some.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they are")]
pub enum KvError {
    #[error(
        "According to the Hashicorp Vault API rules, the path inside the URL must start with the \"/v1/\" prefix, while \
         the supplied URL value is: \"{url}\""
    )]
    NoPrefix { url: String },

    #[error("Supplied URL does not contain a hostname: \"{url}\"")]
    NoHost { url: String },

    #[error("Supplied URL does not contain a secret name: \"{url}\"")]
    NoSecretName { url: String },

    #[error("Supplied URL has a query, which names no keys, after \"{url}\"")]
    Query {
        /// Without the query, which may hold anything.
        url: String,
    },

    /// Versions are what this store is about, and the engine has none.
    #[error("Key-value storage must be version number 2 or later")]
    KvVersion1 {
        /// Host and mount.
        mount: String,
    },

    #[error(transparent)]
    Vault(#[from] VaultError),

    #[error(
        "there is no key in {store}{}: no secret there is named by a number",
        in_namespace(namespace)
    )]
    NoKeys {
        store: String,
        /// What follows `/v1/` in the URL.
        path: String,
        /// The namespace that was named, or nothing.
        namespace: String,
    },

    #[error("the secret {path} at {host} is no key: {reason}")]
    NotAKey {
        host: String,
        /// Path and version.
        path: String,
        reason: &'static str,
    },

    #[error("no version of any key is left in {store}: all are deleted or destroyed")]
    NothingLeft { store: String },

    #[error("which keys are in {store} cannot be seen, so that not all of them can be rotated")]
    NotListed { store: String },

    /// The new versions would push others out of Vault.
    #[error(
        "{store} keeps {kept} versions of a key, so {new} more would remove {lost}, which data may still be encrypted with"
    )]
    WouldLose {
        store: String,
        kept: u64,
        new: u32,
        /// The first one that would go.
        lost: KeyName,
        /// Whether how many it keeps could not be seen.
        is_hidden: bool,
    },

    #[error("a step of {step} would write {step} secrets: versions in Vault are consecutive")]
    StepTooLarge { step: u32 },

    /// Vault has forgotten versions, as after a restored snapshot, and would give their numbers a
    /// second time.
    #[error(
        "the latest version of key {} in {store} is {latest}, but {seen} was in use: Vault would give its number a second \
         time",
        seen.id
    )]
    NumbersTaken {
        store: String,
        latest: u32,
        /// The highest one that was seen.
        seen: KeyName,
    },

    /// A secret of this name that gives no key now.
    #[error("{} cannot be made in {store}: {found}", name)]
    NotFirst {
        name: KeyName,
        store: String,
        found: String,
    },

    #[error("{name} was written to {store} and reads back as something else")]
    NotReadBack { name: KeyName, store: String },
}

impl KvError {
    /// What a DBA can do about it.
    pub fn hint(&self) -> String {
        match self {
            KvError::NoPrefix { .. } | KvError::NoHost { .. } | KvError::NoSecretName { .. } => {
                "set ‹vault_url› to https://HOST:PORT/v1/MOUNT".into()
            }
            KvError::Query { .. } => "leave the ? and what follows it out of ‹vault_url›".into(),
            KvError::KvVersion1 { mount } => {
                format!("`vault kv enable-versioning {mount}/` turns it into version 2")
            }
            KvError::Vault(error) => error.hint(),
            KvError::NoKeys { path, namespace, .. } => no_keys_hint(path, namespace),
            KvError::NotAKey { .. } => {
                "its field data holds 32, 48 or 64 hex digits and nothing else; other secrets belong elsewhere".into()
            }
            KvError::NothingLeft { .. } => "`vault kv undelete -versions=VERSION MOUNT/ID` brings a deleted version back".into(),
            KvError::NotListed { .. } => {
                "name the key (`keyroll rotate --key ID`), or add to the policy: path \"MOUNT/metadata/*\" \
                 { capabilities = [\"list\", \"read\"] }"
                    .into()
            }
            // Never less than there is room for now: Vault would drop what no longer fits.
            KvError::WouldLose {
                kept,
                new,
                lost,
                is_hidden,
                ..
            } => {
                let room = kept.saturating_add(u64::from(*new)).saturating_add(MORE_ROOM);
                let raise = format!("raise it with `vault kv metadata put -max-versions={room} MOUNT/{}`", lost.id);
                match is_hidden {
                    true => format!(
                        "{raise}, and have it seen: add to the policy: path \"MOUNT/metadata/*\" {{ capabilities = [\"read\"] }}"
                    ),
                    false => raise,
                }
            }
            KvError::StepTooLarge { .. } => "set a smaller ‹rotate_version_step›".into(),
            // Without the room Vault would drop the versions that data needs.
            KvError::NumbersTaken { latest, seen, .. } => format!(
                "restore the newest snapshot of Vault. If there is none, `vault kv metadata put -max-versions={0} MOUNT/{1}`, \
                 then write {2} versions, which nothing uses: `vault kv put MOUNT/{1} data=$(openssl rand -hex 32)`",
                u64::from(seen.version).saturating_add(MORE_ROOM),
                seen.id,
                seen.version.saturating_sub(*latest),
            ),
            KvError::NotFirst { name, .. } => format!(
                "data may need what was there: `vault kv undelete -versions=VERSION MOUNT/{}` brings a deleted version back; or choose \
                 another id",
                name.id
            ),
            KvError::NotReadBack { .. } => "look into Vault's audit log for who else writes there".into(),
        }
    }
}

fn in_namespace(namespace: &str) -> String {
    match namespace {
        "" => String::new(),
        namespace => format!(", namespace {}", namespace.escape_debug()),
    }
}

/// Where keys may be instead comes first: a new key 1 beside data that is encrypted reads none of
/// it.
fn no_keys_hint(path: &str, namespace: &str) -> String {
    let mut folders = path.split('/').skip(1);
    if let Some(part) = folders.find(|folder| ["data", "metadata"].contains(folder)) {
        return format!(
            "leave /{part} out of ‹vault_url›: it is a part of requests, which is added to the mount and its folder by itself"
        );
    }
    let also = match namespace {
        "" => "",
        _ => ", and ‹vault_namespace› their namespace",
    };
    format!(
        "see that ‹vault_url› names the mount and folder of the keys (`vault kv list MOUNT` shows what is there){also}. \
         Only where no data was ever encrypted, `vault kv put MOUNT/1 data=$(openssl rand -hex 32)` makes key 1"
    )
}
