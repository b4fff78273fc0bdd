"""A private MariaDB server in a temporary directory: set up, started, asked, stopped."""

import contextlib
import getpass
import os
import shutil
import subprocess
import time

# The same for every configuration. The disk is no part of what is measured: nothing waits for it at a commit.
COMMON = """
skip-networking
performance_schema = OFF
log-bin = binlog
binlog_format = ROW
sync_binlog = 0
innodb_flush_log_at_trx_commit = 2
innodb_flush_method = fsync
innodb_buffer_pool_dump_at_shutdown = OFF
innodb_buffer_pool_load_at_startup = OFF
innodb_stats_auto_recalc = OFF
"""

# Everything that the server can encrypt is encrypted.
ENCRYPTED = """
innodb_encrypt_tables = ON
innodb_encrypt_log = ON
innodb_encrypt_temporary_tables = ON
innodb_encryption_threads = 4
innodb_encryption_rotation_iops = 100000
encrypt_binlog = ON
encrypt_tmp_files = ON
encrypt_tmp_disk_tables = ON
aria_encrypt_tables = ON
"""


class ServerError(Exception):
    """The server or a statement failed; the text holds the reason and the end of the error log."""


class Server:
    """One configuration's server. `settings` are lines for its my.cnf; times are seconds."""

    def __init__(self, folder, template, plugins, settings):
        self.folder = folder
        self.process = None
        folder.mkdir()
        (folder / "tmp").mkdir()
        shutil.copytree(template, folder / "data")
        lines = [f"user = {getpass.getuser()}", f"datadir = {folder}/data", f"tmpdir = {folder}/tmp",
                 f"socket = {folder}/socket", f"pid-file = {folder}/pid", f"log-error = {folder}/error.log",
                 f"plugin-dir = {plugins}", COMMON, settings]
        (folder / "my.cnf").write_text("[mariadbd]\n" + "\n".join(lines) + "\n")

    def start(self, *options):
        """Starts it with a cold buffer pool and returns when it answers."""
        # A session of its own, so that Ctrl-C reaches the script alone, which then stops the server.
        self.process = subprocess.Popen(["mariadbd", f"--defaults-file={self.folder}/my.cnf", *options],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < deadline:
            if self._client("-e", "DO 1").returncode == 0:
                return
            time.sleep(0.05)
        raise self._error("the server did not start")

    def stop(self):
        """Shuts it down in good order."""
        self.sql("SHUTDOWN")
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            raise self._error("the server did not shut down in a minute") from None
        self.process = None

    def kill(self):
        """Ends it at once, whatever its state. Does nothing if it does not run."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def sql(self, statements, database="bench"):
        """Runs statements and returns what they print, without headings."""
        return self._checked(self._client(f"--database={database}", input=statements))

    def pin(self, cores):
        """Confines all threads of the server, and those that they start later, to these cores."""
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            with contextlib.suppress(ProcessLookupError):  # A thread of the pool may end meanwhile.
                os.sched_setaffinity(int(thread), cores)

    def feed(self, script):
        """Runs a file of statements, one round trip each."""
        with open(script, encoding="ascii") as statements:
            self._checked(self._client("--database=bench", stdin=statements))

    def cpu(self):
        """CPU seconds, user and system, of all threads that the server has had.

        This is the clock that clock_getcpuclockid(3) gives for a process, in Linux's encoding: the same sum as
        /proc/PID/stat has, in nanoseconds instead of ticks of 10 ms.
        """
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def timed(self, statements):
        """Runs statements and returns their wall time, taken by the server, and its CPU time."""
        before = self.cpu()
        wall = self.sql(f"SET @started = SYSDATE(6);\n{statements};\n"
                        "SELECT TIMESTAMPDIFF(MICROSECOND, @started, SYSDATE(6));").splitlines()[-1]
        return int(wall) / 1e6, self.cpu() - before

    def _client(self, *options, **streams):
        if "input" not in streams:
            streams.setdefault("stdin", subprocess.DEVNULL)
        command = ["mariadb", "--no-defaults", f"--socket={self.folder}/socket", "--user=root", "--batch",
                   "--skip-column-names", *options]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **streams)
        except subprocess.TimeoutExpired:
            raise self._error("a statement did not end in five minutes") from None

    def _checked(self, done):
        if done.returncode:
            raise self._error(done.stderr.strip())
        return done.stdout.strip()

    def _error(self, reason):
        log = self.folder / "error.log"
        lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
        return ServerError("\n".join([reason, f"the end of {log}:", *lines]))
