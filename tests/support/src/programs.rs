//! Programs of this crate: tests start one to have something done in a process of its own, which may be killed, be given errors,
//! or belong to another user.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::OnceLock;

use keyroll::keys::{KeyName, KeySet};

/// A program, built from the sources as they are now. It has failpoints (`KEYROLL_FAILPOINT`), which do nothing unless asked
/// for, and is built in a target directory of its own: the tests themselves use the library without them.
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).join(name)
}

/// Prints the versions as `ID;VERSION`, in one write: a test reads what several processes print.
pub fn print_names(names: &[KeyName]) -> ExitCode {
    let lines: String = names
        .iter()
        .map(|name| format!("{};{}\n", name.id, name.version))
        .collect();
    match std::io::stdout().write_all(lines.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(3),
    }
}

/// The directory with all programs.
fn build() -> PathBuf {
    // The running test is target/debug/deps/stores-...
    let this = std::env::current_exe().unwrap();
    let target = this.ancestors().nth(3).unwrap().join("tmp/failpoints");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--bins"])
        .args(["--package", env!("CARGO_PKG_NAME")])
        .args(["--features", "test-failpoints", "--target-dir"])
        .arg(&target)
        .current_dir(crate::root())
        .status();
    assert!(status.unwrap().success());
    target.join("debug")
}

/// Whether this is the process in which the test of this name (`MODULE::TEST`) runs alone. Otherwise it runs there: `sh` starts
/// it, after these lines.
pub fn is_alone(test: &str, start: &str) -> bool {
    if std::env::var_os("KEYROLL_TEST_ALONE").is_some() {
        return true;
    }
    let alone = Command::new("sh")
        .args(["-c", &format!("{start}\nexec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--test-threads=1"])
        .env("KEYROLL_TEST_ALONE", "1")
        .output()
        .unwrap();
    assert!(alone.status.success(), "{alone:?}");
    let said = String::from_utf8_lossy(&alone.stdout);
    assert!(said.contains("1 passed"), "{said}");
    false
}

pub fn run(words: &[String]) -> Output {
    Command::new(&words[0])
        .args(&words[1..])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", words[0]))
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The names in a directory.
pub fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Keys by id and version.
pub type Keys = BTreeMap<(u32, u32), Vec<u8>>;

pub fn plain_keys(keys: &KeySet) -> Keys {
    keys.iter()
        .map(|(KeyName { id, version }, key)| ((id, version), key.expose().to_vec()))
        .collect()
}

/// Whether `now` holds all of `before` with the same bytes.
pub fn holds_all(now: &Keys, before: &Keys) -> bool {
    before.iter().all(|(name, key)| now.get(name) == Some(key))
}
