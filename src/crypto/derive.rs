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
//! A derivation costs as much as encrypting some kilobytes, so each thread keeps what it has derived:
//!
//! ```text
//! 64 sets, chosen by a hash of id, version and salt
//! └ 4 entries: [ ring | id | version | salt | age ] -> keys      the entry used longest ago makes room
//! ```
//!
//! Per thread, because a table that all share costs locked instructions on lines that all cores write. It
//! takes memory as it fills: nothing before the first use, then about 1 KiB for each pair of a tablespace and a
//! key version, at most [`CAPACITY`] of them (256 KiB). Keys are wiped when they make room, when their thread ends, and in
//! [`forget`]. What other living threads hold when [`forget`] runs stays until they end, but is of no use: entries
//! belong to a [`RingId`], and no ring ever has an old one.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::LocalKey;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

#[cfg(target_arch = "x86_64")]
use super::x86_64::{NativeXtsKeys, ssse3::Ssse3XtsKeys};
use super::xts::{KEYS_LENGTH, PortableXtsKeys};
use super::{CipherError, Level};

/// The length in bytes of the data keys that keys are derived from.
pub const DATA_KEY_LENGTH: usize = 32;

/// How many keys a thread keeps for each of both uses.
pub const CAPACITY: usize = SETS * WAYS;

const SETS: usize = 64;
const WAYS: usize = 4;

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
    pub data_key: &'a [u8],
}

/// K1 and K2 of XTS, expanded.
#[allow(
    clippy::large_enum_variant,
    reason = "outside of tests a process has but one of them"
)]
pub(super) enum XtsKeys {
    #[cfg(target_arch = "x86_64")]
    Native(NativeXtsKeys),
    #[cfg(target_arch = "x86_64")]
    Ssse3(Ssse3XtsKeys),
    Portable(PortableXtsKeys),
}

impl XtsKeys {
    pub(super) fn new(level: Level, keys: &[u8; KEYS_LENGTH]) -> Result<Self, CipherError> {
        #[cfg(target_arch = "x86_64")]
        if level >= Level::AesNi {
            return NativeXtsKeys::new(level, keys).map(XtsKeys::Native);
        } else if level == Level::Ssse3 {
            return Ssse3XtsKeys::new(keys).map(XtsKeys::Ssse3);
        }
        let _portable_on_every_processor = level;
        Ok(XtsKeys::Portable(PortableXtsKeys::new(keys)))
    }
}

type GcmKey = Zeroizing<[u8; 32]>;

thread_local! {
    static XTS: Cache<XtsKeys> = const { Cache::new() };
    static GCM: Cache<GcmKey> = const { Cache::new() };
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
    work: impl FnMut(&XtsKeys) -> Result<R, CipherError>,
) -> Result<R, CipherError> {
    let make = || {
        let mut keys = Zeroizing::new([0; KEYS_LENGTH]);
        expand(origin, salt, XTS_LABEL, &mut *keys)?;
        XtsKeys::new(level, &keys)
    };
    Cache::with(&XTS, Name::new(level, origin, salt), Salt::new(salt)?, make, work)
}

/// Does `work` with the key of AES-256-GCM for this salt.
///
/// # Errors
/// As [`with_xts_keys`].
#[inline]
pub(super) fn with_gcm_key<R>(
    origin: &Origin<'_>,
    salt: &[u8],
    mut work: impl FnMut(&[u8]) -> Result<R, CipherError>,
) -> Result<R, CipherError> {
    let make = || {
        let mut key = GcmKey::default();
        expand(origin, salt, GCM_LABEL, &mut *key)?;
        Ok(key)
    };
    let name = Name::new(Level::Portable, origin, salt);
    Cache::with(&GCM, name, Salt::new(salt)?, make, |key| work(&**key))
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
    Hkdf::<Sha256>::new(Some(salt), origin.data_key)
        .expand_multi_info(&info, out)
        // HKDF ends after 255 digests; both uses need one or two.
        .map_err(|_| CipherError::KeyLength)
}

/// What keys are found by, beside the salt.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Name {
    level: Level,
    ring: RingId,
    key_id: u32,
    key_version: u32,
    salt_length: usize,
}

impl Name {
    #[inline]
    fn new(level: Level, origin: &Origin<'_>, salt: &[u8]) -> Name {
        Name {
            level,
            ring: origin.ring,
            key_id: origin.key_id,
            key_version: origin.key_version,
            salt_length: salt.len(),
        }
    }
}

/// A salt of 16, 24 or 32 bytes, filled up with zeroes: as numbers, it is compared and wiped at once.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Salt([u128; 2]);

impl Salt {
    /// # Errors
    /// [`CipherError::KeyLength`] unless there are 16, 24 or 32 bytes.
    #[inline]
    fn new(bytes: &[u8]) -> Result<Salt, CipherError> {
        let (first, rest) = bytes.split_first_chunk().ok_or(CipherError::KeyLength)?;
        let second = match (rest.len(), rest.first_chunk(), rest.first_chunk()) {
            (0, ..) => 0,
            (8, Some(half), _) => u128::from(u64::from_le_bytes(*half)),
            (16, _, Some(whole)) => u128::from_le_bytes(*whole),
            _ => return Err(CipherError::KeyLength),
        };
        Ok(Salt([u128::from_le_bytes(*first), second]))
    }

    /// Whether both are the same, in the same time whichever bits differ: a salt may be a data key.
    #[inline]
    fn same(&self, other: &Salt) -> bool {
        (self.0[0] ^ other.0[0]) | (self.0[1] ^ other.0[1]) == 0
    }
}

struct Entry<V> {
    name: Name,
    salt: Salt,
    /// The cache's clock at the last use.
    used: u64,
    keys: V,
}

/// A thread's keys for one use.
struct Cache<V>(RefCell<Sets<V>>);

struct Sets<V> {
    /// None before the first use, then [`SETS`] of up to [`WAYS`] entries.
    sets: Vec<Vec<Entry<V>>>,
    clock: u64,
}

impl<V> Cache<V> {
    const fn new() -> Self {
        Cache(RefCell::new(Sets {
            sets: Vec::new(),
            clock: 0,
        }))
    }

    fn clear(&self) {
        self.0.borrow_mut().sets.clear();
    }

    /// Does `work` with the keys of this name, made if need be. Neither may come back here.
    #[inline]
    fn with<R>(
        of_thread: &'static LocalKey<Self>,
        name: Name,
        salt: Salt,
        make: impl Fn() -> Result<V, CipherError>,
        mut work: impl FnMut(&V) -> Result<R, CipherError>,
    ) -> Result<R, CipherError> {
        let cached = of_thread.try_with(|cache| work(cache.0.borrow_mut().get(name, salt, &make)?));
        // A thread that is ending may have lost its cache.
        cached.unwrap_or_else(|_| work(&make()?))
    }
}

impl<V> Sets<V> {
    #[inline]
    fn get(
        &mut self,
        name: Name,
        salt: Salt,
        make: impl Fn() -> Result<V, CipherError>,
    ) -> Result<&V, CipherError> {
        self.clock += 1;
        let set = set_of(name, &salt);
        let is_it = |entry: &Entry<V>| entry.name == name && entry.salt.same(&salt);
        let known = self.sets.get(set).and_then(|set| set.iter().position(is_it));
        let at = match known {
            Some(at) => at,
            None => self.insert(set, name, salt, make()?),
        };
        let entry = &mut self.sets[set][at];
        entry.used = self.clock;
        Ok(&entry.keys)
    }

    /// Where in its set the new entry is. It takes the place of the one used longest ago if the set is full.
    #[cold]
    fn insert(&mut self, set: usize, name: Name, salt: Salt, keys: V) -> usize {
        if self.sets.is_empty() {
            self.sets.resize_with(SETS, Vec::new);
        }
        let set = &mut self.sets[set];
        let entry = Entry {
            name,
            salt,
            used: self.clock,
            keys,
        };
        match set.iter().enumerate().min_by_key(|(_, entry)| entry.used) {
            Some((oldest, _)) if set.len() == WAYS => {
                set[oldest] = entry;
                oldest
            }
            _ => {
                // Room for all at once: a vector that grows leaves copies of keys behind.
                set.reserve_exact(WAYS - set.len());
                set.push(entry);
                set.len() - 1
            }
        }
    }
}

/// The number of the set for these keys.
#[inline]
fn set_of(name: Name, salt: &Salt) -> usize {
    let names = u64::from(name.key_id) << 32 | u64::from(name.key_version);
    // The salts are random. Multiplicative hashing as in the key ring, for those names that are not.
    let mixed = (names ^ salt.0[0] as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> (u64::BITS - SETS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const DATA_KEY: [u8; 32] = [0xDA; 32];

    fn origin(ring: RingId) -> Origin<'static> {
        Origin {
            ring,
            key_id: 1,
            key_version: 1,
            data_key: &DATA_KEY,
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
        GCM.with(|cache| cache.0.borrow().sets.iter().map(Vec::len).collect())
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
            data_key: &[0xDB; 32],
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
        thread_local!(static CACHE: Cache<u64> = const { Cache::new() });
        let name = Name::new(Level::Portable, &origin(RingId::new()), &salt(0));
        // Salts of one set.
        let set = set_of(name, &Salt::new(&salt(0)).unwrap());
        let mut salts = (0..).filter(|number| set_of(name, &Salt::new(&salt(*number)).unwrap()) == set);
        let derived = |number: u64| {
            let derived = AtomicUsize::new(0);
            let make = || Ok(derived.fetch_add(1, Ordering::Relaxed) as u64 + number);
            let got = Cache::with(&CACHE, name, Salt::new(&salt(number)).unwrap(), make, |keys| {
                Ok(*keys)
            });
            assert_eq!(got, Ok(number));
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
    fn keys_are_dropped_when_their_thread_ends() {
        struct Counted(Arc<AtomicUsize>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        thread_local!(static CACHE: Cache<Counted> = const { Cache::new() });
        let dropped = Arc::new(AtomicUsize::new(0));
        let of_thread = Arc::clone(&dropped);
        std::thread::spawn(move || {
            let ring = RingId::new();
            for number in 0..10 {
                let name = Name::new(Level::Portable, &origin(ring), &salt(number));
                let make = || Ok(Counted(Arc::clone(&of_thread)));
                Cache::with(&CACHE, name, Salt::new(&salt(number)).unwrap(), make, |_| Ok(())).unwrap();
            }
            assert_eq!(of_thread.load(Ordering::Relaxed), 0);
        })
        .join()
        .unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 10);
    }

    #[test]
    fn a_failed_derivation_is_not_kept() {
        let short = Origin {
            data_key: &DATA_KEY[..16],
            ..origin(RingId::new())
        };
        for _ in 0..2 {
            let refused = with_gcm_key(&short, &salt(0), |_| Ok(()));
            assert_eq!(refused, Err(CipherError::DataKeyLength));
        }
    }
}
