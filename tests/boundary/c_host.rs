//! Builds what the tests in C need: the library, and programs that do what a server does (`tests/boundary/c`).

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyroll::keys::KeySpec;
use keyroll::master_key::DEFAULT_REQUEST_TIMEOUT;
use keyroll::master_key::ProviderOptions;
use keyroll::master_key::file::MasterKeyFile;
use keyroll::store::keystore::{KeystoreConfig, KeystoreFile, NewKey};

/// A program and the library, built.
pub(crate) struct Built {
    pub(crate) host: PathBuf,
    pub(crate) library: PathBuf,
}

/// A directory of its own for what a test builds: it runs while cargo holds the lock of the usual one.
pub(crate) fn target(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&target).unwrap();
    target
}

/// Builds the library into this directory.
pub(crate) fn build_library(cargo: &mut Command, options: &[&str], target: &Path) {
    succeed(
        cargo
            .args(["build", "--locked", "--lib"])
            .args(options)
            .arg("--target-dir")
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR")),
    );
}

/// The library as it is shipped, built as `make build` does, which then has nothing left to do.
pub(crate) fn shipped_library() -> PathBuf {
    let usual = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut cargo = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cargo.sh"));
    cargo
        .env("CARGO", env!("CARGO"))
        .env("CARGO_TARGET_DIR", usual)
        // Another value of it would be another build.
        .env_remove("KEYROLL_REQUIRE_ABI_CHECK");
    build_library(&mut cargo, &["--release"], usual);
    usual.join("release/libkeyroll.so")
}

/// Makes a `keystore` of two keys here, and its master key, `master`.
pub(crate) fn make_keystore(directory: &Path) {
    let master = directory.join("master");
    MasterKeyFile::create(&master, None).unwrap();
    let options = ProviderOptions::of_this_process(DEFAULT_REQUEST_TIMEOUT);
    let config = KeystoreConfig {
        path: directory.join("keystore"),
        master_key: format!("file:{}", master.display()),
        options,
        strict_permissions: false,
    };
    let keys = [1, 2].map(|id| NewKey {
        id,
        spec: KeySpec::DEFAULT,
    });
    KeystoreFile::new(config).unwrap().create(&keys, None).unwrap();
}

/// A cargo command.
pub(crate) fn cargo() -> Command {
    Command::new(env!("CARGO"))
}

/// All sources in a folder of `tests/boundary`.
pub(crate) fn sources(folder: &str) -> Vec<PathBuf> {
    fs::read_dir(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/boundary")
            .join(folder),
    )
    .unwrap()
    .map(|entry| entry.unwrap().path())
    .filter(|path| path.extension() == Some(OsStr::new("c")))
    .collect()
}

/// Compiles the sources into the program `host`.
pub(crate) fn build_host(sources: &[PathBuf], host: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    succeed(
        Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()))
            .args(["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"])
            .args(["-O1", "-g", "-I"])
            .arg(root.join("include"))
            .arg("-I")
            .arg(root.join("tests/boundary/c"))
            .args(sources)
            .args(["-ldl", "-lcrypto", "-pthread", "-rdynamic", "-o"])
            .arg(host),
    );
}

/// What the command prints; fails with all of it unless it succeeds.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{:?} is needed: {error}", command.get_program()));
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}\n{err}",
        output.status
    );
    out.into_owned()
}
