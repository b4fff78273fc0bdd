//! Memory for secrets that live as long as the server, and the count of it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{Advice, MmapMut};
use zeroize::Zeroize;

/// The smallest page of the processors that this runs on.
const PAGE: usize = 4096;

/// Bytes of the pages that hold secrets in this process.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// Those of [`HELD`] that could not be locked.
static UNLOCKED: AtomicUsize = AtomicUsize::new(0);

/// The limit that this process needs to lock all its secrets in memory, in KiB (`RLIMIT_MEMLOCK`,
/// as systemd's `LimitMEMLOCK=` names it with a K behind); `None` where all are locked.
pub fn needed_limit() -> Option<usize> {
    (UNLOCKED.load(Ordering::Relaxed) > 0).then(|| HELD.load(Ordering::Relaxed).div_ceil(1024))
}

/// The entry of a piece of memory in the counts, until it is dropped.
pub(super) struct Counted {
    pages: usize,
    locked: bool,
}

impl Counted {
    /// Counts memory of this length, in whole pages as the limit does.
    pub(super) fn new(length: usize, locked: bool) -> Counted {
        let pages = length.next_multiple_of(PAGE);
        HELD.fetch_add(pages, Ordering::Relaxed);
        if !locked {
            UNLOCKED.fetch_add(pages, Ordering::Relaxed);
        }
        Counted { pages, locked }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        HELD.fetch_sub(self.pages, Ordering::Relaxed);
        if !self.locked {
            UNLOCKED.fetch_sub(self.pages, Ordering::Relaxed);
        }
    }
}

/// Maps pages for secrets: left out of core dumps, not inherited by a forked process and locked if
/// the limits allow it, which the count tells. `None` where the system has none to give.
pub(super) fn map_pages(length: usize) -> Option<(MmapMut, Counted)> {
    let memory = MmapMut::map_anon(length).ok()?;
    if cfg!(miri) {
        // Miri has memory of this kind, and neither of these calls.
        return Some((memory, Counted::new(length, false)));
    }
    // Both are refinements that old kernels lack; the secrets work without them.
    let _ = memory.advise(Advice::DontDump);
    let _ = memory.advise(Advice::DontFork);
    let locked = memory.lock().is_ok();
    Some((memory, Counted::new(length, locked)))
}

/// Memory of its own that holds nothing but secrets: left out of core dumps, locked if the limits
/// allow it, not inherited by a forked process, wiped before it is given back.
///
/// Where the system has no such memory to give it lies on the heap, which is wiped too.
pub struct LockedMemory {
    memory: Bytes,
    _counted: Counted,
}

enum Bytes {
    Pages(MmapMut),
    Heap(Box<[u8]>),
}

impl LockedMemory {
    /// This many zeroes.
    pub fn new(length: usize) -> LockedMemory {
        match map_pages(length) {
            Some((pages, counted)) => LockedMemory {
                memory: Bytes::Pages(pages),
                _counted: counted,
            },
            None => LockedMemory::on_heap(length),
        }
    }

    fn on_heap(length: usize) -> LockedMemory {
        LockedMemory {
            memory: Bytes::Heap(vec![0; length].into_boxed_slice()),
            _counted: Counted::new(length, false),
        }
    }

    /// A copy of these bytes.
    pub fn copy_of(bytes: &[u8]) -> LockedMemory {
        let mut memory = LockedMemory::new(bytes.len());
        memory.copy_from_slice(bytes);
        memory
    }
}

impl Deref for LockedMemory {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.memory {
            Bytes::Pages(bytes) => bytes,
            Bytes::Heap(bytes) => bytes,
        }
    }
}

impl DerefMut for LockedMemory {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Bytes::Pages(bytes) => bytes,
            Bytes::Heap(bytes) => bytes,
        }
    }
}

impl fmt::Debug for LockedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockedMemory(redacted)")
    }
}

impl Drop for LockedMemory {
    fn drop(&mut self) {
        self.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_bytes_that_it_was_made_of_and_shows_none() {
        for length in [0, 1, 31, 4096, 4097] {
            let bytes: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let memory = LockedMemory::copy_of(&bytes);
            assert_eq!(*memory, bytes[..]);
            assert_eq!(format!("{memory:?}"), "LockedMemory(redacted)");
        }
    }

    #[test]
    fn memory_on_the_heap_holds_bytes_and_is_not_locked() {
        let mut memory = LockedMemory::on_heap(3);
        memory.copy_from_slice(b"abc");
        assert_eq!((&*memory, memory._counted.locked), (&b"abc"[..], false));
    }
}
