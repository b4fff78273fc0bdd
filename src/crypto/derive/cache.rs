//! The cache of derived keys that each thread has:
//!
//! ```text
//! 64 sets, chosen by a hash of id, version and salt
//! └ 4 entries: [ ring | id | version | age ]   the entry used longest ago makes room
//!            + [ salt | keys ]                 in memory that no core dump has
//! ```
//!
//! Per thread, because a table that all share costs locked instructions on lines that all cores
//! write. It takes memory as it fills: nothing before the first use, then pages of 4 KiB, at most
//! 170 KiB (240 in aes_256_hctr2) for [`CAPACITY`] pairs of a tablespace and a key version. Keys
//! are wiped when they make room, when their thread ends, and in [`forget`](super::forget). What
//! other living threads hold then stays until they end, but is of no use: entries belong to a
//! [`RingId`], and no ring ever has an old one.

use std::cell::RefCell;
use std::thread::LocalKey;

use memmap2::{Advice, MmapMut};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::{Algorithm, CipherError, DataKeyRef, Level, RingId, scrub};

/// How many keys a thread keeps for each of both uses.
pub(crate) const CAPACITY: usize = SETS * WAYS;

const SETS: usize = 64;
pub(super) const WAYS: usize = 4;

/// The name of derived keys: what they are found by, beside the salt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    algorithm: Algorithm,
    level: Level,
    ring: RingId,
    key_id: u32,
    key_version: u32,
    salt_length: usize,
}

impl Name {
    #[inline]
    pub(super) fn new(algorithm: Algorithm, level: Level, data_key: &DataKeyRef<'_>, salt: &[u8]) -> Name {
        Name {
            algorithm,
            level,
            ring: data_key.ring,
            key_id: data_key.key_id,
            key_version: data_key.key_version,
            salt_length: salt.len(),
        }
    }
}

/// Keys without a place in a cache, aligned as loads of blocks want it.
#[repr(C, align(16))]
#[derive(Zeroize, ZeroizeOnDrop)]
struct Room<const LENGTH: usize>([u8; LENGTH]);

/// The length of a [`Salt`] where it is kept, in bytes.
const SALT_ROOM: usize = 32;

/// A salt of 16, 24 or 32 bytes, filled up with zeroes: as numbers, it is compared and wiped at
/// once.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Salt([u128; 2]);

impl Salt {
    /// # Errors
    /// [`CipherError::KeyLength`] unless there are 16, 24 or 32 bytes.
    #[inline]
    pub(super) fn new(bytes: &[u8]) -> Result<Salt, CipherError> {
        let (first, rest) = bytes.split_first_chunk().ok_or(CipherError::KeyLength)?;
        let second = match (rest.len(), rest.first_chunk(), rest.first_chunk()) {
            (0, ..) => 0,
            (8, Some(half), _) => u128::from(u64::from_le_bytes(*half)),
            (16, _, Some(whole)) => u128::from_le_bytes(*whole),
            _ => return Err(CipherError::KeyLength),
        };
        Ok(Salt([u128::from_le_bytes(*first), second]))
    }

    /// Whether it is the one that is kept here, in the same time whichever bits differ: a salt may
    /// be a data key.
    #[inline]
    fn is_kept_in(&self, room: &[u8; SALT_ROOM]) -> bool {
        let (halves, _) = room.as_chunks();
        let differ = |at: usize| self.0[at] ^ u128::from_ne_bytes(halves[at]);
        differ(0) | differ(1) == 0
    }

    fn keep(&self, room: &mut [u8]) {
        for (place, half) in room.as_chunks_mut::<16>().0.iter_mut().zip(self.0) {
            *place = half.to_ne_bytes();
        }
    }
}

/// An entry, but for what is secret in it.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    name: Name,
    /// The cache's clock at the last use.
    used: u64,
}

/// A thread's keys for one use, `LENGTH` bytes each.
pub(super) struct Cache<const LENGTH: usize>(pub(super) RefCell<Sets<LENGTH>>);

pub(super) struct Sets<const LENGTH: usize> {
    /// None before the first use, then [`CAPACITY`], of which those of a set follow each other.
    pub(super) entries: Vec<Option<Entry>>,
    /// Salt and keys of each entry.
    secrets: Option<Secrets>,
    clock: u64,
}

/// Memory that is left out of core dumps, wiped where it was used before it is given back.
struct Secrets(MmapMut);

impl Secrets {
    /// `None` if there is no memory, or no way to leave it out: then nothing is kept.
    fn new(length: usize) -> Option<Secrets> {
        let memory = MmapMut::map_anon(length).ok()?;
        memory.advise(Advice::DontDump).ok()?;
        // A refinement: the keys need not be in a forked process.
        let _ = memory.advise(Advice::DontFork);
        Some(Secrets(memory))
    }
}

impl<const LENGTH: usize> Cache<LENGTH> {
    pub(super) const fn new() -> Self {
        Cache(RefCell::new(Sets {
            entries: Vec::new(),
            secrets: None,
            clock: 0,
        }))
    }

    pub(super) fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    /// Does `work` with the keys of this name, made if need be. Neither may come back here.
    #[inline]
    pub(super) fn with<R>(
        of_thread: &'static LocalKey<Self>,
        name: Name,
        salt: Salt,
        make: impl Fn(&mut [u8]) -> Result<(), CipherError>,
        mut work: impl FnMut(&[u8]) -> Result<R, CipherError>,
    ) -> Result<R, CipherError> {
        let cached = of_thread.try_with(|cache| {
            let mut sets = cache.0.borrow_mut();
            sets.get(name, &salt, &make)?.map(&mut work).transpose()
        });
        // A thread that is ending may have lost its cache.
        match cached.unwrap_or(Ok(None))? {
            Some(done) => Ok(done),
            None => uncached::<LENGTH, R>(&make, &mut work),
        }
    }
}

/// Apart, so that its room is in no frame but its own.
#[cold]
#[inline(never)]
fn uncached<const LENGTH: usize, R>(
    make: &impl Fn(&mut [u8]) -> Result<(), CipherError>,
    work: &mut impl FnMut(&[u8]) -> Result<R, CipherError>,
) -> Result<R, CipherError> {
    let mut room = Room([0; LENGTH]);
    scrub::around_derivation(|| make(&mut room.0))?;
    work(&room.0)
}

impl<const LENGTH: usize> Sets<LENGTH> {
    /// What an entry takes of the secrets, in bytes.
    const ROOM: usize = SALT_ROOM + LENGTH;

    /// The keys of this name; `None` where none can be kept.
    #[inline]
    fn get(
        &mut self,
        name: Name,
        salt: &Salt,
        make: impl Fn(&mut [u8]) -> Result<(), CipherError>,
    ) -> Result<Option<&[u8]>, CipherError> {
        self.clock += 1;
        let first = WAYS * set_of(name, salt);
        let known = self.known(first, name, salt);
        let at = match known {
            Some(at) => at,
            None => match scrub::around_derivation(|| self.insert(first, name, salt, make))? {
                Some(at) => at,
                None => return Ok(None),
            },
        };
        Ok(self
            .secrets
            .as_ref()
            .map(|secrets| &secrets.0[at * Self::ROOM + SALT_ROOM..][..LENGTH]))
    }

    /// Where the entry of this name is, which is used now.
    #[inline]
    fn known(&mut self, first: usize, name: Name, salt: &Salt) -> Option<usize> {
        let secrets = self.secrets.as_ref()?;
        let set: &mut [Option<Entry>; WAYS] = self.entries.get_mut(first..)?.first_chunk_mut()?;
        for (way, entry) in set.iter_mut().enumerate() {
            let at = first + way;
            if let Some(entry) = entry
                && entry.name == name
                && salt.is_kept_in(secrets.0.get(at * Self::ROOM..)?.first_chunk()?)
            {
                entry.used = self.clock;
                return Some(at);
            }
        }
        None
    }

    /// Where the new entry is. It takes the place of the one used longest ago if its set is full.
    #[cold]
    fn insert(
        &mut self,
        first: usize,
        name: Name,
        salt: &Salt,
        make: impl Fn(&mut [u8]) -> Result<(), CipherError>,
    ) -> Result<Option<usize>, CipherError> {
        if self.entries.is_empty() {
            self.secrets = Secrets::new(CAPACITY * Self::ROOM);
            self.entries.resize(CAPACITY, None);
        }
        let Some(secrets) = &mut self.secrets else {
            return Ok(None);
        };
        let used = |at: &usize| self.entries[*at].map_or(0, |entry| entry.used);
        let at = (first..first + WAYS).min_by_key(used).unwrap_or(first);
        let room = &mut secrets.0[at * Self::ROOM..][..Self::ROOM];
        self.entries[at] = None;
        room.zeroize();
        let (of_salt, of_keys) = room.split_at_mut(SALT_ROOM);
        make(of_keys)?;
        salt.keep(of_salt);
        self.entries[at] = Some(Entry {
            name,
            used: self.clock,
        });
        Ok(Some(at))
    }

    fn clear(&mut self) {
        if let Some(secrets) = &mut self.secrets {
            // What was never used is left alone: to wipe it would take memory for it.
            for (entry, room) in self.entries.iter().zip(secrets.0.chunks_exact_mut(Self::ROOM)) {
                if entry.is_some() {
                    room.zeroize();
                }
            }
        }
        self.entries.clear();
        self.secrets = None;
    }
}

impl<const LENGTH: usize> Drop for Sets<LENGTH> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The number of the set for these keys.
#[inline]
pub(super) fn set_of(name: Name, salt: &Salt) -> usize {
    let names = u64::from(name.key_id) << 32 | u64::from(name.key_version);
    // The salts are random. Multiplicative hashing as in the key ring, for those names that are
    // not.
    let mixed = (names ^ salt.0[0] as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> (u64::BITS - SETS.ilog2())) as usize
}
