//! Faults of master keys in files and behind commands.

use std::fs;
use std::os::unix::fs::chown;
use std::time::Duration;

use keyroll::master_key::{self, MasterKey, MasterKeyError, ProviderOptions};
use keyroll::store::KeyStore;

use super::key_files::Row;
use super::site::{Site, keys_of, set_mode};
use super::tried::Tried;

pub(crate) const ROWS: &[Row] = &[
    ("a command that others may change", loose_command),
    ("a command in a folder that others may write in", loose_folder),
    ("a command of another user", command_of_another),
    ("an empty master key file", no_lines),
    ("a master key in another form than digits", other_form),
    ("a master key file without a number left", no_number),
    ("a credential that cannot be rotated", credential),
    ("a keystore that only root may change", of_root),
    (
        "a directory that others may write in, as the check finds it",
        checked_folder,
    ),
];

/// A command that answers nothing: whether it is run at all is what counts.
fn command(site: &Site) -> Box<dyn MasterKey> {
    if !site.path("apart/command").exists() {
        site.write("apart/command", "#!/bin/sh\nexit 1\n");
        set_mode(&site.path("apart/command"), 0o700);
    }
    let uri = format!("exec:{}", site.path("apart/command").display());
    master_key::open(&uri, &ProviderOptions::of_this_process(Duration::from_secs(5))).unwrap()
}

fn mended(site: &Site, tried: &mut Tried) {
    let untrusted = |site: &Site| {
        let error = command(site).rotate().unwrap_err();
        matches!(error, MasterKeyError::Untrusted { .. }).then(|| error.hint())
    };
    let hint = untrusted(site).unwrap();
    tried.must(site, &hint, 0, &[]);
    assert_eq!(untrusted(site), None);
}

fn loose_command(site: &Site, tried: &mut Tried) {
    command(site);
    set_mode(&site.path("apart/command"), 0o720);
    mended(site, tried);
}

fn loose_folder(site: &Site, tried: &mut Tried) {
    command(site);
    set_mode(&site.path("apart"), 0o707);
    mended(site, tried);
}

fn command_of_another(site: &Site, tried: &mut Tried) {
    if !nix::unistd::geteuid().is_root() {
        // Only root can give a file to another user; the command is the same for all.
        tried.commands.insert("chown root FILE".into());
        return;
    }
    command(site);
    chown(site.path("apart/command"), Some(65534), None).unwrap();
    mended(site, tried);
}

fn no_lines(site: &Site, tried: &mut Tried) {
    site.write("apart/master", "# nothing\n");
    let open = || {
        let uri = format!("file:{}", site.path("apart/master").display());
        let master =
            master_key::open(&uri, &ProviderOptions::of_this_process(Duration::from_secs(5))).unwrap();
        let key = keyroll::secret::KeystoreKey::new(&[7; 32]).unwrap();
        master.wrap(&key, "a keystore").map(drop)
    };
    let hint = open().unwrap_err().hint();
    let digits = tried.must(site, &hint, 1, &[]);
    site.write(
        "apart/master",
        &format!("{}{digits}", hint.split('`').nth(1).unwrap()),
    );
    open().unwrap();
}

fn other_form(site: &Site, tried: &mut Tried) {
    let all = site.make_keystore();
    let text = fs::read_to_string(site.path("apart/master")).unwrap();
    let digits = text.lines().last().unwrap().split_once(';').unwrap().1;
    let bytes = hex::decode(digits).unwrap();
    let in_base64 = openssl::base64::encode_block(&bytes);
    for other in [bytes, format!("{in_base64}\n").into_bytes()] {
        fs::write(site.path("apart/master"), other).unwrap();
        let hint = tried.store(&site.keystore().load().unwrap_err());
        tried.must(site, &hint, 0, &[]);
        assert_eq!(keys_of(&site.keystore()), all);
    }
}

fn no_number(site: &Site, tried: &mut Tried) {
    site.make_keystore();
    let text = fs::read_to_string(site.path("apart/master")).unwrap();
    let (_, key) = text.lines().last().unwrap().split_once(';').unwrap();
    site.write(
        "apart/last",
        &format!("1;{key}\n{};{}\n", u32::MAX, "ab".repeat(32)),
    );
    let last = site.keystore_at("store/keystore", "apart/last");
    let before = keys_of(&last);
    let hint = last.rotate_master_key(None).unwrap_err().hint();
    site.my_cnf(&[
        site.option("keyroll_keystore", "store/keystore"),
        format!(
            "keyroll_master_key = \"file:{}\"",
            site.path("apart/last").display()
        ),
    ]);
    tried.must(site, &hint, 0, &[("PATH", &site.word("apart/new"))]);
    let moved = site.keystore_at("store/keystore", "apart/new");
    moved.rotate_master_key(None).unwrap();
    assert_eq!(keys_of(&moved), before);
}

fn credential(site: &Site, tried: &mut Tried) {
    let all = site.make_keystore();
    // The shell's folder of credentials is this one.
    site.write("apart/new", &format!("1;{}\n", "ab".repeat(32)));
    site.my_cnf(&[
        site.option("keyroll_keystore", "store/keystore"),
        "keyroll_master_key = credential:master".into(),
    ]);
    let refused = site.shell("keyroll rotate-master-key");
    let said = String::from_utf8(refused.stderr).unwrap();
    tried.must(site, &said, 0, &[("NEW_NAME", "new")]);
    assert_eq!(keys_of(&site.keystore_at("store/keystore", "apart/new")), all);
}

fn of_root(site: &Site, tried: &mut Tried) {
    let all = site.make_keystore();
    let store = format!(
        "--keystore {} --master-key {}",
        site.word("store/keystore"),
        site.uri_word("apart/master")
    );
    let said = site.refused_without_rights(
        "apart",
        &["store/keystore", "apart/master"],
        &format!("rotate-master-key {store}"),
    );
    tried.must(site, &said, 0, &[]);
    assert_eq!(keys_of(&site.keystore()), all);
}

fn checked_folder(site: &Site, tried: &mut Tried) {
    site.make_keystore();
    set_mode(&site.path("store"), 0o777);
    let check = || String::from_utf8(site.shell("keyroll check --user root --quiet").stdout).unwrap();
    let said = check();
    assert!(
        said.contains("others may replace files in the directory "),
        "{said}"
    );
    tried.must(site, &said, 0, &[]);
    assert!(!check().contains("others may replace"), "{}", check());
    if nix::unistd::geteuid().is_root() {
        chown(site.path("store"), Some(65534), None).unwrap();
        let said = check();
        assert!(said.contains("who may replace files in it"), "{said}");
        tried.must(site, &said, 0, &[]);
        assert!(!check().contains("who may replace files"), "{}", check());
    } else {
        tried.commands.insert("chown root: FOLDER".into());
    }
}
