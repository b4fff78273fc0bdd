//! The servers that stand in for AWS: moto, which checks signatures and policies, and ministack, which keeps its keys over a
//! restart. `scripts/install_aws_servers.sh` installs them; a test that does not find them fails.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The region that the servers play.
pub const REGION: &str = "us-east-1";

/// A running server. It ends with this value, and also when the tests are killed: a shell waits for the end of its input.
pub struct Server {
    pub port: u16,
    shell: Child,
    until: Option<ChildStdin>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.until = None;
        let _ = self.shell.wait();
    }
}

/// A moto for all tests of one process, without checks of signatures.
pub fn shared_moto() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::moto(&[]))
}

impl Server {
    /// A new moto.
    pub fn moto(environment: &[(&str, &str)]) -> Server {
        let port = crate::free_port();
        let arguments = ["-H", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned);
        Server::start("moto_server", &arguments, environment, port, "/moto-api/")
    }

    /// A ministack that keeps its state in this directory.
    pub fn ministack(state: &Path) -> Server {
        let port = crate::free_port();
        let text = port.to_string();
        let environment = [
            ("BIND_HOST", "127.0.0.1"),
            ("GATEWAY_PORT", &text),
            ("PERSIST_STATE", "1"),
            ("STATE_DIR", state.to_str().unwrap()),
            ("SERVICES", "kms,sts,iam"),
        ];
        Server::start("ministack", &[], &environment, port, "/_ministack/health")
    }

    fn start(
        program: &str,
        arguments: &[String],
        environment: &[(&str, &str)],
        port: u16,
        ready: &str,
    ) -> Server {
        let path = installed(program);
        let mut shell = Command::new("sh")
            .args([
                "-c",
                r#""$@" >/dev/null 2>&1 & server=$!; read -r _; kill "$server"; wait "$server""#,
                "sh",
            ])
            .arg(path)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = shell.stdin.take();
        let server = Server { port, shell, until };
        let deadline = Instant::now() + Duration::from_secs(90);
        while server
            .get(ready)
            .is_none_or(|answer| !answer.starts_with("HTTP/1.1 200") && !answer.starts_with("HTTP/1.0 200"))
        {
            assert!(Instant::now() < deadline, "{program} did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What a client needs to reach it.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.url().as_str()),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "AKIATEST"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2-secret-access-key"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// A new KMS key's id.
    pub fn create_key(&self) -> String {
        let made = self.kms("CreateKey", &json!({}));
        made["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
    }

    /// Points an alias to a key, whether it is there already or not.
    pub fn point(&self, alias: &str, key: &str) {
        let pointed = json!({ "AliasName": alias, "TargetKeyId": key });
        let answer = self.ask(
            "kms",
            "x-amz-target: TrentService.CreateAlias\r\n",
            &pointed.to_string(),
        );
        if !answer.starts_with("HTTP/1.1 200") && !answer.starts_with("HTTP/1.0 200") {
            self.kms("UpdateAlias", &pointed);
        }
    }

    /// Has KMS do something, without a signature.
    pub fn kms(&self, operation: &str, request: &Value) -> Value {
        let target = format!("x-amz-target: TrentService.{operation}\r\n");
        let answer = self.ask("kms", &target, &request.to_string());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{operation}: {answer}");
        serde_json::from_str(body).unwrap_or_default()
    }

    /// Has IAM do something, without a signature; the answer is XML.
    fn iam(&self, form: &str) -> String {
        let answer = self.ask("iam", "content-type: application/x-www-form-urlencoded\r\n", form);
        assert!(answer.contains(" 200 "), "{answer}");
        answer
    }

    /// A new user with this policy; the environment of a client that is that user. Three calls.
    pub fn environment_of_user(&self, policy: &Value) -> Vec<(String, String)> {
        let policy = policy.to_string().replace('"', "%22").replace(' ', "%20");
        self.iam("Action=CreateUser&UserName=keyroll");
        self.iam(&format!(
            "Action=PutUserPolicy&UserName=keyroll&PolicyName=x&PolicyDocument={policy}"
        ));
        let made = self.iam("Action=CreateAccessKey&UserName=keyroll");
        let mut environment = self.environment();
        environment.retain(|(name, _)| !name.contains("ACCESS_KEY"));
        for (name, of_answer) in [
            ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
            ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
        ] {
            environment.push((name.into(), element(&made, of_answer)));
        }
        environment
    }

    fn ask(&self, service: &str, headers: &str, body: &str) -> String {
        self.exchange(&format!(
            "POST / HTTP/1.1\r\nhost: {service}.{REGION}.amazonaws.com\r\nconnection: close\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, \
             SignedHeaders=host, Signature=none\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .unwrap()
    }

    fn get(&self, path: &str) -> Option<String> {
        self.exchange(&format!(
            "GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n\r\n",
            self.port
        ))
    }

    fn exchange(&self, request: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

/// The text of the first element of this name.
fn element(xml: &str, name: &str) -> String {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap();
    rest.split('<').next().unwrap().to_owned()
}

/// A program of the servers' environment.
pub fn installed(program: &str) -> PathBuf {
    let directory = std::env::var_os("KEYROLL_AWS_SERVERS").map(PathBuf::from);
    let directory = directory.unwrap_or_else(|| {
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| crate::root().join("target"));
        target.join("aws-servers")
    });
    let path = directory.join("bin").join(program);
    assert!(
        path.exists(),
        "{} is not there: run scripts/install_aws_servers.sh",
        path.display()
    );
    path
}
