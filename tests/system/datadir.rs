//! Key ids in the data directories of a real server: each page size, both formats, compressed tables of both kinds, with and
//! without encryption.
//!
//! Needs the installed server and its own `file_key_management`; a missing one is a failure.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use keyroll::datadir::aria::{self, Table};
use keyroll::datadir::{aria_log, file_in_use, key_ids_in_use};

/// Where packages put the server.
const SERVERS: [&str; 2] = ["/usr/sbin/mariadbd", "/usr/libexec/mariadbd"];

/// A server that makes its first tables, and ends.
fn server(directory: &Path, options: &[&str]) -> Command {
    let keys: String = (1..=20).map(|id| format!("{id};{id:032x}\n")).collect();
    fs::write(directory.join("keys"), keys).unwrap();
    let data = directory.join("data");
    fs::create_dir_all(&data).unwrap();
    let user = nix::unistd::getuid();
    chown(&data, Some(user.as_raw()), None).unwrap();
    let server = SERVERS
        .iter()
        .find(|path| Path::new(path).exists())
        .expect("a server is installed");
    let mut command = Command::new(server);
    command
        .args([
            "--no-defaults",
            "--bootstrap",
            "--user=root",
            "--skip-grant-tables",
        ])
        .args(["--loose-enforce-storage-engine=", "--innodb-strict-mode=ON"])
        .args([
            "--plugin-load-add=file_key_management",
            "--default-storage-engine=InnoDB",
        ])
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--tmpdir={}", directory.display()))
        .arg(format!(
            "--file-key-management-filename={}",
            directory.join("keys").display()
        ))
        .args([
            "--innodb-encrypt-tables=OFF",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M",
        ])
        .args(options);
    command
}

/// Runs these statements in such a server.
fn run(directory: &Path, statements: &str, options: &[&str]) {
    fs::write(directory.join("statements"), statements).unwrap();
    let output = server(directory, options)
        .stdin(File::open(directory.join("statements")).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("ERROR"),
        "{options:?}: {said}"
    );
}

/// The files' names by the key that they are encrypted with.
fn in_use(directory: &Path) -> BTreeMap<u32, String> {
    let data = directory.join("data");
    let found = key_ids_in_use(&data).unwrap();
    for (id, path) in &found {
        assert!(file_in_use(&data, *id).unwrap().is_some(), "{path:?}");
    }
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    found.iter().map(|(id, path)| (*id, name(path))).collect()
}

const TABLES: &str = "CREATE DATABASE d;
    CREATE TABLE d.plain (a INT) ENGINE=InnoDB ENCRYPTED=NO;
    CREATE TABLE d.left_to_the_server (a INT) ENGINE=InnoDB ENCRYPTION_KEY_ID=3;
    CREATE TABLE d.encrypted (a INT PRIMARY KEY, b TEXT) ENGINE=InnoDB ENCRYPTED=YES ENCRYPTION_KEY_ID=4;
    CREATE TABLE d.parts (a INT) ENGINE=InnoDB ENCRYPTED=YES ENCRYPTION_KEY_ID=5 PARTITION BY HASH(a) PARTITIONS 2;
    INSERT INTO d.encrypted VALUES (1, 'a'), (2, 'b');
";
const PAGE_COMPRESSED: &str =
    "CREATE TABLE d.page_compressed (a TEXT) ENGINE=InnoDB PAGE_COMPRESSED=1 ENCRYPTED=YES ENCRYPTION_KEY_ID=6;
    INSERT INTO d.page_compressed VALUES (REPEAT('a', 3000));
";

/// A table with ROW_FORMAT=COMPRESSED for each size of its pages that the server's page size allows, with keys from 10 on.
fn zipped(page_size: u32) -> (String, BTreeMap<u32, String>) {
    let mut statements = String::new();
    let mut expected = BTreeMap::new();
    for (number, size) in (10..).zip([1, 2, 4, 8, 16]) {
        if page_size <= 16 && size <= page_size {
            statements += &format!(
                "CREATE TABLE d.zip{size} (a INT PRIMARY KEY) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE={size} \
                 ENCRYPTED=YES ENCRYPTION_KEY_ID={number};\n"
            );
            expected.insert(number, format!("zip{size}.ibd"));
        }
    }
    (statements, expected)
}

fn check(page_size: u32, format: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (zipped, mut expected) = zipped(page_size);
    run(
        directory.path(),
        &[TABLES, PAGE_COMPRESSED, &zipped].concat(),
        &[
            &format!("--innodb-page-size={page_size}k"),
            &format!("--loose-innodb-checksum-algorithm={format}"),
        ],
    );
    expected.insert(4, "encrypted.ibd".into());
    expected.insert(5, "parts#P#p0.ibd".into());
    expected.insert(6, "page_compressed.ibd".into());
    assert_eq!(in_use(directory.path()), expected, "{page_size} KiB, {format}");
}

macro_rules! page_sizes {
    ($($test:ident: $size:literal, $format:literal;)*) => {
        $(#[test]
        fn $test() {
            check($size, $format);
        })*
    };
}

page_sizes! {
    keys_of_a_server_with_pages_of_4_kib_are_found: 4, "full_crc32";
    keys_of_a_server_with_pages_of_8_kib_are_found: 8, "full_crc32";
    keys_of_a_server_with_pages_of_16_kib_are_found: 16, "full_crc32";
    keys_of_a_server_with_pages_of_32_kib_are_found: 32, "full_crc32";
    keys_of_a_server_with_pages_of_64_kib_are_found: 64, "full_crc32";
    keys_in_the_old_format_with_pages_of_4_kib_are_found: 4, "crc32";
    keys_in_the_old_format_with_pages_of_16_kib_are_found: 16, "crc32";
    keys_in_the_old_format_with_pages_of_64_kib_are_found: 64, "crc32";
}

#[test]
fn a_table_elsewhere_is_found_by_its_link() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let statements = format!(
        "CREATE DATABASE d;
        CREATE TABLE d.far (a INT) ENGINE=InnoDB ENCRYPTED=YES ENCRYPTION_KEY_ID=7 DATA DIRECTORY='{}';
        INSERT INTO d.far VALUES (1);\n",
        elsewhere.display()
    );
    run(directory.path(), &statements, &[]);
    let found = key_ids_in_use(&directory.path().join("data")).unwrap();
    assert_eq!(found, BTreeMap::from([(7, elsewhere.join("d/far.ibd"))]));
}

/// What the index files of the database `d` tell.
fn aria_tables(data: &Path) -> BTreeMap<String, Table> {
    let tables = aria::tables(data).filter_map(|(path, told)| {
        let name = path.strip_prefix(data.join("d")).ok()?;
        Some((name.to_str().unwrap().to_owned(), told))
    });
    tables.collect()
}

#[test]
fn encrypted_aria_tables_are_told_from_plain_ones() {
    let columns = "(a INT PRIMARY KEY, b VARCHAR(100), c TEXT, KEY (b)) ENGINE=Aria";
    let plain = format!(
        "CREATE DATABASE d;\nCREATE TABLE d.t {columns};\nCREATE TABLE d.f (a INT) ENGINE=Aria ROW_FORMAT=FIXED TRANSACTIONAL=0;\n"
    );
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), &plain, &["--aria-encrypt-tables=OFF"]);
    let data = directory.path().join("data");
    assert!(aria::tables(&data).all(|(_, told)| told == Table::Plain));

    let encrypted = format!(
        "CREATE TABLE d.e {columns};
        CREATE TABLE d.e1 {columns} TRANSACTIONAL=1;
        CREATE TABLE d.e2 {columns} PAGE_CHECKSUM=0;\n"
    );
    run(directory.path(), &encrypted, &["--aria-encrypt-tables=ON"]);
    let told = [
        ("e.MAI", Table::Encrypted),
        ("e1.MAI", Table::Encrypted),
        ("e2.MAI", Table::Encrypted),
        ("f.MAI", Table::Plain),
        ("t.MAI", Table::Plain),
    ];
    assert_eq!(
        aria_tables(&data),
        told.map(|(name, told)| (name.into(), told)).into()
    );
    assert!(aria::tables(&data).all(|(_, told)| told != Table::Unreadable));
}

/// Runs these statements in such a server, and kills it.
fn run_and_kill(directory: &Path, statements: &str, options: &[&str]) {
    let done = directory.join("done");
    let mut server = server(directory, options)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let statements = format!("{statements}SELECT 1 INTO OUTFILE '{}';\n", done.display());
    let mut stdin = server.stdin.take().unwrap();
    stdin.write_all(statements.as_bytes()).unwrap();
    while !done.exists() {
        assert_eq!(server.try_wait().unwrap(), None, "it ends before it is killed");
        thread::sleep(Duration::from_millis(10));
    }
    server.kill().unwrap();
    server.wait().unwrap();
    fs::remove_file(done).unwrap();
}

#[test]
fn the_log_of_aria_is_clean_after_a_stop_and_not_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let options = ["--aria-encrypt-tables=ON"];
    let table = "CREATE TABLE d.t (a INT PRIMARY KEY, b TEXT) ENGINE=Aria TRANSACTIONAL=1;\n";
    let make = ["CREATE DATABASE d;\n", table].concat();
    run(directory.path(), &make, &options);
    let told = |told| BTreeMap::from([("t.MAI".into(), told)]);
    for round in 0..3 {
        assert!(aria_log::is_clean(&data), "{round}");
        assert_eq!(aria_tables(&data), told(Table::Encrypted));
        let insert = format!("INSERT INTO d.t VALUES ({round}, REPEAT('a', 3000));\n");
        run_and_kill(directory.path(), &insert, &options);
        assert!(!aria_log::is_clean(&data), "{round}");
        assert_eq!(aria_tables(&data), told(Table::EncryptedInUse));
        // It recovers.
        run(directory.path(), "SELECT * FROM d.t;\n", &options);
    }
    // A server that has done nothing leaves nothing to recover.
    run_and_kill(directory.path(), "SELECT * FROM d.t;\n", &options);
    assert!(aria_log::is_clean(&data));
}
