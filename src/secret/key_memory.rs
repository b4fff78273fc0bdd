//! Memory for the data keys of a server: it only grows, and is read while it grows.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, MmapMut, MmapRaw};
use zeroize::Zeroizing;

use super::locked_memory::Counted;
use super::{DataKey, MAX_DATA_KEY_LENGTH};

/// The words of a key's room.
const WORDS: usize = MAX_DATA_KEY_LENGTH / size_of::<u64>();

/// A key's room: words, because they are written while the rooms beside them are read.
type Room = [AtomicU64; WORDS];

/// The rooms of the first chunk: 4 KiB, a page. Each further chunk has twice as many as the one
/// before.
const FIRST_ROOMS: usize = 128;

/// Enough chunks for 2^32 rooms.
const CHUNKS: usize = 26;

/// Room for keys of up to 32 bytes, by number, from 0 on.
///
/// ```text
/// chunk 0: rooms 0..128    chunk 1: rooms 128..384    chunk 2: rooms 384..896   ...
/// ```
///
/// The chunks are left out of core dumps, locked if the limits allow it, not inherited by a forked
/// process, and wiped before they are given back. Where the system has no such memory to give they
/// lie on the heap.
pub struct KeyMemory {
    chunks: [OnceLock<Chunk>; CHUNKS],
}

struct Chunk {
    memory: Memory,
    _counted: Counted,
}

enum Memory {
    /// Zeroed memory of so many rooms, which nothing else refers to.
    Own { memory: MmapRaw, rooms: usize },
    /// On the heap.
    Heap(Box<[Room]>),
}

impl Chunk {
    /// New memory for so many keys.
    fn new(rooms: usize) -> Chunk {
        let length = rooms * size_of::<Room>();
        let Ok(memory) = MmapMut::map_anon(length) else {
            return Chunk::on_heap(rooms);
        };
        let locked = keep_here(&memory);
        let memory = memory.into();
        Chunk {
            memory: Memory::Own { memory, rooms },
            _counted: Counted::new(length, locked),
        }
    }

    fn on_heap(rooms: usize) -> Chunk {
        Chunk {
            memory: Memory::Heap((0..rooms).map(|_| Room::default()).collect()),
            _counted: Counted::new(rooms * size_of::<Room>(), false),
        }
    }

    #[inline(always)]
    fn rooms(&self) -> &[Room] {
        match &self.memory {
            #[allow(unsafe_code, reason = "no safe function reads memory of one's own as atomics")]
            // SAFETY: the memory begins at a page, is as long as that many rooms (`Chunk::new`), is
            // initialised, and lives as long as `self`. It is used through this function alone, and
            // so through atomics alone.
            Memory::Own { memory, rooms } => unsafe {
                std::slice::from_raw_parts(memory.as_mut_ptr().cast::<Room>(), *rooms)
            },
            Memory::Heap(rooms) => rooms,
        }
    }
}

/// Asks the system to leave this memory where it is; whether it will never be swapped out.
fn keep_here(memory: &MmapMut) -> bool {
    if cfg!(miri) {
        // Miri has memory of this kind, and neither of these calls.
        return false;
    }
    // Both are refinements that old kernels lack; the keys work without them.
    let _ = memory.advise(Advice::DontDump);
    let _ = memory.advise(Advice::DontFork);
    memory.lock().is_ok()
}

impl Drop for Chunk {
    fn drop(&mut self) {
        for word in self.rooms().iter().flatten() {
            word.store(0, Ordering::SeqCst);
        }
    }
}

/// The bytes of a key: where a [`KeyMemory`] keeps them, or in memory of their own.
#[derive(Clone, Copy)]
pub struct KeyBytes<'a>(Storage<'a>);

#[derive(Clone, Copy)]
enum Storage<'a> {
    Kept(&'a [AtomicU64]),
    Own(&'a [u8]),
}

impl KeyMemory {
    /// Without any key, and without memory for any.
    pub fn new() -> KeyMemory {
        KeyMemory {
            chunks: [const { OnceLock::new() }; CHUNKS],
        }
    }

    /// Puts a key into a room. Nobody reads it yet, and nobody else writes it.
    pub fn put(&self, room: u32, key: &DataKey) {
        let (chunk, at) = place(room);
        let rooms = self.chunks[chunk].get_or_init(|| Chunk::new(FIRST_ROOMS << chunk));
        for (word, bytes) in rooms.rooms()[at].iter().zip(key.expose().as_chunks().0) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
    }

    /// The key of `length` bytes that was put into this room; `None` if none of the rooms beside it
    /// was ever used.
    #[inline(always)]
    pub fn get(&self, room: u32, length: u8) -> Option<KeyBytes<'_>> {
        let (chunk, at) = place(room);
        let words = self.chunks.get(chunk)?.get()?.rooms().get(at)?;
        let length = usize::from(length) / size_of::<u64>();
        Some(KeyBytes(Storage::Kept(words.get(..length)?)))
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

/// The chunk of a room, and its number in there.
#[inline(always)]
fn place(room: u32) -> (usize, usize) {
    let n = room as usize / FIRST_ROOMS + 1;
    let chunk = n.ilog2() as usize;
    (chunk, room as usize - ((FIRST_ROOMS << chunk) - FIRST_ROOMS))
}

impl<'a> KeyBytes<'a> {
    /// Bytes in memory of their own.
    pub fn of(bytes: &'a [u8]) -> KeyBytes<'a> {
        KeyBytes(Storage::Own(bytes))
    }

    /// Their number.
    #[inline(always)]
    #[expect(clippy::len_without_is_empty, reason = "a key is never empty")]
    pub fn len(self) -> usize {
        match self.0 {
            Storage::Kept(words) => size_of_val(words),
            Storage::Own(bytes) => bytes.len(),
        }
    }

    /// Hands them out in order, a few at a time: whoever copies them keeps no other copy. A key's
    /// length is a multiple of 8.
    #[inline(always)]
    pub fn for_each_word(self, mut take: impl FnMut(usize, [u8; 8])) {
        match self.0 {
            Storage::Kept(words) => {
                let mut take = |at, word: &AtomicU64| take(at, word.load(Ordering::Relaxed).to_ne_bytes());
                // The usual lengths without a loop, which takes longer than the lookup.
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
            Storage::Own(bytes) => {
                for (at, word) in bytes.as_chunks().0.iter().enumerate() {
                    take(at, *word);
                }
            }
        }
    }

    /// A copy of them.
    pub fn to_data_key(self) -> Option<DataKey> {
        self.with(DataKey::new)
    }

    /// Does `work` with a copy of them, of at most 32 bytes, which is wiped then.
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
    fn rooms_follow_each_other_in_chunks_of_twice_the_size() {
        let mut expected = (0, 0);
        for room in 0..if cfg!(miri) { 1000 } else { 100_000 } {
            assert_eq!(place(room), expected, "{room}");
            expected.1 += 1;
            if expected.1 == FIRST_ROOMS << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert!(place(u32::MAX).0 < CHUNKS);
    }

    #[test]
    fn a_key_is_read_as_it_was_put_and_shown_nowhere() {
        let memory = KeyMemory::new();
        assert!(memory.get(0, 32).is_none());
        let key = |room: u32| DataKey::new(&vec![room as u8; [16, 24, 32][room as usize % 3]]).unwrap();
        let rooms = if cfg!(miri) { 200 } else { 1000 };
        for room in 0..rooms {
            memory.put(room, &key(room));
        }
        for room in 0..rooms {
            let expected = key(room);
            let kept = memory.get(room, expected.len() as u8).unwrap();
            assert_eq!(kept.len(), expected.len());
            kept.with(|bytes| assert!(expected.same_bytes(bytes)));
            assert!(kept.to_data_key().unwrap().same_bytes(expected.expose()));
        }
        let shown = format!("{memory:?} {:?}", memory.get(1, 24).unwrap());
        assert_eq!(shown, "KeyMemory(redacted) KeyBytes(192 bits)");
    }

    #[test]
    fn memory_on_the_heap_holds_keys_too() {
        let chunk = Chunk::on_heap(3);
        chunk.rooms()[2][1].store(7, Ordering::Relaxed);
        assert_eq!(chunk.rooms()[2][1].load(Ordering::Relaxed), 7);
    }
}
