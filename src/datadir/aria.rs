//! Which Aria tables are encrypted: their index files (`*.MAI`) say so in their headers.
//!
//! ```text
//! 0  FE FE 09      an index file of Aria
//! 6  length        of the header, 2 bytes, big endian
//! 24 in use        2 bytes, not 0 from a table's first change to its closing
//!    ...           columns, keys
//!    01 14 ...     the last 22 bytes where encrypted: kind 1, length 20: space id (4), IV (16)
//! ```
//!
//! Read in the server's source (storage/maria: ma_crypt.c, ma_open.c, ma_locking.c); held against a
//! real server's tables by a test.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::durable::read;

const MAGIC: [u8; 3] = [0xFE, 0xFE, 0x09];

const LENGTH_AT: usize = 6;

const IN_USE_AT: usize = 24;

const CRYPT_DATA_LENGTH: usize = 22;

/// Kind and length.
const CRYPT_DATA: [u8; 2] = [1, 20];

/// A header's length has two bytes.
const LONGEST_HEADER: u64 = 0xFFFF;

/// What an index file tells of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// It is not encrypted.
    Plain,
    /// It is encrypted, and was closed.
    Encrypted,
    /// It is encrypted, and was not closed after it had been changed.
    EncryptedInUse,
    /// The file cannot be read, or does not begin as one does: the table may be encrypted.
    Unreadable,
}

/// The index files in this data directory, with what each tells of its table. A folder that cannot
/// be read stands for its tables, but for one that this user may not read (`lost+found`).
pub fn tables(directory: &Path) -> impl Iterator<Item = (PathBuf, Table)> {
    entries(directory.into()).flat_map(|database| match database {
        Entry::Unreadable(path) => vec![(path, Table::Unreadable)],
        // No database begins with a point; snapshots of file systems do.
        Entry::Of(path) if name_of(&path).starts_with(b".") => Vec::new(),
        Entry::Of(path) => entries(path).filter_map(table).collect(),
    })
}

fn table(entry: Entry) -> Option<(PathBuf, Table)> {
    match entry {
        Entry::Unreadable(path) => Some((path, Table::Unreadable)),
        Entry::Of(path) if name_of(&path).ends_with(b".MAI") => {
            let table = table_of(&path)?;
            Some((path, table))
        }
        Entry::Of(_) => None,
    }
}

/// What is in a folder, or a folder that cannot be read.
enum Entry {
    Of(PathBuf),
    Unreadable(PathBuf),
}

fn entries(folder: PathBuf) -> impl Iterator<Item = Entry> {
    const NONE: [ErrorKind; 3] = [
        ErrorKind::NotADirectory,
        ErrorKind::NotFound,
        ErrorKind::PermissionDenied,
    ];
    let (entries, unreadable) = match fs::read_dir(&folder) {
        Ok(entries) => (Some(entries), None),
        Err(error) if NONE.contains(&error.kind()) => (None, None),
        Err(_) => (None, Some(Entry::Unreadable(folder.clone()))),
    };
    let entries = entries.into_iter().flatten().map(move |entry| match entry {
        Ok(entry) => Entry::Of(entry.path()),
        Err(_) => Entry::Unreadable(folder.clone()),
    });
    entries.chain(unreadable)
}

fn name_of(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_bytes()
}

/// `None` where the table was dropped meanwhile.
fn table_of(path: &Path) -> Option<Table> {
    match header(path) {
        Ok(header) => Some(table_in(&header)),
        // A link that leads nowhere is still there.
        Err(_) => fs::symlink_metadata(path).is_ok().then_some(Table::Unreadable),
    }
}

fn header(path: &Path) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    read::regular(path)?
        .take(LONGEST_HEADER)
        .read_to_end(&mut header)?;
    Ok(header)
}

/// What an index file that begins so tells.
pub fn table_in(header: &[u8]) -> Table {
    let two = |at: usize| header.get(at..)?.first_chunk().copied();
    let (Some(length), Some(in_use)) = (two(LENGTH_AT), two(IN_USE_AT)) else {
        return Table::Unreadable;
    };
    let length = usize::from(u16::from_be_bytes(length));
    let crypt_data = length
        .checked_sub(CRYPT_DATA_LENGTH)
        .and_then(|at| header.get(at..length));
    match crypt_data.filter(|_| header.starts_with(&MAGIC)) {
        None => Table::Unreadable,
        Some(data) if !data.starts_with(&CRYPT_DATA) => Table::Plain,
        Some(_) if in_use == [0, 0] => Table::Encrypted,
        Some(_) => Table::EncryptedInUse,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn header(length: u16, crypt_data: &[u8]) -> Vec<u8> {
        let mut header = vec![0; usize::from(length)];
        header[..3].copy_from_slice(&MAGIC);
        header[6..8].copy_from_slice(&length.to_be_bytes());
        let at = header.len() - crypt_data.len();
        header[at..].copy_from_slice(crypt_data);
        header.extend([0; 100]);
        header
    }

    pub(crate) fn crypt_data() -> Vec<u8> {
        [&[1, 20][..], &[0xAB; 20]].concat()
    }

    #[test]
    fn an_encrypted_table_is_told_from_a_plain_one_and_from_what_is_none() {
        let good = header(394, &crypt_data());
        assert_eq!(table_in(&good), Table::Encrypted);
        assert_eq!(table_in(&header(394, &[0; 22])), Table::Plain);
        for at in [24, 25] {
            let mut in_use = good.clone();
            in_use[at] = 1;
            assert_eq!(table_in(&in_use), Table::EncryptedInUse);
        }
        let mut other = good.clone();
        other[2] = 8;
        assert_eq!(table_in(&other), Table::Unreadable);
        for length in 0..394 {
            assert_eq!(table_in(&good[..length]), Table::Unreadable, "{length}");
        }
    }

    #[test]
    fn a_data_directory_is_searched_one_folder_deep() {
        let directory = tempfile::tempdir().unwrap();
        let all = || tables(directory.path()).collect::<Vec<_>>();
        assert_eq!(all(), []);
        assert_eq!(tables(&directory.path().join("none")).count(), 0);
        for (name, bytes) in [
            ("d/plain.MAI", header(394, &[0; 22])),
            ("d/t.MAD", header(394, &crypt_data())),
            ("d/deeper/t.MAI", header(394, &crypt_data())),
            (".snapshot/t.MAI", header(394, &crypt_data())),
            ("t.MAI", header(394, &crypt_data())),
        ] {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let plain = directory.path().join("d/plain.MAI");
        assert_eq!(all(), [(plain.clone(), Table::Plain)]);
        fs::write(&plain, header(546, &crypt_data())).unwrap();
        assert_eq!(all(), [(plain, Table::Encrypted)]);
    }

    #[test]
    fn what_cannot_be_read_may_be_an_encrypted_table_and_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        fs::create_dir(data.join("d")).unwrap();
        let path = data.join("d/t.MAI");
        let makes: [fn(&Path); 4] = [
            |path| fs::write(path, []).unwrap(),
            |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            |path| fs::create_dir(path).unwrap(),
            |path| std::os::unix::fs::symlink("nowhere", path).unwrap(),
        ];
        for make in makes {
            make(&path);
            let found: Vec<_> = tables(data).collect();
            assert_eq!(found, [(path.clone(), Table::Unreadable)]);
            fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
        }
        // A folder that cannot be read, by whichever user: a link to itself.
        std::os::unix::fs::symlink("loop", data.join("loop")).unwrap();
        let found: Vec<_> = tables(data).collect();
        assert_eq!(found, [(data.join("loop"), Table::Unreadable)]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), length in any::<u16>()) {
            table_in(&bytes);
            let mut bytes = bytes;
            bytes.splice(0..bytes.len().min(8), [0xFE, 0xFE, 9, 1, 0, 0, (length >> 8) as u8, length as u8]);
            table_in(&bytes);
        }
    }
}
