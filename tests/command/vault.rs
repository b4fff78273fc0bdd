//! The command on a server that has nothing but its option file, whose keys or whose master key are in a real OpenBao.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use keyroll::store::{KeyStore, MarkFile};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::forward_proxy::{ForwardProxy, Manner};
use test_support::openbao::Bao;
use test_support::vault_kv;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A host with an option file. Nobody is there whose environment names a token.
struct Host {
    folder: TempDir,
    lines: Vec<String>,
}

impl Host {
    fn new(lines: &[String]) -> Host {
        let folder = TempDir::new().unwrap();
        for name in ["data", "store", "apart", "sql"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::set_permissions(folder.path().join(name), Permissions::from_mode(0o700)).unwrap();
        }
        let mut host = Host {
            lines: Vec::new(),
            folder,
        };
        host.set(&["plugin_load_add=keyroll".into()]);
        host.set(&[format!("datadir={}", host.path("data").display())]);
        host.set(&[format!("secure_file_priv={}", host.path("sql").display())]);
        host.set(lines);
        host
    }

    /// Of a server whose keys are in this mount of Vault KV.
    fn with_vault_kv(bao: &Bao, mount: &str, login: &[String]) -> Host {
        let url = format!("keyroll_vault_url={}", bao.url(&format!("v1/{mount}")));
        Host::new(&[&[url, ca(bao)], login].concat())
    }

    fn set(&mut self, lines: &[String]) {
        self.lines.extend_from_slice(lines);
        let text = format!("[mariadbd]\n{}\n", self.lines.join("\n"));
        self.write("my.cnf", &text);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
        format!("FILE:{}", self.path(name).display())
    }

    fn run(&self, arguments: &str) -> Output {
        self.run_with(&[], arguments)
    }

    /// With these variables in its environment.
    fn run_with(&self, variables: &[(&str, &str)], arguments: &str) -> Output {
        let mut words = arguments.split(' ');
        Command::new(env!("CARGO_BIN_EXE_keyroll"))
            .arg(words.next().unwrap())
            .arg(format!("--defaults-file={}", self.path("my.cnf").display()))
            .args(words)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin")
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }

    fn must(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Ids and versions that `list` shows.
    fn versions(&self, arguments: &str) -> Vec<(u64, u64)> {
        let listed: Value = serde_json::from_str(&self.must(&format!("list --json{arguments}"))).unwrap();
        let number = |row: &Value, name: &str| row[name].as_u64().unwrap();
        let rows = listed["keys"].as_array().unwrap();
        rows.iter()
            .map(|row| (number(row, "id"), number(row, "version")))
            .collect()
    }
}

fn ca(bao: &Bao) -> String {
    format!("keyroll_vault_ca={}", bao.path("ca.pem").display())
}

/// A mount with key 1, and a policy of its name that allows everything there.
fn mount_with_a_key(bao: &Bao) -> String {
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    mount
}

fn all_rights(mount: &str) -> String {
    format!(r#"path "{mount}/*" {{ capabilities = ["list", "read", "create", "update"] }}"#)
}

#[test]
fn vault_is_asked_by_the_proxy_of_the_environment() {
    let bao = Bao::shared();
    let mount = mount_with_a_key(bao);
    let proxy = ForwardProxy::start(Manner::Wants("dTpzM2NyM3Q="), &[("vault.test:8200", bao.port)]);
    let mut host = Host::new(&[
        format!("keyroll_vault_url=https://vault.test:8200/v1/{mount}"),
        ca(bao),
        "keyroll_max_retries=0".into(),
    ]);
    let token = host.write("apart/token", &bao.root_token);
    host.set(&[format!("keyroll_token={token}")]);
    let url = proxy.url("u:s3cr3t@");
    let listed = host.run_with(&[("https_proxy", &url)], "list --json");
    assert!(listed.status.success(), "{listed:?}");
    assert_eq!(proxy.asked(), ["CONNECT vault.test:8200 HTTP/1.1"]);
    for (variables, words) in [
        (
            vec![("https_proxy", proxy.url("u:s3cr3t2@"))],
            "of https_proxy does not lead to vault.test:8200: status 407",
        ),
        (
            vec![("HTTPS_PROXY", "ftp://u:s3cr3t@127.0.0.1".into())],
            "variable HTTPS_PROXY names cannot be used",
        ),
        (
            vec![("HTTPS_PROXY", "socks5://u:s3cr3t@127.0.0.1:1".into())],
            "127.0.0.1:1 of HTTPS_PROXY, by which vault.test:8200 is asked, cannot be reached",
        ),
        (
            vec![("all_proxy", url.clone()), ("no_proxy", ".test".into())],
            "there is no such host",
        ),
        (vec![], "there is no such host"),
    ] {
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let refused = host.run_with(&variables, "list");
        let said = String::from_utf8(refused.stderr).unwrap();
        let is_away = words.ends_with("no such host") || words.ends_with("cannot be reached");
        assert_eq!(
            refused.status.code(),
            Some(if is_away { 75 } else { 2 }),
            "{said}"
        );
        assert!(said.contains(words) && !said.contains("s3cr3t"), "{said}");
    }
}

#[test]
fn a_server_with_keys_in_vault_is_served_with_nothing_but_its_option_file() {
    let bao = Bao::shared();
    let mount = mount_with_a_key(bao);
    let token = bao.token(&all_rights(&mount), &json!({}));
    let mut host = Host::with_vault_kv(bao, &mount, &[]);
    let said = host.refused("list");
    assert!(said.contains("keyroll_token"), "{said}");
    let source = host.write("token", &token);
    host.set(&[format!("keyroll_token={source}")]);

    assert_eq!(host.versions(""), [(1, 1)]);
    let said = host.must("check");
    assert!(said.contains("the option files load the plugin"), "{said}");
    assert!(
        said.ends_with("the plugin accepts it\n") && said.contains("keys: 1, versions: 1"),
        "{said}"
    );
    let said = host.must("rotate --key 1 --version-step 2");
    assert!(
        said.contains("version 3 of") || said.contains("version 3 is the latest now"),
        "{said}"
    );
    assert_eq!(host.versions(""), [(1, 1), (1, 2), (1, 3)]);
    host.must("export --insecure-plaintext --to exported");
    assert_eq!(
        fs::read_to_string(host.path("exported"))
            .unwrap()
            .matches(KEY)
            .count(),
        1
    );
    let lines = host.must("config");
    assert!(
        lines.contains(&format!(
            "keyroll_vault_url = https://127.0.0.1:{}/v1/{mount}",
            bao.port
        )),
        "{lines}"
    );
    assert!(
        lines.contains(&format!("keyroll_token = {source}")) && !lines.contains(&token),
        "{lines}"
    );

    // The keys move into a keystore, with their bytes.
    host.must(
        "import --keystore store/keystore --master-key file:apart/master --from-encryption-algorithm aes_cbc",
    );
    let of_keystore = " --keystore store/keystore --master-key file:apart/master";
    assert_eq!(host.versions(of_keystore), [(1, 1), (1, 2), (1, 3)]);
    let compared = host.run("check --against store/keystore --against-master-key file:apart/master");
    let said = String::from_utf8(compared.stdout).unwrap();
    assert!(said.contains("versions that are the same in both: 3"), "{said}");

    // What others can read is told, or refused.
    fs::set_permissions(host.path("token"), Permissions::from_mode(0o644)).unwrap();
    let said = String::from_utf8(host.run("check").stdout).unwrap();
    assert!(
        said.contains("with 1 warning") && said.contains("chmod"),
        "{said}"
    );
    assert!(
        host.run("check --strict-permissions").status.code() == Some(2),
        "{said}"
    );
}

#[test]
fn what_a_store_in_vault_cannot_do_is_said_with_a_reason() {
    let bao = Bao::shared();
    let mount = mount_with_a_key(bao);
    let token = format!("keyroll_token={}", bao.root_token);
    let host = Host::with_vault_kv(bao, &mount, &[token]);
    let said = host.refused("init");
    assert!(
        said.contains("is made in Vault") && said.contains("vault kv put MOUNT/1"),
        "{said}"
    );
    for subcommand in ["rotate-master-key", "import"] {
        let said = host.refused(subcommand);
        assert!(
            said.contains("is for a keystore, and this is a Vault KV store"),
            "{said}"
        );
    }
    let said = host.run("rotate --all --key-algorithm aes_ctr");
    assert_eq!(said.status.code(), Some(64));
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("a Vault KV store records no algorithm"), "{said}");
    assert_eq!(host.versions(""), [(1, 1)]);
}

#[test]
fn the_command_logs_in_as_the_option_file_says() {
    let bao = Bao::shared();
    let mount = mount_with_a_key(bao);
    let policy = json!({"policy": all_rights(&mount)});
    bao.must("PUT", &format!("sys/policies/acl/{mount}"), &policy);
    let method = format!("approle-of-{mount}");
    bao.must("POST", &format!("sys/auth/{method}"), &json!({"type": "approle"}));
    let role = format!("auth/{method}/role/keyroll");
    bao.must("POST", &role, &json!({"token_policies": [mount]}));
    let id = bao.must("GET", &format!("{role}/role-id"), &Value::Null);
    let secret = bao.must("POST", &format!("{role}/secret-id"), &json!({}));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut host = Host::with_vault_kv(
        bao,
        &mount,
        &[
            "keyroll_vault_login=approle".into(),
            format!("keyroll_vault_login_mount={method}"),
            format!("keyroll_vault_role={}", text(&id["data"]["role_id"])),
        ],
    );
    let said = host.refused("list");
    assert!(
        said.contains("keyroll_vault_login = approle needs keyroll_vault_secret"),
        "{said}"
    );
    let source = host.write("secret", &text(&secret["data"]["secret_id"]));
    host.set(&[format!("keyroll_vault_secret={source}")]);
    assert_eq!(host.versions(""), [(1, 1)]);
    host.must("rotate --all --version-step 1");
    assert_eq!(host.versions(""), [(1, 1), (1, 2)]);
}

#[test]
fn where_keys_may_not_be_listed_the_command_reads_those_of_the_data_and_says_so() {
    let bao = Bao::shared();
    let mount = mount_with_a_key(bao);
    for id in [7, 8, 9] {
        bao.put(&mount, id, KEY);
    }
    let mut host = Host::with_vault_kv(bao, &mount, &[]);
    let reading = vault_kv::least(&mount);
    let source = host.write("token", &bao.token(&reading, &json!({})));
    host.set(&[format!("keyroll_token={source}")]);
    let mut mark = MarkFile::read(&host.path("data")).unwrap();
    let known = vault_kv::store(bao, &mount).load_keys(&[7]).unwrap().keys;
    mark.change(|mark| mark.learn(known.iter().map(|(name, key)| (name, key.bytes()))))
        .unwrap();

    let output = host.run("list --json");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("does not let its keys be listed: here are keys 1 and 2 and those that the data in"),
        "{said}"
    );
    assert_eq!(host.versions(""), [(1, 1), (7, 1)]);
    assert!(
        host.must("check")
            .contains("it holds all 1 versions that the data in")
    );
    host.must("export --insecure-plaintext --to keys");
    let exported = fs::read_to_string(host.path("keys")).unwrap();
    assert_eq!(exported.lines().filter(|line| !line.starts_with('#')).count(), 2);

    let said = host.refused("rotate --all");
    assert!(
        said.contains("cannot be seen") && said.contains("keyroll rotate --key ID"),
        "{said}"
    );
    let writing = reading.replace("[\"read\"]", "[\"read\", \"create\", \"update\"]");
    host.write("token", &bao.token(&writing, &json!({})));
    host.must("rotate --key 8");
    fs::remove_file(host.path("data/keyroll.mark")).unwrap();
    assert_eq!(host.versions(""), [(1, 1)]);
}

#[test]
fn a_keystore_moves_to_vault_transit_with_the_token_of_the_option_file() {
    let bao = Bao::shared();
    let transit = bao.mount(&json!({"type": "transit"}));
    bao.must("POST", &format!("{transit}/keys/keyroll"), &json!({}));
    let rights = format!(r#"path "{transit}/*" {{ capabilities = ["read", "create", "update"] }}"#);
    let mut host = Host::new(&[ca(bao)]);
    let master = format!("file:{}", host.path("apart/master").display());
    let keystore = host.path("store/keystore").display().to_string();
    let source = host.write("token", &bao.token(&rights, &json!({})));
    host.set(&[
        format!("keyroll_keystore={keystore}"),
        format!("keyroll_master_key={master}"),
    ]);
    host.must("init");
    let uri = format!("vault-transit:{}", bao.url(&format!("{transit}/keyroll")));
    let said = host.refused(&format!("rotate-master-key --to {uri}"));
    assert!(said.contains("keyroll_token"), "{said}");
    host.set(&[format!("keyroll_token={source}")]);
    host.must(&format!("rotate-master-key --to {uri}"));
    host.set(&[format!("keyroll_master_key={uri}")]);
    host.must("rotate-master-key");
    assert_eq!(host.versions(""), [(1, 1), (2, 1)]);
    host.must("check");
}

/// The command, given its rights up where the test runs as root, as `sudo -u mysql` does.
#[test]
fn the_servers_user_needs_nothing_but_the_option_file() {
    let host = Host::new(&[]);
    let [keystore, master] =
        ["store/keystore", "apart/master"].map(|name| host.path(name).display().to_string());
    let mut host = host;
    host.set(&[
        format!("keyroll_keystore={keystore}"),
        format!("keyroll_master_key=file:{master}"),
    ]);
    host.must("init");
    let mut words = vec!["keyroll"];
    if nix::unistd::geteuid().is_root() {
        for path in [
            "",
            "data",
            "store",
            "apart",
            "my.cnf",
            "store/keystore",
            "apart/master",
        ] {
            std::os::unix::fs::chown(host.path(path), Some(65534), Some(65534)).unwrap();
        }
        words.splice(
            0..0,
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
        );
    }
    // The test's own build may lie where others cannot go.
    fs::copy(env!("CARGO_BIN_EXE_keyroll"), host.path("keyroll")).unwrap();
    let output = Command::new("sh")
        .args([
            "-c",
            &format!(
                "PATH=\"$PWD:$PATH\"; exec {} check --defaults-file=my.cnf",
                words.join(" ")
            ),
        ])
        .current_dir(host.folder.path())
        .env_remove("VAULT_TOKEN")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.contains("the master key opens it"),
        "{said}"
    );
}
