//! Examples of this package as programs: tests start one to have something done in a process of its own, which may be
//! killed, be given errors, or belong to another user.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    reason = "each test target uses a part of it"
)]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use keyroll::keys::{KeyName, KeySet};

/// What cargo made already in this process, by name.
static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());

/// An example, built from the sources as they are now.
pub(crate) fn example(name: &str) -> PathBuf {
    // target/debug/deps/key_store-... -> target/debug/examples/NAME
    let this = std::env::current_exe().unwrap();
    let profile = this.parent().unwrap().parent().unwrap();
    let arguments: &[&str] = match cfg!(debug_assertions) {
        true => &[],
        false => &["--release"],
    };
    build(name, arguments, profile.join("examples").join(name))
}

/// An example with failpoints, in a target directory of its own: other tests use the library without them.
pub(crate) fn example_with_failpoints(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failpoints");
    let made = target.join("debug/examples").join(name);
    let arguments = [
        "--features",
        "test-failpoints",
        "--target-dir",
        target.to_str().unwrap(),
    ];
    build(name, &arguments, made)
}

fn build(name: &str, arguments: &[&str], made: PathBuf) -> PathBuf {
    let mut built = BUILT.lock().unwrap();
    let build = || {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--example", name])
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(status.unwrap().success());
        made.clone()
    };
    built
        .entry(made.to_str().unwrap().into())
        .or_insert_with(build)
        .clone()
}

pub(crate) fn run(words: &[String]) -> Output {
    Command::new(&words[0])
        .args(&words[1..])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", words[0]))
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The names in a directory.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Keys by id and version.
pub(crate) type Keys = BTreeMap<(u32, u32), Vec<u8>>;

pub(crate) fn plain_keys(keys: &KeySet) -> Keys {
    keys.iter()
        .map(|(KeyName { id, version }, key)| ((id, version), key.expose().to_vec()))
        .collect()
}

/// Whether `now` holds all of `before` with the same bytes.
pub(crate) fn holds_all(now: &Keys, before: &Keys) -> bool {
    before.iter().all(|(name, key)| now.get(name) == Some(key))
}
