//! The keys of aes_256_xts and aes_256_hctr2: derived from a data key, diversified by the key that
//! the server passes.
//!
//! ```text
//! data key of (key id, key version), 32 bytes ──> HKDF-SHA256 (RFC 5869) ──> K1 || K2, 64 bytes, or another key, 32
//! key that the server passes ─────── salt ───────────┘  │
//! label || id || version ─────────── info ──────────────┘       id and version: big-endian u32
//!
//! label                            for
//! "keyroll aes-256-xts v1"         K1 || K2 of XTS
//! "keyroll aes-256-xts gcm v1"     GCM
//! "keyroll aes-256-hctr2 v1"       HCTR2
//! "keyroll aes-256-hctr2 xts v1"   K1 || K2 of XTS
//! "keyroll aes-256-hctr2 gcm v1"   GCM
//! ```
//!
//! The server mostly passes a 16-byte key that it has derived from the data key for one tablespace.
//! As a salt it makes tablespaces differ; the strength is the data key's own.
//!
//! A derivation costs as much as encrypting some kilobytes, so each thread has a cache of
//! derived keys.

mod cache;

use zeroize::Zeroizing;

#[cfg(target_arch = "x86_64")]
use super::x86_64::{NativeHctr2Key, NativeXtsKeys};
use super::xts::KEYS_LENGTH;
use super::{Algorithm, CipherError, DataKeyRef, Level, hctr2, hkdf};
use cache::{Cache, Name, Salt};

#[cfg(test)]
use cache::CAPACITY;

/// The length in bytes of the data keys that keys are derived from.
pub(crate) const DATA_KEY_LENGTH: usize = 32;

const XTS_LABEL: &[u8] = b"keyroll aes-256-xts v1";
const XTS_GCM_LABEL: &[u8] = b"keyroll aes-256-xts gcm v1";
const HCTR2_LABEL: &[u8] = b"keyroll aes-256-hctr2 v1";
const HCTR2_XTS_LABEL: &[u8] = b"keyroll aes-256-hctr2 xts v1";
const HCTR2_GCM_LABEL: &[u8] = b"keyroll aes-256-hctr2 gcm v1";

/// The most that K1 and K2 of XTS take at any level; a multiple of 16.
#[cfg(target_arch = "x86_64")]
const XTS_ROOM: usize = NativeXtsKeys::ROOM;
#[cfg(not(target_arch = "x86_64"))]
const XTS_ROOM: usize = KEYS_LENGTH;

/// The most that a key of HCTR2 takes at any level; a multiple of 16.
#[cfg(target_arch = "x86_64")]
const HCTR2_KEY_ROOM: usize = NativeHctr2Key::ROOM;
#[cfg(not(target_arch = "x86_64"))]
const HCTR2_KEY_ROOM: usize = hctr2::KEY_LENGTH;

/// What all keys of aes_256_hctr2 without padding take: K1 and K2 of XTS, then the key of HCTR2.
const HCTR2_ROOM: usize = XTS_ROOM + HCTR2_KEY_ROOM;

const _: () = {
    assert!(KEYS_LENGTH <= XTS_ROOM && XTS_ROOM.is_multiple_of(16));
    assert!(hctr2::KEY_LENGTH <= HCTR2_KEY_ROOM && HCTR2_KEY_ROOM.is_multiple_of(16));
};

const GCM_KEY: usize = 32;

/// K1 and K2 of XTS as the cache holds them: round keys, or for the portable implementation the
/// keys themselves.
pub(super) enum XtsKeys<'a> {
    /// For this level, with AES instructions.
    #[cfg(target_arch = "x86_64")]
    Native(Level, NativeXtsKeys<'a>),
    Portable(&'a [u8; KEYS_LENGTH]),
}

impl<'a> XtsKeys<'a> {
    /// Puts both keys into their room, ready for this level.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] if the processor lacks the level.
    #[inline(never)] // so that its frame does not stand below that of HKDF
    pub(super) fn keep(level: Level, keys: &[u8; KEYS_LENGTH], room: &mut [u8]) -> Result<(), CipherError> {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::AesNi | Level::Vaes => NativeXtsKeys::expand(keys, room),
            _ => {
                let room = room.first_chunk_mut().ok_or(CipherError::KeyLength)?;
                *room = *keys;
                Ok(())
            }
        }
    }

    /// The keys that lie in this room for this level; `None` if it is too short for them.
    #[inline]
    pub(super) fn kept(level: Level, room: &'a [u8]) -> Option<Self> {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::AesNi | Level::Vaes => Some(XtsKeys::Native(level, NativeXtsKeys::kept_in(room)?)),
            _ => room.first_chunk().map(XtsKeys::Portable),
        }
    }
}

/// The keys of aes_256_hctr2 as the cache holds them, as [`XtsKeys`] are.
pub(super) enum Hctr2Keys<'a> {
    /// For this level, with AES instructions.
    #[cfg(target_arch = "x86_64")]
    Native(Level, NativeHctr2Key<'a>, NativeXtsKeys<'a>),
    Portable(&'a [u8; hctr2::KEY_LENGTH], &'a [u8; KEYS_LENGTH]),
}

impl<'a> Hctr2Keys<'a> {
    /// As [`XtsKeys::keep`], for the key of HCTR2 in a room of its own.
    #[inline(never)] // so that its frame does not stand below that of HKDF
    fn keep(level: Level, key: &[u8; hctr2::KEY_LENGTH], room: &mut [u8]) -> Result<(), CipherError> {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::AesNi | Level::Vaes => NativeHctr2Key::expand(key, room),
            _ => {
                let room = room.first_chunk_mut().ok_or(CipherError::KeyLength)?;
                *room = *key;
                Ok(())
            }
        }
    }

    /// As [`XtsKeys::kept`].
    #[inline]
    fn kept(level: Level, room: &'a [u8]) -> Option<Self> {
        let (of_xts, of_hctr2) = room.split_at_checked(XTS_ROOM)?;
        match XtsKeys::kept(level, of_xts)? {
            #[cfg(target_arch = "x86_64")]
            XtsKeys::Native(level, xts_keys) => {
                let key = NativeHctr2Key::kept_in(of_hctr2)?;
                Some(Hctr2Keys::Native(level, key, xts_keys))
            }
            XtsKeys::Portable(xts_keys) => Some(Hctr2Keys::Portable(of_hctr2.first_chunk()?, xts_keys)),
        }
    }
}

thread_local! {
    static XTS: Cache<XTS_ROOM> = const { Cache::new() };
    static HCTR2: Cache<HCTR2_ROOM> = const { Cache::new() };
    static GCM: Cache<GCM_KEY> = const { Cache::new() };
}

/// Does `work` with K1 and K2 for this salt, expanded for this level.
///
/// # Errors
/// [`CipherError::KeyLength`] unless the salt has 16, 24 or 32 bytes,
/// [`CipherError::DataKeyLength`] unless the data key has [`DATA_KEY_LENGTH`]; those of `work`.
#[inline]
pub(super) fn with_xts_keys<R>(
    level: Level,
    data_key: &DataKeyRef<'_>,
    salt: &[u8],
    mut work: impl FnMut(XtsKeys<'_>) -> Result<R, CipherError>,
) -> Result<R, CipherError> {
    let make = |room: &mut [u8]| make_xts_keys(level, data_key, salt, XTS_LABEL, room);
    let name = Name::new(Algorithm::Aes256Xts, level, data_key, salt);
    Cache::with(&XTS, name, Salt::new(salt)?, make, |room| {
        work(XtsKeys::kept(level, room).ok_or(CipherError::KeyLength)?)
    })
}

fn make_xts_keys(
    level: Level,
    data_key: &DataKeyRef<'_>,
    salt: &[u8],
    label: &[u8],
    room: &mut [u8],
) -> Result<(), CipherError> {
    let mut keys = Zeroizing::new([0; KEYS_LENGTH]);
    expand(data_key, salt, label, &mut *keys)?;
    XtsKeys::keep(level, &keys, room)
}

/// Does `work` with the keys of aes_256_hctr2 without padding for this salt, expanded for this
/// level.
///
/// # Errors
/// As [`with_xts_keys`].
#[inline]
pub(super) fn with_hctr2_keys<R>(
    level: Level,
    data_key: &DataKeyRef<'_>,
    salt: &[u8],
    mut work: impl FnMut(Hctr2Keys<'_>) -> Result<R, CipherError>,
) -> Result<R, CipherError> {
    let make = |room: &mut [u8]| {
        let (of_xts, of_hctr2) = room
            .split_at_mut_checked(XTS_ROOM)
            .ok_or(CipherError::KeyLength)?;
        make_xts_keys(level, data_key, salt, HCTR2_XTS_LABEL, of_xts)?;
        let mut key = Zeroizing::new([0; hctr2::KEY_LENGTH]);
        expand(data_key, salt, HCTR2_LABEL, &mut *key)?;
        Hctr2Keys::keep(level, &key, of_hctr2)
    };
    let name = Name::new(Algorithm::Aes256Hctr2, level, data_key, salt);
    Cache::with(&HCTR2, name, Salt::new(salt)?, make, |room| {
        work(Hctr2Keys::kept(level, room).ok_or(CipherError::KeyLength)?)
    })
}

/// Does `work` with the key of AES-256-GCM for this salt and algorithm.
///
/// # Errors
/// As [`with_xts_keys`].
#[inline]
pub(super) fn with_gcm_key<R>(
    algorithm: Algorithm,
    data_key: &DataKeyRef<'_>,
    salt: &[u8],
    work: impl FnMut(&[u8]) -> Result<R, CipherError>,
) -> Result<R, CipherError> {
    let label = match algorithm {
        Algorithm::Aes256Hctr2 => HCTR2_GCM_LABEL,
        _ => XTS_GCM_LABEL,
    };
    let make = |room: &mut [u8]| expand(data_key, salt, label, room);
    let name = Name::new(algorithm, Level::Portable, data_key, salt);
    Cache::with(&GCM, name, Salt::new(salt)?, make, work)
}

/// Wipes the calling thread's cache.
pub(crate) fn forget() {
    // A thread that is ending has wiped it already.
    let _ = XTS.try_with(Cache::clear);
    let _ = HCTR2.try_with(Cache::clear);
    let _ = GCM.try_with(Cache::clear);
}

fn expand(data_key: &DataKeyRef<'_>, salt: &[u8], label: &[u8], out: &mut [u8]) -> Result<(), CipherError> {
    if data_key.key.len() != DATA_KEY_LENGTH {
        return Err(CipherError::DataKeyLength);
    }
    let info = [
        label,
        &data_key.key_id.to_be_bytes(),
        &data_key.key_version.to_be_bytes(),
    ];
    // HKDF ends after 255 digests; both uses need one or two.
    let has_room = data_key.key.with(|key| hkdf::derive(salt, key, info, out));
    has_room.then_some(()).ok_or(CipherError::KeyLength)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::cache::{Entry, WAYS, set_of};
    use super::*;
    use crate::crypto::RingId;
    use crate::secret::KeyBytes;

    const DATA_KEY: [u8; 32] = [0xDA; 32];

    fn data_key(ring: RingId) -> DataKeyRef<'static> {
        DataKeyRef {
            ring,
            key_id: 1,
            key_version: 1,
            key: KeyBytes::of(&DATA_KEY),
        }
    }

    fn salt(number: u64) -> [u8; 16] {
        // As the server's derived keys, they look random.
        let mixed = u128::from(number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        (mixed ^ mixed >> 64).to_le_bytes()
    }

    fn gcm_key(data_key: &DataKeyRef<'_>, salt: &[u8]) -> Vec<u8> {
        with_gcm_key(Algorithm::Aes256Xts, data_key, salt, |key| Ok(key.to_vec())).unwrap()
    }

    fn cached_gcm_keys() -> Vec<usize> {
        GCM.with(|cache| {
            let sets = cache.0.borrow();
            let kept = |set: &[Option<Entry>]| set.iter().flatten().count();
            sets.entries.chunks(WAYS).map(kept).collect()
        })
    }

    #[test]
    fn keys_from_the_cache_are_those_that_were_derived_however_many_came_between() {
        let cached = data_key(RingId::new());
        for number in (0..3 * CAPACITY as u64).chain(0..3 * CAPACITY as u64) {
            let never_cached = data_key(RingId::new());
            assert_eq!(
                gcm_key(&cached, &salt(number)),
                gcm_key(&never_cached, &salt(number))
            );
        }
    }

    #[test]
    fn every_name_and_salt_has_keys_of_its_own() {
        let ring = RingId::new();
        let mut keys = HashSet::new();
        for _derived_then_cached in 0..2 {
            for (key_id, key_version) in [
                (1, 1),
                (1, 2),
                (2, 1),
                (258, 1),
                (1, 258),
                (u32::MAX, u32::MAX - 1),
            ] {
                for length in [16, 24, 32] {
                    for first in [0, 1] {
                        let mut salt = [7; 32];
                        salt[0] = first;
                        let named = DataKeyRef {
                            key_id,
                            key_version,
                            ..data_key(ring)
                        };
                        keys.insert(gcm_key(&named, &salt[..length]));
                    }
                }
            }
        }
        assert_eq!(keys.len(), 6 * 3 * 2);
    }

    #[test]
    fn another_ring_with_another_key_of_the_same_name_never_sees_old_keys() {
        let old = gcm_key(&data_key(RingId::new()), &salt(0));
        let other = DataKeyRef {
            key: KeyBytes::of(&[0xDB; 32]),
            ..data_key(RingId::new())
        };
        assert_ne!(gcm_key(&other, &salt(0)), old);
    }

    #[test]
    fn a_thread_keeps_no_more_than_the_capacity() {
        let data_key = data_key(RingId::new());
        (0..4 * CAPACITY as u64).for_each(|number| drop(gcm_key(&data_key, &salt(number))));
        let lengths = cached_gcm_keys();
        assert!(lengths.iter().all(|length| *length <= WAYS), "{lengths:?}");
        let kept: usize = lengths.iter().sum();
        assert!((CAPACITY / 2..=CAPACITY).contains(&kept), "{kept} of {CAPACITY}");
        forget();
        assert!(cached_gcm_keys().is_empty());
    }

    #[test]
    fn the_entry_used_longest_ago_makes_room() {
        thread_local!(static CACHE: Cache<16> = const { Cache::new() });
        let name = Name::new(
            Algorithm::Aes256Xts,
            Level::Portable,
            &data_key(RingId::new()),
            &salt(0),
        );
        // Salts of one set.
        let set = set_of(name, &Salt::new(&salt(0)).unwrap());
        let mut salts = (0..).filter(|number| set_of(name, &Salt::new(&salt(*number)).unwrap()) == set);
        let derived = |number: u64| {
            let derived = AtomicUsize::new(0);
            let keys = salt(number + 1_000_000);
            let make = |room: &mut [u8]| {
                derived.fetch_add(1, Ordering::Relaxed);
                room.copy_from_slice(&keys);
                Ok(())
            };
            let salt = Salt::new(&salt(number)).unwrap();
            let got = Cache::with(&CACHE, name, salt, make, |room| Ok(room.to_vec()));
            assert_eq!(got, Ok(keys.to_vec()));
            derived.into_inner() == 1
        };
        let [a, b, c, d, e] = std::array::from_fn(|_| salts.next().unwrap());
        assert!([a, b, c, d].map(derived).into_iter().all(|derived| derived));
        assert!(!derived(a));
        assert!(derived(e), "takes the place of b");
        assert!([a, c, d, e].map(derived).into_iter().all(|derived| !derived));
        assert!(derived(b));
    }

    #[test]
    fn a_failed_derivation_is_not_kept() {
        let short = DataKeyRef {
            key: KeyBytes::of(&DATA_KEY[..16]),
            ..data_key(RingId::new())
        };
        for _ in 0..2 {
            let refused = with_gcm_key(Algorithm::Aes256Xts, &short, &salt(0), |_| Ok(()));
            assert_eq!(refused, Err(CipherError::DataKeyLength));
        }
    }
}
