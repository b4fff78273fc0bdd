//! A new password file with a fresh random password.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::Path;

use zeroize::Zeroizing;

/// The password's strength, in bytes: as much as the AES-256 key that is made from it.
const RANDOM_LENGTH: usize = 32;

/// Makes the file with a random password in hexadecimal digits and a line feed, readable by its owner alone, and
/// returns when it is durable. `false` if there is such a file already, which is left as it is.
pub(crate) fn create_if_missing(path: &Path, owner: Option<(u32, u32)>) -> io::Result<bool> {
    let file = match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        opened => opened?,
    };
    fill(file, owner)
        .and_then(|()| sync_folder_of(path))
        .inspect_err(|_| {
            // Nothing is encrypted with it yet, and half a password must not be taken for one later.
            let _ = fs::remove_file(path);
        })?;
    Ok(true)
}

fn fill(mut file: File, owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut random = Zeroizing::new([0; RANDOM_LENGTH]);
    getrandom::fill(&mut *random).map_err(io::Error::other)?;
    let mut line = Zeroizing::new([b'\n'; RANDOM_LENGTH * 2 + 1]);
    hex::encode_to_slice(&random[..], &mut line[..RANDOM_LENGTH * 2]).map_err(io::Error::other)?;
    if let Some((user, group)) = owner {
        fchown(&file, Some(user), Some(group))?;
    }
    file.write_all(&line[..])?;
    file.sync_all()
}

/// Makes the file's name durable.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
