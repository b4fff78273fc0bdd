//! A file to try things on, and the driver that does it in a process of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use test_support::programs::{self, stderr};

/// A directory with the file `secret` in it, or with none yet.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) previous: PathBuf,
}

impl Place {
    pub(crate) fn empty() -> Place {
        let directory = tempfile::tempdir().unwrap();
        Place {
            path: directory.path().join("secret"),
            previous: directory.path().join("secret.previous"),
            directory,
        }
    }

    pub(crate) fn of(text: &str) -> Place {
        let place = Place::empty();
        fs::write(&place.path, text).unwrap();
        fs::set_permissions(&place.path, Permissions::from_mode(0o640)).unwrap();
        place
    }

    /// The file's text; none if there is no file.
    pub(crate) fn text(&self) -> Option<String> {
        fs::read_to_string(&self.path).ok()
    }

    pub(crate) fn previous_text(&self) -> Option<String> {
        fs::read_to_string(&self.previous).ok()
    }

    /// The names in the directory.
    pub(crate) fn names(&self) -> Vec<String> {
        programs::names(self.directory.path())
    }

    /// Runs the driver on this file; `failpoint` is `NAME=ACTION`, or nothing.
    pub(crate) fn run(&self, failpoint: &str, action: &str, texts: &[&str]) -> Output {
        Command::new(programs::program("write_secret_file"))
            .arg(&self.path)
            .arg(action)
            .args(texts)
            .env("KEYROLL_FAILPOINT", failpoint)
            .output()
            .unwrap()
    }

    pub(crate) fn succeed(&self, action: &str, texts: &[&str]) {
        let output = self.run("", action, texts);
        assert!(output.status.success(), "{action}: {}", stderr(&output));
    }
}
