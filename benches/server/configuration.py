"""One configuration of the server, and all that is measured of it."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass

from server import ENCRYPTED, Server, ServerError

PAGE = 16384

# Name on the command line and in the table -> plugin, algorithm.
CONFIGURATIONS = {
    "unencrypted": (None, None),
    "file_key_management/aes_cbc": ("file_key_management", "aes_cbc"),
    "file_key_management/aes_ctr": ("file_key_management", "aes_ctr"),
    "keyroll/aes_cbc": ("keyroll", "aes_cbc"),
    "keyroll/aes_ctr": ("keyroll", "aes_ctr"),
    "keyroll/aes_256_xts": ("keyroll", "aes_256_xts"),
    "keyroll/aes_256_hctr2": ("keyroll", "aes_256_hctr2"),
    "debug_key_management": ("debug_key_management", None),
}

# `settled` returns when every encrypted page on disk has at least that key version: InnoDB shows the new
# MIN_KEY_VERSION as soon as the last page is marked, and still has to write them while ROTATING_OR_FLUSHING is 1.
# Its queries also wake the threads that re-encrypt, which debug_key_management does not.
SETUP = """
CREATE TABLE counters (id INT PRIMARY KEY, n INT NOT NULL, pad CHAR(100) NOT NULL) ENGINE = InnoDB;
INSERT INTO counters SELECT seq, 0, REPEAT('x', 100) FROM seq_1_to_1000;
CREATE TABLE source (id INT PRIMARY KEY, k INT NOT NULL, c CHAR(128) NOT NULL, pad CHAR(64) NOT NULL)
  ENGINE = InnoDB CHARSET = latin1;
CREATE TABLE copy LIKE source;
INSERT INTO source SELECT seq, seq * 7919 MOD 1000003, SHA2(seq, 512), SHA2(-seq, 256) FROM seq_1_to_{rows};
FLUSH TABLES source FOR EXPORT;
UNLOCK TABLES;
DELIMITER //
CREATE PROCEDURE updates(wanted INT)
BEGIN
  DECLARE i INT DEFAULT 0;
  WHILE i < wanted DO
    UPDATE counters SET n = n + 1 WHERE id = 1 + i MOD 1000;
    SET i = i + 1;
  END WHILE;
END//
CREATE PROCEDURE settled(version INT UNSIGNED)
BEGIN
  DECLARE waiting INT;
  DECLARE polls INT DEFAULT 0;
  REPEAT
    DO SLEEP(0.01);
    SELECT COUNT(*) INTO waiting FROM information_schema.INNODB_TABLESPACES_ENCRYPTION
     WHERE CURRENT_KEY_VERSION > 0 AND (MIN_KEY_VERSION < version OR ROTATING_OR_FLUSHING);
    SET polls = polls + 1;
  UNTIL waiting = 0 OR polls > 12000 END REPEAT;
  IF waiting > 0 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'still re-encrypting after two minutes'; END IF;
END//
DELIMITER ;
"""


@dataclass
class Sizes:
    """How much is measured; `table_mb` is filled in from the first table's file."""

    rows: int
    updates: int
    pool: str
    log: str
    table_mb: float = 0.0


FULL = Sizes(rows=1_100_000, updates=40_000, pool="1G", log="512M")
QUICK = Sizes(rows=40_000, updates=2_000, pool="128M", log="64M")


class Configuration:
    """One configuration: its server and its samples, by measure."""

    def __init__(self, name, folder, shared, sizes):
        self.name, self.sizes, self.shared = name, sizes, shared
        self.plugin, algorithm = CONFIGURATIONS[name]
        self.samples = {}
        self.version = 1
        lines = [f"innodb_buffer_pool_size = {sizes.pool}", f"innodb_log_file_size = {sizes.log}"]
        if self.plugin:
            lines += [ENCRYPTED, f"plugin_load_add = {self.plugin}"]
        if algorithm:
            # A copy each, because a rotation adds to it.
            keys = folder.with_suffix(".keys")
            shutil.copy(shared / "keys", keys)
            keys.chmod(0o600)
            lines += [f"{self.plugin}_filename = {keys}", f"{self.plugin}_encryption_algorithm = {algorithm}"]
        elif self.plugin:
            lines.append("plugin-maturity = experimental")
        self.server = Server(folder, shared / "template", shared / "plugins", "\n".join(lines))
        self.rotates = self.plugin in ("keyroll", "debug_key_management")

    def start(self):
        """Starts the server with the key version that it had (debug_key_management keeps none)."""
        debug = [f"--debug-key-management-version={self.version}"] if self.plugin == "debug_key_management" else []
        self.server.start(*debug)

    def set_up(self):
        """Fills the tables and lets the background encryption come to rest."""
        self.start()
        self.server.sql("CREATE DATABASE bench", database="information_schema")
        self.server.sql(SETUP.format(rows=self.sizes.rows))
        if self.plugin:
            self.server.sql(f"CALL settled({self.version})")
        self.check_pages("source")
        self.server.stop()

    def check_pages(self, table):
        """Proves from the file itself that each page is encrypted with the latest version; returns the file's used MB.

        In the full_crc32 format a page begins with its key version, 4 bytes, big-endian. Page 0 is never
        encrypted; pages that were never used are zeros.
        """
        used, wrong = 1, 0
        wanted = self.version if self.plugin else 0
        with open(self.server.folder / "data" / "bench" / f"{table}.ibd", "rb") as pages:
            pages.seek(PAGE)
            while page := pages.read(PAGE):
                if any(page[:64]):
                    used += 1
                    wrong += int.from_bytes(page[:4], "big") != wanted
        if wrong:
            raise ServerError(f"{self.name}: {wrong} of {used} pages of {table} do not have key version {wanted}")
        return used * PAGE / 1e6

    def sample(self, measure, value):
        """Keeps one sample of a measure."""
        self.samples.setdefault(measure, []).append(value)

    def sample_times(self, measure, wall_and_cpu):
        """Keeps what `Server.timed` returned."""
        for suffix, value in zip(("wall", "cpu"), wall_and_cpu):
            self.sample(f"{measure}_{suffix}", value)

    def round(self, step):
        """All measures once; debug_key_management is there for re-encryption alone."""
        if self.plugin == "debug_key_management":
            self.start()
        else:
            step("cold scan")
            self.scan()
        step("load")
        load = self.server.timed("INSERT INTO copy SELECT * FROM source; FLUSH TABLES copy FOR EXPORT; UNLOCK TABLES")
        self.server.sql("RESET MASTER")
        if self.plugin != "debug_key_management":
            self.sample_times("load", load)
            step("updates sent by a client")
            self.measure_updates("update_client", lambda: self.server.feed(self.shared / "updates.sql"))
            step("updates in a procedure")
            self.measure_updates("update_procedure", lambda: self.server.sql(f"CALL updates({self.sizes.updates})"))
        if self.rotates:
            step("re-encryption, buffer pool warm")
            self.sample("reencrypt_warm", self.rotate())
            self.server.stop()
            step("re-encryption, buffer pool cold")
            self.start()
            self.sample("reencrypt_cold", self.rotate())
        self.server.sql("TRUNCATE TABLE copy; RESET MASTER")
        self.server.stop()

    def scan(self):
        """Scans the table three times, each right after a start, and leaves the server running with a warm pool."""
        for last in (False, False, True):
            self.start()
            self.sample_times("scan", self.server.timed("SELECT COUNT(*) FROM source"))
            if not last:
                self.server.stop()

    @contextlib.contextmanager
    def one_core(self):
        """Confines server and clients to one core.

        Where each has its own, waking the other's sleeping core is a part of every round trip, costs up to three
        times the update itself, and varies with what else runs.
        """
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(cores)})
        self.server.pin({max(cores)})
        yield
        os.sched_setaffinity(0, cores)
        self.server.pin(cores)

    def measure_updates(self, measure, run):
        """CPU seconds per update, undo purge included, twice; a first short run warms up."""
        purged = "SET GLOBAL innodb_max_purge_lag_wait = 0"
        with self.one_core():
            self.server.sql(f"CALL updates(1000); {purged}")
            for _ in range(2):
                before = self.server.cpu()
                run()
                self.server.sql(purged)
                self.sample(measure, (self.server.cpu() - before) / self.sizes.updates)

    def rotate(self):
        """MB/s of both tables from the statement that rotates until every page is on disk anew."""
        self.version += 2
        action = {"keyroll": "keyroll_rotate_key = 1",
                  "debug_key_management": f"debug_key_management_version = {self.version}"}[self.plugin]
        wall, _ = self.server.timed(f"SET GLOBAL {action}; CALL settled({self.version})")
        return (self.check_pages("source") + self.check_pages("copy")) / wall

    def profile(self):
        """Where the CPU goes while a client sends updates, as perf tells it."""
        self.start()
        self.server.sql("CALL updates(1000)")
        data = self.server.folder / "perf.data"
        # cpu-clock: virtual machines often have no hardware counters.
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "2000", "-o", data, "-p",
                   str(self.server.process.pid)]
        with self.one_core(), subprocess.Popen(command, start_new_session=True) as perf:
            try:
                time.sleep(0.5)
                for _ in range(3):
                    self.server.feed(self.shared / "updates.sql")
            finally:
                perf.send_signal(signal.SIGINT)
        self.server.stop()
        for sort in ("dso", "dso,symbol"):
            told = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children", "--sort", sort,
                                   "--percent-limit", "0.5"], capture_output=True, text=True, check=True).stdout
            print("\n".join(line.rstrip() for line in told.splitlines() if line and not line.startswith("#")), "\n")
