//! What the server's option files say to a command that is told its key store by arguments.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const NAMED: [&str; 4] = ["--keystore", "keystore", "--master-key", "file:apart/master"];

/// A folder with a key file, where the server's option file says this.
fn folder(my_cnf: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("apart")).unwrap();
    write(folder.path(), "my.cnf", &format!("[mysqld]\n{my_cnf}"));
    write(folder.path(), "keys", &format!("1;{}\n", "ab".repeat(16)));
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
    fs::set_permissions(folder.join(name), Permissions::from_mode(0o600)).unwrap();
}

fn run(folder: &TempDir, args: &[&[&str]]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keyroll"))
        .args(args.concat())
        .current_dir(folder.path())
        .env_remove("KEYROLL_FILEKEY")
        // my_print_defaults reads my.cnf there, too.
        .env("MYSQL_HOME", folder.path())
        .output()
        .unwrap()
}

/// The same, of a command that has to work; what it prints.
fn run_well(folder: &TempDir, args: &[&[&str]]) -> String {
    let output = run(folder, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn no_line_that_is_printed_weakens_what_the_server_has() {
    let folder = folder("innodb-encrypt-tables = FORCE\nskip-encrypt-binlog\ninnodb_encryption_threads=16\n");
    let lines = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("keyroll_") && line.contains(" = "));
        lines.map(str::to_owned).collect()
    };
    let imported = lines(&run_well(
        &folder,
        &[&["import", "--from-filename", "keys"], &NAMED],
    ));
    for (line, is_there) in [
        ("innodb_encrypt_tables = FORCE", true),
        ("innodb_encrypt_log = ON", true),
        ("innodb_encryption_threads = 16", true),
        ("encrypt_binlog = OFF", true),
        ("encrypt_binlog = ON", false),
    ] {
        assert_eq!(
            imported.contains(&line.to_owned()),
            is_there,
            "{line}: {imported:?}"
        );
    }
    let configured = lines(&run_well(&folder, &[&["config"], &NAMED]));
    assert!(
        configured.contains(&"innodb_encrypt_tables = FORCE".into()),
        "{configured:?}"
    );
    assert!(
        configured.contains(&"encrypt_binlog = ON".into()),
        "{configured:?}"
    );
    let without = lines(&run_well(&folder, &[&["config", "--no-defaults"], &NAMED]));
    assert!(
        without.contains(&"innodb_encrypt_tables = ON".into()),
        "{without:?}"
    );
}

#[test]
fn what_is_said_of_the_servers_own_store_is_not_said_of_another_one() {
    let folder =
        folder("keyroll_filename = keys\nkeyroll_key_algorithm = aes_ctr\nkeyroll_rotate_version_step = 7\n");
    run_well(&folder, &[&["init"], &NAMED]);
    let rotated = run_well(&folder, &[&["rotate", "--key", "1"], &NAMED]);
    assert!(
        rotated.contains("version 3 is the latest now, for aes_256_xts"),
        "{rotated}"
    );
}

#[test]
fn option_files_that_cannot_be_read_are_in_nobodys_way_who_names_a_store() {
    let folder = folder("!includedir nowhere\n");
    let made = run(&folder, &[&["init"], &NAMED]);
    let said = String::from_utf8(made.stderr).unwrap();
    assert!(made.status.success(), "{said}");
    assert!(said.contains("warning: my_print_defaults cannot read"), "{said}");
    run_well(&folder, &[&["list", "--no-defaults"], &NAMED]);
}
