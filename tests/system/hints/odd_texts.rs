//! Texts that are odd in a way that editors do not show: the commands that make of them what was meant.

use std::fs;
use std::path::Path;

use keyroll::durable::secret_source::{NoSecret, SecretKind};
use keyroll::store::key_file::{KeyFile, NewFileKey};
use keyroll::store::{KeyStore, StoreError};

use super::key_files::Row;
use super::site::{Keys, ONE, Site, TWO, plain, set_mode};
use super::tried::Tried;

pub(crate) const ROWS: &[Row] = &[
    (
        "a key file in another encoding, or with bytes that are no text",
        odd_key_files,
    ),
    ("a key file with carriage returns as line ends", carriage_returns),
    (
        "an encrypted key file in base64, and one with a line end behind it",
        odd_encrypted,
    ),
    ("a password file that is odd", odd_passwords),
    ("a key file with an odd text, encrypted", odd_and_encrypted),
    ("a token in a file that is odd", odd_tokens),
    ("a password that is empty, or a directory", no_password),
    (
        "a new key file under a password of which a part would count",
        cut_password,
    ),
];

/// Writes a file of mode 0600.
fn put(site: &Site, name: &str, bytes: &[u8]) {
    fs::write(site.path(name), bytes).unwrap();
    set_mode(&site.path(name), 0o600);
}

fn load(site: &Site, filekey: &str) -> Result<Keys, StoreError> {
    let store = KeyFile::new(site.key_file_config("store/keys", filekey)).unwrap();
    store.load().map(|loaded| plain(&loaded.keys))
}

fn both(site: &Site) -> Keys {
    site.write("store/keys", &format!("{ONE}{TWO}"));
    load(site, "").unwrap()
}

fn utf16(text: &str, bytes_of: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes_of).collect()
}

fn odd_key_files(site: &Site, tried: &mut Tried) {
    let all = both(site);
    let text = format!("{ONE}{TWO}");
    let marked = format!("\u{feff}{text}");
    for odd in [
        marked.clone().into_bytes(),
        utf16(&marked, u16::to_le_bytes),
        utf16(&marked, u16::to_be_bytes),
        utf16(&text, u16::to_le_bytes),
        utf16(&text, u16::to_be_bytes),
        format!("{text}\x1a").into_bytes(),
        format!("{text}\0 what a program left here").into_bytes(),
    ] {
        put(site, "store/keys", &odd);
        let hint = tried.store(&load(site, "").unwrap_err());
        tried.must(site, &hint, 0, &[]);
        assert_eq!(load(site, "").unwrap(), all, "{hint}");
        assert_eq!(fs::read(site.path("store/keys.old")).unwrap(), odd);
    }
}

fn carriage_returns(site: &Site, tried: &mut Tried) {
    let all = both(site);
    let text = format!("{ONE}{TWO}").replace('\n', "\r");
    site.write("store/keys", &text);
    let store = site.key_file();
    let warned = tried.warning(&store.load().unwrap().warnings[0]);
    tried.must(site, &warned, 0, &[]);
    assert_eq!(load(site, "").unwrap(), all);
    assert!(store.load().unwrap().warnings.is_empty());

    site.write("store/keys", &format!("# keys\r{text}"));
    let hint = tried.store(&load(site, "").unwrap_err());
    tried.must(site, &hint, 0, &[]);
    assert_eq!(load(site, "").unwrap(), all);
}

/// The key file as openssl encrypts it with these options.
fn encrypt(site: &Site, options: &str) {
    site.write("store/plain", &format!("{ONE}{TWO}"));
    let (from, to) = (site.word("store/plain"), site.word("store/keys"));
    let made = site.shell(&format!(
        "openssl enc -aes-256-cbc -md sha1 {options} -in {from} -out {to}"
    ));
    assert!(made.status.success(), "{made:?}");
    set_mode(&site.path("store/keys"), 0o600);
}

fn odd_encrypted(site: &Site, tried: &mut Tried) {
    let all = both(site);
    for options in ["-a", "-a -A"] {
        encrypt(site, &format!("{options} -pass pass:hunter2"));
        for filekey in ["", "hunter2"] {
            encrypt(site, &format!("{options} -pass pass:hunter2"));
            let hint = tried.store(&load(site, filekey).unwrap_err());
            tried.must(site, &hint, 0, &[]);
            assert_eq!(load(site, "hunter2").unwrap(), all, "{hint}");
        }
    }
    for line_end in ["\n", "\r\n"] {
        encrypt(site, "-pass pass:hunter2");
        let bytes = fs::read(site.path("store/keys")).unwrap();
        put(site, "store/keys", &[&bytes, line_end.as_bytes()].concat());
        let hint = tried.store(&load(site, "hunter2").unwrap_err());
        tried.must(site, &hint, 0, &[]);
        assert_eq!(load(site, "hunter2").unwrap(), all);
    }
    encrypt(site, "-pass pass:hunter2");
    let whole = fs::read(site.path("store/keys")).unwrap();
    for cut in [12, whole.len() - 3] {
        put(site, "store/keys", &whole[..cut]);
        let hint = tried.store(&load(site, "hunter2").unwrap_err());
        assert!(hint.ends_with("ut it back whole from a backup"), "{hint}");
    }
    put(site, "store/keys", &whole);
    assert_eq!(load(site, "hunter2").unwrap(), all);
}

fn odd_passwords(site: &Site, tried: &mut Tried) {
    let all = both(site);
    let filekey = format!("FILE:{}", site.path("apart/password").display());
    encrypt(site, "-pass pass:hunter2");
    for odd in [
        b"hunter2\nmade on Monday\n".to_vec(),
        "\u{feff}hunter2\r\n".into(),
        utf16("hunter2\r\n", u16::to_le_bytes),
        b"hunter2\n\0\0".to_vec(),
        b"hunter2\n\x1a".to_vec(),
    ] {
        put(site, "apart/password", &odd);
        let hint = tried.store(&load(site, &filekey).unwrap_err());
        assert!(!hint.contains("hunter2"), "{hint}");
        tried.must(site, &hint, 0, &[]);
        assert_eq!(load(site, &filekey).unwrap(), all, "{hint}");
        assert_eq!(fs::read(site.path("apart/password.old")).unwrap(), odd);
    }
}

fn odd_and_encrypted(site: &Site, tried: &mut Tried) {
    put(site, "store/plain", format!("\u{feff}{ONE}{TWO}").as_bytes());
    let (from, to) = (site.word("store/plain"), site.word("store/keys"));
    let made = site.shell(&format!(
        "openssl enc -aes-256-cbc -md sha1 -pass pass:hunter2 -in {from} -out {to}"
    ));
    assert!(made.status.success(), "{made:?}");
    let hint = tried.store(&load(site, "hunter2").unwrap_err());
    // A command that works on the encrypted bytes would destroy them.
    assert!(
        hint.starts_with("the encrypted text begins with a byte order mark"),
        "{hint}"
    );
    assert!(!hint.contains('`'), "{hint}");
}

fn odd_tokens(site: &Site, tried: &mut Tried) {
    let kind = SecretKind {
        limit: 1000,
        may_be_pipe: false,
        trim: <[u8]>::trim_ascii,
    };
    let read = || kind.read_at(&site.path("apart/token"));
    for odd in [
        "\u{feff}s.token\r\n".as_bytes().to_vec(),
        utf16("s.token\r\n", u16::to_le_bytes),
        b"s.token\nof the server\n".to_vec(),
        b"s.token\0".to_vec(),
    ] {
        put(site, "apart/token", &odd);
        let error = read().unwrap_err();
        assert!(matches!(error, NoSecret::Odd(_)), "{error}");
        tried.must(site, &error.hint(&site.path("apart/token")), 0, &[]);
        assert_eq!(read().unwrap().expose(), b"s.token");
    }
}

fn no_password(site: &Site, tried: &mut Tried) {
    encrypt(site, "-pass pass:hunter2");
    let filekey = |path: &Path| format!("FILE:{}", path.display());
    site.write("apart/password", "\r\n");
    let hint = tried.store(&load(site, &filekey(&site.path("apart/password"))).unwrap_err());
    assert!(hint.starts_with("there is no password in "), "{hint}");
    let hint = tried.store(&load(site, &filekey(&site.path("apart"))).unwrap_err());
    assert!(
        hint.ends_with("apart is a directory: name a file in it"),
        "{hint}"
    );
    site.write("apart/password", "hunter2\n");
    assert_eq!(
        load(site, &filekey(&site.path("apart/password"))).unwrap().len(),
        2
    );
}

fn cut_password(site: &Site, tried: &mut Tried) {
    let filekey = format!("FILE:{}", site.path("apart/password").display());
    for odd in [
        utf16("hunter2\r\n", u16::to_le_bytes),
        b"hunter2\0 and more".to_vec(),
    ] {
        put(site, "apart/password", &odd);
        let create = |name| {
            let new = [NewFileKey { id: 1, bits: 256 }];
            KeyFile::create(site.key_file_config(name, &filekey), &new, None)
        };
        let hint = tried.store(&create("store/keys").unwrap_err());
        assert!(!site.path("store/keys").exists());
        tried.must(site, &hint, 0, &[]);
        create("store/keys").unwrap();
        assert_eq!(load(site, "hunter2").unwrap().len(), 1);
        fs::remove_file(site.path("store/keys")).unwrap();
    }
}
