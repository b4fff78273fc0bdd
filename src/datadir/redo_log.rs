//! The header of InnoDB's redo log, `ib_logfile0`: which key version the log goes on under.
//!
//! ```text
//!  0  "Phys"         a redo log of MariaDB 10.8 or later, encrypted where there is a key id
//!     F0 9F 97 9D    an encrypted one, of servers since MDEV-36024
//! 48  key id, key version (4 each), 16 bytes of which the log's key is made, nonce (4)
//! ```
//!
//! Numbers are big endian. The server takes the version from here at each start, and writes another
//! one only where it makes the log anew; a server since MDEV-36024 does that with an encrypted
//! "Phys". Every other format is made anew at a start, or, before 10.8, takes the latest version at
//! a checkpoint. (Read in the server's source, storage/innobase: log/log0crypt.cc,
//! log/log0recv.cc, srv/srv0start.cc.)

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::durable::read;
use crate::keys::KeyName;

const FORMATS: [[u8; 4]; 2] = [[0xF0, 0x9F, 0x97, 0x9D], *b"Phys"];

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
    fn what_is_not_there_or_no_file_is_an_error_and_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path());
        assert_eq!(key_of(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(key_of(&path).is_err());
    }
}
