//! Whether Aria's log has something to recover: a server that was stopped leaves a log that ends
//! with a checkpoint of nothing.
//!
//! ```text
//! aria_log_control, 52 bytes or more
//!  0  FE FE 0C 01     its kind and version
//! 20  A, B            lengths (2 each) of what stays and of what changes; A is 30 or more, B 22
//!  A  checksum (4), address of the last checkpoint (7), number of the last log file (4),
//!     number of the last transaction (6), recoveries that failed since one succeeded (1)
//!
//! aria_log.NNNNNNNN, pages of 8,192 bytes
//!  0  number of the page (3), of the file (3), kinds of checksums (1): none
//!     1D 00 00 26 00 00   a checkpoint of 38 bytes, here whole
//!     address from which the log counts (7): the checkpoint's own
//!     open transactions (2): none; their first address (7): FF each; number of the last one (6)
//!     ended transactions (4), open tables (4), changed pages (8): none
//!     FF each             to the end of the page and of the file
//! ```
//!
//! An address is the number of the file (3) and the offset in it (4). Numbers are little endian.
//! Read in the server's source (storage/maria: ma_control_file.c, ma_checkpoint.c, ma_loghandler.c,
//! ma_recovery.c); held against a real server's logs by a test.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::durable::read;

const CONTROL: &str = "aria_log_control";

const CONTROL_START: [u8; 4] = [0xFE, 0xFE, 0x0C, 1];

const LENGTHS_AT: usize = 20;

const LEAST_THAT_STAYS: usize = 30;

const CHANGES: usize = 22;

/// The server takes none that is longer.
const LONGEST_CONTROL: u64 = 512;

const PAGE: u32 = 8192;

const PAGE_HEADER: usize = 7;

const CHECKPOINT: [u8; 6] = [0x1D, 0, 0, 38, 0, 0];

/// Whether a server that starts with this data directory finds nothing to recover for Aria. What
/// cannot be read, or is in another form, may have something; so may a log that this process has
/// open, and a checkpoint that goes on in another page.
///
/// `aria_log_dir_path` may name another directory, whose log is not looked at.
pub fn is_clean(directory: &Path) -> bool {
    end_of(directory).unwrap_or(false)
}

fn end_of(directory: &Path) -> io::Result<bool> {
    let path = directory.join(CONTROL);
    // Who closes it takes Aria's lock off it.
    if is_open(&path)? {
        return Ok(false);
    }
    let mut control = Vec::new();
    read::regular(&path)?
        .take(LONGEST_CONTROL + 1)
        .read_to_end(&mut control)?;
    let Some(last) = last_checkpoint(&control) else {
        return Ok(false);
    };
    let log = |file: u32| directory.join(format!("aria_log.{file:08}"));
    if fs::exists(log(last.file + 1))? {
        return Ok(false);
    }
    let file: File = read::regular(&log(last.file))?;
    let start = last.offset - last.offset % PAGE;
    if file.metadata()?.len() != u64::from(start) + u64::from(PAGE) {
        return Ok(false);
    }
    // It would be much of a stack.
    let mut page = vec![0; PAGE as usize];
    file.read_exact_at(&mut page, start.into())?;
    Ok(ends_with_empty_checkpoint(&page, last))
}

/// Whether this process has the file open.
fn is_open(path: &Path) -> io::Result<bool> {
    let wanted = fs::metadata(path)?;
    for descriptor in fs::read_dir("/proc/self/fd")? {
        // That of the walk itself is closed when it is looked at.
        let Ok(open) = fs::metadata(descriptor?.path()) else {
            continue;
        };
        if (open.dev(), open.ino()) == (wanted.dev(), wanted.ino()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where a record begins in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address {
    file: u32,
    offset: u32,
}

impl Address {
    const LENGTH: usize = 7;

    fn bytes(self) -> [u8; Self::LENGTH] {
        let [a, b, c, _] = self.file.to_le_bytes();
        let [d, e, f, g] = self.offset.to_le_bytes();
        [a, b, c, d, e, f, g]
    }
}

/// The last checkpoint that this control file names; `None` where it is in another form, names
/// none, or tells of a recovery that failed.
fn last_checkpoint(control: &[u8]) -> Option<Address> {
    let two = |at: usize| {
        let bytes = control.get(at..)?.first_chunk()?;
        Some(usize::from(u16::from_le_bytes(*bytes)))
    };
    let (stays, changes) = (two(LENGTHS_AT)?, two(LENGTHS_AT + 2)?);
    let is_such = control.starts_with(&CONTROL_START)
        && stays >= LEAST_THAT_STAYS
        && changes == CHANGES
        && control.len() == stays + changes;
    let &[
        _,
        _,
        _,
        _,
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
        i,
        j,
        k,
        _,
        _,
        _,
        _,
        _,
        _,
        failed,
    ] = control.get(stays..).filter(|_| is_such)?
    else {
        return None;
    };
    let last = Address {
        file: u32::from_le_bytes([a, b, c, 0]),
        offset: u32::from_le_bytes([d, e, f, g]),
    };
    let is_in_last_file = last.file == u32::from_le_bytes([h, i, j, k]);
    (last.file != 0 && is_in_last_file && failed == 0).then_some(last)
}

fn ends_with_empty_checkpoint(page: &[u8], last: Address) -> bool {
    let [a, b, c, _] = (last.offset / PAGE).to_le_bytes();
    let [d, e, f, ..] = last.bytes();
    let at = (last.offset % PAGE) as usize;
    let Some(rest) = page.get(at..).filter(|_| at >= PAGE_HEADER) else {
        return false;
    };
    let Some(rest) = rest.strip_prefix(&CHECKPOINT) else {
        return false;
    };
    let Some(rest) = rest.strip_prefix(&last.bytes()) else {
        return false;
    };
    let Some((lists, filler)) = rest.split_at_checked(38 - Address::LENGTH) else {
        return false;
    };
    // In between is the number of the last transaction.
    page.starts_with(&[a, b, c, d, e, f, 0])
        && lists.starts_with(&[0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])
        && lists.ends_with(&[0; 16])
        && filler.iter().all(|byte| *byte == 0xFF)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAST: Address = Address {
        file: 0x0002_0103,
        offset: 0x0006_50AC,
    };

    /// Of a server: bootstrapped, and stopped after an insert.
    fn control() -> Vec<u8> {
        let mut control = vec![0; 52];
        control[..4].copy_from_slice(&CONTROL_START);
        control[20..26].copy_from_slice(&[30, 0, 22, 0, 0, 0x20]);
        control[34..41].copy_from_slice(&LAST.bytes());
        control[41..44].copy_from_slice(&LAST.bytes()[..3]);
        control[45..47].copy_from_slice(&[8, 1]);
        control
    }

    fn page() -> [u8; PAGE as usize] {
        let mut page = [0xFF; PAGE as usize];
        page[..7].copy_from_slice(&[0x32, 0, 0, 3, 1, 2, 0]);
        page[7..0x10AC].fill(0x1D);
        let record = [
            &CHECKPOINT[..],
            &LAST.bytes(),
            &[0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 8, 1, 0, 0, 0, 0],
            &[0; 16],
        ]
        .concat();
        page[0x10AC..0x10AC + 44].copy_from_slice(&record);
        page
    }

    fn write(data: &Path, page: &[u8]) {
        let log = [&vec![0; 0x64000][..], page].concat();
        fs::write(data.join("aria_log.00131331"), log).unwrap();
        fs::write(data.join(CONTROL), control()).unwrap();
    }

    /// A log with nothing to recover.
    pub(crate) fn write_clean(data: &Path) {
        write(data, &page());
    }

    #[test]
    fn a_control_file_names_the_last_checkpoint_and_one_in_another_form_names_none() {
        let good = control();
        assert_eq!(last_checkpoint(&good), Some(LAST));
        for length in 0..good.len() {
            assert_eq!(last_checkpoint(&good[..length]), None, "{length}");
        }
        assert_eq!(last_checkpoint(&[&good[..], &[0]].concat()), None);
        // Form, lengths, file of the checkpoint, last file, recoveries that failed.
        for at in (0..4).chain(20..24).chain([34, 41, 44, 51]) {
            let mut other = good.clone();
            other[at] ^= 1;
            assert_eq!(last_checkpoint(&other), None, "{at}");
        }
        let mut none = good;
        none[34..45].fill(0);
        assert_eq!(last_checkpoint(&none), None);
    }

    #[test]
    fn a_page_that_differs_in_one_byte_of_the_checkpoint_or_behind_it_is_another_end() {
        let good = page();
        assert!(ends_with_empty_checkpoint(&good, LAST));
        let number_of_transaction = 0x10AC + 22..0x10AC + 28;
        for at in (0..7).chain(0x10AC..good.len()) {
            let mut other = good;
            other[at] ^= 1;
            let is_same = number_of_transaction.contains(&at);
            assert_eq!(ends_with_empty_checkpoint(&other, LAST), is_same, "{at}");
        }
        for offset in [0, PAGE - 1, LAST.offset - 1, LAST.offset + 1, LAST.offset + PAGE] {
            assert!(!ends_with_empty_checkpoint(&good, Address { offset, ..LAST }));
        }
    }

    #[test]
    fn a_log_is_clean_only_where_all_of_it_can_be_read_and_nothing_follows() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        let log = data.join("aria_log.00131331");
        let control_file = data.join(CONTROL);
        let write = |page: &[u8]| write(data, page);
        assert!(!is_clean(data));
        write(&page());
        assert!(is_clean(data));
        let open = File::open(&control_file).unwrap();
        assert!(!is_clean(data), "it is open");
        drop(open);
        let next = data.join("aria_log.00131332");
        fs::write(&next, []).unwrap();
        assert!(!is_clean(data), "another file follows");
        fs::remove_file(next).unwrap();
        assert!(is_clean(data));
        fs::remove_file(&log).unwrap();
        assert!(!is_clean(data), "no log");
        write(&[&page()[..], &[0xFF; PAGE as usize]].concat());
        assert!(!is_clean(data), "another page follows");
        write(&page()[..8191]);
        assert!(!is_clean(data), "the page is cut off");
        write(&page());
        fs::remove_file(&control_file).unwrap();
        nix::unistd::mkfifo(&control_file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(!is_clean(data), "no control file");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            lengths in any::<[u8; 4]>(),
            file in any::<u32>(),
            offset in any::<u32>(),
        ) {
            last_checkpoint(&bytes);
            let mut bytes = bytes;
            let start = [&CONTROL_START[..], &[0; 16], &lengths].concat();
            bytes.splice(0..bytes.len().min(24), start);
            last_checkpoint(&bytes);
            let address = Address { file, offset };
            prop_assert!(!ends_with_empty_checkpoint(&page(), address) || (file & 0xFF_FFFF, offset) == (LAST.file, LAST.offset));
        }
    }
}
