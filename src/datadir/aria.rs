//! Which Aria tables are encrypted: their index files (`*.MAI`) say so in their headers.
//!
//! ```text
//! 0  FE FE 09      an index file of Aria
//! 6  length        of the header, 2 bytes, big endian
//!    ...           columns, keys
//!    01 14 ...     the last 22 bytes where encrypted: kind 1, length 20: space id (4), IV (16)
//! ```
//!
//! Read in the server's source (storage/maria/ma_crypt.c, ma_open.c); held against a real server's
//! tables by a test.

use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::durable::read;

const MAGIC: [u8; 3] = [0xFE, 0xFE, 0x09];

const LENGTH_AT: usize = 6;

const CRYPT_DATA_LENGTH: usize = 22;

/// Kind and length.
const CRYPT_DATA: [u8; 2] = [1, 20];

/// A header's length has two bytes.
const LONGEST_HEADER: u64 = 0xFFFF;

/// The index file of an encrypted Aria table in this data directory; `None` where there is none.
/// What cannot be read says nothing.
pub fn encrypted_table(directory: &Path) -> Option<PathBuf> {
    let databases = fs::read_dir(directory).ok()?.flatten();
    databases
        .flat_map(|database| fs::read_dir(database.path()).into_iter().flatten().flatten())
        .map(|table| table.path())
        .find(|path| path.as_os_str().as_bytes().ends_with(b".MAI") && is_encrypted_file(path))
}

fn is_encrypted_file(path: &Path) -> bool {
    let mut header = Vec::new();
    let read = read::regular(path).and_then(|file| file.take(LONGEST_HEADER).read_to_end(&mut header));
    read.is_ok() && is_encrypted(&header)
}

/// Whether an index file that begins so is that of an encrypted table.
pub fn is_encrypted(header: &[u8]) -> bool {
    let Some(&[high, low]) = header.get(LENGTH_AT..).and_then(<[u8]>::first_chunk) else {
        return false;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let crypt_data = length
        .checked_sub(CRYPT_DATA_LENGTH)
        .and_then(|at| header.get(at..length));
    header.starts_with(&MAGIC) && crypt_data.is_some_and(|data| data.starts_with(&CRYPT_DATA))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(length: u16, crypt_data: &[u8]) -> Vec<u8> {
        let mut header = vec![0; usize::from(length)];
        header[..3].copy_from_slice(&MAGIC);
        header[6..8].copy_from_slice(&length.to_be_bytes());
        let at = header.len() - crypt_data.len();
        header[at..].copy_from_slice(crypt_data);
        header.extend([0; 100]);
        header
    }

    fn crypt_data() -> Vec<u8> {
        [&[1, 20][..], &[0xAB; 20]].concat()
    }

    #[test]
    fn an_encrypted_table_is_told_from_a_plain_one() {
        assert!(is_encrypted(&header(394, &crypt_data())));
        assert!(!is_encrypted(&header(394, &[0; 22])));
        let mut other = header(394, &crypt_data());
        other[2] = 8;
        assert!(!is_encrypted(&other));
        let short = header(394, &crypt_data());
        for length in 0..394 {
            assert!(!is_encrypted(&short[..length]), "{length}");
        }
    }

    #[test]
    fn a_data_directory_is_searched_one_folder_deep_and_other_files_say_nothing() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(encrypted_table(directory.path()), None);
        assert_eq!(encrypted_table(&directory.path().join("none")), None);
        for (name, bytes) in [
            ("d/plain.MAI", header(394, &[0; 22])),
            ("d/empty.MAI", Vec::new()),
            ("d/t.MAD", header(394, &crypt_data())),
            ("aria_log_control", header(394, &crypt_data())),
        ] {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        nix::unistd::mkfifo(
            &directory.path().join("d/pipe.MAI"),
            nix::sys::stat::Mode::S_IRWXU,
        )
        .unwrap();
        assert_eq!(encrypted_table(directory.path()), None);
        let path = directory.path().join("d/t.MAI");
        fs::write(&path, header(546, &crypt_data())).unwrap();
        assert_eq!(encrypted_table(directory.path()), Some(path));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), length in any::<u16>()) {
            is_encrypted(&bytes);
            let mut bytes = bytes;
            bytes.splice(0..bytes.len().min(8), [0xFE, 0xFE, 9, 1, 0, 0, (length >> 8) as u8, length as u8]);
            is_encrypted(&bytes);
        }
    }
}
