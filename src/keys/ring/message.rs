//! What encrypts a message under a version of a key.

use std::sync::atomic::Ordering;

use super::Ring;
use crate::crypto::{Algorithm, DataKeyRef, MessageCipher};
use crate::keys::set::KeyName;
use crate::secret::KeyBytes;

/// The cipher of a key version, with its data key where keys are derived from it.
#[derive(Clone, Copy)]
pub struct VersionCipher<'a> {
    /// It.
    pub cipher: MessageCipher<'a>,
    /// Whether the version is a [downgrade](Algorithm::is_downgrade_of) of its key's latest one,
    /// and that data is encrypted with it was [not reported](Ring::note_reported) yet.
    pub is_unreported_downgrade: bool,
}

impl Ring {
    /// What encrypts messages under this version of the key, or `None` if the version is needed for
    /// that and there is no such version.
    #[inline]
    pub fn message_cipher(&self, name: KeyName) -> Option<VersionCipher<'_>> {
        if let Some(only) = Algorithm::from_number(self.only_algorithm.load(Ordering::Acquire)) {
            let key = || self.key(name.id, name.version);
            return Some(VersionCipher {
                cipher: MessageCipher::of(only, || self.data_key(name, key()))?,
                is_unreported_downgrade: false,
            });
        }
        let place = self.find(name)?;
        let key = || self.memory.get(place.room, place.length);
        Some(VersionCipher {
            cipher: MessageCipher::of(place.algorithm, || self.data_key(name, key()))?,
            is_unreported_downgrade: place.is_unreported_downgrade(),
        })
    }

    #[inline(always)]
    fn data_key<'a>(&self, name: KeyName, key: Option<KeyBytes<'a>>) -> Option<DataKeyRef<'a>> {
        Some(DataKeyRef {
            ring: self.id,
            key_id: name.id,
            key_version: name.version,
            key: key?,
        })
    }
}
