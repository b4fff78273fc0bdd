//! The keys of aes_256_xts: derived from a data key, diversified by the key that the server passes.
//!
//! ```text
//! data key of (key id, key version), 32 bytes ──> HKDF-SHA256 (RFC 5869) ──> K1 || K2, 64 bytes, or GCM key, 32
//! key that the server passes ─────────── salt ───────┘  │
//! "keyroll aes-256-xts v1"     || id || version ── info ┘ for K1 || K2     id and version: big-endian u32
//! "keyroll aes-256-xts gcm v1" || id || version ── info   for the GCM key
//! ```
//!
//! The server mostly passes a 16-byte key that it has derived from the data key for one tablespace. As a salt
//! it makes tablespaces differ; the strength is the data key's own.
//!
//! A derivation costs as much as encrypting some kilobytes, so each thread keeps what it has derived (`cache`).

mod cache;

use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

#[cfg(target_arch = "x86_64")]
use super::x86_64::NativeXtsKeys;
use super::xts::{KEYS_LENGTH, PortableXtsKeys};
use super::{CipherError, Direction, IV_LENGTH, Keyed, Level, hkdf};
use crate::secret::KeyBytes;
use cache::{Cache, Name, Salt};

pub use cache::CAPACITY;

/// The length in bytes of the data keys that keys are derived from.
pub const DATA_KEY_LENGTH: usize = 32;

const XTS_LABEL: &[u8] = b"keyroll aes-256-xts v1";
const GCM_LABEL: &[u8] = b"keyroll aes-256-xts gcm v1";

/// Tells the key rings of one run of the plugin from those of every other run in the process.
///
/// Whoever makes an [`Origin`] with one vouches that in it a key id and a key version always name the same data
/// key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingId(u64);

impl RingId {
    /// One that was never given out before.
    #[expect(
        clippy::new_without_default,
        reason = "a default is the same each time, this never"
    )]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        RingId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A data key and its names, from which keys are derived.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The rings that hold it.
    pub ring: RingId,
    /// The key id.
    pub key_id: u32,
    /// The key version.
    pub key_version: u32,
    /// The key's bytes, [`DATA_KEY_LENGTH`] of them.
    pub data_key: KeyBytes<'a>,
}

/// Room for keys, aligned as loads of blocks want it.
#[repr(C, align(16))]
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Room<const LENGTH: usize>([u8; LENGTH]);

impl<const LENGTH: usize> Room<LENGTH> {
    pub(super) fn blank() -> Self {
        Room([0; LENGTH])
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[cfg(test)]
pub(super) type XtsRoom = Room<XTS_ROOM>;

/// The most that K1 and K2 of XTS take at any level; a multiple of 16.
#[cfg(target_arch = "x86_64")]
const XTS_ROOM: usize = NativeXtsKeys::ROOM;
#[cfg(not(target_arch = "x86_64"))]
const XTS_ROOM: usize = KEYS_LENGTH;

#[cfg(target_arch = "x86_64")]
const _: () = assert!(KEYS_LENGTH <= XTS_ROOM && XTS_ROOM.is_multiple_of(16));

const GCM_KEY: usize = 32;

/// K1 and K2 of XTS as they are kept: expanded, but for the portable implementation.
pub(super) struct XtsKeys<'a> {
    level: Level,
    room: &'a [u8],
}

impl<'a> XtsKeys<'a> {
    /// Puts both keys into their room, ready for this level.
    ///
    /// # Errors
    /// [`CipherError::KeyLength`] if the processor lacks the level.
    pub(super) fn keep(
        level: Level,
        keys: &[u8; KEYS_LENGTH],
        room: &'a mut [u8],
    ) -> Result<Self, CipherError> {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::AesNi | Level::Vaes => NativeXtsKeys::expand(keys, room)?,
            _ => room
                .get_mut(..KEYS_LENGTH)
                .ok_or(CipherError::KeyLength)?
                .copy_from_slice(keys),
        }
        Ok(XtsKeys { level, room })
    }

    /// Starts a message with them.
    ///
    /// # Errors
    /// None in practice: what was kept is there.
    #[inline]
    pub(super) fn start(
        &self,
        keyed: &mut Keyed,
        direction: Direction,
        iv: &[u8; IV_LENGTH],
    ) -> Result<(), CipherError> {
        #[cfg(target_arch = "x86_64")]
        if self.level >= Level::AesNi {
            let keys = NativeXtsKeys::kept_in(self.room).ok_or(CipherError::KeyLength)?;
            return keys.start(self.level, keyed, direction, iv);
        }
        let _portable_on_every_processor = self.level;
        start_portable(self.room, keyed, direction, iv)
    }
}

// What the better levels do not need is kept out of their frames: the server promises a plugin little stack.

#[inline(never)]
fn start_portable(
    room: &[u8],
    keyed: &mut Keyed,
    direction: Direction,
    iv: &[u8; IV_LENGTH],
) -> Result<(), CipherError> {
    let keys = room.first_chunk().ok_or(CipherError::KeyLength)?;
    *keyed = Keyed::Xts(PortableXtsKeys::new(keys).start(direction, iv));
    Ok(())
}

thread_local! {
    static XTS: Cache<XTS_ROOM> = const { Cache::new() };
    static GCM: Cache<GCM_KEY> = const { Cache::new() };
}

/// Does `work` with K1 and K2 for this salt, expanded for this level.
///
/// # Errors
/// [`CipherError::KeyLength`] unless the salt has 16, 24 or 32 bytes, [`CipherError::DataKeyLength`] unless the
/// data key has [`DATA_KEY_LENGTH`]; those of `work`.
#[inline]
pub(super) fn with_xts_keys<R>(
    level: Level,
    origin: &Origin<'_>,
    salt: &[u8],
    mut work: impl FnMut(XtsKeys<'_>) -> Result<R, CipherError>,
) -> Result<R, CipherError> {
    let make = |room: &mut [u8]| {
        let mut keys = Zeroizing::new([0; KEYS_LENGTH]);
        expand(origin, salt, XTS_LABEL, &mut *keys)?;
        XtsKeys::keep(level, &keys, room).map(|_| ())
    };
    let name = Name::new(level, origin, salt);
    Cache::with(&XTS, name, Salt::new(salt)?, make, |room| {
        work(XtsKeys { level, room })
    })
}

/// Does `work` with the key of AES-256-GCM for this salt.
///
/// # Errors
/// As [`with_xts_keys`].
#[inline]
pub(super) fn with_gcm_key<R>(
    origin: &Origin<'_>,
    salt: &[u8],
    work: impl FnMut(&[u8]) -> Result<R, CipherError>,
) -> Result<R, CipherError> {
    let make = |room: &mut [u8]| expand(origin, salt, GCM_LABEL, room);
    let name = Name::new(Level::Portable, origin, salt);
    Cache::with(&GCM, name, Salt::new(salt)?, make, work)
}

/// Wipes what the calling thread keeps.
pub fn forget() {
    // A thread that is ending has wiped it already.
    let _ = XTS.try_with(Cache::clear);
    let _ = GCM.try_with(Cache::clear);
}

fn expand(origin: &Origin<'_>, salt: &[u8], label: &[u8], out: &mut [u8]) -> Result<(), CipherError> {
    if origin.data_key.len() != DATA_KEY_LENGTH {
        return Err(CipherError::DataKeyLength);
    }
    let info = [
        label,
        &origin.key_id.to_be_bytes(),
        &origin.key_version.to_be_bytes(),
    ];
    // HKDF ends after 255 digests; both uses need one or two.
    let has_room = origin
        .data_key
        .with(|data_key| hkdf::derive(salt, data_key, info, out));
    has_room.then_some(()).ok_or(CipherError::KeyLength)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::AtomicUsize;

    use super::cache::{Entry, WAYS, set_of};
    use super::*;

    const DATA_KEY: [u8; 32] = [0xDA; 32];

    fn origin(ring: RingId) -> Origin<'static> {
        Origin {
            ring,
            key_id: 1,
            key_version: 1,
            data_key: KeyBytes::of(&DATA_KEY),
        }
    }

    fn salt(number: u64) -> [u8; 16] {
        // As the server's derived keys, they look random.
        let mixed = u128::from(number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        (mixed ^ mixed >> 64).to_le_bytes()
    }

    fn gcm_key(origin: &Origin<'_>, salt: &[u8]) -> Vec<u8> {
        with_gcm_key(origin, salt, |key| Ok(key.to_vec())).unwrap()
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
        let cached = origin(RingId::new());
        for number in (0..3 * CAPACITY as u64).chain(0..3 * CAPACITY as u64) {
            let never_cached = origin(RingId::new());
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
                        let named = Origin {
                            key_id,
                            key_version,
                            ..origin(ring)
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
        let old = gcm_key(&origin(RingId::new()), &salt(0));
        let other = Origin {
            data_key: KeyBytes::of(&[0xDB; 32]),
            ..origin(RingId::new())
        };
        assert_ne!(gcm_key(&other, &salt(0)), old);
    }

    #[test]
    fn a_thread_keeps_no_more_than_the_capacity() {
        let origin = origin(RingId::new());
        (0..4 * CAPACITY as u64).for_each(|number| drop(gcm_key(&origin, &salt(number))));
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
        let name = Name::new(Level::Portable, &origin(RingId::new()), &salt(0));
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
        let short = Origin {
            data_key: KeyBytes::of(&DATA_KEY[..16]),
            ..origin(RingId::new())
        };
        for _ in 0..2 {
            let refused = with_gcm_key(&short, &salt(0), |_| Ok(()));
            assert_eq!(refused, Err(CipherError::DataKeyLength));
        }
    }
}
