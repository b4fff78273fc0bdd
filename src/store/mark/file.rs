//! The file in the data directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Mark, MarkError};
use crate::durable::{FileError, FileKind, put, read, replace};

/// Its name in the data directory.
pub const FILE_NAME: &str = "keyroll.mark";

/// What it is to those who look after files.
pub const KIND: FileKind = FileKind {
    name: "mark",
    size_limit: 256 * 1024 * 1024,
    when_too_large: "a mark lists every key version in less than 60 bytes",
    replace_as_root: None,
    when_not_put_back: "versions that the key store holds, which does no harm",
};

/// A mark in a data directory. One server alone writes it: the one that works on the data.
#[derive(Debug)]
pub struct MarkFile {
    path: PathBuf,
    mark: Mark,
    /// What the file holds, if it is there.
    written: Option<Mark>,
}

impl MarkFile {
    /// Reads the mark of this data directory; one that is not there knows nothing.
    pub fn read(data_directory: &Path) -> Result<MarkFile, MarkError> {
        let path = data_directory.join(FILE_NAME);
        let file = match read::open_regular(&path) {
            Err(FileError::FileNotFound { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(MarkFile::without_file(path));
            }
            file => file?,
        };
        let bytes = read::whole(&file, &path, &KIND)?;
        let mark = match Mark::parse(bytes.expose()) {
            Ok(mark) => mark,
            Err(source) => return Err(MarkError::Unreadable { path, source }),
        };
        // What is in it already is not written again, and whoever wrote it may have been killed
        // before it was durable.
        replace::settle(&file, &path)?;
        Ok(MarkFile {
            path,
            written: Some(mark.clone()),
            mark,
        })
    }

    fn without_file(path: PathBuf) -> MarkFile {
        MarkFile {
            path,
            mark: Mark::default(),
            written: None,
        }
    }

    /// Moves a mark that is none out of the way, under a name that says so and that nothing has,
    /// and begins a new one.
    pub fn set_aside(path: &Path) -> io::Result<(PathBuf, MarkFile)> {
        let mut aside = path.with_extension("mark.unreadable");
        let mut number = 0_u64;
        while aside.symlink_metadata().is_ok() {
            number += 1;
            aside = path.with_extension(format!("mark.unreadable.{number}"));
        }
        fs::rename(path, &aside)?;
        Ok((aside, MarkFile::without_file(path.into())))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it knows.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Whether there is a file.
    pub fn is_there(&self) -> bool {
        self.written.is_some()
    }

    /// Changes what it knows, and returns when that is durable; after an error it knows what it
    /// knew before. Nothing is written where nothing changes.
    pub fn change(&mut self, change: impl FnOnce(&mut Mark)) -> Result<(), FileError> {
        let mut mark = self.mark.clone();
        change(&mut mark);
        if self.written.as_ref() != Some(&mark) {
            put::put(&self.path, &KIND, mark.render().as_bytes())?;
            self.written = Some(mark.clone());
        }
        self.mark = mark;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyName;

    #[test]
    fn a_mark_is_read_again_as_it_was_left() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = MarkFile::read(directory.path()).unwrap();
        assert!(!file.is_there());
        let name = KeyName { id: 7, version: 5 };
        file.change(|mark| mark.learn_numbers(|highest| highest.raise(name)))
            .unwrap();
        let again = MarkFile::read(directory.path()).unwrap();
        assert!(again.is_there());
        assert_eq!(again.mark().highest().of(7), 5);
    }

    #[test]
    fn what_changes_nothing_writes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = MarkFile::read(directory.path()).unwrap();
        file.change(|_| ()).unwrap();
        let path = directory.path().join(FILE_NAME);
        fs::remove_file(&path).unwrap();
        file.change(|_| ()).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_cannot_be_written_is_not_known() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = MarkFile::read(&directory.path().join("none")).unwrap();
        let name = KeyName { id: 7, version: 5 };
        file.change(|mark| mark.learn_numbers(|highest| highest.raise(name)))
            .unwrap_err();
        assert_eq!(file.mark().highest().of(7), 0);
    }

    #[test]
    fn a_text_that_is_no_mark_is_set_aside_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE_NAME), "garbage").unwrap();
        let error = MarkFile::read(directory.path()).unwrap_err();
        assert!(matches!(error, MarkError::Unreadable { .. }), "{error}");
        let path = directory.path().join(FILE_NAME);
        for (number, name) in ["keyroll.mark.unreadable", "keyroll.mark.unreadable.1"]
            .iter()
            .enumerate()
        {
            let garbage = format!("garbage {number}");
            fs::write(&path, &garbage).unwrap();
            let (aside, file) = MarkFile::set_aside(&path).unwrap();
            assert!(!file.is_there());
            assert_eq!(aside, directory.path().join(name));
            assert_eq!(fs::read_to_string(aside).unwrap(), garbage);
        }
    }

    #[test]
    fn a_mark_that_cannot_be_opened_is_not_taken_for_none() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(FILE_NAME, directory.path().join(FILE_NAME)).unwrap();
        let error = MarkFile::read(directory.path()).unwrap_err();
        assert!(
            matches!(error, MarkError::File(FileError::FileNotFound { .. })),
            "{error}"
        );
    }
}
