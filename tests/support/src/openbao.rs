//! A real OpenBao for tests: TLS with certificates of its own, storage in a temporary directory, free ports. It ends with
//! the test's process, however that ends.
//!
//! `make test-packages` installs it; KEYROLL_BAO names another one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use keyroll::net::{ClientCertificate, Deadline, HttpClient, HttpOptions, Method, Request, TlsOptions, Url};
use keyroll::secret::SecretBytes;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running, unsealed server.
pub struct Bao {
    pub directory: TempDir,
    pub port: u16,
    /// The same API without TLS, on the loopback.
    pub plain_port: u16,
    pub root_token: String,
    unseal_key: String,
    http: HttpClient,
    keeper: Child,
}

pub fn program() -> PathBuf {
    let built = crate::root().join("target/tools/openbao/bin/bao");
    match std::env::var_os("KEYROLL_BAO") {
        Some(path) => path.into(),
        None if built.exists() => built,
        None => "bao".into(),
    }
}

/// Kills the server and removes its directory once the test's end of the pipe is closed.
const KEEPER: &str = r#"
"$1" server -config="$2/config.hcl" >"$2/log" 2>&1 &
server=$!
cat >/dev/null
kill "$server"
wait "$server"
rm -rf "$2"
"#;

impl Bao {
    /// The server that the tests of one process share: none of them may seal or stop it.
    pub fn shared() -> &'static Bao {
        static SHARED: OnceLock<Bao> = OnceLock::new();
        SHARED.get_or_init(Bao::start)
    }

    /// A server of one's own.
    pub fn start() -> Bao {
        Bao::start_with("")
    }

    /// One that talks in TLS to those alone who show the client certificate.
    pub fn start_wanting_certificates() -> Bao {
        Bao::start_with("tls_require_and_verify_client_cert = true")
    }

    fn start_with(option: &str) -> Bao {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        make_certificates(path);
        fs::create_dir(path.join("raft")).unwrap();
        let (port, plain_port, cluster) = (crate::free_port(), crate::free_port(), crate::free_port());
        let at = path.display();
        fs::write(
            path.join("config.hcl"),
            format!(
                r#"
storage "raft" {{ path = "{at}/raft" node_id = "n1" }}
listener "tcp" {{
  address = "127.0.0.1:{port}" cluster_address = "127.0.0.1:{cluster}"
  tls_cert_file = "{at}/server.pem" tls_key_file = "{at}/server.key" tls_client_ca_file = "{at}/ca.pem"
  {option}
}}
listener "tcp" {{ address = "127.0.0.1:{plain_port}" cluster_address = "127.0.0.1:{}" tls_disable = true }}
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster}"
"#,
                crate::free_port()
            ),
        )
        .unwrap();
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .args([program().as_os_str(), path.as_os_str()])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let http = HttpClient::new(HttpOptions {
            tls: TlsOptions {
                ca: Some(path.join("ca.pem")),
                client_certificate: Some(ClientCertificate {
                    certificate: path.join("client.pem"),
                    key: path.join("client.key"),
                }),
            },
            ..HttpOptions::default()
        })
        .unwrap();
        let mut bao = Bao {
            directory,
            port,
            plain_port,
            root_token: String::new(),
            unseal_key: String::new(),
            http,
            keeper,
        };
        bao.await_status(501);
        let secrets = bao
            .ask(
                "PUT",
                "sys/init",
                &json!({"secret_shares": 1, "secret_threshold": 1}),
            )
            .1;
        bao.root_token = secrets["root_token"].as_str().unwrap().into();
        bao.unseal_key = secrets["keys_base64"][0].as_str().unwrap().into();
        bao.unseal();
        bao
    }

    pub fn unseal(&self) {
        let (status, answer) = self.ask("PUT", "sys/unseal", &json!({"key": self.unseal_key}));
        assert_eq!((status, &answer["sealed"]), (200, &json!(false)), "{answer}");
        self.await_status(200);
    }

    pub fn seal(&self) {
        self.must("PUT", "sys/seal", &json!({}));
    }

    fn await_status(&self, status: u16) {
        let start = Instant::now();
        while self
            .try_ask("GET", "sys/health", &Value::Null)
            .map(|(status, _)| status)
            != Some(status)
        {
            let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(60), "no OpenBao: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}/{path}", self.port)
    }

    /// A request with the root token, below `/v1/`.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.try_ask(method, path, body).expect("OpenBao answers")
    }

    fn try_ask(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let url = Url::parse(&self.url(&format!("v1/{path}"))).unwrap();
        let mut request = Request::new(Method::from_bytes(method.as_bytes()).unwrap(), url)
            .header("X-Vault-Token", self.root_token.as_bytes());
        if !body.is_null() {
            request = request.body(SecretBytes::new(body.to_string().into_bytes()));
        }
        let answer = self
            .http
            .send(request, Deadline::after(Duration::from_secs(20)))
            .ok()?;
        Some((
            answer.status,
            serde_json::from_slice(answer.body()).unwrap_or(Value::Null),
        ))
    }

    /// A request that has to succeed.
    pub fn must(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, body);
        assert!(
            status == 200 || status == 204,
            "{method} {path}: {status} {answer}"
        );
        answer
    }

    /// A new mount of an engine; its name.
    pub fn mount(&self, engine: &Value) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("m{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.must("POST", &format!("sys/mounts/{name}"), engine);
        // The upgrade of a new KV version 2 mount runs in the background.
        let start = Instant::now();
        while self.ask("GET", &format!("{name}/config"), &Value::Null).0 == 400 {
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(20));
        }
        name
    }

    /// A new mount of KV version 2.
    pub fn kv(&self) -> String {
        self.mount(&json!({"type": "kv", "options": {"version": "2"}}))
    }

    /// Writes a version of the secret of a key.
    pub fn put(&self, mount: &str, id: impl ToString, data: &str) {
        self.must(
            "POST",
            &format!("{mount}/data/{}", id.to_string()),
            &json!({"data": {"data": data}}),
        );
    }

    /// Runs the nth command between backquotes of a hint, with the words in capitals that a user replaces. The shell has
    /// OpenBao's client under Vault's name, and is root there. What is printed.
    pub fn run_hint(&self, hint: &str, nth: usize, words: &[(&str, &str)]) -> String {
        let mut command = hint.split('`').nth(nth * 2 + 1).unwrap().to_owned();
        for (word, is) in words {
            assert!(command.contains(word), "{word} is not in: {command}");
            command = command.replace(word, is);
        }
        let tools = tempfile::tempdir().unwrap();
        symlink(fs::canonicalize(program()).unwrap(), tools.path().join("vault")).unwrap();
        let mut shell = Command::new("sh");
        for prefix in ["VAULT", "BAO"] {
            shell
                .env(
                    format!("{prefix}_ADDR"),
                    format!("https://127.0.0.1:{}", self.port),
                )
                .env(format!("{prefix}_TOKEN"), &self.root_token)
                .env(format!("{prefix}_CACERT"), self.path("ca.pem"));
        }
        let output = shell
            .args(["-c", &command])
            .env("PATH", format!("{}:/usr/bin:/bin", tools.path().display()))
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A token with this policy and these other properties.
    pub fn token(&self, policy: &str, properties: &Value) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("p{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.must(
            "PUT",
            &format!("sys/policies/acl/{name}"),
            &json!({"policy": policy}),
        );
        let mut body = properties.clone();
        body["policies"] = json!([name]);
        let answer = self.must("POST", "auth/token/create", &body);
        answer["auth"]["client_token"].as_str().unwrap().into()
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Authority, server, client and two wrong servers, by the openssl command.
fn make_certificates(directory: &Path) {
    let script = r#"
set -e
new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -subj "/CN=$2" "${@:3}" 2>/dev/null; }
new ca "Test Authority" -x509 -days 10 -out ca.pem
new other "Another Authority" -x509 -days 10 -out other.pem
sign() { openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 5 -out "$1.pem" -extfile "$1.ext" 2>/dev/null; }
for name in server client; do
  new "$name" "$name" -out "$name.csr"
  echo "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:vault.test" >"$name.ext"
  [ "$name" = server ] || echo "extendedKeyUsage=clientAuth" >"$name.ext"
  sign "$name"
done
"#;
    let status = Command::new("bash")
        .args(["-c", script])
        .current_dir(directory)
        .status()
        .unwrap();
    assert!(status.success(), "openssl makes no certificates");
}
