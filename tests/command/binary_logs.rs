//! `check` where the server encrypts its binary logs, beside what it is told to do.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const WEAK: &str = "warning  encrypt_binlog with aes_ctr: known blocks of an encrypted binary log let whoever writes to the stopped \
    server's disk choose the redo log's key, and that of a table that he empties; aes_256_xts has no such path";
const ROTATE: &str = "hint: set keyroll_key_algorithm = aes_256_xts, SET GLOBAL keyroll_rotate_key = 1, and start with another \
    innodb_log_file_size, which makes the redo log anew";
const MOVE: &str = "hint: this store has one algorithm for all data: move the keys into a keystore, and rotate key 1 there with \
    keyroll_key_algorithm = aes_256_xts";
const OLDER: &str = "warning  binary logs may have been encrypted with a weaker algorithm, under version 1 of key 1: whoever writes \
    to the stopped server's disk can have the redo log encrypted under it again, with a key of his choice";
const STRICT: &str = "hint: start once with another innodb_log_file_size, which makes the redo log anew, and set \
    keyroll_algorithm_downgrade = strict then";

/// A folder with two others in it that are their owner's alone.
struct Site(TempDir);

impl Site {
    fn new() -> Site {
        let site = Site(TempDir::new().unwrap());
        for name in ["store", "apart", "sql"] {
            fs::create_dir(site.path().join(name)).unwrap();
            fs::set_permissions(site.path().join(name), Permissions::from_mode(0o700)).unwrap();
        }
        site
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// What the command prints, which must end with this code.
    fn run(&self, args: &[&str], code: i32) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_keyroll"))
            .args(args)
            .current_dir(self.path())
            .env_remove("KEYROLL_FILEKEY")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `check` warns of, beside option files with these lines.
    fn warnings(&self, store: &[&str], lines: &[&str]) -> Vec<String> {
        let datadir = format!("datadir={}", self.path().join("data").display());
        let sql_files = format!("secure_file_priv={}", self.path().join("sql").display());
        let all = [
            &["[mariadb]", "plugin_load_add=keyroll", &datadir, &sql_files],
            store,
            lines,
            &[""],
        ]
        .concat();
        fs::write(self.path().join("my.cnf"), all.join("\n")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_keyroll"))
            .args(["check", "--user", "root", "--quiet", "--defaults-file", "my.cnf"])
            .current_dir(self.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(!said.is_empty())), "{said}");
        said.lines().map(|line| line.trim().to_owned()).collect()
    }
}

#[test]
fn check_warns_of_encrypted_binary_logs_until_their_cipher_shows_no_pairs_and_has_no_way_back() {
    let site = Site::new();
    let keystore = [
        "--keystore",
        "store/keystore",
        "--master-key",
        "file:apart/master",
    ];
    site.run(
        &[&["init", "--key-algorithm", "aes_ctr"], &keystore[..]].concat(),
        0,
    );
    let path = |name| site.path().join(name).display().to_string();
    let store = [
        format!("keyroll_keystore={}", path("store/keystore")),
        format!("keyroll_master_key=file:{}", path("apart/master")),
    ];
    let store: Vec<&str> = store.iter().map(String::as_str).collect();
    for off in [
        &[][..],
        &["encrypt_binlog=OFF"],
        &["encrypt_binlog", "skip-encrypt-binlog"],
    ] {
        assert_eq!(site.warnings(&store, off), [""; 0], "{off:?}");
    }
    for on in ["encrypt_binlog=ON", "encrypt-binlog", "loose-encrypt-binlog=1"] {
        assert_eq!(site.warnings(&store, &[on]), [WEAK, ROTATE], "{on}");
    }
    // Strict refuses a way back, and there is none to go yet.
    let strict = ["encrypt_binlog", "keyroll_algorithm_downgrade=strict"];
    assert_eq!(site.warnings(&store, &strict), [WEAK, ROTATE]);

    site.run(&[&["rotate", "--key", "1"], &keystore[..]].concat(), 0);
    assert_eq!(site.warnings(&store, &["encrypt_binlog"]), [OLDER, STRICT]);
    assert_eq!(site.warnings(&store, &strict), [""; 0]);
}

#[test]
fn check_tells_a_store_of_one_algorithm_that_a_keystore_can_have_another_one() {
    let site = Site::new();
    site.run(&["init", "--filename", "store/keys"], 0);
    let filename = format!("keyroll_filename={}", site.path().join("store/keys").display());
    let of = |algorithm: &str| {
        let cipher = format!("keyroll_encryption_algorithm={algorithm}");
        site.warnings(&[&filename], &[&cipher, "encrypt_binlog"])
    };
    assert_eq!(of("aes_ctr"), [WEAK, MOVE]);
    assert_eq!(of("aes_cbc"), [&WEAK.replace("aes_ctr", "aes_cbc"), MOVE]);
    assert_eq!(of("aes_256_xts"), [""; 0]);
}
