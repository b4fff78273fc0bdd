//! The lines of my.cnf that make a server use a key store.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, absolute};

use keyroll::crypto::Algorithm;
use keyroll::crypto::password::Digest;
use keyroll::keys::KeySpec;
use keyroll::store::key_file::{FileKey, KeyFileConfig};

use crate::store::{KeystorePlace, Place};

/// What a server needs besides the plugin to encrypt everything that it writes.
const SERVER_SETTINGS: &str = "
# The server encrypts nothing until it is told to.
innodb_encrypt_tables = ON
innodb_encrypt_log = ON
innodb_encrypt_temporary_tables = ON
innodb_encryption_threads = 4
aria_encrypt_tables = ON
encrypt_tmp_files = ON
encrypt_binlog = ON
";

/// What to think of before the first table is encrypted with a key file.
const ALGORITHM_ADVICE: &str = "
# Faster than aes_cbc, the default, and stronger: 256-bit keys for pages and logs. It needs data keys of 256 bits.
# Choose before the first table is encrypted; it cannot be changed afterwards, not even back to file_key_management.
#keyroll_encryption_algorithm = aes_256_xts
";

/// What the lines say beside the place of the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ciphers {
    /// `keyroll_encryption_algorithm`, where the store records no algorithm.
    pub(crate) of_store: Algorithm,
    /// `keyroll_key_algorithm` and `keyroll_key_spec`, where it does.
    pub(crate) of_new_versions: KeySpec,
}

/// The lines, ready to be appended to my.cnf, even to one whose last line has no end. Bytes, because a path may
/// have any.
pub(crate) fn lines(place: &Place, ciphers: Ciphers) -> io::Result<Vec<u8>> {
    let mut text = b"\n[mariadb]\nplugin_load_add = keyroll\n".to_vec();
    match place {
        Place::KeyFile(config) => key_file(&mut text, config, ciphers.of_store)?,
        Place::Keystore(keystore) => keystore_lines(&mut text, keystore, ciphers.of_new_versions)?,
    }
    text.extend(SERVER_SETTINGS.bytes());
    Ok(text)
}

fn key_file(text: &mut Vec<u8>, config: &KeyFileConfig, algorithm: Algorithm) -> io::Result<()> {
    line(text, "keyroll_filename", &value("", &absolute(&config.path)?));
    match &config.filekey {
        FileKey::None => {}
        FileKey::Password(_) => {
            text.extend(b"# The key file is encrypted with a password, which is not shown:\n#keyroll_filekey = PASSWORD\n");
        }
        FileKey::File(path) => line(text, "keyroll_filekey", &value("FILE:", &absolute(path)?)),
    }
    if config.digest != Digest::Sha1 {
        line(text, "keyroll_digest", config.digest.name().as_bytes());
    }
    if config.pbkdf2_rounds > 0 {
        line(
            text,
            "keyroll_use_pbkdf2",
            config.pbkdf2_rounds.to_string().as_bytes(),
        );
    }
    if algorithm == Algorithm::AesCbc {
        text.extend(ALGORITHM_ADVICE.bytes());
    } else {
        line(text, "keyroll_encryption_algorithm", algorithm.name().as_bytes());
    }
    Ok(())
}

fn keystore_lines(text: &mut Vec<u8>, keystore: &KeystorePlace, spec: KeySpec) -> io::Result<()> {
    line(text, "keyroll_keystore", &value("", &absolute(&keystore.path)?));
    line(text, "keyroll_master_key", &uri(&keystore.master_key));
    for (name, value) in [
        ("keyroll_region", &keystore.kms.region),
        ("keyroll_endpoint_url", &keystore.kms.endpoint_url),
    ] {
        if !value.is_empty() {
            line(text, name, &uri(value));
        }
    }
    if spec.algorithm != KeySpec::DEFAULT.algorithm {
        line(text, "keyroll_key_algorithm", spec.algorithm.name().as_bytes());
    }
    if spec.bits != KeySpec::DEFAULT.bits {
        line(text, "keyroll_key_spec", format!("AES_{}", spec.bits).as_bytes());
    }
    if keystore.request_timeout > 0 {
        line(
            text,
            "keyroll_request_timeout",
            keystore.request_timeout.to_string().as_bytes(),
        );
    }
    Ok(())
}

fn line(text: &mut Vec<u8>, name: &str, value: &[u8]) {
    text.extend(name.bytes());
    text.extend(b" = ");
    text.extend(value);
    text.push(b'\n');
}

/// A master key's URI as an option file's value.
pub(crate) fn uri(uri: &str) -> Vec<u8> {
    value("", Path::new(uri))
}

/// A path as an option file's value: in quotes, with escapes, where a character means something there.
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
