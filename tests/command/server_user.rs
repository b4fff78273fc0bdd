//! `check` for the user that the server runs as, here one without rights: what that user cannot do is told, and one
//! command mends it, whoever runs the check.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const NOBODY: u32 = 65534;
/// Another user without rights.
const DAEMON: u32 = 1;

/// A keystore and its master key file, each in a directory of its own, all of them the user's; and a copy of the
/// command that every user may run.
struct Host(TempDir);

impl Host {
    fn new() -> Host {
        assert!(nix::unistd::geteuid().is_root(), "only root can be another user");
        let host = Host(TempDir::new().unwrap());
        host.give("", 0, 0o755);
        for name in ["store", "apart", "data", "sql"] {
            fs::create_dir(host.0.path().join(name)).unwrap();
            host.give(name, NOBODY, 0o700);
        }
        // By another process: a descriptor of ours that writes to a program could be inherited by another test's.
        let copied = Command::new("cp")
            .args([env!("CARGO_BIN_EXE_keyroll"), &host.path("keyroll")])
            .status();
        assert!(copied.unwrap().success());
        let made = host.run(None, &["init", "--owner", "nobody"]);
        assert!(made.status.success(), "{made:?}");
        host
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().into()
    }

    /// Gives the file to this user and its group of the same number.
    fn give(&self, name: &str, user: u32, mode: u32) {
        let path = self.0.path().join(name);
        chown(&path, Some(user), Some(user)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    /// Runs the command on the keystore, as root or as another user.
    fn run(&self, user: Option<u32>, arguments: &[&str]) -> Output {
        let program = self.path("keyroll");
        let mut command = match user {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command
                    .args([format!("--reuid={user}"), format!("--regid={user}")])
                    .args(["--clear-groups", &program]);
                command
            }
        };
        command
            .args(arguments)
            .args(["--no-defaults", "--keystore", &self.path("store/keystore")])
            .args(["--master-key", &format!("file:{}", self.path("apart/master"))])
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    /// Checks for the user; the exit code and what is not as it should be.
    fn check(&self) -> (i32, String) {
        let output = self.run(None, &["check", "--quiet", "--user", "nobody"]);
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
        )
    }

    /// One fault is told, with this exit code and these words; the command that is advised leaves nothing to tell.
    fn mended(&self, code: i32, words: &str) -> String {
        let (found, said) = self.check();
        assert_eq!(found, code, "{said}");
        assert!(said.contains(words), "{words} is not in {said}");
        assert_eq!(said.matches("hint:").count(), 1, "{said}");
        let advised = said.split("hint:").nth(1).unwrap();
        let command = advised.split('`').nth(1).unwrap().to_owned();
        shell(&command);
        assert_eq!(self.check(), (0, String::new()), "{command}");
        command.replace(self.0.path().to_str().unwrap(), "DIR")
    }

    /// What the server does for a statement.
    fn must_rotate(&self) {
        let rotated = self.run(Some(NOBODY), &["rotate", "--all"]);
        assert!(rotated.status.success(), "{rotated:?}");
    }
}

fn shell(command: &str) {
    let done = Command::new("sh").args(["-c", command]).status();
    assert!(done.unwrap().success(), "{command}");
}

#[test]
fn a_keystore_that_root_has_restored_is_refused_until_it_is_the_servers_again() {
    let host = Host::new();
    assert_eq!(host.check(), (0, String::new()));
    host.give("store/keystore", 0, 0o600);
    let command = host.mended(2, "the user nobody cannot read the keystore");
    assert_eq!(command, "chown nobody: DIR/store/keystore");
    host.must_rotate();
}

#[test]
fn a_keystore_whose_owner_a_rotation_cannot_keep_is_warned_of() {
    let host = Host::new();
    for (user, group, mode) in [(0, NOBODY, 0o640), (NOBODY, 0, 0o600)] {
        chown(host.path("store/keystore"), Some(user), Some(group)).unwrap();
        fs::set_permissions(host.path("store/keystore"), Permissions::from_mode(mode)).unwrap();
        assert!(
            !host.run(Some(NOBODY), &["rotate", "--all"]).status.success(),
            "{user}:{group}"
        );
        host.mended(1, "SET GLOBAL keyroll_rotate_key fails");
        host.must_rotate();
    }
}

#[test]
fn a_directory_in_which_the_user_cannot_write_is_warned_of_and_each_on_the_way_must_let_it_pass() {
    let host = Host::new();
    host.give("store", 0, 0o755);
    let command = host.mended(1, "the user nobody cannot write in the directory");
    assert!(
        command.starts_with("chown nobody: DIR/store && chmod"),
        "{command}"
    );
    host.must_rotate();
    host.give("apart", 0, 0o700);
    host.mended(2, "cannot reach the master key file");
    // What else is there is not given away with the directory.
    fs::write(host.path("store/other"), "").unwrap();
    host.give("store", 0, 0o700);
    let (code, said) = host.check();
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains(&format!("run `chmod a+x {}`", host.path("store"))),
        "{said}"
    );
    host.give("store", NOBODY, 0o700);
    host.give("", 0, 0o700);
    // Both files lie behind it, and one command mends both.
    let (code, said) = host.check();
    assert_eq!((code, said.matches("chmod a+x").count()), (2, 2), "{said}");
    shell(said.split('`').nth(1).unwrap());
    assert_eq!(host.check(), (0, String::new()));
}

#[test]
fn a_directory_with_files_whose_names_begin_like_the_keystores_is_not_given_away() {
    let host = Host::new();
    for (other, is_own) in [
        ("keystore.previous", true),
        (".keystore.keyroll-new", true),
        (".keystore.previous.keyroll-new", true),
        ("keystore.keytab", false),
        (".keystore", false),
        ("keystores", false),
    ] {
        fs::write(host.path(&format!("store/{other}")), "").unwrap();
        host.give(&format!("store/{other}"), NOBODY, 0o600);
        for mode in [0o755, 0o700] {
            host.give("store", 0, mode);
            let (_, said) = host.check();
            let chown = format!("run `chown nobody: {} ", host.path("store"));
            assert_eq!(said.contains(&chown), is_own, "{other}: {said}");
        }
        fs::remove_file(host.path(&format!("store/{other}"))).unwrap();
    }
}

/// As the key of a certificate that lies in Debian's /etc/ssl/private for the group ssl-cert.
#[test]
fn a_file_without_keys_that_others_use_too_stays_theirs() {
    let host = Host::new();
    for name in ["token", "tls.key", "tls.crt"] {
        fs::write(host.path(name), "").unwrap();
        host.give(name, 0, 0o644);
    }
    let options = format!(
        "[mariadbd]\nplugin_load_add=keyroll\nsecure_file_priv={}\nkeyroll_vault_url=https://127.0.0.1:9/v1/keys\n\
         keyroll_token=FILE:{}\nkeyroll_vault_client_cert={}\nkeyroll_vault_client_key={}\nkeyroll_timeout=1\n",
        host.path("sql"),
        host.path("token"),
        host.path("tls.crt"),
        host.path("tls.key")
    );
    fs::write(host.path("my.cnf"), options).unwrap();
    let check = || {
        let output = Command::new(host.path("keyroll"))
            .args(["check", "--quiet", "--user", "nobody"])
            .arg(format!("--defaults-file={}", host.path("my.cnf")))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for (name, mode) in [("token", 0o640), ("token", 0o600), ("tls.key", 0o640)] {
        host.give("token", NOBODY, 0o600);
        host.give("tls.key", NOBODY, 0o600);
        host.give(name, 0, mode);
        chown(host.path(name), None, Some(DAEMON)).unwrap();
        let said = check();
        let command = format!("setfacl -m u:nobody:r {}", host.path(name));
        assert!(
            said.contains(&format!("run `{command}`")),
            "{name} {mode:04o}: {said}"
        );
        assert_eq!(said.matches("cannot read the").count(), 1, "{said}");
        shell(&command);
        assert!(!check().contains(name), "{}", check());
        let meta = fs::metadata(host.path(name)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (0, DAEMON), "{name}");
        shell(&format!("setfacl -b {}", host.path(name)));
    }
}

#[test]
fn a_master_key_that_others_can_read_has_one_remedy() {
    let host = Host::new();
    host.give("apart/master", NOBODY, 0o644);
    let command = host.mended(2, "must be its owner's alone");
    assert_eq!(command, "chmod 0600 DIR/apart/master");
    host.give("apart/master", 0, 0o644);
    let command = host.mended(2, "must be its owner's alone");
    assert_eq!(
        command,
        "chown nobody: DIR/apart/master && chmod 0600 DIR/apart/master"
    );
    host.give("apart/master", 0, 0o600);
    host.mended(2, "cannot read the master key file");
}

#[test]
fn a_master_key_that_only_root_can_rotate_is_noted_and_root_does() {
    let host = Host::new();
    host.give("apart", 0, 0o755);
    assert_eq!(host.check(), (0, String::new()), "as it may be");
    let output = host.run(None, &["check", "--user", "nobody"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("note     the user nobody cannot write in the directory"),
        "{said}"
    );
    let rotate = ["rotate-master-key"];
    assert!(!host.run(Some(NOBODY), &rotate).status.success());
    let rotated = host.run(None, &rotate);
    assert!(rotated.status.success(), "{rotated:?}");
    assert_eq!(host.check(), (0, String::new()), "the files are nobody's still");
    host.must_rotate();
}

#[test]
fn the_mark_must_be_the_users_to_read() {
    let host = Host::new();
    host.give("data", NOBODY, 0o700);
    fs::write(host.path("data/keyroll.mark"), "").unwrap();
    host.give("data/keyroll.mark", 0, 0o600);
    let datadir = host.path("data");
    let output = host.run(None, &["check", "--datadir", &datadir]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("judged for the user nobody, who owns the data directory"),
        "{said}"
    );
    assert!(said.contains("cannot read the mark"), "{said}");
}

#[test]
fn who_may_not_read_the_files_is_told_who_may_and_not_that_they_are_damaged() {
    let host = Host::new();
    let check = |modes: [u32; 2]| {
        host.give("store", NOBODY, modes[0]);
        host.give("apart", NOBODY, modes[1]);
        let output = host.run(Some(DAEMON), &["check", "--json", "--user", "nobody"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&told["verdict"], &told["user"]),
            (&"not judged".into(), &"nobody".into())
        );
        let steps = told["steps"].as_array().unwrap().clone();
        let failed: Vec<Value> = steps
            .into_iter()
            .filter(|step| step["result"] == "failed")
            .collect();
        assert!(
            failed
                .iter()
                .all(|step| step["hint"] == "run it as root or as nobody"),
            "{failed:?}"
        );
        failed.len()
    };
    assert_eq!(check([0o755, 0o755]), 2, "neither file can be read");
    assert_eq!(check([0o700, 0o700]), 2, "neither file can be seen");
    let output = host.run(Some(NOBODY), &["check", "--quiet", "--user", "nobody"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}

#[test]
fn the_user_is_that_of_the_first_line_of_the_option_files_or_the_owner_of_the_data() {
    let host = Host::new();
    let lines = |user: &str| {
        format!(
            "[mysqld]\n{user}\n[mariadbd]\nplugin_load_add=keyroll\ndatadir={}\nsecure_file_priv={}\nkeyroll_keystore={}\n\
             keyroll_master_key=file:{}\n",
            host.path("data"),
            host.path("sql"),
            host.path("store/keystore"),
            host.path("apart/master")
        )
    };
    let check = |user: &str, more: &[&str]| {
        fs::write(host.path("my.cnf"), lines(user)).unwrap();
        let output = Command::new(host.path("keyroll"))
            .arg("check")
            .arg(format!("--defaults-file={}", host.path("my.cnf")))
            .args(more)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for (user, more, says) in [
        ("", &[][..], "for the user nobody, who owns the data directory"),
        (
            "loose-user=daemon\nuser=nobody",
            &[],
            "for the user daemon, as the option files say",
        ),
        ("user=1", &[], "for the user daemon, as the option files say"),
        (
            "user=daemon",
            &["--user", "nobody"],
            "for the user nobody, as --user says",
        ),
        (
            "user=none-of-that-name",
            &[],
            "the option files have user = none-of-that-name",
        ),
    ] {
        let said = check(user, more);
        assert!(said.contains(says), "{user}: {said}");
        assert_eq!(
            said.contains("the plugin refuses it"),
            !says.contains("user nobody"),
            "{said}"
        );
    }
}
