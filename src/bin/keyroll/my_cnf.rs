//! The lines of my.cnf that make a server use a new key file.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, absolute};

use keyroll::keystore::key_file::FileKey;

use crate::key_file_args::{DEFAULT_DIGEST, KeyFileArgs};

/// What a server needs besides the plugin to encrypt everything that it writes.
const SERVER_SETTINGS: &str = "
# Faster than aes_cbc, the default, and stronger: 256-bit keys for pages and logs. It needs data keys of 256 bits.
# Choose before the first table is encrypted; it cannot be changed afterwards, not even back to file_key_management.
#keyroll_encryption_algorithm = aes_256_xts

# The server encrypts nothing until it is told to.
innodb_encrypt_tables = ON
innodb_encrypt_log = ON
innodb_encrypt_temporary_tables = ON
innodb_encryption_threads = 4
aria_encrypt_tables = ON
encrypt_tmp_files = ON
encrypt_binlog = ON
";

/// The lines, ready to be appended to my.cnf, even to one whose last line has no end. Bytes, because a path may
/// have any.
pub(crate) fn lines(args: &KeyFileArgs) -> io::Result<Vec<u8>> {
    let mut text = b"\n[mariadb]\nplugin_load_add = keyroll\nkeyroll_filename = ".to_vec();
    text.extend(value("", &absolute(&args.path)?));
    match args.filekey() {
        FileKey::None => {}
        FileKey::Password(_) => {
            text.extend(b"\n# The key file is encrypted with the password in KEYROLL_FILEKEY:\n#keyroll_filekey = PASSWORD");
        }
        FileKey::File(path) => {
            text.extend(b"\nkeyroll_filekey = ");
            text.extend(value("FILE:", &absolute(&path)?));
        }
    }
    if args.digest != DEFAULT_DIGEST {
        text.extend(format!("\nkeyroll_digest = {}", args.digest.name()).bytes());
    }
    if args.use_pbkdf2 > 0 {
        text.extend(format!("\nkeyroll_use_pbkdf2 = {}", args.use_pbkdf2).bytes());
    }
    text.push(b'\n');
    text.extend(SERVER_SETTINGS.bytes());
    Ok(text)
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
