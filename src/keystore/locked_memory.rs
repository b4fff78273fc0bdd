//! Memory for secrets that live as long as the server.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut};
use zeroize::Zeroize;

/// Anonymous memory that holds nothing but keys: locked if the limits allow it, out of core dumps, not
/// inherited by a forked process, wiped before it is given back.
pub(super) struct LockedMemory {
    memory: MmapMut,
    locked: bool,
}

impl LockedMemory {
    /// This many zeroes, at least one.
    pub(super) fn new(length: usize) -> io::Result<LockedMemory> {
        let memory = MmapMut::map_anon(length)?;
        let locked = memory.lock().is_ok();
        // Both are refinements that old kernels lack; the keys work without them.
        let _ = memory.advise(Advice::DontDump);
        let _ = memory.advise(Advice::DontFork);
        Ok(LockedMemory { memory, locked })
    }

    /// Whether it is locked, so that it is never swapped out.
    pub(super) fn is_locked(&self) -> bool {
        self.locked
    }
}

impl Deref for LockedMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory
    }
}

impl DerefMut for LockedMemory {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory
    }
}

impl fmt::Debug for LockedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockedMemory(redacted)")
    }
}

impl Drop for LockedMemory {
    fn drop(&mut self) {
        self.memory.zeroize();
    }
}
