//! Memory for the data keys of a server, which only grows, and is read while it grows.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapRaw;
use zeroize::Zeroizing;

use super::locked_memory::{Counted, map_pages};
use super::{DataKey, MAX_DATA_KEY_LENGTH};

/// A slot, which one key lies in: words, because they are written while the slots beside them are
/// read.
type Slot = [AtomicU64; MAX_DATA_KEY_LENGTH / size_of::<u64>()];

/// The number of slots in the first chunk, which is a page of 4 KiB. Each further chunk has twice
/// as many as the one before.
const FIRST_SLOTS: usize = 128;

/// Enough chunks for 2^32 slots.
const CHUNKS: usize = 26;

/// Slots for keys of up to 32 bytes, numbered from 0 on.
///
/// ```text
/// chunk 0: slots 0..128    chunk 1: slots 128..384    chunk 2: slots 384..896   ...
/// ```
///
/// The chunks are left out of core dumps, locked if the limits allow it, not inherited by a forked
/// process, and wiped before they are given back. Where the system has no such memory to give they
/// lie on the heap.
pub struct KeyMemory {
    chunks: [OnceLock<SlotChunk>; CHUNKS],
}

struct SlotChunk {
    memory: Slots,
    _counted: Counted,
}

enum Slots {
    /// Zeroed memory of `count` slots, which nothing else refers to.
    Pages {
        pages: MmapRaw,
        count: usize,
    },
    Heap(Box<[Slot]>),
}

impl SlotChunk {
    fn new(count: usize) -> SlotChunk {
        match map_pages(count * size_of::<Slot>()) {
            Some((pages, counted)) => SlotChunk {
                memory: Slots::Pages {
                    pages: pages.into(),
                    count,
                },
                _counted: counted,
            },
            None => SlotChunk::on_heap(count),
        }
    }

    fn on_heap(count: usize) -> SlotChunk {
        SlotChunk {
            memory: Slots::Heap((0..count).map(|_| Slot::default()).collect()),
            _counted: Counted::new(count * size_of::<Slot>(), false),
        }
    }

    #[inline(always)]
    fn slots(&self) -> &[Slot] {
        match &self.memory {
            #[allow(unsafe_code, reason = "no safe function reads memory of one's own as atomics")]
            // SAFETY: the memory begins at a page, is as long as that many slots (`new`), is
            // initialised, and lives as long as `self`. It is used through this function alone, and
            // so through atomics alone.
            Slots::Pages { pages, count } => unsafe {
                std::slice::from_raw_parts(pages.as_mut_ptr().cast::<Slot>(), *count)
            },
            Slots::Heap(slots) => slots,
        }
    }
}

impl Drop for SlotChunk {
    fn drop(&mut self) {
        for word in self.slots().iter().flatten() {
            word.store(0, Ordering::SeqCst);
        }
    }
}

/// The bytes of a key, wherever they lie.
#[derive(Clone, Copy)]
pub struct KeyBytes<'a>(Storage<'a>);

#[derive(Clone, Copy)]
enum Storage<'a> {
    /// A slot of a [`KeyMemory`].
    Slot(&'a [AtomicU64]),
    Plain(&'a [u8]),
}

impl KeyMemory {
    /// Memory without any key, which takes none from the system yet.
    pub fn new() -> KeyMemory {
        KeyMemory {
            chunks: [const { OnceLock::new() }; CHUNKS],
        }
    }

    /// Puts a key into a slot, which nobody reads yet and nobody else writes.
    pub fn put(&self, slot: u32, key: &DataKey) {
        let (chunk, at) = place(slot);
        let slots = self.chunks[chunk].get_or_init(|| SlotChunk::new(FIRST_SLOTS << chunk));
        for (word, bytes) in slots.slots()[at].iter().zip(key.expose().as_chunks().0) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
    }

    /// The key of `length` bytes that was put into this slot; `None` if no slot of its chunk was
    /// ever used.
    #[inline(always)]
    pub fn get(&self, slot: u32, length: u8) -> Option<KeyBytes<'_>> {
        let (chunk, at) = place(slot);
        let words = self.chunks.get(chunk)?.get()?.slots().get(at)?;
        let length = usize::from(length) / size_of::<u64>();
        Some(KeyBytes(Storage::Slot(words.get(..length)?)))
    }
}

impl Default for KeyMemory {
    fn default() -> Self {
        KeyMemory::new()
    }
}

impl fmt::Debug for KeyMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMemory(redacted)")
    }
}

/// The chunk of a slot, and its number in there.
#[inline(always)]
fn place(slot: u32) -> (usize, usize) {
    let n = slot as usize / FIRST_SLOTS + 1;
    let chunk = n.ilog2() as usize;
    (chunk, slot as usize - ((FIRST_SLOTS << chunk) - FIRST_SLOTS))
}

impl<'a> KeyBytes<'a> {
    /// The bytes of a key that lies in plain memory.
    pub fn of(bytes: &'a [u8]) -> KeyBytes<'a> {
        KeyBytes(Storage::Plain(bytes))
    }

    /// The number of bytes.
    #[inline(always)]
    #[expect(clippy::len_without_is_empty, reason = "a key is never empty")]
    pub fn len(self) -> usize {
        match self.0 {
            Storage::Slot(words) => size_of_val(words),
            Storage::Plain(bytes) => bytes.len(),
        }
    }

    /// Calls `take` with each 8 bytes in order, and their number: so whoever copies a key makes no
    /// other copy. A key's length is a multiple of 8.
    #[inline(always)]
    pub fn for_each_word(self, mut take: impl FnMut(usize, [u8; 8])) {
        match self.0 {
            Storage::Slot(words) => {
                let mut take = |at, word: &AtomicU64| take(at, word.load(Ordering::Relaxed).to_ne_bytes());
                // The usual lengths without a loop, which would take longer than the lookup.
                match words {
                    [a, b] => {
                        take(0, a);
                        take(1, b);
                    }
                    [a, b, c, d] => {
                        take(0, a);
                        take(1, b);
                        take(2, c);
                        take(3, d);
                    }
                    words => words.iter().enumerate().for_each(|(at, word)| take(at, word)),
                }
            }
            Storage::Plain(bytes) => {
                for (at, word) in bytes.as_chunks().0.iter().enumerate() {
                    take(at, *word);
                }
            }
        }
    }

    /// A copy of the key.
    pub fn to_data_key(self) -> Option<DataKey> {
        self.with(DataKey::new)
    }

    /// Does `work` with a copy of the bytes (32 at most), which is wiped afterwards.
    pub fn with<R>(self, work: impl FnOnce(&[u8]) -> R) -> R {
        let mut copy = Zeroizing::new([0; MAX_DATA_KEY_LENGTH]);
        let (words, _) = copy.as_chunks_mut();
        self.for_each_word(|at, bytes| {
            if let Some(word) = words.get_mut(at) {
                *word = bytes;
            }
        });
        work(&copy[..self.len().min(MAX_DATA_KEY_LENGTH)])
    }
}

impl fmt::Debug for KeyBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyBytes({} bits)", self.len() * 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_each_other_in_chunks_of_twice_the_size() {
        let mut expected = (0, 0);
        for slot in 0..if cfg!(miri) { 1000 } else { 100_000 } {
            assert_eq!(place(slot), expected, "{slot}");
            expected.1 += 1;
            if expected.1 == FIRST_SLOTS << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert!(place(u32::MAX).0 < CHUNKS);
    }

    #[test]
    fn a_key_is_read_as_it_was_put_and_shown_nowhere() {
        let memory = KeyMemory::new();
        assert!(memory.get(0, 32).is_none());
        let key = |slot: u32| DataKey::new(&vec![slot as u8; [16, 24, 32][slot as usize % 3]]).unwrap();
        let slots = if cfg!(miri) { 200 } else { 1000 };
        for slot in 0..slots {
            memory.put(slot, &key(slot));
        }
        for slot in 0..slots {
            let expected = key(slot);
            let kept = memory.get(slot, expected.len() as u8).unwrap();
            assert_eq!(kept.len(), expected.len());
            kept.with(|bytes| assert!(expected.same_bytes(bytes)));
            assert!(kept.to_data_key().unwrap().same_bytes(expected.expose()));
        }
        let shown = format!("{memory:?} {:?}", memory.get(1, 24).unwrap());
        assert_eq!(shown, "KeyMemory(redacted) KeyBytes(192 bits)");
    }

    #[test]
    fn memory_on_the_heap_holds_keys_too() {
        let chunk = SlotChunk::on_heap(3);
        chunk.slots()[2][1].store(7, Ordering::Relaxed);
        assert_eq!(chunk.slots()[2][1].load(Ordering::Relaxed), 7);
    }
}
