"""A machine for examples: this one with a file system, a network and processes of its own, in which they do as they would on
a host of Debian's. What it writes is gone with it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from pages import ROOT

HERE = Path(__file__).resolve().parent
DATA = Path("/var/lib/mysql")
OPTIONS = Path("/etc/mysql/mariadb.conf.d")
CNF = OPTIONS / "90-keyroll.cnf"
# Where examples write; the checkout is where those of building run.
FOLDERS = ["/etc", "/usr", "/var", "/srv", "/root", str(ROOT)]
# /tmp is everyone's: another server there may have the same process id, and names its files by that.
SMALL = """[mariadbd]
tmpdir = /var/tmp
innodb_log_file_size = 8M
innodb_buffer_pool_size = 16M
performance_schema = OFF
"""
# What the lines of my.cnf of an example leave out where they are about the key store alone.
ENCRYPTED = """[mariadbd]
innodb_encrypt_tables = ON
innodb_encrypt_log = ON
innodb_encryption_threads = 2
"""
# The shared build takes the place of a build with cargo, and no more than that.
CARGO = """#!/bin/sh -e
mkdir -p "$CARGO_TARGET_DIR/release"
cp %s "$CARGO_TARGET_DIR/release/libkeyroll.so"
cp %s "$CARGO_TARGET_DIR/release/keyroll"
"""
SUDO = """#!/bin/sh -e
[ "$1" = -u ] || exec "$@"
user=$2
shift 2
exec setpriv --reuid="$user" --regid="$user" --init-groups "$@"
"""
NEEDLE = "PLAINTEXT-NEEDLE"


class Failure(Exception):
    """An example that does not do what its page says."""


def require(holds, what):
    """Fails unless it holds."""
    if not holds:
        raise Failure(what)


def enter(upper):
    """Makes this process, which has namespaces of its own, one on the machine. `upper`: an empty folder for what is written."""
    def call(*words):
        subprocess.run(words, check=True)
    call("mount", "-t", "tmpfs", "examples", upper)
    for number, folder in enumerate(FOLDERS):
        above, work = upper / f"above-{number}", upper / f"work-{number}"
        above.mkdir()
        work.mkdir()
        shutil.copystat(folder, above)
        call("mount", "-t", "overlay", "-o", f"lowerdir={folder},upperdir={above},workdir={work}", "examples", folder)
    call("mount", "-t", "tmpfs", "-o", "mode=755", "examples", "/run")
    call("ip", "link", "set", "lo", "up")
    return upper


class Machine:
    """Debian with its MariaDB, and keyroll installed unless the example does that."""

    def __init__(self, upper, template, library, command, bao):
        self.upper, self.library, self.command, self.bao = upper, library, command, bao
        self.programs = upper / "programs"
        self.programs.mkdir()
        (self.programs / "systemctl").symlink_to(HERE / "systemctl")
        (self.programs / "bao").symlink_to(bao)
        (self.programs / "sudo").write_text(SUDO, encoding="ascii")
        (self.programs / "sudo").chmod(0o755)
        self.home = upper / "home"
        cargo = self.home / ".cargo/bin/cargo"
        cargo.parent.mkdir(parents=True)
        cargo.write_text(CARGO % (library, command), encoding="utf-8")
        cargo.chmod(0o755)
        self.environment = {"PATH": f"{self.programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                            "HOME": str(self.home), "USER": "root", "LANG": "C.UTF-8"}
        # Only Debian's option files, and the data directory of a new server.
        for path in OPTIONS.glob("*.cnf"):
            if path.name != "50-server.cnf":
                path.unlink()
        (OPTIONS / "51-small.cnf").write_text(SMALL, encoding="utf-8")
        for folder in (DATA, Path("/run/mysqld"), Path("/var/log/mysql")):
            shutil.rmtree(folder, ignore_errors=True)
            if folder == DATA:
                shutil.copytree(template, folder)
            folder.mkdir(exist_ok=True)
        for folder in ("/var/lib/keyroll", "/srv/keyroll-master"):
            shutil.rmtree(folder, ignore_errors=True)
        self.sh("chown -R mysql:mysql /var/lib/mysql /run/mysqld /var/log/mysql; rm -rf /etc/systemd/system/mariadb.service.d")
        self.uninstall()

    def uninstall(self):
        """Takes away what the machine that the tests run on may have of keyroll."""
        for path in ("/usr/lib/mysql/plugin/keyroll.so", "/usr/bin/keyroll", OPTIONS / "keyroll.cnf"):
            Path(path).unlink(missing_ok=True)
        shutil.rmtree("/usr/share/keyroll", ignore_errors=True)

    def install(self):
        """What the package installs that examples need."""
        shutil.copy(self.library, "/usr/lib/mysql/plugin/keyroll.so")
        shutil.copy(self.command, "/usr/bin/keyroll")
        Path("/usr/share/keyroll").mkdir()
        shutil.copy(ROOT / "support-files/encrypt_everything.cnf", "/usr/share/keyroll")
        shutil.copy(ROOT / "support-files/keyroll.cnf", OPTIONS / "keyroll.cnf")

    def sh(self, script, replace=None, code=0):
        """What the example prints, as run by root in the checkout; each text of `replace` must stand in
        it and is replaced. Any command in it that fails, in a pipeline, too, ends it, and it must end with the code."""
        for old, new in (replace or {}).items():
            require(old in script, f"the example has no {old!r} any more:\n{script}")
            script = script.replace(old, str(new))
        done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], cwd=ROOT, env=self.environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=120, check=False)
        require(done.returncode == code, f"ended with {done.returncode}:\n{script}\n{(done.stdout + done.stderr)[-6000:]}")
        return done.stdout + done.stderr

    def configure(self, block, path=CNF, replace=None):
        """Writes the lines of an option file, or of a unit, to the path, or where their first line says."""
        first = re.match(r"# (/\S+)\n", block)
        path = Path(first[1]) if first else Path(path)
        for old, new in (replace or {}).items():
            require(old in block, f"the example has no {old!r} any more:\n{block}")
            block = block.replace(old, new)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(block)
        return path

    def restart(self):
        """Restarts the server."""
        return self.sh("systemctl restart mariadb")

    def refused(self, *told):
        """The server must not start, and its error log must have each of the texts."""
        said = self.sh("systemctl restart mariadb", code=1)
        for text in told:
            require(text in said, f"the start fails, but nothing says {text!r}:\n{said}")
        return said

    def sql(self, statements, code=0):
        """What statements answer, as fields between tabs; an empty line never stands between."""
        done = subprocess.run(["mariadb", "--user=root", "--batch", "--skip-column-names"], input=statements, env=self.environment,
                              capture_output=True, text=True, timeout=60, check=False)
        require(done.returncode == code, f"ended with {done.returncode}:\n{statements}\n{done.stdout + done.stderr}")
        return done.stdout + done.stderr

    def fill(self):
        """Makes a table, and finds its rows to be encrypted on the disk."""
        self.sql(f"""CREATE DATABASE IF NOT EXISTS shop; USE shop; DROP TABLE IF EXISTS shop.customers;
                     CREATE TABLE shop.customers (id INT PRIMARY KEY, note TEXT) ENGINE=InnoDB;
                     INSERT INTO shop.customers SELECT seq, CONCAT('{NEEDLE} ', seq) FROM seq_1_to_300;
                     FLUSH TABLES shop.customers FOR EXPORT; UNLOCK TABLES""")
        require(NEEDLE.encode() not in (DATA / "shop/customers.ibd").read_bytes(), "the table is not encrypted on the disk")

    def unharmed(self):
        """All rows are there."""
        rows = self.sql(f"SELECT COUNT(*) FROM shop.customers WHERE note = CONCAT('{NEEDLE} ', id)").strip()
        require(rows == "300", f"of 300 rows there are {rows}")

    def serves(self):
        """The server is encrypted, rotates the key of its tables, and starts again."""
        self.fill()
        self.sql("SET GLOBAL keyroll_rotate_key = 1")
        self.restart()
        self.unharmed()
