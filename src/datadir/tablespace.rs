//! Page 0 of an InnoDB tablespace: which key encrypts it.
//!
//! ```text
//! 54           flags, 4 bytes: the layout of the pages
//! 150          extent descriptors, one for each extent of as many pages as page 0 has bytes
//! 38 behind    's' 0E 0C 'R' 'E' 't', scheme (1), length 16 (1), IV (16),
//!              lowest key version (4), key id (4), encryption (1)
//! ```
//!
//! Numbers are big endian. Page 0 is never encrypted. All of it lies within the first 64 KiB of
//! the file.

use super::page_layout::{DESCRIPTORS, PageLayout};

/// How many bytes of page 0 tell all, at the largest page size.
#[cfg(test)]
pub(crate) const MOST: usize = 65_536;

/// Where the flags are.
const FLAGS: usize = 54;
/// Where the server counts the place of an encryption's information from: the first byte behind a
/// page's head.
const FIRST_BYTE: usize = 38;
/// The bytes in front of an encryption's information.
const MAGIC: [u8; 6] = [b's', 0x0E, 0x0C, b'R', b'E', b't'];
/// The bytes of an encryption's information, with those in front.
const INFORMATION: usize = MAGIC.len() + 2 + 16 + 4 + 4 + 1;
/// The scheme of a tablespace with encrypted pages; 0 is that of one that has none.
const ENCRYPTED: u8 = 1;
/// The length of the IV, which is written, too.
const IV_LENGTH: u8 = 16;

/// The bytes in front of page 0 that tell where the rest is.
pub(crate) const START: usize = FLAGS + 4;

/// Where in page 0 the encryption's information stands if there is one, by its first [`START`]
/// bytes, and how long it is.
pub(crate) fn range(start: &[u8]) -> Option<(usize, usize)> {
    Some((place(start)?, INFORMATION))
}

/// The id of the key in an encryption's information, which [`range`] tells the place of; `None`
/// where no page is encrypted.
pub(crate) fn key_id_of(information: &[u8]) -> Option<u32> {
    let encryption = Encryption::of(information)?;
    encryption.is_on.then_some(encryption.key_id)
}

/// What page 0 says of the encryption of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encryption {
    /// Whether pages are written encrypted. Where they are not any more, free ones may still be.
    pub(crate) is_on: bool,
    /// The id of the key.
    pub(crate) key_id: u32,
}

impl Encryption {
    /// What stands in an encryption's information, which [`range`] tells the place of.
    pub(crate) fn of(information: &[u8]) -> Option<Encryption> {
        let rest = information.strip_prefix(&MAGIC)?;
        let (scheme, length) = (*rest.first()?, *rest.get(1)?);
        let key_id = number(rest, 2 + usize::from(IV_LENGTH) + 4)?;
        let is_one = scheme <= ENCRYPTED && length == IV_LENGTH && key_id != 0;
        is_one.then_some(Encryption {
            is_on: scheme == ENCRYPTED,
            key_id,
        })
    }
}

/// The layout of the pages behind this one.
pub(crate) fn layout(start: &[u8]) -> Option<PageLayout> {
    PageLayout::of(number(start, FLAGS)?)
}

fn place(start: &[u8]) -> Option<usize> {
    let layout = layout(start)?;
    Some(FIRST_BYTE + DESCRIPTORS + layout.descriptor_size() * layout.descriptors_of_page())
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The id of the key of a tablespace that begins with these bytes, as its reader finds it.
    fn key_id(page0: &[u8]) -> Option<u32> {
        let (at, length) = range(page0)?;
        key_id_of(page0.get(at..at + length)?)
    }

    /// A page 0 with these flags, encrypted under key 7.
    fn page(flags: u32, at: usize) -> Vec<u8> {
        let mut page = vec![0; MOST];
        page[FLAGS..][..4].copy_from_slice(&flags.to_be_bytes());
        page[at..][..6].copy_from_slice(b"s\x0e\x0cREt");
        page[at + 6..][..2].copy_from_slice(&[1, 16]);
        page[at + 8..][..16].fill(0xAB);
        page[at + 24..][..8].copy_from_slice(&[0, 0, 0, 3, 0, 0, 0, 7]);
        page
    }

    /// Flags and places: of full_crc32 and of old ones at each page size, and of each zip size.
    const PLACES: [(u32, usize); 14] = [
        (0x13, 188 + 88 * 16),
        (0x14, 188 + 56 * 64),
        (0x15, 10_428),
        (0x16, 188 + 40 * 512),
        (0x17, 188 + 40 * 1024),
        (3 << 6, 188 + 88 * 16),
        (4 << 6, 188 + 56 * 64),
        (0, 10_428),
        (0x1_0000 | 0x15, 10_428),
        (6 << 6, 188 + 40 * 512),
        (7 << 6, 188 + 40 * 1024),
        // ROW_FORMAT=COMPRESSED, KEY_BLOCK_SIZE 8, 4 and 1.
        (4 << 1 | 1, 5_308),
        (3 << 1 | 1, 188 + 40 * 64),
        (1 << 1 | 1, 188 + 40 * 16),
    ];

    #[test]
    fn the_key_id_is_found_at_each_page_and_zip_size() {
        for (flags, at) in PLACES {
            let page = page(flags, at);
            assert_eq!(key_id(&page), Some(7), "{flags:#x}");
            assert_eq!(key_id(&page[..at + INFORMATION]), Some(7));
            assert_eq!(key_id(&page[..at + INFORMATION - 1]), None, "cut off");
            assert_eq!(range(&page[..START]), Some((at, INFORMATION)));
        }
    }

    #[test]
    fn a_tablespace_that_has_no_encrypted_page_or_no_information_names_no_key() {
        let at = 10_428;
        for (offset, byte) in [(0, b'S'), (5, 0), (6, 0), (6, 2), (7, 15), (31, 0)] {
            let mut page = page(0x15, at);
            page[at + offset] = byte;
            assert_eq!(key_id(&page), None, "{offset}");
        }
        assert_eq!(key_id(&[]), None);
        assert_eq!(key_id(&[0; MOST]), None);
        assert_eq!(key_id(&[0xFF; MOST]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), flags in any::<u32>(),
                                              fill in any::<u8>(), length in 0..70_000_usize) {
            key_id(&bytes);
            key_id_of(&bytes);
            let mut page = vec![fill; length];
            if let Some(place) = page.get_mut(FLAGS..FLAGS + 4) {
                place.copy_from_slice(&flags.to_be_bytes());
            }
            key_id(&page);
            if let Some((at, length)) = range(&page) {
                prop_assert!(at + length <= MOST, "{at}");
            }
        }
    }
}
