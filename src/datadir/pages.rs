//! The pages of an InnoDB tablespace: which key versions they are encrypted with, and which of them
//! are free.
//!
//! ```text
//! full_crc32    0  key version, 4 bytes
//! older form   26  key version, 4 bytes
//! both          4  number of the page    24  type, 2 bytes
//! ```
//!
//! Numbers are big endian, and a key version of 0 is a page in clear. Never encrypted are page 0,
//! pages of extent descriptors, page 5 of the system tablespace and, in the older form, pages of
//! spatial indexes. In the middle of the system tablespace stands the doublewrite buffer, copies of
//! pages of any tablespace that a clean stop makes worthless; page 5 tells where:
//!
//! ```text
//! page size - 190  536853855, then the first page of each of its two extents, 4 bytes each
//! ```
//!
//! Nothing is decrypted, and no checksum is looked at. Read in the server's source
//! (storage/innobase: buf/buf0flu.cc, fil/fil0crypt.cc, fil0fil.h, trx0sys.h).

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::extents::Extents;
use super::page_layout::PageLayout;
use super::tablespace::{self, Encryption};

/// The head of a page, as far as it tells something here.
const HEAD: usize = 38;

/// How much of a file is asked for ahead, in bytes.
const AHEAD: u64 = 8 << 20;

/// Types of pages in the older form.
const RTREE: u16 = 17_854;

/// Types of pages of extent descriptors and of page 0.
const DESCRIPTORS: [u16; 2] = [8, 9];

/// The page of the system tablespace that says where the doublewrite buffer is.
const TRANSACTION_SYSTEM: u64 = 5;
const DOUBLEWRITE_AT: usize = 190;
const DOUBLEWRITE_MAGIC: u32 = 536_853_855;

/// How many pages there are of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCount {
    /// All of them.
    pub all: u64,
    /// Those of them that are free: no row is in them, and the server reads them no more.
    pub free: u64,
}

impl PageCount {
    fn add(&mut self, is_free: bool) {
        self.all += 1;
        self.free += u64::from(is_free);
    }
}

/// The pages of a tablespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// The id of the key that page 0 names.
    pub key_id: Option<u32>,
    /// Whether pages are written encrypted now.
    pub is_encrypted: bool,
    /// Pages by the key version that they are encrypted with.
    pub versions: BTreeMap<u32, PageCount>,
    /// Pages in clear which could be encrypted.
    pub plain: PageCount,
}

/// What goes from one file of a tablespace to the next.
pub(crate) struct Counter {
    layout: PageLayout,
    is_system: bool,
    /// The number of the next page.
    number: u64,
    /// The last page of extent descriptors.
    descriptors: Vec<u8>,
    /// The first pages of the extents of the doublewrite buffer.
    doublewrite: Vec<u64>,
    pages: Pages,
}

impl Counter {
    /// Begins with the first file of a tablespace; `None` where it is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn new(file: &File, is_system: bool) -> io::Result<Option<Counter>> {
        let mut start = [0; tablespace::START];
        if read_at(file, &mut start, 0)? < start.len() {
            return Ok(None);
        }
        let Some(layout) = tablespace::layout(&start) else {
            return Ok(None);
        };
        let mut pages = Pages::default();
        if let Some((at, length)) = tablespace::range(&start) {
            let mut information = vec![0; length];
            read_at(file, &mut information, at as u64)?;
            if let Some(encryption) = Encryption::of(&information) {
                pages.key_id = Some(encryption.key_id);
                pages.is_encrypted = encryption.is_on;
            }
        }
        Ok(Some(Counter {
            layout,
            is_system,
            number: 0,
            descriptors: Vec::new(),
            doublewrite: Vec::new(),
            pages,
        }))
    }

    /// Counts the pages of a file, the first one or one that goes on where the last one ended.
    /// `tell` hears of the bytes that were passed, now and then.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn count(&mut self, file: &File, mut tell: impl FnMut(u64)) -> io::Result<()> {
        let size = self.layout.physical_size as u64;
        let length = file.metadata()?.len();
        let mut head = [0; HEAD];
        let mut asked = 0;
        for at in (0..length / size * size).step_by(self.layout.physical_size) {
            if at >= asked {
                // It helps a disk, and is no matter where it cannot be done.
                let _ = posix_fadvise(
                    file,
                    i64::try_from(at).unwrap_or(i64::MAX),
                    AHEAD as i64 * 2,
                    PosixFadviseAdvice::POSIX_FADV_WILLNEED,
                );
                asked = at + AHEAD;
                tell(AHEAD.min(length - at));
            }
            let number = self.number;
            self.number += 1;
            // A file that shrinks meanwhile ends here.
            if read_at(file, &mut head, at)? < HEAD {
                break;
            }
            if number.is_multiple_of(size) {
                self.descriptors.resize(self.layout.physical_size, 0);
                read_at(file, &mut self.descriptors, at)?;
            }
            if self.is_system && number == TRANSACTION_SYSTEM {
                self.find_doublewrite(file, at)?;
            }
            self.look_at(number, &head);
        }
        Ok(())
    }

    /// All pages that were counted.
    pub(crate) fn finish(self) -> Pages {
        self.pages
    }

    fn look_at(&mut self, number: u64, head: &[u8; HEAD]) {
        if head.iter().all(|byte| *byte == 0) || self.never_is_encrypted(number, head) {
            return;
        }
        let at = if self.layout.is_full_crc32 { 0 } else { 26 };
        let version = u32_at(head, at);
        let size = self.layout.physical_size as u64;
        let is_free = Extents::on(&self.descriptors, self.layout).is_free((number % size) as usize);
        match version {
            0 => self.pages.plain.add(is_free),
            // In the older form other things may stand there in a tablespace that never was
            // encrypted.
            _ if !self.layout.is_full_crc32 && self.pages.key_id.is_none() => self.pages.plain.add(is_free),
            version => self.pages.versions.entry(version).or_default().add(is_free),
        }
    }

    fn never_is_encrypted(&self, number: u64, head: &[u8; HEAD]) -> bool {
        let kind = u16::from_be_bytes([head[24], head[25]]);
        let extent = self.layout.pages_of_extent() as u64;
        let in_doublewrite = |first: &u64| (*first..first.saturating_add(extent)).contains(&number);
        number.is_multiple_of(self.layout.physical_size as u64)
            || (u32_at(head, 0) == 0 || !self.layout.is_full_crc32) && DESCRIPTORS.contains(&kind)
            || self.is_system && number == TRANSACTION_SYSTEM
            || !self.layout.is_full_crc32 && kind == RTREE
            || self.doublewrite.iter().any(in_doublewrite)
    }

    fn find_doublewrite(&mut self, file: &File, page: u64) -> io::Result<()> {
        let mut bytes = [0; 12];
        let at = page + (self.layout.physical_size - DOUBLEWRITE_AT) as u64;
        read_at(file, &mut bytes, at)?;
        if u32_at(&bytes, 0) == DOUBLEWRITE_MAGIC {
            self.doublewrite = vec![u32_at(&bytes, 4).into(), u32_at(&bytes, 8).into()];
        }
        Ok(())
    }
}

/// Reads what there is, and tells how many bytes.
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], at + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Four bytes that are there.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(number)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const FULL_CRC32: u32 = 0x15;

    /// A tablespace with these flags, encrypted with key 7, of so many pages in clear.
    struct Made {
        layout: PageLayout,
        bytes: Vec<u8>,
    }

    impl Made {
        fn new(flags: u32, pages: usize) -> Made {
            let layout = PageLayout::of(flags).unwrap();
            let mut bytes = vec![0; layout.physical_size * pages];
            bytes[54..58].copy_from_slice(&flags.to_be_bytes());
            let (at, _) = tablespace::range(&bytes[..tablespace::START]).unwrap();
            bytes[at..at + 8].copy_from_slice(b"s\x0e\x0cREt\x01\x10");
            bytes[at + 28..at + 32].copy_from_slice(&7_u32.to_be_bytes());
            bytes[24..26].copy_from_slice(&[0, 8]);
            let mut made = Made { layout, bytes };
            for number in 1..pages {
                made.page(number)[4..8].copy_from_slice(&(number as u32).to_be_bytes());
                made.page(number)[24..26].copy_from_slice(&17_855_u16.to_be_bytes());
            }
            made
        }

        fn page(&mut self, number: usize) -> &mut [u8] {
            let size = self.layout.physical_size;
            &mut self.bytes[number * size..(number + 1) * size]
        }

        fn version(mut self, number: usize, version: u32) -> Made {
            let at = if self.layout.is_full_crc32 { 0 } else { 26 };
            self.page(number)[at..at + 4].copy_from_slice(&version.to_be_bytes());
            self
        }

        /// Marks a page as free, in an extent that a segment has.
        fn free(mut self, number: usize) -> Made {
            let (layout, size) = (self.layout, self.layout.physical_size);
            let (extent, bit) = (
                number % size / layout.pages_of_extent(),
                number % layout.pages_of_extent() * 2,
            );
            let at = 150 + extent * layout.descriptor_size();
            let descriptors = self.page(number / size * size);
            descriptors[at + 23] = 4;
            descriptors[at + 24 + bit / 8] |= 1 << (bit % 8);
            self
        }

        fn kind(mut self, number: usize, kind: u16) -> Made {
            self.page(number)[24..26].copy_from_slice(&kind.to_be_bytes());
            self
        }
    }

    fn count(files: &[&[u8]], is_system: bool) -> Option<Pages> {
        let mut counter = None;
        for bytes in files {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), bytes).unwrap();
            let file = File::open(file.path()).unwrap();
            if counter.is_none() {
                counter = Counter::new(&file, is_system).unwrap();
            }
            counter.as_mut()?.count(&file, |_| {}).unwrap();
        }
        counter.map(Counter::finish)
    }

    /// A version, all its pages, and those of them that are free.
    type Version = (u32, u64, u64);

    /// The versions, and the same of the pages in clear.
    fn seen(pages: &Pages) -> (Vec<Version>, (u64, u64)) {
        let versions = pages.versions.iter();
        (
            versions
                .map(|(version, count)| (*version, count.all, count.free))
                .collect(),
            (pages.plain.all, pages.plain.free),
        )
    }

    #[test]
    fn pages_are_counted_by_version_and_by_whether_they_are_free_in_each_form_and_size() {
        // full_crc32, the older form, and ROW_FORMAT=COMPRESSED with pages of 8 and of 1 KiB.
        for flags in [
            0x13,
            0x14,
            FULL_CRC32,
            0x16,
            0x17,
            0,
            3 << 6,
            4 << 1 | 1,
            1 << 1 | 1,
        ] {
            let made = Made::new(flags, 7)
                .version(1, 1)
                .version(2, 3)
                .version(3, 3)
                .version(4, 1)
                .free(2)
                .free(4)
                .free(6);
            let pages = count(&[&made.bytes], false).unwrap();
            assert_eq!((pages.key_id, pages.is_encrypted), (Some(7), true));
            assert_eq!(seen(&pages), (vec![(1, 2, 1), (3, 2, 1)], (2, 1)), "{flags:#x}");
        }
    }

    #[test]
    fn a_page_behind_the_next_page_of_descriptors_is_free_by_that_one() {
        let made = Made::new(1 << 1 | 1, 1030)
            .version(1, 3)
            .version(1025, 3)
            .version(1026, 3)
            .free(1025);
        // Page 1024 is one of descriptors.
        let pages = count(&[&made.bytes], false).unwrap();
        assert_eq!(seen(&pages).0, [(3, 3, 1)]);
        assert_eq!(pages.plain.all, 1030 - 2 - 3);
    }

    #[test]
    fn pages_that_never_are_encrypted_count_nowhere() {
        let older = Made::new(0, 6)
            .kind(2, 17_854)
            .version(2, 99)
            .kind(3, 9)
            .version(3, 98)
            .version(4, 3);
        assert_eq!(
            seen(&count(&[&older.bytes], false).unwrap()),
            (vec![(3, 1, 0)], (2, 0))
        );
        let mut zeroes = Made::new(FULL_CRC32, 4).version(1, 3);
        zeroes.page(2).fill(0);
        assert_eq!(
            seen(&count(&[&zeroes.bytes], false).unwrap()),
            (vec![(3, 1, 0)], (1, 0))
        );
    }

    #[test]
    fn the_doublewrite_buffer_of_the_system_tablespace_is_passed_and_its_second_file_goes_on() {
        let mut system = Made::new(FULL_CRC32, 200);
        for (at, number) in [(0, DOUBLEWRITE_MAGIC), (4, 64), (8, 128)] {
            let begin = 16_384 - DOUBLEWRITE_AT + at;
            system.page(5)[begin..begin + 4].copy_from_slice(&number.to_be_bytes());
        }
        let system = system
            .version(6, 3)
            .version(63, 3)
            .version(64, 99)
            .version(191, 98)
            .version(192, 1);
        // In the second file page 5 is page 205.
        let second = Made::new(FULL_CRC32, 10).version(5, 3);
        let behind = &second.bytes[16_384..];
        let pages = count(&[&system.bytes, behind], true).unwrap();
        assert_eq!(seen(&pages).0, [(1, 1, 0), (3, 3, 0)]);
        // Of another tablespace page 5 says nothing.
        let pages = count(&[&system.bytes], false).unwrap();
        assert_eq!(seen(&pages).0, [(1, 1, 0), (3, 2, 0), (98, 1, 0), (99, 1, 0)]);
    }

    #[test]
    fn a_tablespace_that_was_decrypted_still_has_the_key_of_its_free_pages() {
        let mut made = Made::new(FULL_CRC32, 4).version(2, 1).free(2);
        made.bytes[10_428 + 6] = 0;
        let pages = count(&[&made.bytes], false).unwrap();
        assert_eq!((pages.key_id, pages.is_encrypted), (Some(7), false));
        assert_eq!(seen(&pages), (vec![(1, 1, 1)], (2, 0)));
    }

    #[test]
    fn what_is_no_tablespace_is_none_and_a_cut_off_page_is_not_counted() {
        for bytes in [&b""[..], &[0; 50], &[0xFF; 20_000]] {
            assert_eq!(count(&[bytes], false), None);
        }
        let made = Made::new(FULL_CRC32, 3).version(1, 3).version(2, 3);
        let pages = count(&[&made.bytes[..made.bytes.len() - 1]], false).unwrap();
        assert_eq!(seen(&pages).0, [(3, 1, 0)]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..9000), flags in any::<u32>(), is_system in any::<bool>(),
                                              flips in prop::collection::vec((0..66_000_usize, any::<u8>()), 0..20)) {
            count(&[&bytes], is_system);
            let mut made = Made::new(0x13, 40);
            for (at, byte) in flips {
                made.bytes[at] = byte;
            }
            count(&[&made.bytes, &bytes], is_system);
            made.bytes[54..58].copy_from_slice(&flags.to_be_bytes());
            count(&[&made.bytes], is_system);
        }
    }
}
