//! `--cnf`: an option file that gets the lines for a key store, whole or not at all.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use keyroll::durable::replace::{Previous, Replacement};
use keyroll::durable::{FileError, FileKind, lock, read, replace};
use keyroll::secret::SecretBytes;
use keyroll::settings::{PREFIX, ServerOption};
use nix::unistd::{AccessFlags, access};

use crate::failure::Failure;

/// What an option file is to those who look after it.
static KIND: FileKind = FileKind {
    name: "option file",
    size_limit: 1024 * 1024,
    when_too_large: "give --cnf another file",
    replace_as_root: None,
    when_not_put_back: "the new lines",
};

/// The settings that name a key store, without their prefix.
const NAMES: [&str; 4] = ["filename", "keystore", "vault_url", "master_key_id"];

/// The mode of a new file: the server's user must be able to read it.
const MODE: u32 = 0o644;

/// An option file that has the lines, or will have them.
pub(crate) struct CnfFile<'a> {
    pub(crate) path: &'a Path,
    lines: &'a [u8],
    /// Whether it names this very store.
    pub(crate) has_them: bool,
}

impl<'a> CnfFile<'a> {
    /// Looks into the file; writes nothing.
    ///
    /// # Errors
    /// It names another key store than these lines; it cannot be read, or not be written.
    pub(crate) fn open(path: &'a Path, lines: &'a [u8]) -> Result<CnfFile<'a>, Failure> {
        let has_them = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            _ => {
                let file = read::open_regular(path)?;
                has(read::whole(&file, path, &KIND)?.expose(), lines).map_err(|line| {
                    let path = path.into();
                    Failure::NamesAnotherStore { path, line }
                })?
            }
        };
        if !has_them {
            may_write_beside(path)?;
        }
        Ok(CnfFile {
            path,
            lines,
            has_them,
        })
    }

    /// Adds the lines at its end, durably, unless it names this very store; whether it did. A file
    /// that is not there is made; one that is keeps its owner and mode. The key store is made by
    /// then, and errors say so.
    pub(crate) fn write(&self) -> Result<bool, Failure> {
        if self.has_them {
            return Ok(false);
        }
        let not_written = |source| Failure::NotInOptionFile {
            path: self.path.into(),
            source,
        };
        let path = make_if_missing(self.path).map_err(not_written)?;
        let file = lock::exclusive(&path, &KIND, lock::TIMEOUT).map_err(not_written)?;
        let old = read::whole(&file, &path, &KIND).map_err(not_written)?;
        let has_them = has(old.expose(), self.lines).map_err(|line| {
            let path = self.path.into();
            Failure::NamesAnotherStoreNow { path, line }
        })?;
        if has_them {
            return Ok(false);
        }
        // The file may hold passwords.
        let mut new = SecretBytes::with_capacity(old.expose().len() + self.lines.len());
        new.expose_mut().extend_from_slice(old.expose());
        new.expose_mut().extend_from_slice(self.lines);
        let replacement = Replacement {
            path: &path,
            kind: &KIND,
            locked: &file,
            old: old.expose(),
            new: new.expose(),
            previous: Previous::None,
        };
        replace::replace(&replacement, || read_back(&path, new.expose())).map_err(not_written)?;
        Ok(true)
    }
}

/// Before a key store is made whose lines cannot be written.
fn may_write_beside(path: &Path) -> Result<(), Failure> {
    let path = path.canonicalize().unwrap_or(path.into());
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    access(folder, AccessFlags::W_OK).map_err(|source| Failure::OptionFileFolder {
        path: folder.into(),
        source,
    })
}

/// Whether the text names the store that the lines name; of another store, the line that names it.
fn has(text: &[u8], lines: &[u8]) -> Result<bool, usize> {
    let meant: Vec<_> = stores(lines).map(|(_, name, value)| (name, value)).collect();
    let mut has_it = false;
    for (line, name, value) in stores(text) {
        if !meant.contains(&(name, value)) {
            return Err(line);
        }
        has_it = true;
    }
    Ok(has_it)
}

/// The lines that name a key store in any group: their numbers, the settings and the values.
fn stores(text: &[u8]) -> impl Iterator<Item = (usize, String, Vec<u8>)> {
    let lines = text.split(|&byte| byte == b'\n').enumerate();
    lines.filter_map(|(index, line)| {
        let mut parts = line.splitn(2, |&byte| byte == b'=');
        let name = parts.next().unwrap_or_default().trim_ascii().to_vec();
        let value = parts.next().unwrap_or_default().trim_ascii().to_vec();
        let option = ServerOption { name, value: None };
        let (name, _) = option.meaning()?;
        let name = name.strip_prefix(PREFIX)?;
        NAMES.contains(&name).then(|| (index + 1, name.to_owned(), value))
    })
}

/// The file that the path names, behind symbolic links. An empty option file, which a crash may
/// leave, says nothing.
fn make_if_missing(path: &Path) -> Result<PathBuf, FileError> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(FileError::FileNotFound {
            path: path.into(),
            source: error,
        }),
        _ => read::resolve(path),
    }
}

fn read_back(path: &Path, meant: &[u8]) -> Result<(), FileError> {
    let file = read::open_regular(path)?;
    let found: SecretBytes = read::whole(&file, path, &KIND)?;
    match found.expose() == meant {
        true => Ok(()),
        false => Err(FileError::NotAsWritten { path: path.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_as_the_server_would_understand_it() {
        let named = |text: &str| stores(text.as_bytes()).map(|(line, ..)| line).collect::<Vec<_>>();
        for text in [
            "keyroll_keystore=/k",
            "\n[mariadb]\n loose-keyroll-filename = /k",
            "KEYROLL_VAULT_URL=u",
        ] {
            assert_eq!(named(text), [text.lines().count()], "{text}");
        }
        for text in [
            "#keyroll_keystore=/k",
            "keyroll_master_key=file:/m",
            "plugin_load_add = keyroll",
            "",
        ] {
            assert!(named(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn the_same_store_is_no_other_one() {
        let lines = b"[mariadb]\nkeyroll_keystore = /k\nkeyroll_master_key = file:/m\n";
        assert_eq!(has(b"[mysqld]\nkeyroll-keystore=/k\n", lines), Ok(true));
        assert_eq!(has(b"[mysqld]\nport=3306\n", lines), Ok(false));
        assert_eq!(has(b"keyroll_keystore=/other\n", lines), Err(1));
        assert_eq!(has(b"\nkeyroll_filename=/k\n", lines), Err(2));
    }

    #[test]
    fn a_file_that_names_another_store_meanwhile_is_left_and_the_store_is_said_to_be_made() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("my.cnf");
        let cnf = CnfFile::open(&path, b"keyroll_keystore = /k\n").unwrap();
        std::fs::write(&path, "keyroll_keystore = /other\n").unwrap();
        let error = cnf.write().unwrap_err();
        let said = error.to_string();
        assert!(said.starts_with("the key store is made, but "), "{said}");
        assert!(said.contains("my.cnf:1 names another key store"), "{said}");
        assert!(error.hint().contains("once more with --if-missing"));
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "keyroll_keystore = /other\n"
        );
    }
}
