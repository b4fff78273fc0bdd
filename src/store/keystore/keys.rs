//! The keys that a keystore key becomes, and what they wrap.
//!
//! ```text
//! keystore key, 32 bytes ──> HKDF-SHA256 (RFC 5869) ──> wrapping key, 32 bytes | MAC key, 32 bytes | key check, 8 bytes
//! UUID, 16 bytes ─── salt ──────────┘        info: "keyroll keystore v1 wrapping key", "... mac key", "... key check"
//!
//! data key ──> AES-256-GCM under the wrapping key, AAD = canonical form of
//!              {"algorithm":"aes_256_xts","bits":256,"created":"...","id":1,"keystore":"<UUID>","version":1}
//! ```

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::canonical;
use super::format::{KEY_CHECK_LENGTH, KeyRecord};
use super::json::{Object, Value};
use super::uuid::Uuid;
use crate::crypto::wrap::{KEY_LENGTH, MacKey, SealError, WrappingKey, derive};
use crate::keys::{KeyName, KeySpec};
use crate::secret::DataKey;

const WRAPPING_KEY: &[u8] = b"keyroll keystore v1 wrapping key";
const MAC_KEY: &[u8] = b"keyroll keystore v1 mac key";
const KEY_CHECK: &[u8] = b"keyroll keystore v1 key check";

/// What is derived from the keystore key of one keystore. Wiped on drop.
pub struct Keys {
    uuid: Uuid,
    wrapping: WrappingKey,
    mac: MacKey,
    check: [u8; KEY_CHECK_LENGTH],
}

impl Keys {
    /// The keys of the keystore with this UUID.
    pub fn new(keystore_key: &[u8; KEY_LENGTH], uuid: &Uuid) -> Keys {
        let derive_key =
            |info| -> Zeroizing<[u8; KEY_LENGTH]> { derive(keystore_key, uuid.as_bytes(), info) };
        Keys {
            uuid: *uuid,
            wrapping: WrappingKey::new(&derive_key(WRAPPING_KEY)),
            mac: MacKey::new(&derive_key(MAC_KEY)),
            check: *derive(keystore_key, uuid.as_bytes(), KEY_CHECK),
        }
    }

    /// What tells this keystore key from others. It is no secret.
    pub fn check(&self) -> [u8; KEY_CHECK_LENGTH] {
        self.check
    }

    /// Whether the keystore key is the one with this check.
    pub fn is_checked_by(&self, check: &[u8; KEY_CHECK_LENGTH]) -> bool {
        self.check.ct_eq(check).into()
    }

    /// The key of the MAC.
    pub fn mac(&self) -> &MacKey {
        &self.mac
    }

    /// Wraps a data key under a fresh nonce.
    pub fn seal(
        &self,
        name: KeyName,
        spec: KeySpec,
        created: &str,
        key: &DataKey,
    ) -> Result<KeyRecord, SealError> {
        let sealed = self.wrapping.seal(&self.aad(name, spec, created), key.expose())?;
        Ok(KeyRecord {
            name,
            spec,
            created: created.to_owned(),
            sealed,
        })
    }

    /// Unwraps a data key; `None` if anything about it is not as it was when it was wrapped.
    pub fn open(&self, record: &KeyRecord) -> Option<DataKey> {
        let aad = self.aad(record.name, record.spec, &record.created);
        let bytes = self.wrapping.open(&aad, &record.sealed)?;
        DataKey::new(bytes.expose())
    }

    fn aad(&self, name: KeyName, spec: KeySpec, created: &str) -> Vec<u8> {
        canonical::bytes(&Object::from([
            ("keystore", Value::Text(self.uuid.to_string())),
            ("id", Value::Integer(name.id.into())),
            ("version", Value::Integer(name.version.into())),
            ("algorithm", Value::Text(spec.algorithm.name().into())),
            ("bits", Value::Integer(spec.bits.into())),
            ("created", Value::Text(created.into())),
        ]))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys(redacted, of keystore {})", self.uuid)
    }
}
