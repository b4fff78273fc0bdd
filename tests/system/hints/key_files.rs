//! Faults of files, and of key files among them.

use std::fs::{self, File};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use keyroll::keys::NewVersions;
use keyroll::store::key_file::{KeyFile, NewFileKey};
use keyroll::store::{KeyStore, Rotate};

use super::site::{ONE, Site, TWO, keys_of, rotate_all, set_mode};
use super::tried::Tried;

pub(crate) type Row = (&'static str, fn(&Site, &mut Tried));

pub(crate) const ROWS: &[Row] = &[
    ("a file that is not there", not_found),
    ("a file that others may read", loose),
    ("a master key file that others may read", not_owner_only),
    ("a file that another process holds", locked),
    ("a file of two names", hard_linked),
    ("a file that exists already", exists),
    ("a folder that is not there", no_folder),
    ("a folder that may not be written", unwritable_folder),
    ("a key file that has no more room", full),
];

fn keys(site: &Site) {
    site.write("store/keys", &format!("{ONE}{TWO}"));
    site.my_cnf(&[site.option("keyroll_filename", "store/keys")]);
}

fn not_found(site: &Site, tried: &mut Tried) {
    keys(site);
    let before = keys_of(&site.key_file());
    fs::rename(site.path("store/keys"), site.path("elsewhere")).unwrap();
    let hint = tried.store(&site.key_file().load().unwrap_err());
    assert!(
        hint.starts_with("check that ") && hint.contains("store/keys exists"),
        "{hint}"
    );
    fs::rename(site.path("elsewhere"), site.path("store/keys")).unwrap();
    assert_eq!(keys_of(&site.key_file()), before);
}

fn loose(site: &Site, tried: &mut Tried) {
    keys(site);
    let before = keys_of(&site.key_file());
    set_mode(&site.path("store/keys"), 0o666);
    let warnings = site.key_file().load().unwrap().warnings;
    let warned = tried.warning(&warnings[0]);
    let mut config = site.key_file_config("store/keys", "");
    config.strict_permissions = true;
    let strict = KeyFile::new(config).unwrap();
    let hint = tried.store(&strict.load().unwrap_err());
    for said in [hint, warned] {
        set_mode(&site.path("store/keys"), 0o666);
        tried.must(site, &said, 0, &[]);
        assert_eq!(keys_of(&strict), before);
    }
}

fn not_owner_only(site: &Site, tried: &mut Tried) {
    let before = site.make_keystore();
    set_mode(&site.path("apart/master"), 0o640);
    let error = site.keystore().load().unwrap_err();
    let hint = tried.store(&error);
    // The command stands in the error of the master key, which the keystore's hands on.
    tried.errors.insert("FileError::NotOwnerOnly");
    assert!(hint.contains("run `chmod 0600 "), "{hint}");
    tried.must(site, &hint, 0, &[]);
    assert_eq!(keys_of(&site.keystore()), before);
}

fn locked(site: &Site, tried: &mut Tried) {
    keys(site);
    let before = keys_of(&site.key_file());
    let mut holder = Command::new("flock")
        .arg(site.path("store/keys"))
        .args(["sleep", "60"])
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while File::open(site.path("store/keys")).unwrap().try_lock().is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it takes no lock");
        sleep(Duration::from_millis(5));
    }
    let error = site
        .key_file()
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None);
    let hint = tried.store(&error.unwrap_err());
    let found = tried.run(site, &hint, 0, &[]);
    let shown = String::from_utf8([found.stdout, found.stderr].concat()).unwrap();
    assert!(shown.contains("flock") || shown.contains("sleep"), "{shown}");
    assert!(shown.contains(&holder.id().to_string()), "{shown}");
    // Both the holder and what it started have the file open.
    assert!(
        site.shell(&format!("fuser -k {}", site.word("store/keys")))
            .status
            .success()
    );
    holder.wait().unwrap();
    let now = rotate_all(&site.key_file());
    assert!(before.iter().all(|(name, key)| now.get(name) == Some(key)));
}

fn hard_linked(site: &Site, tried: &mut Tried) {
    keys(site);
    let before = keys_of(&site.key_file());
    let other = site.path("another name");
    fs::hard_link(site.path("store/keys"), &other).unwrap();
    let error = site
        .key_file()
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap_err();
    let hint = tried.store(&error);
    let found = tried.run(site, &hint, 0, &[]);
    let shown = String::from_utf8(found.stdout).unwrap();
    assert!(
        shown.lines().any(|line| line == other.to_str().unwrap()),
        "{shown}"
    );
    fs::remove_file(other).unwrap();
    let now = rotate_all(&site.key_file());
    assert!(before.iter().all(|(name, key)| now.get(name) == Some(key)));
}

fn exists(site: &Site, tried: &mut Tried) {
    let before = site.make_keystore();
    let error = site.keystore().create(&[], None).unwrap_err();
    let hint = tried.store(&error);
    assert!(hint.starts_with("choose another path"), "{hint}");
    site.keystore_at("store/another", "apart/master")
        .create(&[], None)
        .unwrap();
    assert_eq!(keys_of(&site.keystore()), before);
}

fn no_folder(site: &Site, tried: &mut Tried) {
    let create = || {
        let config = site.key_file_config("none/keys", "");
        KeyFile::create(config, &[NewFileKey { id: 1, bits: 256 }], None)
    };
    tried.store(&create().unwrap_err());
    let command = format!("keyroll init --filename {}", site.word("none/keys"));
    let refused = site.shell(&command);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("hint: make its folder first"), "{said}");
    fs::create_dir(site.path("none")).unwrap();
    assert!(site.shell(&command).status.success());
}

fn unwritable_folder(site: &Site, tried: &mut Tried) {
    keys(site);
    let before = keys_of(&site.key_file());
    let said = site.refused_without_rights(
        "store",
        &["store/keys"],
        &format!("rotate --all --filename {}", site.word("store/keys")),
    );
    assert!(
        said.contains("the server's user may not read and write in "),
        "{said}"
    );
    let sql = tried.must(site, &said, 0, &[("ID", "2")]);
    assert!(
        said.contains(sql.lines().last().unwrap().trim_end_matches(';')),
        "{said}: {sql}"
    );
    let now = keys_of(&site.key_file());
    assert!(before.iter().all(|(name, key)| now.get(name) == Some(key)));
    assert!(now.contains_key(&(2, 3)), "{now:?}");
}

fn full(site: &Site, tried: &mut Tried) {
    const LINE: usize = 80;
    // Room for one more line, and not for two.
    let room = 32 * 1024 * 1024 - ONE.len() - TWO.len() - 2 - LINE;
    site.write("store/keys", &format!("{ONE}{TWO}#{}\n", "x".repeat(room)));
    site.my_cnf(&[site.option("keyroll_filename", "store/keys")]);
    let before = keys_of(&site.key_file());
    let error = site
        .key_file()
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap_err();
    assert!(tried.store(&error).contains("rotate single keys and not all"));
    site.key_file()
        .rotate_keys(Rotate::Key(1), NewVersions::DEFAULT, None)
        .unwrap();
    let now = keys_of(&site.key_file());
    assert!(now.len() == before.len() + 1 && before.iter().all(|(name, key)| now.get(name) == Some(key)));
}
