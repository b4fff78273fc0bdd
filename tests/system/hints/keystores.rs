//! Faults of keystores and of marks.

use std::fs;
use std::path::Path;
use std::time::Duration;

use keyroll::crypto::Algorithm;
use keyroll::keys::{KeySet, NewVersions};
use keyroll::master_key::file::MasterKeyFile;
use keyroll::master_key::{self, ProviderOptions};
use keyroll::store::keystore::derived_keys::DerivedKeys;
use keyroll::store::keystore::format::Document;
use keyroll::store::keystore::{KeystoreConfig, KeystoreFile};
use keyroll::store::{KeyStore, MarkError, MarkFile, Rotate};

use test_support::forgery::Forgery;

use super::key_files::Row;
use super::site::{Keys, ONE, Site, TWO, keys_of, plain, rotate_all};
use super::tried::Tried;

pub(crate) const ROWS: &[Row] = &[
    ("no keystore is named", not_named),
    ("a keystore that is gone, with a copy kept", gone),
    ("a keystore that is gone, without a copy", gone_without_copy),
    ("a damaged keystore", damaged),
    ("a keystore that was cut off", cut_off),
    ("a keystore that someone changed", changed),
    ("a data key that does not open", data_key),
    ("an older copy, as the kept one tells", older_than_kept),
    ("an older copy, as a server remembers", older_than_seen),
    ("a key file in the keystore's place", other_format),
    ("a keystore of a newer format", newer_format),
    ("a keystore from before the first release", unreleased),
    ("a keystore that was converted as a text", converted),
    ("a name that is no master key's", bad_uri),
    ("another master key", wrong_master_key),
    ("a master key that is away", no_master_key),
    ("a copy that grew apart", grew_apart),
    ("another keystore", foreign),
    ("other bytes under one name", other_bytes),
    ("another algorithm under one name", other_algorithm),
    ("a copy that an older master key opens", older_master_key),
    ("a store that lacks what the data knows", store_lacks),
    ("a mark of a newer format", newer_mark),
];

fn copy(site: &Site, from: &str, to: &str) {
    fs::copy(site.path(from), site.path(to)).unwrap();
}

fn bytes(site: &Site, name: &str) -> Vec<u8> {
    fs::read(site.path(name)).unwrap()
}

fn holds(now: &Keys, before: &Keys) -> bool {
    before.iter().all(|(name, key)| now.get(name) == Some(key))
}

/// Goes the way back that the hint names: from the kept copy. It lacks the last change and says so; what stood in its place is
/// kept; and the check that it names tells whether the data needs what is missing.
fn restore(site: &Site, tried: &mut Tried, hint: &str, all: &Keys) {
    assert!(hint.contains("it lacks what the last change made"), "{hint}");
    let path = site.path("store/keystore");
    let before = fs::read(&path).ok();
    let kept = keys_of_copy(site);
    tried.must(site, hint, 0, &[]);
    let now = keys_of(&site.keystore());
    assert_eq!(now, kept);
    assert!(holds(all, &now) && now.len() < all.len(), "{now:?}");
    let aside = site.path("store/keystore.~1~");
    assert_eq!(fs::read(&aside).ok(), before, "nothing is overwritten");
    // The data knows all versions.
    let checked = tried.run(site, hint, 1, &[]);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(2), "{said}");
    assert!(
        said.contains("lacks key versions that this data knows: version 3 of key 1"),
        "{said}"
    );
    // The data has never seen the last change.
    fs::remove_file(site.path("data/keyroll.mark")).unwrap();
    site.write_mark(&site.keystore());
    let checked = tried.run(site, hint, 1, &[]);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(matches!(checked.status.code(), Some(0 | 1)), "{said}");
    assert!(
        said.contains("it holds all 2 versions that the data in "),
        "{said}"
    );
    rotate_all(&site.keystore());
}

fn keys_of_copy(site: &Site) -> Keys {
    copy(site, "store/keystore.previous", "apart/copy");
    keys_of(&site.keystore_at("apart/copy", "apart/master"))
}

/// A keystore and the mark of a server that worked with it.
fn with_mark(site: &Site) -> Keys {
    let all = site.make_keystore();
    site.write_mark(&site.keystore());
    all
}

fn refused(site: &Site, tried: &mut Tried) -> String {
    tried.store(&site.keystore().load().unwrap_err())
}

fn not_named(site: &Site, tried: &mut Tried) {
    let config = KeystoreConfig {
        path: "".into(),
        ..site.keystore_config("store/keystore", "apart/master")
    };
    let hint = tried.store(&KeystoreFile::new(config).unwrap_err());
    let (keystore, master) = (site.word("store/keystore"), site.uri_word("apart/master"));
    tried.must(site, &hint, 0, &[("PATH", &keystore), ("URI", &master)]);
    assert_eq!(keys_of(&site.keystore()).len(), 2);
}

fn gone(site: &Site, tried: &mut Tried) {
    let all = with_mark(site);
    fs::remove_file(site.path("store/keystore")).unwrap();
    let hint = refused(site, tried);
    restore(site, tried, &hint, &all);
}

fn gone_without_copy(site: &Site, tried: &mut Tried) {
    let all = with_mark(site);
    fs::rename(site.path("store/keystore"), site.path("apart/moved")).unwrap();
    fs::remove_file(site.path("store/keystore.previous")).unwrap();
    let hint = refused(site, tried);
    // A new one cannot open the data, as the hint says; the data refuses it.
    tried.must(site, &hint, 0, &[("URI", &site.uri_word("apart/other"))]);
    let new = site.keystore_at("store/keystore", "apart/other");
    let mark = MarkFile::read(&site.path("data")).unwrap();
    assert!(!mark.mark().lost_in(&new.load().unwrap().keys).is_empty());
    // It was elsewhere.
    fs::rename(site.path("apart/moved"), site.path("store/keystore")).unwrap();
    assert_eq!(keys_of(&site.keystore()), all);
}

fn damaged(site: &Site, tried: &mut Tried) {
    let all = with_mark(site);
    let text = fs::read_to_string(site.path("store/keystore")).unwrap();
    site.write(
        "store/keystore",
        &text.replacen("\"generation\":2", "\"generation\":9", 1),
    );
    let hint = refused(site, tried);
    restore(site, tried, &hint, &all);
}

fn cut_off(site: &Site, tried: &mut Tried) {
    let all = with_mark(site);
    let text = fs::read_to_string(site.path("store/keystore")).unwrap();
    site.write("store/keystore", &text[..text.len() / 2]);
    let hint = refused(site, tried);
    restore(site, tried, &hint, &all);
}

/// The data key of the first version and that of the second, each in the other's place.
fn with_swapped_data_keys(path: &Path) -> Forgery {
    let mut forgery = Forgery::of(path);
    let first = forgery.at(&["keys", "0", "wrapped"]).take();
    let second = std::mem::replace(forgery.at(&["keys", "1", "wrapped"]), first);
    *forgery.at(&["keys", "0", "wrapped"]) = second;
    forgery
}

fn changed(site: &Site, tried: &mut Tried) {
    let all = with_mark(site);
    let path = site.path("store/keystore");
    fs::write(&path, with_swapped_data_keys(&path).text()).unwrap();
    let hint = refused(site, tried);
    assert!(hint.starts_with("find out who can write "), "{hint}");
    restore(site, tried, &hint, &all);
}

fn data_key(site: &Site, tried: &mut Tried) {
    let all = with_mark(site);
    let path = site.path("store/keystore");
    // By someone who has the master key.
    let forgery = with_swapped_data_keys(&path);
    let document = Document::parse(&forgery.text()).unwrap();
    let uri = format!("file:{}", site.path("apart/master").display());
    let master = master_key::open(&uri, &ProviderOptions::of_this_process(Duration::from_secs(1))).unwrap();
    let uuid = document.uuid;
    let key = master
        .unwrap(&document.master_key.wrapped, &uuid.to_string())
        .unwrap();
    let keys = DerivedKeys::new(key.expose(), &uuid);
    fs::write(&path, forgery.signed_text(&keys)).unwrap();
    let hint = refused(site, tried);
    restore(site, tried, &hint, &all);
}

fn older_than_kept(site: &Site, tried: &mut Tried) {
    let all = with_mark(site);
    copy(site, "store/keystore.previous", "store/keystore");
    let hint = refused(site, tried);
    restore(site, tried, &hint, &all);
}

fn older_than_seen(site: &Site, tried: &mut Tried) {
    let all = site.make_keystore();
    let server = site.keystore();
    server.load().unwrap();
    fs::rename(site.path("store/keystore"), site.path("apart/newest")).unwrap();
    fs::rename(site.path("store/keystore.previous"), site.path("store/keystore")).unwrap();
    let hint = tried.store(&server.load().unwrap_err());
    assert!(hint.starts_with("put the newest copy of "), "{hint}");
    fs::rename(site.path("apart/newest"), site.path("store/keystore")).unwrap();
    assert_eq!(keys_of(&server), all);
}

fn other_format(site: &Site, tried: &mut Tried) {
    site.write("store/keystore", &format!("{ONE}{TWO}"));
    site.my_cnf(&[site.option("keyroll_keystore", "store/keystore")]);
    MasterKeyFile::create(&site.path("apart/master"), None).unwrap();
    let hint = refused(site, tried);
    let (keystore, master) = (site.word("store/made"), site.uri_word("apart/master"));
    tried.must(site, &hint, 0, &[("PATH", &keystore), ("URI", &master)]);
    let made = keys_of(&site.keystore_at("store/made", "apart/master"));
    assert_eq!(made.keys().copied().collect::<Vec<_>>(), [(1, 1), (2, 1)]);
    assert_eq!(bytes(site, "store/keystore"), format!("{ONE}{TWO}").into_bytes());
}

fn newer_format(site: &Site, tried: &mut Tried) {
    site.make_keystore();
    let text = fs::read_to_string(site.path("store/keystore")).unwrap();
    site.write(
        "store/keystore",
        &text.replacen("keyroll keystore 1\n", "keyroll keystore 2\n", 1),
    );
    let hint = refused(site, tried);
    // No other keyroll is at hand; nothing else is advised.
    assert!(
        hint.starts_with("install a keyroll that knows it") && !hint.contains('`'),
        "{hint}"
    );
}

/// What the build that made the keystore exports of it.
const EXPORTED: &str = "1;c4bfef07f0f2aacb3c3f0ca07d6beac92a807da3f637ba44a836ee3011e6f0c7\n\
    1;3;8dffb5f3720456d7b58e1aabeef56794d73c44aec1d5a6c74ab4ab78c6fa7e85\n\
    2;02805f8e6882dc4f7cf07f2b69e76558\n";

fn unreleased(site: &Site, tried: &mut Tried) {
    let old = include_str!("../../stores/keystore/vectors/unreleased_keystore");
    site.write("store/keystore", old);
    MasterKeyFile::create(&site.path("apart/master"), None).unwrap();
    let error = site.keystore().load().unwrap_err();
    assert!(
        error.to_string().ends_with(
            "/keystore: it has the form that keystores had before the first release, which is not read any more"
        ),
        "{error}"
    );
    let hint = tried.store(&error);
    let (exported, new, uri) = (
        site.word("apart/exported"),
        site.word("store/new"),
        site.uri_word("apart/master"),
    );
    // This is not the build that reads it.
    let output = tried.run(site, &hint, 0, &[("URI", &uri), ("KEYS", &exported)]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("of the build that made it, then"), "{said}");
    let (of_key_1, _) = EXPORTED.split_once("2;").unwrap();
    for (import, lines, algorithm) in [
        ("import", of_key_1, "aes_256_xts"),
        ("import --add --from-id 2", EXPORTED, "aes_ctr"),
    ] {
        site.write("apart/exported", lines);
        let words = [
            ("import", import),
            ("KEYS", &exported),
            ("NAME", algorithm),
            ("NEW", &new),
            ("URI", &uri),
        ];
        tried.must(site, &hint, 1, &words);
    }
    let keys = site.keystore_at("store/new", "apart/master").load().unwrap().keys;
    let made: Vec<_> = keys
        .iter()
        .map(|(name, key)| {
            let algorithm = keys.algorithm(name).unwrap().name();
            assert!(EXPORTED.contains(&hex::encode(key.expose())), "{name}");
            (name.id, name.version, algorithm)
        })
        .collect();
    assert_eq!(
        made,
        [(1, 1, "aes_256_xts"), (1, 3, "aes_256_xts"), (2, 1, "aes_ctr")]
    );
    assert_eq!(bytes(site, "store/keystore"), old.as_bytes(), "it is left alone");
}

fn converted(site: &Site, tried: &mut Tried) {
    let all = with_mark(site);
    let text = fs::read_to_string(site.path("store/keystore")).unwrap();
    let mark = format!("\u{feff}{text}");
    for converted in [text.replace('\n', "\r\n"), mark] {
        site.write("store/keystore", &converted);
        let hint = refused(site, tried);
        assert!(
            hint.starts_with("copy it once more, as bytes, from where it came; or put"),
            "{hint}"
        );
    }
    site.write("store/keystore", &text);
    assert_eq!(keys_of(&site.keystore()), all);
}

fn bad_uri(site: &Site, tried: &mut Tried) {
    let all = site.make_keystore();
    let error = site.keystore().with_master_key("apart/master").err().unwrap();
    let hint = tried.store(&error);
    assert!(hint.contains("file:PATH"), "{hint}");
    let uri = format!("file:{}", site.path("apart/master").display());
    let store = site.keystore().with_master_key(&uri).unwrap();
    assert_eq!(keys_of(store.as_ref()), all);
}

fn wrong_master_key(site: &Site, tried: &mut Tried) {
    let all = site.make_keystore();
    MasterKeyFile::create(&site.path("apart/other"), None).unwrap();
    let error = site
        .keystore_at("store/keystore", "apart/other")
        .load()
        .unwrap_err();
    let hint = tried.store(&error);
    assert!(
        hint.contains("name the master key that wrapped this keystore"),
        "{hint}"
    );
    assert_eq!(keys_of(&site.keystore()), all);
}

fn no_master_key(site: &Site, tried: &mut Tried) {
    let all = site.make_keystore();
    fs::rename(site.path("apart/master"), site.path("apart/away")).unwrap();
    let hint = refused(site, tried);
    assert!(
        hint.contains("check that ") && hint.contains("apart/master exists"),
        "{hint}"
    );
    fs::rename(site.path("apart/away"), site.path("apart/master")).unwrap();
    assert_eq!(keys_of(&site.keystore()), all);
}

fn grew_apart(site: &Site, tried: &mut Tried) {
    site.make_keystore();
    copy(site, "store/keystore", "apart/copy");
    let server = site.keystore();
    let in_use = rotate_all(&server);
    rotate_all(&site.keystore_at("apart/copy", "apart/master"));
    fs::rename(site.path("store/keystore"), site.path("apart/in use")).unwrap();
    fs::rename(site.path("apart/copy"), site.path("store/keystore")).unwrap();
    let hint = tried.store(&server.load().unwrap_err());
    let told = tried.run(site, &hint, 0, &[("PATH", &site.word("apart/in use"))]);
    let said = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(2), "{said}");
    assert!(
        said.contains("not the same in both: version 5 of key 1"),
        "{said}"
    );
    fs::rename(site.path("apart/in use"), site.path("store/keystore")).unwrap();
    assert_eq!(keys_of(&server), in_use);
}

fn foreign(site: &Site, tried: &mut Tried) {
    let all = site.make_keystore();
    let server = site.keystore();
    server.load().unwrap();
    fs::rename(site.path("store/keystore"), site.path("apart/in use")).unwrap();
    fs::rename(site.path("store/keystore.previous"), site.path("apart/kept")).unwrap();
    site.keystore().create(&[], None).unwrap();
    let hint = tried.store(&server.load().unwrap_err());
    assert!(hint.starts_with("put the keystore in use back"), "{hint}");
    fs::rename(site.path("apart/in use"), site.path("store/keystore")).unwrap();
    assert_eq!(keys_of(&server), all);
}

/// Keys of another store.
fn others(site: &Site, text: &str) -> KeySet {
    site.write("store/keys", text);
    site.key_file().load().unwrap().keys
}

fn other_bytes(site: &Site, tried: &mut Tried) {
    let all = site.make_keystore();
    let keys = others(site, &format!("{ONE}7;{}\n", "ab".repeat(32)));
    let add = |keys: &KeySet| site.keystore().add_all("key file", keys, Algorithm::AesCbc);
    let hint = tried.store(&add(&keys).unwrap_err());
    assert!(hint.contains("add that key with --from-id ID"), "{hint}");
    let output = site.shell(&format!(
        "keyroll import --add --from-filename {} --from-id 7",
        site.word("store/keys")
    ));
    assert!(output.status.success(), "{output:?}");
    let now = keys_of(&site.keystore());
    assert!(holds(&now, &all) && now[&(7, 1)] == [0xab; 32], "{now:?}");
}

fn other_algorithm(site: &Site, tried: &mut Tried) {
    site.make_keystore();
    let keys = others(site, &format!("{ONE}{TWO}"));
    let made = site.keystore_at("store/made", "apart/master");
    made.import(&keys, Algorithm::AesCtr, None).unwrap();
    let hint = tried.store(&made.add_all("key file", &keys, Algorithm::AesCbc).unwrap_err());
    assert!(hint.contains("give --from-encryption-algorithm"), "{hint}");
    let output = site.shell(&format!(
        "keyroll import --add --keystore {} --master-key {} --from-filename {} --from-encryption-algorithm aes_ctr",
        site.word("store/made"),
        site.uri_word("apart/master"),
        site.word("store/keys")
    ));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(keys_of(&made), plain(&keys));
}

fn older_master_key(site: &Site, tried: &mut Tried) {
    site.make_keystore();
    copy(site, "store/keystore", "apart/before");
    site.keystore().rotate_master_key(None).unwrap();
    let all = keys_of(&site.keystore());
    copy(site, "apart/before", "store/keystore.previous");
    let warnings = site.keystore().load().unwrap().warnings;
    let said = tried.warning(&warnings[0]);
    tried.must(site, &said, 0, &[]);
    let loaded = site.keystore().load().unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(plain(&loaded.keys), all);
}

fn store_lacks(site: &Site, tried: &mut Tried) {
    let all = with_mark(site);
    let file = MarkFile::read(&site.path("data")).unwrap();
    let accepts = |store: &KeystoreFile| {
        let lost = file.mark().lost_in(&store.load().unwrap().keys);
        let seen = keyroll::store::mark::StoreSeen::of(store);
        match lost.is_empty() {
            true => Ok(()),
            false => Err(MarkError::store_lacks(file.path(), seen, file.mark(), lost)),
        }
    };
    fs::rename(site.path("store/keystore"), site.path("apart/newest")).unwrap();
    fs::rename(site.path("store/keystore.previous"), site.path("store/keystore")).unwrap();
    let hint = tried.mark(&accepts(&site.keystore()).unwrap_err());
    assert!(
        hint.contains("put the newest one back; drop and repair nothing"),
        "{hint}"
    );
    fs::rename(site.path("apart/newest"), site.path("store/keystore")).unwrap();
    accepts(&site.keystore()).unwrap();
    assert_eq!(keys_of(&site.keystore()), all);
}

fn newer_mark(site: &Site, tried: &mut Tried) {
    with_mark(site);
    let data = site.path("data");
    let mark = fs::read_to_string(site.path("data/keyroll.mark")).unwrap();
    let (first, rest) = mark.split_once('\n').unwrap();
    let newer = format!("{}\n{rest}", first.replace('1', "2"));
    for name in ["data/keyroll.mark.unreadable", "data/keyroll.mark"] {
        site.write(name, &newer);
    }
    let hint = tried.mark(&MarkFile::read(&data).unwrap_err());
    assert!(hint.contains("make sure that it is the newest"), "{hint}");
    tried.must(site, &hint, 0, &[]);
    assert!(!MarkFile::read(&data).unwrap().is_there());
    for name in ["data/keyroll.mark.unreadable", "data/keyroll.mark.unreadable.~1~"] {
        assert_eq!(fs::read_to_string(site.path(name)).unwrap(), newer);
    }
    // A key store is as it was.
    site.keystore()
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap();
}
