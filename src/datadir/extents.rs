//! Extent descriptors of an InnoDB tablespace: which of its pages are free.
//!
//! ```text
//! on each page whose number is a multiple of the page's bytes, from 150 on, for each extent:
//!  0  segment (8), neighbours in a list (12)
//! 20  state, 4 bytes, big endian: 1 free, 2 and 3 pages of several segments, 4 one segment's
//! 24  two bits for each page, from the lowest of the first byte on: the first says that it is free
//! ```
//!
//! Read in the server's source (storage/innobase/include/fsp0fsp.h).

use super::page_layout::{DESCRIPTOR_HEAD, DESCRIPTORS, PageLayout};

const STATE_AT: usize = 20;

/// The states of an extent that the bits of its pages belong to.
const STATES: [u32; 4] = [1, 2, 3, 4];

/// The descriptors on one page.
pub(crate) struct Extents<'a> {
    page: &'a [u8],
    layout: PageLayout,
}

impl Extents<'_> {
    /// The descriptors that stand on this page.
    pub(crate) fn on(page: &[u8], layout: PageLayout) -> Extents<'_> {
        Extents { page, layout }
    }

    /// Whether the page of this number, which counts from the page of the descriptors, is free.
    /// What cannot be told is not free.
    pub(crate) fn is_free(&self, number: usize) -> bool {
        let extent = number / self.layout.pages_of_extent();
        let bit = number % self.layout.pages_of_extent() * 2;
        let at = DESCRIPTORS + extent * self.layout.descriptor_size();
        let Some(descriptor) = self.page.get(at..at + self.layout.descriptor_size()) else {
            return false;
        };
        let state = descriptor
            .get(STATE_AT..)
            .and_then(<[u8]>::first_chunk)
            .map(|bytes| u32::from_be_bytes(*bytes));
        let bits = descriptor.get(DESCRIPTOR_HEAD + bit / 8);
        state.is_some_and(|state| STATES.contains(&state))
            && bits.is_some_and(|bits| bits >> (bit % 8) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// full_crc32 at each page size, the older form, and ROW_FORMAT=COMPRESSED with 8 and 1 KiB.
    const FLAGS: [u32; 8] = [0x13, 0x14, 0x15, 0x16, 0x17, 0, 4 << 1 | 1, 1 << 1 | 1];

    #[test]
    fn a_page_is_free_where_its_bit_says_so_and_its_extent_is_in_use_as_one() {
        for flags in FLAGS {
            let layout = PageLayout::of(flags).unwrap();
            let last = layout.physical_size - 1;
            for number in [0, 1, 63, layout.pages_of_extent(), last] {
                let mut page = vec![0; layout.physical_size];
                let at = DESCRIPTORS + number / layout.pages_of_extent() * layout.descriptor_size();
                let bit = number % layout.pages_of_extent() * 2;
                page[at + DESCRIPTOR_HEAD + bit / 8] = 1 << (bit % 8);
                let free = |page: &[u8], number| Extents::on(page, layout).is_free(number);
                assert!(!free(&page, number), "the extent has no state");
                for state in STATES {
                    page[at + STATE_AT..][..4].copy_from_slice(&state.to_be_bytes());
                    assert!(free(&page, number), "{flags:#x} {number}");
                    assert!(!free(&page, number ^ 1), "{flags:#x} {number}");
                }
                page[at + STATE_AT + 3] = 9;
                assert!(!free(&page, number), "{flags:#x} {number}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..20_000), number in any::<usize>(),
                                              flags in prop::sample::select(FLAGS.to_vec())) {
            let layout = PageLayout::of(flags).unwrap();
            Extents::on(&bytes, layout).is_free(number % (1 << 40));
            Extents::on(&bytes, layout).is_free(number % 70_000);
        }
    }
}
