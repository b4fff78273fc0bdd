//! How the pages of an InnoDB tablespace are laid out, as the flags on its page 0 say.
//!
//! ```text
//! bit 4 set    the form full_crc32: page size 512 << bits 0-3; bits 5-7 not 0: page_compressed
//! else         the older form: bits 1-4 the size of a ROW_FORMAT=COMPRESSED page, 512 << n,
//!              0 = none;
//!              bits 6-9 the page size 512 << n, 0 = 16 KiB; bit 16: page_compressed
//! ```
//!
//! Read in the server's source (storage/innobase/include/fsp0types.h, fsp0fsp.h).

/// Where on page 0, and on each page of extent descriptors, the first descriptor stands.
pub(crate) const DESCRIPTORS: usize = 38 + 112;

/// What stands in an extent descriptor before the bits of its pages: segment (8), list (12), state
/// (4).
pub(crate) const DESCRIPTOR_HEAD: usize = 24;

/// Where the pages of a tablespace are and which form they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageLayout {
    /// Whether the pages have the form full_crc32.
    pub(crate) is_full_crc32: bool,
    /// Bytes of a page in the server's memory.
    pub(crate) logical_size: usize,
    /// Bytes that a page takes in the file.
    pub(crate) physical_size: usize,
}

impl PageLayout {
    /// The layout that these flags say; `None` where they are none.
    pub(crate) fn of(flags: u32) -> Option<PageLayout> {
        let size = |bits: u32| (3..=7).contains(&bits).then(|| 512_usize << bits);
        if flags & 0x10 != 0 {
            let size = size(flags & 0xF)?;
            return Some(PageLayout {
                is_full_crc32: true,
                logical_size: size,
                physical_size: size,
            });
        }
        let logical_size = match flags >> 6 & 0xF {
            0 => 16_384,
            bits => size(bits)?,
        };
        let physical_size = match flags >> 1 & 0xF {
            0 => logical_size,
            bits @ 1..=5 => 512 << bits,
            _ => return None,
        };
        Some(PageLayout {
            is_full_crc32: false,
            logical_size,
            physical_size,
        })
    }

    /// The pages of an extent: 1 MiB, from 32 KiB pages on 64 pages.
    pub(crate) fn pages_of_extent(self) -> usize {
        (1_048_576 / self.logical_size).max(64)
    }

    /// The bytes of an extent descriptor: two bits for each page behind its head.
    pub(crate) fn descriptor_size(self) -> usize {
        DESCRIPTOR_HEAD + self.pages_of_extent() / 4
    }

    /// How many extents a page of descriptors describes: its own pages and as many as it has bytes
    /// in all.
    pub(crate) fn descriptors_of_page(self) -> usize {
        self.physical_size / self.pages_of_extent()
    }
}
