//! The pages of an Aria table: which key versions they are encrypted with.
//!
//! ```text
//! *.MAI, its header (numbers big endian; the header's length and what is encrypted: `aria`)
//!  12  begin of the base information, 2 bytes
//!      base information + 100  bytes of a page, 2 bytes     + 106  1: transactional
//!      the pages of the index begin at the first page behind the header
//!
//! key version, 4 bytes, little endian
//! *.MAD  12  of rows: head (1), tail (2)     8  of rows: blob (3); the kind is byte 7 & 7
//! *.MAI  13  transactional                   7  not transactional
//! ```
//!
//! A key version of 0 is a page in clear. Bitmaps, page 0 of the `*.MAD` and every so many behind
//! it, never are encrypted. The key's id stands nowhere: it is key 1 for every table that has a
//! name. Read in the server's source (storage/maria: ma_open.c, ma_crypt.c, ma_bitmap.c,
//! ma_blockrec.h).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::aria::{self, Table};
use crate::durable::read;

const HEADER_LENGTH_AT: usize = 6;
const BASE_AT: usize = 12;
const PAGE_SIZE_IN_BASE: usize = 100;
const TRANSACTIONAL_IN_BASE: usize = 106;

/// The longest header: its length has two bytes.
const LONGEST_HEADER: u64 = 0xFFFF;

/// The bytes of a page's head that tell something here.
const HEAD: usize = 24;

/// What the header of an index file says of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    is_encrypted: bool,
    page_size: u64,
    is_transactional: bool,
    length: u64,
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Header> {
        let u16_at = |at: usize| {
            let bytes = bytes.get(at..)?.first_chunk()?;
            Some(u16::from_be_bytes(*bytes))
        };
        let base = usize::from(u16_at(BASE_AT)?);
        // 32 KiB are written as they are, and aria_block_size is a power of two from 1 KiB on.
        let page_size = u16_at(base + PAGE_SIZE_IN_BASE)?;
        let is_size = page_size.is_power_of_two() && page_size >= 1024;
        let table = aria::table_in(bytes);
        (table != Table::Unreadable && is_size).then_some(Header {
            is_encrypted: table != Table::Plain,
            page_size: page_size.into(),
            is_transactional: *bytes.get(base + TRANSACTIONAL_IN_BASE)? != 0,
            length: u16_at(HEADER_LENGTH_AT)?.into(),
        })
    }

    /// How many pages of rows a bitmap stands for, itself among them.
    fn pages_of_bitmap(self) -> u64 {
        (self.page_size - 4) / 6 * 16 + 1
    }
}

/// The pages of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AriaPages {
    /// Whether new pages are written encrypted.
    pub is_encrypted: bool,
    /// Pages of rows and of the index by the key version that they are encrypted with.
    pub versions: BTreeMap<u32, u64>,
    /// Pages of rows and of the index in clear.
    pub plain: u64,
}

impl AriaPages {
    fn add(&mut self, version: u32) {
        match version {
            0 => self.plain += 1,
            version => *self.versions.entry(version).or_default() += 1,
        }
    }
}

/// Counts the pages of the table whose index file this is; `None` where it is none. A page that is
/// not used counts where that cannot be told.
///
/// # Errors
/// The index file, or the file of rows beside it, cannot be read.
pub fn pages_of(index: &Path) -> io::Result<Option<AriaPages>> {
    let file = read::regular(index)?;
    let mut bytes = Vec::new();
    (&file).take(LONGEST_HEADER).read_to_end(&mut bytes)?;
    let Some(header) = Header::of(&bytes) else {
        return Ok(None);
    };
    let mut pages = AriaPages {
        is_encrypted: header.is_encrypted,
        ..AriaPages::default()
    };
    // Where nothing is encrypted, other things stand in the place of key versions.
    if header.is_encrypted {
        count_index(&file, header, &mut pages)?;
        count_rows(&read::regular(&index.with_extension("MAD"))?, header, &mut pages)?;
    }
    Ok(Some(pages))
}

fn count_index(file: &File, header: Header, pages: &mut AriaPages) -> io::Result<()> {
    let at = if header.is_transactional { 13 } else { 7 };
    each_page(
        file,
        header,
        header.length.div_ceil(header.page_size),
        |_, head| {
            // A page that was never written.
            if head.iter().any(|byte| *byte != 0) {
                pages.add(u32_at(head, at));
            }
        },
    )
}

fn count_rows(file: &File, header: Header, pages: &mut AriaPages) -> io::Result<()> {
    each_page(file, header, 0, |number, head| {
        let at = match head[7] & 7 {
            _ if number % header.pages_of_bitmap() == 0 => return,
            1 | 2 => 12,
            3 => 8,
            _ => return,
        };
        pages.add(u32_at(head, at));
    })
}

/// Tells number and head of each page from this number on.
fn each_page(
    file: &File,
    header: Header,
    first: u64,
    mut tell: impl FnMut(u64, &[u8; HEAD]),
) -> io::Result<()> {
    let mut head = [0; HEAD];
    for number in first..file.metadata()?.len() / header.page_size {
        match file.read_exact_at(&mut head, number * header.page_size) {
            Ok(()) => tell(number, &head),
            // A file that shrinks meanwhile.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Four bytes of a head.
fn u32_at(head: &[u8; HEAD], at: usize) -> u32 {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    /// The header of an index with pages of this size, encrypted or not, filled up to a page.
    fn index(page_size: u16, is_encrypted: bool, is_transactional: bool) -> Vec<u8> {
        let length = 394_usize;
        let mut bytes = vec![0; usize::from(page_size)];
        bytes[..3].copy_from_slice(&[0xFE, 0xFE, 9]);
        bytes[6..8].copy_from_slice(&(length as u16).to_be_bytes());
        bytes[12..14].copy_from_slice(&200_u16.to_be_bytes());
        bytes[300..302].copy_from_slice(&page_size.to_be_bytes());
        bytes[306] = u8::from(is_transactional);
        if is_encrypted {
            bytes[length - 22..length - 20].copy_from_slice(&[1, 20]);
        }
        bytes
    }

    fn page(page_size: u16, kind: u8, at: usize, version: u32) -> Vec<u8> {
        let mut page = vec![0; page_size.into()];
        page[0] = 5;
        page[7] = kind;
        page[at..at + 4].copy_from_slice(&version.to_le_bytes());
        page
    }

    fn count(index: &[u8], rows: &[u8]) -> io::Result<Option<AriaPages>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.MAI");
        fs::write(&path, index).unwrap();
        fs::write(directory.path().join("t.MAD"), rows).unwrap();
        pages_of(&path)
    }

    #[test]
    fn pages_of_rows_blobs_and_index_are_counted_by_version_at_each_page_size() {
        for size in [1024, 8192, 32_768_u16] {
            for is_transactional in [true, false] {
                let at = if is_transactional { 13 } else { 7 };
                let index = [
                    index(size, true, is_transactional),
                    page(size, 0, at, 3),
                    vec![0; size.into()],
                ];
                let rows = [
                    page(size, 1, 12, 99),
                    page(size, 0x81, 12, 1),
                    page(size, 2, 12, 3),
                    page(size, 3, 8, 0x0102_0304),
                    page(size, 1, 12, 0),
                    page(size, 0, 12, 98),
                ];
                let pages = count(&index.concat(), &rows.concat()).unwrap().unwrap();
                assert_eq!(pages.versions, BTreeMap::from([(1, 1), (3, 2), (0x0102_0304, 1)]));
                assert_eq!((pages.is_encrypted, pages.plain), (true, 1), "{size}");
            }
        }
    }

    #[test]
    fn the_bitmap_behind_its_pages_is_passed() {
        let header = Header::of(&index(8192, true, true)).unwrap();
        assert_eq!(header.pages_of_bitmap(), 21_825);
        let small = Header::of(&index(1024, true, true)).unwrap();
        assert_eq!(small.pages_of_bitmap(), 2_721);
        let mut rows = vec![0; 1024 * 2722];
        rows[1024 * 2721..].copy_from_slice(&page(1024, 1, 12, 7));
        let pages = count(&index(1024, true, true), &rows).unwrap().unwrap();
        assert_eq!(pages.versions, BTreeMap::new());
    }

    #[test]
    fn a_plain_table_and_what_is_none_have_no_versions() {
        let rows = page(8192, 1, 12, 3);
        let plain = count(&index(8192, false, true), &rows).unwrap().unwrap();
        assert_eq!(plain, AriaPages::default());
        for at in [0, 300, 301] {
            let mut other = index(8192, true, true);
            other[at] ^= 0x41;
            assert_eq!(count(&other, &rows).unwrap(), None, "{at}");
        }
    }

    #[test]
    fn a_table_without_its_rows_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.MAI");
        fs::write(&path, index(8192, true, true)).unwrap();
        assert_eq!(pages_of(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000), flips in prop::collection::vec((0..400_usize, any::<u8>()), 0..5)) {
            let mut header = index(1024, true, true);
            for (at, byte) in flips {
                header[at] = byte;
            }
            let _ = count(&[header, bytes.clone()].concat(), &bytes);
            let _ = count(&bytes, &bytes);
        }
    }
}
