//! Binary and relay logs: which key version each is encrypted with.
//!
//! ```text
//!  0  FE 62 69 6E
//!  4  events: time (4), type (1), server (4), length (4), next (4), flags (2), then by type;
//!     the first is the format description (15), in an encrypted file the second
//!     Start_encryption (164):
//! 19  scheme (1), key version (4), nonce (12)
//! ```
//!
//! Numbers are little endian, and the key is always key 1. An index file has a path on each line,
//! relative to the data directory where it is not absolute. Read in the server's source
//! (sql/log_event.h, sql/log.cc).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::durable::read;

const MAGIC: [u8; 4] = [0xFE, b'b', b'i', b'n'];

const HEAD: usize = 19;

const FORMAT_DESCRIPTION: u8 = 15;
const START_ENCRYPTION: u8 = 164;

/// A format description is some 250 bytes long.
const LONGEST_DESCRIPTION: u32 = 65_536;

/// The longest index that is read, in bytes: 100,000 logs.
const LONGEST_INDEX: u64 = 64 << 20;

/// What a binary log says of its encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryLog {
    /// Its events are in clear.
    Plain,
    /// They are encrypted with this version of key 1.
    Encrypted(u32),
}

/// What a binary or relay log says; `None` for what is none.
///
/// # Errors
/// It is not there, or cannot be read.
pub fn encryption_of(path: &Path) -> io::Result<Option<BinaryLog>> {
    let file = read::regular(path)?;
    let mut head = [0; 4 + HEAD];
    if !is_there(file.read_exact_at(&mut head, 0))?
        || !head.starts_with(&MAGIC)
        || head[8] != FORMAT_DESCRIPTION
    {
        return Ok(None);
    }
    let length = u32::from_le_bytes([head[13], head[14], head[15], head[16]]);
    if !(HEAD as u32..LONGEST_DESCRIPTION).contains(&length) {
        return Ok(None);
    }
    second_event(&file, 4 + u64::from(length)).map(Some)
}

fn second_event(file: &File, at: u64) -> io::Result<BinaryLog> {
    let mut event = [0; HEAD + 5];
    // A log that was only just begun.
    if !is_there(file.read_exact_at(&mut event, at))? || event[4] != START_ENCRYPTION {
        return Ok(BinaryLog::Plain);
    }
    let version = [event[HEAD + 1], event[HEAD + 2], event[HEAD + 3], event[HEAD + 4]];
    Ok(BinaryLog::Encrypted(u32::from_le_bytes(version)))
}

/// Whether so much could be read.
fn is_there(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The logs that an index file names, in its order; nothing where it is no such index.
///
/// # Errors
/// It is not there, or cannot be read.
pub fn logs_in(index: &Path, data_directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut text = Vec::new();
    read::regular(index)?.take(LONGEST_INDEX).read_to_end(&mut text)?;
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines
        .filter(|line| !line.contains(&0))
        // Without the `.` that the server writes.
        .map(|line| {
            data_directory
                .join(OsStr::from_bytes(line))
                .components()
                .collect()
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    /// An event of this type with this body.
    fn event(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (HEAD + body.len()) as u32;
        let mut event = vec![0; HEAD];
        event[4] = kind;
        event[9..13].copy_from_slice(&length.to_le_bytes());
        event.extend(body);
        event
    }

    fn log(second: &[u8]) -> Vec<u8> {
        [&MAGIC[..], &event(FORMAT_DESCRIPTION, &[7; 237]), second].concat()
    }

    fn encrypted() -> Vec<u8> {
        log(&event(
            START_ENCRYPTION,
            &[&[1, 3, 1, 0, 0][..], &[9; 12]].concat(),
        ))
    }

    fn read(bytes: &[u8]) -> Option<BinaryLog> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        encryption_of(file.path()).unwrap()
    }

    #[test]
    fn the_key_version_of_an_encrypted_log_is_found_and_a_plain_one_is_told_from_it() {
        assert_eq!(read(&encrypted()), Some(BinaryLog::Encrypted(259)));
        assert_eq!(read(&log(&event(163, &[0; 40]))), Some(BinaryLog::Plain));
        assert_eq!(read(&log(&[])), Some(BinaryLog::Plain));
        let all = encrypted();
        for length in 0..=all.len() {
            let expected = match length {
                0..23 => None,
                // The event is cut off.
                23..284 => Some(BinaryLog::Plain),
                _ => Some(BinaryLog::Encrypted(259)),
            };
            assert_eq!(read(&all[..length]), expected, "{length}");
        }
    }

    #[test]
    fn what_is_no_log_says_nothing() {
        let mut other = encrypted();
        other[8] = 2;
        assert_eq!(read(&other), None);
        let mut long = encrypted();
        long[13..17].fill(0xFF);
        assert_eq!(read(&long), None);
        assert_eq!(read(b"1;00112233445566778899aabbccddeeff\n"), None);
        let directory = tempfile::tempdir().unwrap();
        assert!(encryption_of(directory.path()).is_err());
        assert!(encryption_of(&directory.path().join("none")).is_err());
    }

    #[test]
    fn an_index_names_logs_beside_the_data_and_elsewhere() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "./a-bin.000001\n/logs/a-bin.000002\n\n").unwrap();
        let found = logs_in(file.path(), Path::new("/data")).unwrap();
        assert_eq!(
            found,
            [Path::new("/data/a-bin.000001"), Path::new("/logs/a-bin.000002")]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0..400_usize) {
            let file = tempfile::NamedTempFile::new().unwrap();
            for bytes in [bytes.clone(), [&encrypted()[..cut.min(271)], &bytes].concat()] {
                fs::write(file.path(), bytes).unwrap();
                let _ = encryption_of(file.path());
                let _ = logs_in(file.path(), Path::new("/data"));
            }
        }
    }
}
