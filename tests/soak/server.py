"""A private MariaDB server that encrypts all it can, to be killed and started again."""

import getpass
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from client import Connection, ConnectionLost

ROOT = Path(__file__).resolve().parents[2]
# Small, so that data goes through the files and not only through memory, and that a start is quick. A commit is
# durable when it is acknowledged. The files of temporary data are used early.
SETTINGS = """
skip-networking
performance_schema = OFF
innodb_buffer_pool_size = 8M
innodb_log_file_size = 8M
innodb_flush_log_at_trx_commit = 1
innodb_buffer_pool_dump_at_shutdown = OFF
innodb_buffer_pool_load_at_startup = OFF
innodb_stats_auto_recalc = OFF
innodb_max_dirty_pages_pct = 5
innodb_lock_wait_timeout = 20
aria_pagecache_buffer_size = 1M
key_buffer_size = 1M
table_definition_cache = 400
max_connections = 20
log-bin = binlog
binlog_format = ROW
binlog_cache_size = 4096
sync_binlog = 0
master_verify_checksum = ON
server-id = 1
innodb_encrypt_tables = ON
innodb_encrypt_log = ON
innodb_encrypt_temporary_tables = ON
innodb_encryption_threads = 2
innodb_encryption_rotation_iops = 2000
encrypt_binlog = ON
encrypt_tmp_files = ON
encrypt_tmp_disk_tables = ON
aria_encrypt_tables = ON
"""

# What must never be in an error log here: errors of any kind, and words of decryption and corruption at any level.
WRONG = re.compile(r"\[ERROR\]|decrypt|corrupt|checksum mismatch|got signal|Assertion", re.IGNORECASE)
# But a kill may cut what the server was writing, none of which was acknowledged: the last event of a binary log, the
# server's log of table changes (never encrypted), or the file of a new table before its first page is there.
CUT = re.compile(r"Error in Log_event::read_log_event\(\): 'Event truncated'|"
                 r"Unexpected end-of-file found when reading file '\./ddl_recovery\.log'|"
                 r"DDL_LOG: Failed to read ddl log file '\./ddl_recovery\.log' during recovery")
# After a rotation to another algorithm the redo log goes on under the old version.
OLD_ALGORITHM = re.compile(r"keyroll: version \d+ of key \d+, for \w+, still encrypts")
NEW_FILE = re.compile(r"InnoDB: Expected tablespace id \d+ but found 0 in the file \./soak/(.+)\.ibd")


class Failure(Exception):
    """What the soak looks for."""


class Lost(Failure):
    """Rows or tables that are not what they should be."""

    def __init__(self, problems):
        super().__init__("\n".join(problems[:20]))
        self.count = len(problems)


def parsed(parser):
    """The command line, with the plugin and the command that are tested: `library` and `command`."""
    arguments = parser.parse_args()
    arguments.library = Path(os.environ.get("KEYROLL_SO", ROOT / "target/release/libkeyroll.so"))
    arguments.command = Path(os.environ.get("KEYROLL_BIN", ROOT / "target/release/keyroll"))
    for built in (arguments.library, arguments.command):
        if not built.exists():
            parser.error(f"{built} does not exist: `make build` makes it; KEYROLL_SO and KEYROLL_BIN name others")
    return arguments


class Server:
    """One data directory and the process that serves it. `settings` makes lines for its my.cnf; times are seconds.

    Root may change `user`, whose process it is then. `program` may begin with one that becomes the server.
    """

    def __init__(self, folder, template, plugins, settings):
        self.folder = folder
        self.socket = folder / "socket"
        self.log = folder / "error.log"
        self.process = None
        self.log_read = 0
        self.user, self.program = getpass.getuser(), ["mariadbd"]
        self.plugins, self.settings = plugins, settings
        folder.mkdir()
        (folder / "tmp").mkdir()
        shutil.copytree(template, folder / "data")

    def launch(self, more=()):
        """Starts the process, with the settings of now and more lines, and does not wait."""
        lines = [f"user = {self.user}", f"datadir = {self.folder}/data", f"tmpdir = {self.folder}/tmp",
                 f"socket = {self.socket}", f"pid-file = {self.folder}/pid", f"log-error = {self.log}",
                 f"plugin-dir = {self.plugins}", SETTINGS, *self.settings(), *more]
        (self.folder / "my.cnf").write_text("[mariadbd]\n" + "\n".join(lines) + "\n")
        # A session of its own, so that Ctrl-C reaches the script alone, which then kills the server.
        self.process = subprocess.Popen([*self.program, f"--defaults-file={self.folder}/my.cnf"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)

    def wait_until_up(self):
        """Returns when the server answers."""
        deadline = time.monotonic() + 60
        while self.process.poll() is None:
            try:
                return self.connect().close()
            except ConnectionLost:
                if time.monotonic() > deadline:
                    raise Failure(f"{self.folder.name} did not start in a minute") from None
                time.sleep(0.01)
        raise Failure(f"{self.folder.name} did not start: it ended with {self.process.returncode}")

    def ends_by_itself(self):
        """Whether the process ends rather than answer, within a minute."""
        deadline = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                self.connect().close()
                return False
            except ConnectionLost:
                time.sleep(0.01)
        ended, self.process = self.process.poll() is not None, None
        return ended

    def known_versions(self):
        """The key versions (id, version) that the mark in the data directory knows."""
        mark = self.folder / "data" / "keyroll.mark"
        if not mark.exists():
            return set()
        keys = json.loads(mark.read_text())["keys"]
        return {(key["id"], int(version)) for key in keys for version in key["versions"]}

    def connect(self):
        """A new connection; ConnectionLost if the server does not run."""
        return Connection(self.socket)

    def shoot(self):
        """Sends SIGKILL and does not wait."""
        os.kill(self.process.pid, signal.SIGKILL)

    def bury(self):
        """Waits for the end of the killed process, which must have died of nothing else."""
        self.process.wait(60)
        code, self.process = self.process.returncode, None
        if code != -signal.SIGKILL:
            raise Failure(f"{self.folder.name} ended by itself with {code}")

    def shut_down(self):
        """Stops it in good order."""
        with self.connect() as connection:
            connection.query("SHUTDOWN")
        self.process.wait(60)
        code, self.process = self.process.returncode, None
        if code:
            raise Failure(f"{self.folder.name} ended with {code} at a shutdown")

    def end(self):
        """Kills it, whatever its state. Does nothing if it does not run."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def read_log(self, tables, expected=None):
        """Fails if the error log has got a line that it must not have since the last time. `tables` were made; lines with the
        pattern `expected` may stand there."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            log.seek(self.log_read)
            new = log.read()
            self.log_read = log.tell()
        wrong = []
        for line in new.splitlines():
            new_file = NEW_FILE.search(line)
            cut = CUT.search(line) or new_file and new_file[1] not in tables
            if WRONG.search(line) and not cut and not OLD_ALGORITHM.search(line) and not (expected and expected.search(line)):
                wrong.append(line)
        if wrong:
            raise Failure("\n".join([f"the error log of {self.folder.name} says:", *wrong[:10]]))

    def end_of_log(self):
        """The last lines of the error log."""
        return self.log.read_text(errors="replace").splitlines()[-15:] if self.log.exists() else []
