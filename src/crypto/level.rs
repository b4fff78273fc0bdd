//! How far the processor's AES instructions are used.

use std::sync::atomic::{AtomicU8, Ordering};

/// A level of instructions that AES runs with; each needs the ones before it. All give the same
/// bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// The portable implementation, on any processor; constant-time as well.
    Portable = 1,
    /// x86-64 with AES-NI, PCLMULQDQ and SSSE3: 16 bytes to an instruction.
    AesNi,
    /// Also AVX-512 F and BW, VAES and VPCLMULQDQ: 64 bytes to an instruction.
    Vaes,
}

/// The level of new ciphers as a number; 0 as long as nobody has asked for it.
static CURRENT: AtomicU8 = AtomicU8::new(0);

/// The highest level of this processor, likewise.
static AVAILABLE: AtomicU8 = AtomicU8::new(0);

impl Level {
    /// Every level, the lowest first.
    pub const ALL: [Level; 3] = [Level::Portable, Level::AesNi, Level::Vaes];

    /// The name in benchmarks.
    pub fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::AesNi => "aesni",
            Level::Vaes => "vaes",
        }
    }

    /// The highest level of this processor.
    #[inline]
    pub fn available() -> Level {
        Level::known(&AVAILABLE).unwrap_or_else(Level::detect)
    }

    /// The level of new ciphers: the highest available, unless it is [limited](Self::limit).
    #[inline]
    pub(super) fn current() -> Level {
        Level::known(&CURRENT).unwrap_or_else(|| Level::limit(Level::Vaes))
    }

    #[inline]
    fn known(level: &AtomicU8) -> Option<Level> {
        match level.load(Ordering::Relaxed) {
            1 => Some(Level::Portable),
            2 => Some(Level::AesNi),
            3 => Some(Level::Vaes),
            _ => None,
        }
    }

    #[cold]
    fn detect() -> Level {
        #[allow(unused_mut, reason = "there is but one level on other processors")]
        let mut level = Level::Portable;
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("ssse3") && has!("aes") && has!("pclmulqdq") {
                level = Level::AesNi;
                if has!("avx512f") && has!("avx512bw") && has!("vaes") && has!("vpclmulqdq") {
                    level = Level::Vaes;
                }
            }
        }
        AVAILABLE.store(level as u8, Ordering::Relaxed);
        level
    }

    /// Gives ciphers of this process that are made from now on at most this level. For benchmarks
    /// and tests, which compare the levels; nothing else calls it. Returns the level that they
    /// have.
    pub fn limit(most: Level) -> Level {
        let level = most.min(Level::available());
        CURRENT.store(level as u8, Ordering::Relaxed);
        level
    }
}
