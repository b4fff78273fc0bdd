//! Faults of key files' texts, and of what is asked of a store.

use keyroll::crypto::Algorithm;
use keyroll::keys::{KeyName, KeySet, KeySpec, LAST_VERSION, NewVersions, Ring, VersionStep};
use keyroll::secret::DataKey;
use keyroll::store::key_file::{Digest, KeyFile, NewFileKey};
use keyroll::store::keystore::NewKey;
use keyroll::store::{KeyStore, Rotate, StoreError};

use super::key_files::Row;
use super::site::{Keys, ONE, Site, TWO, keys_of, plain, ring, rotate_all};
use super::tried::Tried;

pub(crate) const ROWS: &[Row] = &[
    ("no key file is named", not_named),
    ("a key file without key 1", no_system_key),
    ("a line that is none", syntax),
    ("an encrypted key file without a password", no_password),
    ("a wrong password, digest or number of rounds", wrong_password),
    ("a password for a plain key file", not_encrypted),
    ("a password file with too much in it", long_password),
    ("a version that a server uses is gone", version_missing),
    ("a version that a server uses has other bytes", version_differs),
    (
        "a version that a server uses has another algorithm",
        algorithm_differs,
    ),
    ("keys that are too short for the algorithm", short_keys),
    ("a key that is not there", unknown_key),
    ("a step with no number left", step_too_large),
    ("no number left", no_number),
    ("a key file without key 1 to be made, and a key twice", new_keys),
    ("a key to be made in a key file", made_elsewhere),
    ("a master key asked of a key file", no_master_key),
    ("a length that an algorithm cannot have", impossible),
];

fn holds(now: &Keys, before: &Keys) -> bool {
    before.iter().all(|(name, key)| now.get(name) == Some(key))
}

fn load(site: &Site, filekey: &str) -> Result<Keys, StoreError> {
    let store = KeyFile::new(site.key_file_config("store/keys", filekey)).unwrap();
    store.load().map(|loaded| plain(&loaded.keys))
}

fn not_named(site: &Site, tried: &mut Tried) {
    let mut config = site.key_file_config("store/keys", "");
    config.path = "".into();
    let hint = tried.store(&KeyFile::new(config).unwrap_err());
    tried.must(site, &hint, 0, &[("PATH", &site.word("store/keys"))]);
    assert_eq!(load(site, "").unwrap().len(), 2);
}

fn no_system_key(site: &Site, tried: &mut Tried) {
    site.write("store/keys", TWO);
    let hint = tried.store(&load(site, "").unwrap_err());
    let digits = tried.must(site, &hint, 0, &[]);
    let before = format!("{}{digits}{TWO}", hint.split('`').nth(3).unwrap());
    site.write("store/keys", &before);
    let keys = load(site, "").unwrap();
    assert_eq!(keys[&(1, 1)], hex::decode(digits.trim()).unwrap());
    assert!(keys.contains_key(&(2, 1)));
}

fn syntax(site: &Site, tried: &mut Tried) {
    site.write("store/keys", &format!("{ONE}2,00\n"));
    let hint = tried.store(&load(site, "").unwrap_err());
    for (nth, (id, version)) in [(7, 1), (7, 5)].into_iter().enumerate() {
        let form = hint.split('`').nth(nth * 2 + 1).unwrap();
        let line = form
            .replace("id", &id.to_string())
            .replace("version", &version.to_string())
            .replace("key", &"ab".repeat(32));
        site.write("store/keys", &format!("{ONE}{line}\n"));
        assert_eq!(load(site, "").unwrap()[&(id, version)], [0xab; 32]);
    }
}

/// Encrypts the key file with this command.
fn encrypt(site: &Site, command: &str) {
    site.write("store/plain", &format!("{ONE}{TWO}"));
    let (from, to) = (site.word("store/plain"), site.word("store/keys"));
    let output = site.shell(&format!("{command} -in {from} -out {to} -pass pass:hunter2"));
    assert!(output.status.success(), "{output:?}");
    super::site::set_mode(&site.path("store/keys"), 0o600);
}

fn no_password(site: &Site, tried: &mut Tried) {
    encrypt(site, "openssl enc -aes-256-cbc -md sha1");
    let hint = tried.store(&load(site, "").unwrap_err());
    assert_eq!(hint, "the file is encrypted: set keyroll_filekey");
    assert_eq!(load(site, "hunter2").unwrap().len(), 2);
}

fn wrong_password(site: &Site, tried: &mut Tried) {
    encrypt(site, "openssl enc -aes-256-cbc -md sha256 -pbkdf2 -iter 1000");
    let hint = tried.store(&load(site, "hunter2").unwrap_err());
    let command = hint.split('`').nth(1).unwrap();
    tried.commands.insert(command.into());
    // With what stands in brackets, and without.
    for (command, rounds) in [
        (command.replace(['[', ']'], "").replace("ROUNDS", "2000"), 2000),
        (command.split(" [").next().unwrap().to_owned(), 0),
    ] {
        encrypt(site, &command.replace("DIGEST", "sha512"));
        let mut config = site.key_file_config("store/keys", "hunter2");
        (config.digest, config.pbkdf2_rounds) = (Digest::Sha512, rounds);
        assert_eq!(keys_of(&KeyFile::new(config).unwrap()).len(), 2);
    }
}

fn not_encrypted(site: &Site, tried: &mut Tried) {
    site.write("store/keys", &format!("{ONE}{TWO}"));
    let before = load(site, "").unwrap();
    let hint = tried.store(&load(site, "hunter2").unwrap_err());
    let command = hint.split('`').nth(1).unwrap();
    tried.commands.insert(command.into());
    encrypt(site, command);
    assert_eq!(load(site, "hunter2").unwrap(), before);
}

fn long_password(site: &Site, tried: &mut Tried) {
    encrypt(site, "openssl enc -aes-256-cbc -md sha1");
    let filekey = format!("FILE:{}", site.path("apart/password").display());
    site.write(
        "apart/password",
        &format!("hunter2\n{}\n", "what it is for ".repeat(20)),
    );
    let hint = tried.store(&load(site, &filekey).unwrap_err());
    assert!(hint.starts_with("put the password alone into "), "{hint}");
    site.write("apart/password", "hunter2\n");
    assert_eq!(load(site, &filekey).unwrap().len(), 2);
}

/// A server that has these keys reads another file, and then the newest copy again.
fn reload(site: &Site, tried: &mut Tried, text: &str) -> String {
    site.write("store/keys", &format!("{ONE}{TWO}"));
    let known = ring(&site.key_file().load().unwrap().keys);
    let backup = std::fs::read_to_string(site.path("store/keys")).unwrap();
    site.write("store/keys", text);
    let found = site.key_file().load().unwrap().keys;
    let hint = tried.store(&known.check_successor(&found).unwrap_err().into());
    assert!(
        hint.starts_with("put the newest copy of the key store back"),
        "{hint}"
    );
    site.write("store/keys", &backup);
    known
        .check_successor(&site.key_file().load().unwrap().keys)
        .unwrap();
    hint
}

fn version_missing(site: &Site, tried: &mut Tried) {
    reload(site, tried, ONE);
}

fn version_differs(site: &Site, tried: &mut Tried) {
    reload(site, tried, &format!("{ONE}{}", TWO.replace("ffee", "eeff")));
}

fn algorithm_differs(_: &Site, tried: &mut Tried) {
    let keys = |algorithm| {
        let mut keys = KeySet::default();
        let key = DataKey::new(&[1; 32]).unwrap();
        keys.insert_for(KeyName { id: 1, version: 1 }, key, algorithm);
        keys
    };
    let known = ring(&keys(Algorithm::AesCtr));
    tried.store(
        &known
            .check_successor(&keys(Algorithm::AesCbc))
            .unwrap_err()
            .into(),
    );
    known.check_successor(&keys(Algorithm::AesCtr)).unwrap();
}

fn short_keys(site: &Site, tried: &mut Tried) {
    site.write("store/keys", "1;00112233445566778899aabbccddeeff\n");
    let keys = site.key_file().load().unwrap().keys;
    let hint = tried.store(&Ring::new(&keys, Algorithm::Aes256Xts).unwrap_err().into());
    assert!(hint.contains("keys of 64 hex digits only"), "{hint}");
    Ring::new(&keys, Algorithm::AesCbc).unwrap();
    site.write("store/keys", ONE);
    Ring::new(&site.key_file().load().unwrap().keys, Algorithm::Aes256Xts).unwrap();
}

fn unknown_key(site: &Site, tried: &mut Tried) {
    let before = site.make_keystore();
    let rotate = |which| site.keystore().rotate_keys(which, NewVersions::DEFAULT, None);
    let error = rotate(Rotate::Key(7)).unwrap_err();
    let hint = tried.store(&error);
    assert_eq!(hint, "name one of these, or -1 for all keys");
    assert!(error.to_string().ends_with("which holds keys 1 and 2"), "{error}");
    rotate(Rotate::Key(2)).unwrap();
    rotate(Rotate::All).unwrap();
    assert!(holds(&keys_of(&site.keystore()), &before));
}

/// A keystore whose key 1 has this version.
fn with_version(site: &Site, version: u32) {
    site.make_keystore();
    let mut keys = KeySet::default();
    keys.insert(KeyName { id: 1, version }, DataKey::new(&[1; 32]).unwrap());
    let keystore = site.keystore_at("store/late", "apart/master");
    keystore.import(&keys, Algorithm::AesCbc, None).unwrap();
}

fn step_too_large(site: &Site, tried: &mut Tried) {
    with_version(site, LAST_VERSION - 1);
    let keystore = site.keystore_at("store/late", "apart/master");
    let rotate = |step| {
        let step = VersionStep::new(step).unwrap();
        let new = NewVersions {
            step,
            ..NewVersions::DEFAULT
        };
        keystore.rotate_keys(Rotate::All, new, None)
    };
    let hint = tried.store(&rotate(2).unwrap_err());
    assert_eq!(hint, "set a smaller keyroll_rotate_version_step");
    assert_eq!(rotate(1).unwrap().new[0].version, LAST_VERSION);
}

fn no_number(site: &Site, tried: &mut Tried) {
    with_version(site, LAST_VERSION);
    let keystore = site.keystore_at("store/late", "apart/master");
    let step = VersionStep::new(1).unwrap();
    let new = NewVersions {
        step,
        ..NewVersions::DEFAULT
    };
    let hint = tried.store(&keystore.rotate_keys(Rotate::All, new, None).unwrap_err());
    assert!(hint.starts_with("make a key with another id"), "{hint}");
    keystore.create_key(9, KeySpec::DEFAULT, None).unwrap();
    assert!(keys_of(&keystore).contains_key(&(1, LAST_VERSION)));
}

fn new_keys(site: &Site, tried: &mut Tried) {
    let create = |keys: &[NewFileKey]| KeyFile::create(site.key_file_config("store/keys", ""), keys, None);
    let key = |id| NewFileKey { id, bits: 256 };
    assert_eq!(tried.store(&create(&[key(2)]).unwrap_err()), "add key 1");
    let hint = tried.store(&create(&[key(1), key(2), key(2)]).unwrap_err());
    assert!(hint.starts_with("name each key once"), "{hint}");
    create(&[key(1), key(2)]).unwrap();
}

fn made_elsewhere(site: &Site, tried: &mut Tried) {
    site.write("store/keys", ONE);
    let before = keys_of(&site.key_file());
    let hint = tried.store(&site.key_file().create_key(2, KeySpec::DEFAULT, None).unwrap_err());
    assert_eq!(hint, "add the key to the store, then reload");
    site.write("store/keys", &format!("{ONE}{TWO}"));
    let now = keys_of(&site.key_file());
    assert!(holds(&now, &before) && now.contains_key(&(2, 1)));
}

fn no_master_key(site: &Site, tried: &mut Tried) {
    site.write("store/keys", &format!("{ONE}{TWO}"));
    site.my_cnf(&[site.option("keyroll_filename", "store/keys")]);
    let before = keys_of(&site.key_file());
    let hint = tried.store(&site.key_file().rotate_master_key(None).unwrap_err());
    let (keystore, master) = (site.word("store/keystore"), site.uri_word("apart/master"));
    tried.must(site, &hint, 0, &[("PATH", &keystore), ("URI", &master)]);
    site.keystore().rotate_master_key(None).unwrap();
    assert_eq!(keys_of(&site.keystore()), before);
}

fn impossible(site: &Site, tried: &mut Tried) {
    let before = site.make_keystore();
    let create = |bits| {
        let algorithm = Algorithm::Aes256Xts;
        let keystore = site.keystore();
        keystore.create_key(9, KeySpec { algorithm, bits }, None)
    };
    let hint = tried.store(&create(128).unwrap_err());
    assert!(hint.starts_with("aes_256_xts needs keys of 256 bits"), "{hint}");
    create(256).unwrap();
    let now = rotate_all(&site.keystore());
    assert!(holds(&now, &before));
    // A new keystore says the same.
    let spec = KeySpec {
        algorithm: Algorithm::Aes256Xts,
        bits: 128,
    };
    let new = site.keystore_at("store/new", "apart/master");
    tried.store(&new.create(&[NewKey { id: 1, spec }], None).unwrap_err());
}
