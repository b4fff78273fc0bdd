//! The same answers as the server's own tool, and none that is a panic.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// The version whose groups the installed `my_print_defaults` reads.
fn installed_version() -> String {
    crate::server_version::installed().expect("mariadbd is installed")
}

/// What the server's tool makes of this file; `None` if it refuses it.
fn peer(folder: &TempDir, suffix: Option<&str>) -> Option<Vec<u8>> {
    let mut command = Command::new("my_print_defaults");
    command
        .current_dir(folder.path())
        .arg("--defaults-file=my.cnf")
        .env_remove("MARIADB_GROUP_SUFFIX")
        .env_remove("MYSQL_GROUP_SUFFIX");
    if let Some(suffix) = suffix {
        command.arg(format!("--defaults-group-suffix={suffix}"));
    }
    let output = command.arg("--mariadbd").output().unwrap();
    output.status.success().then_some(output.stdout)
}

/// The same of ours, printed in the same way.
fn ours(folder: &TempDir, suffix: Option<&str>, version: &str) -> Option<Vec<u8>> {
    let args = OptionFileArgs {
        defaults_file: Some(folder.path().join("my.cnf")),
        defaults_group_suffix: suffix.map(Into::into),
        ..OptionFileArgs::default()
    };
    let files = read(&args, &|| Some(version.to_owned())).ok()?;
    let mut text = Vec::new();
    for option in files.options {
        text.extend(b"--");
        text.extend(option.name);
        if let Some(value) = option.value {
            text.push(b'=');
            text.extend(value.expose());
        }
        text.push(b'\n');
    }
    Some(text)
}

fn write(folder: &TempDir, name: &str, content: &[u8], mode: u32) {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A folder with files that are there to be included, by absolute paths in `{}`.
fn folder_of_files() -> TempDir {
    let folder = TempDir::new().unwrap();
    let own = folder.path().display();
    for name in [
        "d/b.cnf",
        "d/a.cnf",
        "d/.hidden.cnf",
        "d/two.x.cnf",
        "d/q.CNF",
        "d/q.txt",
    ] {
        write(
            &folder,
            name,
            format!("[mariadbd]\nfrom={name}\n").as_bytes(),
            0o644,
        );
    }
    fs::create_dir(folder.path().join("d/directory.cnf")).unwrap();
    write(&folder, "world.cnf", b"[mariadbd]\nworld=1\n", 0o666);
    let loops = format!("[mariadbd]\nr\n!include {own}/loop.cnf\ns\n");
    write(&folder, "loop.cnf", loops.as_bytes(), 0o644);
    folder
}

fn assert_same(folder: &TempDir, content: &[u8], suffix: Option<&str>, version: &str) {
    write(folder, "my.cnf", content, 0o644);
    let (peer, ours) = (peer(folder, suffix), ours(folder, suffix, version));
    let text = |answer: &Option<Vec<u8>>| answer.as_ref().map(|bytes| bytes.escape_ascii().to_string());
    assert_eq!(
        text(&ours),
        text(&peer),
        "of {} (right: the server's tool)",
        content.escape_ascii()
    );
}

#[test]
fn every_odd_line_is_read_as_the_servers_own_tool_reads_it() {
    let (folder, version) = (folder_of_files(), installed_version());
    let own = folder.path().display();
    let mut contents: Vec<Vec<u8>> = [
        "a=1\n", "[mariadbd]\na=1", "[mariadbd\na=1\n", "[MariaDBd]\na\n", "[ mariadbd]\na\n", "[mariadbd \t]\na\n",
        "[mariadbd]x\na\n", "[mariadbd] a=1\nb\n", "[mariadbd][client]\na\n", "[]\na\n", "[mariadbd,x]\na\n",
        "\u{feff}[mariadbd]\na\n", "!x\n[mariadbd]\nb\n", "!x\nb\n", "!include nowhere.cnf\n[mariadbd]\nt\n",
        "[client]\nq\n[server]\nr\n[galera]\ns\n[client-server]\nt\n[mysqld]\nu\n[mysqld_safe]\nv\n[mariadb]\nw\n",
        "[mysqld-10.11]\na\n[mariadb-10.11]\nb\n[mariadbd-10.11]\nc\n[mariadb-10.6]\nd\n[mariadb-11.8]\ne\n\
         [mariadb-10.11.19]\nf\n[mariadb-]\ng\n[server-10.11]\nh\n[MARIADB-10.11]\ni\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    for line in [
        " a = 1 ",
        "a",
        "a  ",
        "a=",
        "a=  ",
        "=1",
        "=",
        "a=b=c",
        "--a=1",
        "a='x y'",
        "a=\"x",
        "a=\"",
        "a='",
        "a=''",
        "a=' x '",
        "a='x\"",
        "a='it''s'",
        "a='x'y'",
        "a=\"x'y\"",
        "a=\"x'y#\"",
        "a=x # c",
        "a='x # c'",
        "a=\"x # c'",
        "a=x;c",
        "; a",
        "#a",
        "  ;a",
        "a # b",
        "a=x'#y",
        "a=x\"y#z\"w#q",
        "a'b#c'=1",
        "a=x\\#c",
        "a=x\\",
        "a=\\",
        "a='x\\'",
        "a='x\\' # y'",
        "a=\"\\\"#\\\"\"",
        "a=\\n\\t\\r\\b\\s\\\\\\q\\'\\\"x",
        "a=x\\s",
        "a=\\\\n",
        "a=1\r",
        "a\0b=1",
        "!",
        "!x",
        "!include",
        "!include   ",
        "!include x",
        "!include xy",
        "!includedir x",
        "!includedir",
        "!includedir nowhere/at/all",
        "!includedird",
    ] {
        contents.push(format!("[mariadbd]\n{line}\nz=2\n").into_bytes());
        contents.push(format!("[mariadbd]\n{line}").into_bytes());
    }
    for line in [
        "!include {}/d/a.cnf",
        "  !  include   {}/d/a.cnf  ",
        "!include {}/d/a.cnf # c",
        "!include '{}/d/a.cnf'",
        "!include{}/d/a.cnf",
        "!includedir {}/d",
        "! includedir\t{}/d/ ",
        "!include {}/d",
        "!include {}/world.cnf",
        "!include {}/loop.cnf",
    ] {
        let line = line.replace("{}", &own.to_string());
        contents.push(format!("[mariadbd]\n{line}\nz=2\n").into_bytes());
        contents.push(format!("{line}\n[client]\n{line}").into_bytes());
    }
    for length in 4090..4100 {
        let long = "x".repeat(length);
        contents.push(format!("[mariadbd]\n{long}\nz\n").into_bytes());
        contents.push(format!("[mariadbd]\na=\"{long}\" \nz\n").into_bytes());
        contents.push(format!("#{long}\n[mariadbd]\nz\n").into_bytes());
    }
    contents.push(b"[mariadbd]\n\xA0a\xA0=\x0B1\xA0\n\x85b\x85=\x851\x85\n".to_vec());
    for content in &contents {
        assert_same(&folder, content, None, &version);
    }
    let suffixed =
        b"[mariadb_s]\na\n[mariadb]\nb\n[mysqld-10.11_S]\nc\n[_s]\nd\n[mariadb_s_s]\ne\n[client_s]\nf\n";
    assert_same(&folder, suffixed, Some("_s"), &version);
    assert_same(&folder, suffixed, Some(""), &version);
}

#[test]
fn the_world_may_not_write_an_option_file_that_is_read() {
    let folder = folder_of_files();
    let args = OptionFileArgs {
        defaults_file: Some(folder.path().join("world.cnf")),
        ..OptionFileArgs::default()
    };
    let files = read(&args, &|| None).unwrap();
    assert!(files.options.is_empty());
    assert!(
        files.warnings[0].contains("everyone may write it"),
        "{:?}",
        files.warnings
    );
}

#[test]
fn a_group_with_a_version_is_named_when_no_server_tells_its_own() {
    let folder = TempDir::new().unwrap();
    write(&folder, "my.cnf", b"[mariadb-10.11]\na\n[mariadb]\nb\n", 0o644);
    let args = OptionFileArgs {
        defaults_file: Some(folder.path().join("my.cnf")),
        ..OptionFileArgs::default()
    };
    let files = read(&args, &|| None).unwrap();
    assert_eq!(files.options.len(), 1);
    assert!(
        files.warnings[0].contains("[mariadb-10.11] is not read"),
        "{:?}",
        files.warnings
    );
}

/// Files of the pieces that mean something, in any order.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "[mariadbd]\n",
        "[mysqld",
        "]",
        "\n",
        "\n",
        " ",
        "\t",
        "=",
        "#",
        ";",
        "'",
        "\"",
        "\\",
        "\\n",
        "\\s",
        "a",
        "bc",
        "keyroll_filename",
        "!",
        "\0",
        "\r",
        "-",
        "_",
        "[client]\n",
        "/",
        ".",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| {
        let mut text = "[mariadbd]\n".to_owned();
        text.extend(pieces);
        text.into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_order_of_meaningful_pieces_is_read_as_the_servers_own_tool_reads_it(content in pieces()) {
        // An option without a name is none to the server; its tool shows what stands before the line then.
        let nameless = content
            .split(|&byte| byte == b'\n')
            .any(|line| line.trim_ascii_start().starts_with(b"="));
        prop_assume!(!nameless);
        let folder = TempDir::new().unwrap();
        assert_same(&folder, &content, None, &installed_version());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_reader_panic(content in prop::collection::vec(any::<u8>(), 0..9000)) {
        for line in Lines(&content) {
            let _ = line::parse(line);
        }
        let folder = TempDir::new().unwrap();
        write(&folder, "my.cnf", &[b"[mariadbd]\n".to_vec(), content].concat(), 0o644);
        let args = OptionFileArgs {
            defaults_file: Some(folder.path().join("my.cnf")),
            ..OptionFileArgs::default()
        };
        let _ = read(&args, &|| None);
    }

    #[test]
    fn lines_together_are_the_file(content in prop::collection::vec(1..=255_u8, 0..9000)) {
        let together: Vec<u8> = Lines(&content).flatten().copied().collect();
        prop_assert_eq!(together, content);
    }
}
