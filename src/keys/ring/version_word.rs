//! Where a version is, what it encrypts with, and whether that is still right.

use crate::crypto::Algorithm;

/// What a ring holds of each version, in one word.
///
/// ```text
/// 63        32 31   18  17         16          15    8 7      0
/// [    room   |   0   | reported | downgrade | length | cipher ]
/// ```
///
/// The two flags change while the word is read, the rest never does.
#[derive(Clone, Copy)]
pub(super) struct VersionWord {
    pub(super) room: u32,
    pub(super) length: u8,
    pub(super) algorithm: Algorithm,
    /// The key's latest version has another algorithm, and this one is a
    /// [downgrade](Algorithm::is_downgrade_of) of that.
    is_downgrade: bool,
    /// Data was encrypted under it while it was one, and that was reported.
    is_reported: bool,
}

pub(super) const DOWNGRADE: u64 = 1 << 16;
pub(super) const REPORTED: u64 = 1 << 17;

impl VersionWord {
    /// A version that comes.
    pub(super) fn new(room: u32, length: u8, algorithm: Algorithm) -> VersionWord {
        VersionWord {
            room,
            length,
            algorithm,
            is_downgrade: false,
            is_reported: false,
        }
    }

    pub(super) fn to_word(self) -> u64 {
        let flag = |is_set: bool, flag: u64| if is_set { flag } else { 0 };
        u64::from(self.room) << 32
            | flag(self.is_reported, REPORTED)
            | flag(self.is_downgrade, DOWNGRADE)
            | u64::from(self.length) << 8
            | u64::from(self.algorithm.number())
    }

    #[inline(always)]
    pub(super) fn of_word(word: u64) -> Option<VersionWord> {
        Some(VersionWord {
            room: (word >> 32) as u32,
            length: (word >> 8) as u8,
            algorithm: Algorithm::from_number(word as u8)?,
            is_downgrade: word & DOWNGRADE != 0,
            is_reported: word & REPORTED != 0,
        })
    }

    pub(super) fn is_downgrade(self) -> bool {
        self.is_downgrade
    }

    #[inline(always)]
    pub(super) fn is_unreported_downgrade(self) -> bool {
        self.is_downgrade && !self.is_reported
    }
}
