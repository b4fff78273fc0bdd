//! A file to try things on, and the driver that does it in a process of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

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
        let mut names: Vec<String> = fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Runs the driver on this file; `failpoint` is `NAME=ACTION`, or nothing.
    pub(crate) fn run(&self, failpoint: &str, action: &str, texts: &[&str]) -> Output {
        Command::new(driver())
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

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `examples/write_secret_file.rs` with failpoints, in a target directory of its own: other tests use the
/// library without them.
fn driver() -> &'static Path {
    static DRIVER: OnceLock<PathBuf> = OnceLock::new();
    DRIVER.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failpoints");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--features", "test-failpoints"])
            .args(["--example", "write_secret_file", "--target-dir"])
            .arg(&target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success());
        target.join("debug/examples/write_secret_file")
    })
}
