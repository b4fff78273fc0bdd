//! The lines of my.cnf that make a server use a key store.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, absolute};

use keyroll::crypto::Algorithm;
use keyroll::crypto::password::Digest;
use keyroll::durable::SecretSource;
use keyroll::durable::secret_source::FILE_PREFIX;
use keyroll::keys::KeySpec;
use keyroll::master_key::Provider;
use keyroll::settings::{PREFIX, Settings, shown_secret};
use keyroll::store::StoreConfig;
use keyroll::store::key_file::KeyFileConfig;
use keyroll::store::keystore::KeystoreConfig;

use crate::failure::Failure;
use crate::store_args::ChosenStore;

/// What a server needs besides the plugin to encrypt everything that it writes.
const SERVER_SETTINGS: [(&str, &str); 8] = [
    ("innodb_encrypt_tables", "ON"),
    ("innodb_encrypt_log", "ON"),
    ("innodb_encrypt_temporary_tables", "ON"),
    ("innodb_encryption_threads", "4"),
    ("aria_encrypt_tables", "ON"),
    ("encrypt_tmp_files", "ON"),
    ("encrypt_tmp_disk_tables", "ON"),
    ("encrypt_binlog", "ON"),
];

/// What becomes of server settings that are off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// They are switched on.
    Begins,
    /// They stay off: the server goes on as before, with another key store.
    GoesOn,
}

/// What to think of before the first table is encrypted with a key file.
const ALGORITHM_ADVICE: &str = "
# Faster than aes_cbc, the default, and stronger: 256-bit keys for pages and logs. It needs data keys of 256 bits.
# Choose before the first table is encrypted; it cannot be changed afterwards, not even back to file_key_management.
";

/// The name, without its prefix, of a row of the settings' table: any other does not compile.
macro_rules! row {
    ($row:ident) => {{
        let _ = |settings: Settings| settings.$row;
        stringify!($row)
    }};
}

/// The lines of these rows that are set.
macro_rules! lines_if_set {
    ($text:expr, $settings:ident: $($row:ident)+) => {
        $(line_if_set($text, stringify!($row), &$settings.$row);)+
    };
}

/// The lines for a store, ready to be appended to my.cnf, even to one whose last line has no end.
/// Bytes, because a path may have any.
pub(crate) fn lines(chosen: &ChosenStore, spec: KeySpec, encryption: Encryption) -> Result<Vec<u8>, Failure> {
    let settings = &chosen.settings;
    let mut text = b"\n[mariadb]\nplugin_load_add = keyroll\n".to_vec();
    let done = match &chosen.store {
        StoreConfig::KeyFile(config) => key_file(&mut text, config, settings),
        StoreConfig::Keystore(keystore) => keystore_lines(&mut text, keystore, settings, spec),
        StoreConfig::VaultKv(_) => {
            lines_if_set! { &mut text, settings: vault_url }
            login(&mut text, settings);
            algorithm(&mut text, settings);
            Ok(())
        }
    };
    done.map_err(Failure::NoWorkingDirectory)?;
    server_settings(&mut text, chosen, encryption);
    Ok(text)
}

/// What the server's option files say already is not weakened by a line that stands behind it.
fn server_settings(text: &mut Vec<u8>, chosen: &ChosenStore, encryption: Encryption) {
    text.extend(b"\n# The server encrypts nothing until it is told to.\n");
    for (name, on) in SERVER_SETTINGS {
        let is_off = |value: &str| ["0", "off", "false"].contains(&value.to_ascii_lowercase().as_str());
        let has = chosen.server_has(name);
        let has = has.filter(|value| encryption == Encryption::GoesOn || !is_off(value));
        text.extend(format!("{name} = {}\n", has.as_deref().unwrap_or(on)).bytes());
    }
}

fn key_file(text: &mut Vec<u8>, config: &KeyFileConfig, settings: &Settings) -> io::Result<()> {
    line(text, row!(filename), value("", &absolute(&config.path)?));
    match &config.filekey {
        None => {}
        Some(SecretSource::Value(_)) => {
            text.extend(b"# The key file is encrypted with a password, which is not shown:\n#");
            line(text, row!(filekey), "PASSWORD");
        }
        Some(SecretSource::File(path)) => line(text, row!(filekey), value(FILE_PREFIX, &absolute(path)?)),
    }
    if config.digest != Digest::Sha1 {
        line(text, row!(digest), config.digest.name());
    }
    if config.pbkdf2_rounds > 0 {
        line(text, row!(use_pbkdf2), config.pbkdf2_rounds.to_string());
    }
    algorithm(text, settings);
    Ok(())
}

/// The cipher of a store that records none.
fn algorithm(text: &mut Vec<u8>, settings: &Settings) {
    match settings.algorithm() {
        Algorithm::AesCbc => {
            text.extend(ALGORITHM_ADVICE.bytes());
            text.push(b'#');
            line(text, row!(encryption_algorithm), Algorithm::Aes256Xts.name());
        }
        other => line(text, row!(encryption_algorithm), other.name()),
    }
}

fn keystore_lines(
    text: &mut Vec<u8>,
    keystore: &KeystoreConfig,
    settings: &Settings,
    spec: KeySpec,
) -> io::Result<()> {
    line(text, row!(keystore), value("", &absolute(&keystore.path)?));
    text.extend(master_key(&keystore.master_key));
    lines_if_set! { text, settings: region endpoint_url }
    if spec.algorithm != KeySpec::DEFAULT.algorithm {
        line(text, row!(key_algorithm), spec.algorithm.name());
    }
    if spec.bits != KeySpec::DEFAULT.bits {
        line(text, row!(key_spec), format!("AES_{}", spec.bits));
    }
    if settings.request_timeout > 0 {
        line(text, row!(request_timeout), settings.request_timeout.to_string());
    }
    if Provider::of(&keystore.master_key).is_some_and(|(provider, _)| provider.scheme == "vault-transit") {
        login(text, settings);
    }
    Ok(())
}

/// How the server logs in to Vault. A secret is never shown, a file that holds it is.
fn login(text: &mut Vec<u8>, settings: &Settings) {
    lines_if_set! {
        text, settings: vault_ca vault_namespace vault_login_mount vault_role vault_client_cert vault_client_key
    }
    if settings.vault_login > 0 {
        line(text, row!(vault_login), settings.vault_login_name());
    }
    for (row, secret) in [
        (row!(token), &settings.token),
        (row!(vault_secret), &settings.vault_secret),
    ] {
        match shown_secret(secret.expose()) {
            Some(_) => {
                text.extend(b"# A secret, which is not shown:\n#");
                line(text, row, "SECRET");
            }
            None => line_if_set(text, row, secret.expose()),
        }
    }
    if settings.vault_allow_http {
        line(text, row!(vault_allow_http), "ON");
    }
}

fn line_if_set(text: &mut Vec<u8>, row: &str, setting: &[u8]) {
    if !setting.is_empty() {
        line(text, row, value("", Path::new(OsStr::from_bytes(setting))));
    }
}

fn line(text: &mut Vec<u8>, row: &str, value: impl AsRef<[u8]>) {
    text.extend(PREFIX.bytes());
    text.extend(row.bytes());
    text.extend(b" = ");
    text.extend(value.as_ref());
    text.push(b'\n');
}

/// The line that names a master key.
pub(crate) fn master_key(uri: &str) -> Vec<u8> {
    let mut text = Vec::new();
    line(&mut text, row!(master_key), value("", Path::new(uri)));
    text
}

/// A path as an option file's value: in quotes, with escapes, where a character means something
/// there.
fn value(prefix: &str, path: &Path) -> Vec<u8> {
    let path = path.as_os_str().as_bytes();
    if path
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/._-+:,@=~%".contains(byte))
    {
        return [prefix.as_bytes(), path].concat();
    }
    let mut quoted = format!("\"{prefix}").into_bytes();
    for &byte in path {
        match byte {
            b'\n' => quoted.extend(b"\\n"),
            b'\r' => quoted.extend(b"\\r"),
            b'"' | b'\\' => quoted.extend([b'\\', byte]),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_blanks_quotes_and_hashes_is_quoted_as_option_files_want_it() {
        let plain = value("FILE:", Path::new("/etc/mysql/pass-word_1.txt"));
        assert_eq!(plain, b"FILE:/etc/mysql/pass-word_1.txt");
        let odd = value("FILE:", Path::new("/a b/#1/\"q\"\\n"));
        assert_eq!(odd, br#""FILE:/a b/#1/\"q\"\\n""#);
    }
}
