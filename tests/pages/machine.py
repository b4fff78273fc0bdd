"""A machine of its own for the commands of a page: a root directory with the installed programs, and nobody else's files.

It is a mount and process namespace whose root has this machine's /usr, and folders of its own for everything else. So a
command runs as it stands on the page, with the paths that Debian has, and touches nothing outside. Its server is that of
the package, started by tests/pages/systemctl.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# As the package of Debian has it, but for memory, the network and binary logs.
MY_CNF = """[client-server]
socket = /run/mysqld/mysqld.sock
!includedir /etc/mysql/mariadb.conf.d/
"""
SERVER_CNF = """[mariadbd]
user = mysql
datadir = /var/lib/mysql
pid-file = /run/mysqld/mysqld.pid
log-error = /var/log/mysql/error.log
skip-networking
log-bin = binlog
binlog_format = ROW
performance_schema = OFF
innodb_buffer_pool_size = 16M
innodb_log_file_size = 8M
aria_pagecache_buffer_size = 1M
key_buffer_size = 1M
"""
# What the README has after the installation.
README_STEPS = """
install -d -o mysql -g mysql -m 0700 /var/lib/keyroll
install -d -o mysql -g mysql -m 0700 /srv/keyroll-master
keyroll init --keystore /var/lib/keyroll/keystore --master-key file:/srv/keyroll-master/key >> /etc/mysql/mariadb.conf.d/90-keyroll.cnf
systemctl restart mariadb
"""
FOLDERS = ("dev", "proc", "usr", "run/mysqld", "var/lib", "var/log/mysql", "var/tmp", "srv", "root", "tmp",
           "etc/mysql/mariadb.conf.d", "usr-local-bin", "plugins")
# $0 is the root, $1 the folder of plugins. The first process collects servers whose parents have gone. Nothing that is mounted here is seen outside, and all of it goes with the last process.
MOUNT = """
set -eu
mount --make-rprivate /
mount --bind "$0" "$0"
cd "$0"
mount --rbind /dev dev
mount -t proc proc proc
mount --bind /usr usr
mount --bind usr-local-bin usr/local/bin
mount --bind plugins "$0$1"
exec chroot . bash -c 'touch /ready; sleep infinity & wait'
"""


class CommandFailed(Exception):
    """A command ended as it should not; the text has what it said."""


class Machine:
    """One root directory and the processes in it."""

    def __init__(self, root, library, command, plugins):
        self.root = root
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (root / name).symlink_to(f"usr/{name}")
        (root / "tmp").chmod(0o1777)
        (root / "root").chmod(0o700)
        for name in ("passwd", "group", "shadow", "nsswitch.conf", "localtime", "ld.so.cache", "alternatives"):
            if (source := Path("/etc", name)).exists():
                run("cp", "-a", source, root / "etc")
        (root / "etc/mysql/my.cnf").write_text(MY_CNF)
        (root / "etc/mysql/mariadb.conf.d/50-server.cnf").write_text(SERVER_CNF)
        shutil.copy(library, root / "plugins/keyroll.so")
        shutil.copy(plugins / "file_key_management.so", root / "plugins")
        shutil.copy(command, root / "usr-local-bin/keyroll")
        shutil.copy(HERE / "systemctl", root / "usr-local-bin")
        for owned in ("run/mysqld", "var/log/mysql"):
            shutil.chown(root / owned, "mysql", "mysql")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", MOUNT, root, plugins],
            stdin=subprocess.DEVNULL, start_new_session=True)
        self.pid = self._first_process()

    def _first_process(self):
        """The process number of the first process, which is the child of `unshare`."""
        deadline = time.monotonic() + 10
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        while time.monotonic() < deadline and self.process.poll() is None:
            if (self.root / "ready").exists():
                return children.read_text().split()[0]
            time.sleep(0.01)
        raise CommandFailed("no namespace could be made; root must run this, with leave to mount")

    def new_server(self, data):
        """Puts a copy of a data directory in its place."""
        shutil.copytree(data, self.path("/var/lib/mysql"))
        run("chown", "-R", "mysql:", self.path("/var/lib/mysql"))

    def path(self, inside):
        """Where a file of the machine is outside."""
        return self.root / inside.lstrip("/")

    def sh(self, script, codes=(0,)):
        """Runs lines of a shell as root and returns what they print. A line that fails ends them."""
        environment = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin", "HOME": "/root", "LANG": "C.UTF-8", "USER": "root"}
        done = subprocess.run(["nsenter", f"--target={self.pid}", "--mount", "--pid", "--root",
                               "env", "--chdir=/root", "bash", "-euo", "pipefail", "-c", script], env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=120, check=False)
        if done.returncode not in codes:
            raise CommandFailed(f"ended with {done.returncode}:\n{script}\n--- said:\n"
                                f"{(done.stdout + done.stderr)[-3000:]}\n--- error log:\n{self.end_of_log()}")
        return done.stdout + done.stderr

    def sql(self, statements):
        """Runs statements by the client as root, and returns what it prints, columns between tabs."""
        script = self.path("/tmp/statements.sql")
        script.write_text(statements + "\n")
        return self.sh("mariadb --batch --skip-column-names < /tmp/statements.sql")

    def wait_for(self, statement, wanted):
        """Asks again until the answer comes, for half a minute."""
        deadline = time.monotonic() + 30
        while (answer := self.sql(statement).strip()) != wanted:
            if time.monotonic() > deadline:
                raise CommandFailed(f"{statement}\nanswers {answer!r}, not {wanted!r}")
            time.sleep(0.1)

    def end_of_log(self):
        """The last lines of the server's error log."""
        log = self.path("/var/log/mysql/error.log")
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else ""

    def end(self):
        """Ends every process of the machine."""
        self.process.kill()
        self.process.wait()


def run(*command):
    """Runs a program outside."""
    done = subprocess.run([os.fspath(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"{' '.join(map(str, command))}: {done.stderr}")
