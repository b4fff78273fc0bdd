"""A real OpenBao for the tests of Vault, and the command `vault` that they call."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

from installed_mariadb import SetupFailed

ROOT = Path(__file__).resolve().parents[2]
# The tests write into a mount as soon as they have made it, and its change to version 2 takes a moment.
COMMAND = """#!/bin/sh
bao=%s
"$bao" "$@" || exit
case "$*" in
"secrets enable "*-path*)
    for word; do case $word in /*) mount=$word ;; esac; done
    for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        "$bao" kv list "$mount" 2>&1 | grep -q 'Upgrading' || exit 0
        sleep 0.1
    done
    exit 1
esac
"""


class Vault:
    """OpenBao in memory, until the end of a `with`; `environment` is what its clients need."""

    def __init__(self, folder):
        bao = os.environ.get("KEYROLL_BAO", ROOT / "target/tools/openbao/bin/bao")
        self.bao = shutil.which(bao)
        if not self.bao:
            raise SetupFailed(f"no OpenBao at {bao}: scripts/install_openbao.sh installs it; KEYROLL_BAO names another")
        self.log = folder / "bao.log"
        (folder / "vault").write_text(COMMAND % self.bao, encoding="utf-8")
        (folder / "vault").chmod(0o755)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = "127.0.0.1:%d" % free.getsockname()[1]
        url, token = f"http://{self.address}", secrets.token_hex(16)
        self.environment = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder), "VAULT_ADDR": url, "BAO_ADDR": url,
                            "VAULT_TOKEN": token, "BAO_TOKEN": token}

    def __enter__(self):
        with self.log.open("wb") as log:
            self.server = subprocess.Popen(
                [self.bao, "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={self.environment['VAULT_TOKEN']}",
                 f"-dev-listen-address={self.address}"], env=os.environ | self.environment, stdout=log, stderr=log,
                start_new_session=True)
        for _ in range(300):
            if not subprocess.run([self.bao, "status"], env=os.environ | self.environment, capture_output=True, check=False).returncode:
                return self
            if self.server.poll() is not None:
                break
            time.sleep(0.1)
        self.__exit__()
        raise SetupFailed(f"OpenBao does not start:\n{self.log.read_text(encoding='utf-8', errors='replace')[-3000:]}")

    def __exit__(self, *_):
        self.server.terminate()
        self.server.wait()
