//! The keys that a keystore key becomes, and what they wrap.
//!
//! ```text
//! keystore key, 32 bytes ──┐                        ┌─> wrapping key, 32 bytes
//!                          ├─ HKDF-SHA256 (RFC 5869) ┼─> MAC key, 32 bytes
//! UUID, 16 bytes ── salt ──┘                        └─> key check, 8 bytes
//!     info: "keyroll keystore v1 wrapping key", "... mac key", "... key check"
//!
//! data key ──> AES-256-GCM under the wrapping key,
//!              AAD = "UUID id version algorithm bits created"
//! ```

use std::fmt;

use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::records::{KEY_CHECK_LENGTH, KeyRecord};
use crate::crypto::wrap::{KEY_LENGTH, MacKey, SealError, WrappingKey, derive};
use crate::keys::{KeyName, KeySpec};
use crate::secret::DataKey;

const WRAPPING_KEY: &[u8] = b"keyroll keystore v1 wrapping key";
const MAC_KEY: &[u8] = b"keyroll keystore v1 mac key";
const KEY_CHECK: &[u8] = b"keyroll keystore v1 key check";

/// What is derived from the keystore key of one keystore. Wiped on drop.
pub struct DerivedKeys {
    uuid: Uuid,
    wrapping: WrappingKey,
    mac: MacKey,
    check: [u8; KEY_CHECK_LENGTH],
}

impl DerivedKeys {
    /// The keys of the keystore with this UUID.
    pub fn new(keystore_key: &[u8; KEY_LENGTH], uuid: &Uuid) -> DerivedKeys {
        let derive_key =
            |info| -> Zeroizing<[u8; KEY_LENGTH]> { derive(keystore_key, uuid.as_bytes(), info) };
        DerivedKeys {
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
        let sealed = self
            .wrapping
            .seal(self.aad(name, spec, created).as_bytes(), key.expose())?;
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
        let bytes = self.wrapping.open(aad.as_bytes(), &record.sealed)?;
        DataKey::new(bytes.expose())
    }

    /// What a wrapped key is bound to, beside the keystore key.
    fn aad(&self, name: KeyName, spec: KeySpec, created: &str) -> String {
        let KeyName { id, version } = name;
        let KeySpec { algorithm, bits } = spec;
        format!(
            "{} {id} {version} {} {bits} {created}",
            self.uuid,
            algorithm.name()
        )
    }
}

impl fmt::Debug for DerivedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DerivedKeys(redacted, of keystore {})", self.uuid)
    }
}
