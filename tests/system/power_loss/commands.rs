//! The commands that write, and what is there before.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use keyroll::keys::{KeySpec, NewVersions};
use keyroll::master_key::file::MasterKeyFile;
use keyroll::store::key_file::{KeyFile, NewFileKey};
use keyroll::store::keystore::NewKey;
use keyroll::store::{KeyStore, Rotate};

use super::stores::{key_file_config, keystore};
use super::strace::Step;
use test_support::programs;

pub(crate) const KEYSTORE: &str = "store/keystore";
pub(crate) const PREVIOUS: &str = "store/keystore.previous";
pub(crate) const KEYS: &str = "store/keys";
pub(crate) const MASTER: &str = "apart/master";
pub(crate) const OTHER: &str = "apart/other";
pub(crate) const PASSWORD: &str = "apart/password";
pub(crate) const MARK: &str = "store/keyroll.mark";
pub(crate) const SECRET: &str = "store/secret";

pub(crate) fn text(root: &Path, file: &str) -> String {
    root.join(file).to_str().unwrap().into()
}

pub(crate) fn uri(root: &Path, master: &str) -> String {
    format!("file:{}", root.join(master).display())
}

/// The command, with no option file.
pub(crate) fn keyroll(action: &[&str], store: &[String]) -> Step {
    let store: Vec<&str> = store.iter().map(String::as_str).collect();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_keyroll"));
    Step::of(&program, &[action, &["--no-defaults"], &store].concat())
}

pub(crate) fn of_keystore(root: &Path) -> Vec<String> {
    vec![
        "--keystore".into(),
        text(root, KEYSTORE),
        "--master-key".into(),
        uri(root, MASTER),
    ]
}

pub(crate) fn of_key_file(root: &Path) -> Vec<String> {
    vec!["--filename".into(), text(root, KEYS)]
}

pub(crate) fn of_encrypted(root: &Path) -> Vec<String> {
    let filekey = ["--filekey".into(), format!("FILE:{}", text(root, PASSWORD))];
    of_key_file(root).into_iter().chain(filekey).collect()
}

pub(crate) fn rotate_all(root: &Path) -> Step {
    keyroll(&["rotate", "--all"], &of_keystore(root))
}

pub(crate) fn write_mark(root: &Path, version: &str) -> Step {
    Step::of(&programs::program("write_mark"), &[&text(root, "store"), version])
}

pub(crate) fn init_keystore(root: &Path) -> Step {
    keyroll(&["init"], &of_keystore(root))
}

pub(crate) fn init_encrypted(root: &Path) -> Step {
    keyroll(&["init"], &of_encrypted(root))
}

pub(crate) fn import(root: &Path) -> Step {
    keyroll(
        &["import", "--from-filename", &text(root, KEYS)],
        &of_keystore(root),
    )
}

/// The keys and what opens them lie apart, as they should: an fsync of the one folder says nothing of the other.
pub(crate) fn folders(root: &Path) {
    for folder in ["store", "apart"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
}

pub(crate) fn nothing(root: &Path) {
    folders(root);
}

pub(crate) fn new_keystore(root: &Path) {
    folders(root);
    MasterKeyFile::create(&root.join(MASTER), None).unwrap();
    let keys = [1, 2].map(|id| NewKey {
        id,
        spec: KeySpec::DEFAULT,
    });
    keystore(root, KEYSTORE, MASTER)
        .unwrap()
        .create(&keys, None)
        .unwrap();
}

pub(crate) fn rotated_keystore(root: &Path) {
    new_keystore(root);
    let store = keystore(root, KEYSTORE, MASTER).unwrap();
    store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
}

/// With everything that a rotation keeps: another owner (where we may give it one) and an attribute.
pub(crate) fn plain_key_file(root: &Path) {
    folders(root);
    let text = "1;00112233445566778899aabbccddeeff\n\
                1;3;ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100\n\
                2;a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7  # aria";
    let path = root.join(KEYS);
    fs::write(&path, text).unwrap();
    programs::set_mode(&path, 0o640);
    xattr::set(&path, "user.note", b"kept").unwrap();
    if nix::unistd::geteuid().is_root() {
        chown(&path, Some(65534), Some(65534)).unwrap();
    }
}

pub(crate) fn encrypted_key_file(root: &Path) {
    folders(root);
    fs::write(root.join(PASSWORD), "correct horse\n").unwrap();
    programs::set_mode(&root.join(PASSWORD), 0o600);
    let keys = [1, 2].map(|id| NewFileKey { id, bits: 256 });
    KeyFile::create(key_file_config(root, KEYS, Some(PASSWORD)), &keys, None).unwrap();
}
