//! The key files of aws_key_management, to be imported: `aws-kms-key.ID.VERSION`, each one data key
//! as AWS KMS has encrypted it, without a context.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::durable::{FileError, read};
use crate::master_key::{Provider, ProviderOptions};
use crate::secret::DataKey;
use crate::service::aws::{AwsError, Kms};
use crate::service::{ErrorKind, ServiceError};

/// What the names of the files begin with.
const PREFIX: &str = "aws-kms-key.";

/// The most bytes that one of the files may have. KMS limits a ciphertext to 6,144 bytes.
const SIZE_LIMIT: u64 = 6144;

/// One of the files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the fields say what they hold")]
pub struct DataKeyFile {
    pub id: u32,
    pub version: u32,
    pub path: PathBuf,
}

/// The files in this directory, in the order of their ids and versions.
pub fn find(directory: &Path) -> io::Result<Vec<DataKeyFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(key_name);
        if let Some((id, version)) = name {
            found.push(DataKeyFile { id, version, path });
        }
    }
    found.sort();
    Ok(found)
}

/// Id and version out of the name of a file, as the peer writes them.
fn key_name(name: &str) -> Option<(u32, u32)> {
    let (id, version) = name.strip_prefix(PREFIX)?.split_once('.')?;
    let number = |digits: &str| {
        let is_number = digits.bytes().all(|c| c.is_ascii_digit()) && !digits.starts_with('0');
        digits.parse().ok().filter(|_| is_number)
    };
    Some((number(id)?, number(version)?))
}

/// Versions in a row that have no file, though a file shows that there were such versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields say what they hold")]
pub enum Gap {
    /// There is no file of this key at all.
    Key(u32),
    /// The first and the last of the versions.
    Versions {
        id: u32,
        /// The lowest version without a file.
        first: u32,
        /// The highest one, below a version that has a file.
        last: u32,
    },
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Gap::Key(id) => write!(f, "key {id}"),
            Gap::Versions { id, first, last } if first == last => write!(f, "version {first} of key {id}"),
            Gap::Versions { id, first, last } => write!(f, "versions {first} to {last} of key {id}"),
        }
    }
}

/// What these files, in the order of [`find`], show to be missing: key 1, which the peer makes
/// first, and versions below others of the same key, which the peer counts from 1 without a gap.
/// That the latest versions are missing shows nowhere.
pub fn gaps(files: &[DataKeyFile]) -> Vec<Gap> {
    const SYSTEM_DATA: u32 = 1;
    let mut found = Vec::new();
    if files.first().is_none_or(|file| file.id != SYSTEM_DATA) {
        found.push(Gap::Key(SYSTEM_DATA));
    }
    let mut before = None;
    for &DataKeyFile { id, version, .. } in files {
        let expected = match before {
            Some((same, latest)) if same == id => latest + 1,
            _ => 1,
        };
        if version > expected {
            found.push(Gap::Versions {
                id,
                first: expected,
                last: version - 1,
            });
        }
        before = Some((id, version));
    }
    found
}

/// Decrypts the files of a directory. The KMS key of the settings is for messages alone: each file
/// names the one that made it.
pub struct DataKeyReader(Kms);

impl DataKeyReader {
    /// A reader with the credentials and the endpoint that a provider of master keys would be
    /// opened with; reads and asks nothing yet. A master key in KMS says in which region KMS is
    /// asked.
    pub fn new(master_key: &str, options: &ProviderOptions) -> Result<DataKeyReader, String> {
        let key = match Provider::of(master_key) {
            Some((provider, key)) if provider.scheme == "aws-kms" => key,
            _ => "alias/any",
        };
        let (environment, timeout) = (&options.environment, options.request_timeout);
        Kms::new(key, environment, timeout, options.notify.clone()).map(DataKeyReader)
    }

    /// The data key in a file, which stays. KMS is asked once.
    pub fn read(&self, file: &DataKeyFile) -> Result<DataKey, NoDataKey> {
        let path = &file.path;
        let damaged = |reason: &str| NoDataKey::Damaged {
            path: path.clone(),
            reason: reason.into(),
        };
        let bytes = read::up_to(&read::open_regular(path)?, path, SIZE_LIMIT)?;
        let ciphertext = bytes.ok_or_else(|| damaged("it is longer than any ciphertext of AWS KMS"))?;
        if ciphertext.expose().is_empty() {
            return Err(damaged("it is empty"));
        }
        let plaintext = self.0.decrypt(ciphertext.expose(), None, &[]);
        let plaintext = plaintext.map_err(|error| match (&error, error.kind()) {
            // No KMS key was named and no context, so that nothing but the file can be wrong.
            (AwsError::Answered(answer), _) if answer.name.starts_with("InvalidCiphertext") => {
                damaged(&error.to_string())
            }
            // KMS does not tell whether the key that the file names is there.
            (_, ErrorKind::WrongKey) => NoDataKey::NotOpened {
                path: path.clone(),
                error: Box::new(error),
            },
            _ => NoDataKey::Service {
                path: path.clone(),
                error: Box::new(error),
            },
        })?;
        DataKey::new(plaintext.expose())
            .ok_or_else(|| damaged("what AWS KMS decrypts of it has not 16, 24 or 32 bytes"))
    }
}

/// Why a file gives no data key.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they hold")]
pub enum NoDataKey {
    #[error("{} is damaged: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error(
        "{} is damaged, or was encrypted with a KMS key that these credentials cannot use in this region: {error}",
        path.display()
    )]
    NotOpened {
        path: PathBuf,
        error: Box<dyn ServiceError>,
    },
    #[error("cannot decrypt {}: {error}", path.display())]
    Service {
        path: PathBuf,
        error: Box<dyn ServiceError>,
    },
    #[error(transparent)]
    File(#[from] FileError),
}

impl NoDataKey {
    /// What a DBA can do about it.
    pub fn hint(&self) -> String {
        match self {
            NoDataKey::Damaged { .. } => "bring the file back from a backup of that data directory".into(),
            NoDataKey::NotOpened { .. } => {
                "see that account, region and KMS key are those that aws_key_management had; if they are, \
                                            bring the file back from a backup of that data directory"
                    .into()
            }
            NoDataKey::Service { error, .. } => error.hint(),
            NoDataKey::File(error) => error.hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_files_are_found_by_their_names() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "aws-kms-key.10.1",
            "aws-kms-key.2.2",
            "aws-kms-key.2.1",
            "aws-kms-key.4294967295.1",
            "aws-kms-key.1",
            "aws-kms-key.1.x",
            "aws-kms-key.01.1",
            "aws-kms-key.1.1.tmp",
            "aws-kms-key.4294967296.1",
            "ibdata1",
            "aws-kms-key.+1.1",
            "aws-kms-key..1",
            "aws-kms-key.0.1",
        ] {
            fs::write(directory.path().join(name), "x").unwrap();
        }
        let found = find(directory.path()).unwrap();
        let names: Vec<_> = found.iter().map(|file| (file.id, file.version)).collect();
        assert_eq!(names, [(2, 1), (2, 2), (10, 1), (4_294_967_295, 1)]);
    }

    #[test]
    fn versions_that_the_peer_must_have_had_and_that_have_no_file_are_named() {
        let gaps_of = |names: &[(u32, u32)]| {
            let files: Vec<_> = names
                .iter()
                .map(|&(id, version)| DataKeyFile {
                    id,
                    version,
                    path: PathBuf::new(),
                })
                .collect();
            gaps(&files).iter().map(Gap::to_string).collect::<Vec<_>>()
        };
        assert_eq!(gaps_of(&[(1, 1), (1, 2), (2, 1), (9, 1)]), [""; 0]);
        assert_eq!(gaps_of(&[(1, 1), (1, 3)]), ["version 2 of key 1"]);
        assert_eq!(gaps_of(&[(2, 1)]), ["key 1"]);
        assert_eq!(
            gaps_of(&[(1, 2), (7, 4_294_967_295)]),
            ["version 1 of key 1", "versions 1 to 4294967294 of key 7"]
        );
        assert_eq!(
            gaps_of(&[(1, 1), (1, 4), (1, 5), (1, 7)]),
            ["versions 2 to 3 of key 1", "version 6 of key 1"]
        );
        assert_eq!(
            gaps_of(&[(1, 4_294_967_295), (2, 2)]),
            ["versions 1 to 4294967294 of key 1", "version 1 of key 2"]
        );
    }
}
