//! A new password file with a fresh random password.

use std::path::Path;

use keyroll::durable::{FileError, FileKind, lock, read, replace};
use keyroll::store::StoreError;
use zeroize::Zeroizing;

use crate::owner::Owner;

/// The password's strength, in bytes: as much as the AES-256 key that is made from it.
const RANDOM_LENGTH: usize = 32;

static KIND: FileKind = FileKind {
    name: "password file",
    size_limit: 4096,
    when_too_large: "it holds one line",
    replace_as_root: None,
    when_not_put_back: "a password that nothing is encrypted with",
};

/// Makes the file with a random password in hexadecimal digits and a line feed, readable by its
/// owner alone, and returns when it is durable. `false` if there is such a file already, which is
/// left as it is: half a password, which a crash might leave, would be taken for one.
pub(crate) fn create_if_missing(path: &Path, owner: Option<Owner>) -> Result<bool, StoreError> {
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    let mut random = Zeroizing::new([0; RANDOM_LENGTH]);
    getrandom::fill(&mut *random).map_err(StoreError::NoRandomBytes)?;
    let mut line = Zeroizing::new([b'\n'; RANDOM_LENGTH * 2 + 1]);
    hex::encode_to_slice(&random[..], &mut line[..RANDOM_LENGTH * 2])
        .unwrap_or_else(|_| unreachable!("a byte has two digits"));
    match replace::create(path, &KIND, &line[..], owner, lock::TIMEOUT, || {
        read_back(path, &line[..])
    }) {
        Ok(()) => Ok(true),
        Err(FileError::FileExists { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn read_back(path: &Path, line: &[u8]) -> Result<(), FileError> {
    let file = read::open_regular(path)?;
    match read::whole(&file, path, &KIND)?.expose() == line {
        true => Ok(()),
        false => Err(FileError::NotAsWritten { path: path.into() }),
    }
}
