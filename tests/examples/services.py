"""The services that examples ask: OpenBao as vault.example:8200, and moto for AWS."""

import json
import os
import re
import secrets
import shutil
import subprocess
import time
import urllib.parse
import urllib.request

from machine import Failure
from pages import ROOT


def _await(process, answers, log):
    """Waits until a service answers."""
    for _ in range(600):
        if process.poll() is not None:
            break
        if answers():
            return
        time.sleep(0.05)
    raise Failure(f"a service does not start:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}")


_CERTIFICATES = """
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/CN=authority of the examples" \\
      -keyout ca.key -out ca.pem
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=vault.example -keyout server.key -out server.csr
    printf 'subjectAltName=DNS:vault.example' >extensions
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile extensions -out server.pem"""


def vault(machine):
    """Starts OpenBao with TLS at vault.example:8200, and makes the machine's shell that of its operator; its root token."""
    folder, token = machine.upper / "bao", secrets.token_hex(16)
    folder.mkdir()
    machine.sh(f"cd {folder}{_CERTIFICATES}\ncp ca.pem /etc/mysql/vault-ca.pem; echo 127.0.0.1 vault.example >>/etc/hosts")
    (folder / "tls.hcl").write_text(f"""listener "tcp" {{ address = "127.0.0.1:8200"
        tls_cert_file = "{folder}/server.pem"
        tls_key_file = "{folder}/server.key" }}""", encoding="ascii")
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [machine.bao, "server", "-dev", "-dev-no-store-token", "-dev-listen-address=127.0.0.1:8300", f"-dev-root-token-id={token}",
             f"-config={folder}/tls.hcl"], stdout=out, stderr=out, env={"HOME": str(folder)})
    machine.environment |= {"BAO_ADDR": "https://vault.example:8200", "BAO_TOKEN": token, "BAO_CACERT": "/etc/mysql/vault-ca.pem"}
    _await(process, lambda: not subprocess.run([machine.bao, "status"], env=machine.environment, capture_output=True, check=False).returncode,
           log)
    return token


class Aws:
    """moto; the machine's shell is that of an operator, and `server` are the credentials of a user with a policy."""

    def __init__(self, machine, policy):
        self.machine = machine
        servers = os.environ.get("KEYROLL_AWS_SERVERS", ROOT / "target/aws-servers")
        found = [shutil.which(name, path=f"{servers}/bin") or shutil.which(name) for name in ("moto_server", "aws")]
        if not all(found):
            raise Failure("no moto_server and aws: scripts/install_aws_servers.sh installs them")
        (machine.programs / "aws").symlink_to(found[1])
        self.url = "http://127.0.0.1:5000"
        log = machine.upper / "moto.log"
        with log.open("wb") as out:
            process = subprocess.Popen([found[0], "-H", "127.0.0.1", "-p", "5000"], stdout=out, stderr=out)
        _await(process, self._answers, log)
        self.environment = {"AWS_ENDPOINT_URL": self.url, "AWS_DEFAULT_REGION": "us-east-1"}
        machine.environment |= self.environment | self._user("operator", {
            "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
        # moto asks for the actions of a policy, and for none of its resources.
        self.server = self._user("server", policy | {"Statement": [policy["Statement"][0] | {"Resource": "*"}]})
        # From now on signatures and policies count.
        self._ask("/moto-api/reset-auth", b"0", "text/plain")

    def _answers(self):
        try:
            urllib.request.urlopen(f"{self.url}/moto-api/", timeout=1).close()
            return True
        except OSError:
            return False

    def _ask(self, path, data, kind="application/x-www-form-urlencoded"):
        # moto takes the service from here, and looks at no signature yet.
        scope = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=x"
        request = urllib.request.Request(self.url + path, data=data, headers={"Content-Type": kind, "Authorization": scope})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    def _user(self, name, policy):
        """A new user with the policy: the variables of its credentials."""
        def iam(action, **more):
            words = {"Version": "2010-05-08", "Action": action, "UserName": name, **more}
            return self._ask("/", urllib.parse.urlencode(words).encode())
        iam("CreateUser")
        iam("PutUserPolicy", PolicyName=name, PolicyDocument=json.dumps(policy))
        made = iam("CreateAccessKey")
        return {variable: re.search(f"<{field}>(.*?)</{field}>", made)[1] for variable, field in
                (("AWS_ACCESS_KEY_ID", "AccessKeyId"), ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"))}

    def serve(self):
        """The server's process has the rights of the policy, and asks moto."""
        words = " ".join(f"{name}={value}" for name, value in (self.server | self.environment).items())
        self.machine.configure(f"[Service]\nEnvironment={words}\n", "/etc/systemd/system/mariadb.service.d/aws.conf")
