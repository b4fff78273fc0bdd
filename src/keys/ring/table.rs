//! A table of numbers by name, which is read while one thread adds to it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Open addressing: a name is in the slot of its hash, or in one after it, before the first free
/// one.
///
/// Half of the slots stay free. A name, once there, stays where it is.
pub(super) struct Table {
    slots: Box<[Slot]>,
    /// 64 minus the binary logarithm of the number of slots: what the hash is shifted by.
    shift: u32,
    used: AtomicUsize,
}

#[derive(Default)]
struct Slot {
    /// 0 = free.
    name: AtomicU64,
    value: AtomicU64,
}

impl Table {
    /// An empty one for so many names.
    pub(super) fn with_room_for(names: usize) -> Table {
        let slots = (names * 2).next_power_of_two().max(8);
        Table {
            slots: (0..slots).map(|_| Slot::default()).collect(),
            shift: u64::BITS - slots.trailing_zeros(),
            used: AtomicUsize::new(0),
        }
    }

    /// The same entries in a table for so many names.
    pub(super) fn copy_with_room_for(&self, names: usize) -> Table {
        let copy = Table::with_room_for(names.max(self.slots.len() / 2));
        for (name, value) in self.entries() {
            copy.insert(name, value);
        }
        copy
    }

    /// Whether it may hold so many names in all.
    pub(super) fn has_room_for(&self, names: usize) -> bool {
        names * 2 <= self.slots.len()
    }

    /// The number of names.
    pub(super) fn len(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The value of this name. The name 0 has none.
    #[inline(always)]
    pub(super) fn get(&self, name: u64) -> Option<u64> {
        let (slot, found) = self.slot(name);
        (found == name && name != 0).then(|| slot.value.load(Ordering::Acquire))
    }

    /// Gives a name a value, in place of the one that it may have. One thread at a time; there must
    /// be [room](Self::has_room_for), and the name is not 0.
    pub(super) fn insert(&self, name: u64, value: u64) {
        let (slot, found) = self.slot(name);
        slot.value.store(value, Ordering::Release);
        if found == 0 {
            slot.name.store(name, Ordering::Release);
            self.used.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sets these bits in the value of a name, and clears the others; nothing without the name. Any
    /// number of threads at a time.
    pub(super) fn change_bits(&self, name: u64, set: u64, clear: u64) {
        let (slot, found) = self.slot(name);
        if found == name && name != 0 {
            slot.value.fetch_or(set, Ordering::AcqRel);
            slot.value.fetch_and(!clear, Ordering::AcqRel);
        }
    }

    /// All names with their values, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, u64)> {
        self.slots
            .iter()
            .map(|slot| {
                (
                    slot.name.load(Ordering::Acquire),
                    slot.value.load(Ordering::Acquire),
                )
            })
            .filter(|(name, _)| *name != 0)
    }

    /// The slot of this name, or the free one where it would be, and the name in it. Half of the
    /// slots are free, so it ends.
    #[inline(always)]
    fn slot(&self, name: u64) -> (&Slot, u64) {
        // Multiplicative hashing (Knuth, TAOCP 6.4), 2^64 divided by the golden ratio.
        let mask = self.slots.len() - 1;
        let mut at = (name.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize;
        loop {
            let slot = &self.slots[at & mask];
            let found = slot.name.load(Ordering::Acquire);
            if found == name || found == 0 {
                return (slot, found);
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_their_last_value_and_others_are_not() {
        // Miri is slow.
        const NAMES: u64 = if cfg!(miri) { 100 } else { 3000 };
        let mut table = Table::with_room_for(1);
        for n in 1..=NAMES {
            if !table.has_room_for(n as usize) {
                table = table.copy_with_room_for(n as usize);
            }
            table.insert(n << 20, n);
            table.insert(n << 20, n + 1);
            assert_eq!(table.len(), n as usize);
        }
        for n in 1..=NAMES {
            assert_eq!(table.get(n << 20), Some(n + 1));
            assert_eq!(table.get((n << 20) + 1), None);
        }
        assert_eq!((table.get(0), table.entries().count()), (None, NAMES as usize));
    }

    #[test]
    fn bits_change_in_the_value_of_a_name_that_is_there_and_nowhere_else() {
        let table = Table::with_room_for(2);
        table.insert(7, 0b1001);
        table.change_bits(7, 0b0010, 0b1000);
        table.change_bits(8, 0b0010, 0);
        table.change_bits(0, 0b0010, 0);
        assert_eq!((table.get(7), table.get(8), table.len()), (Some(0b0011), None, 1));
        assert!(table.entries().eq([(7, 0b0011)]));
    }

    #[test]
    fn half_of_the_slots_stay_free() {
        for names in [0, 4, 5, 100] {
            let table = Table::with_room_for(names);
            let most = table.slots.len() / 2;
            assert!(most >= names && most < 2 * names.max(4), "{most} for {names}");
            assert_eq!(
                (table.has_room_for(most), table.has_room_for(most + 1)),
                (true, false)
            );
            assert_eq!(
                table.copy_with_room_for(1).slots.len(),
                2 * most,
                "as many as before"
            );
        }
    }

    #[test]
    fn names_are_spread_over_the_slots() {
        // Ids; keys of one version; versions of one key.
        let kinds: [fn(u64) -> u64; 3] = [|n| n, |n| n << 32 | 1, |n| 1 << 32 | n];
        for name in kinds {
            let table = Table::with_room_for(1000);
            (1..=1000).for_each(|n| table.insert(name(n), n));
            let used = table
                .slots
                .split(|slot| slot.name.load(Ordering::Relaxed) == 0)
                .map(<[Slot]>::len);
            let most = used.max().unwrap_or(0);
            assert!(most < 20, "{most} slots one after the other");
        }
    }
}
