//! The header of InnoDB's redo log, `ib_logfile0`: which key version the log goes on under.
//!
//! ```text
//!  0  "Phys"         a redo log of MariaDB 10.8 or later, encrypted where there is a key id
//!     F0 9F 97 9D    an encrypted one, of servers since MDEV-36024
//! 48  key id, key version (4 each), 16 bytes of which the log's key is made, nonce (4)
//! ```
//!
//! Up to 10.7 the version stands in each block of 512 bytes instead:
//!
//! ```text
//!    0  D0 48 59 53  an encrypted one ("PHYS" with its highest bit set)
//! from 2,048 on, in each block
//!  504  key version, 4 bytes, of key 1; 0 where nothing was written yet
//! ```
//!
//! Numbers are big endian. The server takes the version from here at each start, and writes another
//! one only where it makes the log anew; a server since MDEV-36024 does that with an encrypted
//! "Phys". Every other format is made anew at a start, or, before 10.8, takes the latest version at
//! a checkpoint. (Read in the server's source, storage/innobase: log/log0crypt.cc,
//! log/log0recv.cc, srv/srv0start.cc.)

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::durable::read;
use crate::keys::KeyName;

const FORMATS: [[u8; 4]; 2] = [[0xF0, 0x9F, 0x97, 0x9D], *b"Phys"];

/// Of an encrypted redo log of 10.5 to 10.7.
const FORMAT_OF_BLOCKS: [u8; 4] = [0xD0, b'H', b'Y', b'S'];

/// The first of its blocks.
const FIRST_BLOCK: u64 = 2048;

const KEY_AT: usize = 48;

const LENGTH: usize = KEY_AT + 8;

/// Where the redo log of this data directory is, unless `innodb_log_group_home_dir` names another
/// one.
pub fn path(directory: &Path) -> PathBuf {
    directory.join("ib_logfile0")
}

/// The key version that a server goes on to encrypt this redo log with; `None` where the log is not
/// encrypted, or every server makes it anew.
///
/// Not for a running server's file: who closes it takes InnoDB's lock off it.
///
/// # Errors
/// The file is not there, or cannot be read.
pub fn key_of(path: &Path) -> io::Result<Option<KeyName>> {
    let file: File = read::regular(path)?;
    let mut header = [0; LENGTH];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => Ok(key_in(&header)),
        // A file that an interrupted start has left.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// The key versions that a redo log names: of its header, or before 10.8 of each block, old ones
/// among them. Empty where the log is not encrypted; one of a server before MDEV-36024 counts,
/// although a later server makes it anew.
///
/// # Errors
/// The file is not there, or cannot be read.
pub fn versions_in(path: &Path) -> io::Result<BTreeSet<KeyName>> {
    let file = read::regular(path)?;
    let mut header = [0; LENGTH];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) if header.starts_with(&FORMAT_OF_BLOCKS) => versions_of_blocks(file),
        Ok(()) => Ok(key_in(&header).into_iter().collect()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

fn versions_of_blocks(mut file: File) -> io::Result<BTreeSet<KeyName>> {
    file.seek(SeekFrom::Start(FIRST_BLOCK))?;
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut block = [0; 512];
    let mut found = BTreeSet::new();
    loop {
        match file.read_exact(&mut block) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(found),
            Err(error) => return Err(error),
        }
        let version = u32::from_be_bytes([block[504], block[505], block[506], block[507]]);
        if version != 0 {
            found.insert(KeyName { id: 1, version });
        }
    }
}

fn key_in(header: &[u8; LENGTH]) -> Option<KeyName> {
    let number = |at: usize| {
        let bytes = header.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    };
    let name = KeyName {
        id: number(KEY_AT)?,
        version: number(KEY_AT + 4)?,
    };
    let is_such = FORMATS.iter().any(|format| header.starts_with(format));
    (is_such && name.id != 0).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn header(format: [u8; 4]) -> Vec<u8> {
        let mut header = vec![0; 12_288];
        header[..4].copy_from_slice(&format);
        header[48..56].copy_from_slice(&[0, 0, 0, 1, 0, 0, 1, 3]);
        header
    }

    fn read(bytes: &[u8]) -> io::Result<Option<KeyName>> {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path());
        fs::write(&path, bytes).unwrap();
        key_of(&path)
    }

    #[test]
    fn the_key_version_of_an_encrypted_redo_log_is_found() {
        let name = KeyName { id: 1, version: 259 };
        for format in FORMATS {
            assert_eq!(read(&header(format)).unwrap(), Some(name));
            assert_eq!(read(&header(format)[..LENGTH]).unwrap(), Some(name));
        }
    }

    #[test]
    fn a_redo_log_that_is_plain_of_another_format_or_cut_off_names_none() {
        for format in [*b"PHYS", *b"\xd0hys", *b"\xd0HYS", [0; 4]] {
            assert_eq!(read(&header(format)).unwrap(), None, "{format:?}");
        }
        for format in FORMATS {
            assert_eq!(read(&header(format)[..LENGTH - 1]).unwrap(), None);
            let mut plain = header(format);
            plain[48..52].fill(0);
            assert_eq!(read(&plain).unwrap(), None, "{format:?}");
        }
        assert_eq!(read(b"").unwrap(), None);
    }

    #[test]
    fn each_block_of_an_older_redo_log_names_its_version() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path());
        let versions = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let found = versions_in(&path).unwrap();
            found
                .iter()
                .map(|name| (name.id, name.version))
                .collect::<Vec<_>>()
        };
        let mut log = vec![0; 2048 + 4 * 512];
        log[..4].copy_from_slice(&FORMAT_OF_BLOCKS);
        assert_eq!(versions(&log), []);
        for (block, version) in [(0, 1_u32), (1, 3), (3, 1)] {
            let at = 2048 + block * 512 + 504;
            log[at..at + 4].copy_from_slice(&version.to_be_bytes());
        }
        assert_eq!(versions(&log), [(1, 1), (1, 3)]);
        assert_eq!(versions(&log[..2048 + 511]), []);
        log[0] = b'P';
        assert_eq!(versions(&log), []);
        assert_eq!(versions(&header(FORMATS[0])), [(1, 259)]);
        assert_eq!(versions(&header(*b"PHYS")), []);
        assert_eq!(versions(b""), []);
    }

    #[test]
    fn what_is_not_there_or_no_file_is_an_error_and_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path());
        assert_eq!(key_of(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(key_of(&path).is_err());
    }
}
