#!/usr/bin/env python3
"""One encrypted data directory goes up through several versions of the server, under one keyroll.so.

    scripts/server_matrix/upgrade.py PREFIX...     (oldest first; "/" is the installed server)

Once with a key file and once with a keystore, at each version: mariadb-upgrade; every row is compared with what was
written; all keys are rotated until InnoDB has re-encrypted all pages (in a keystore, the master key as well); rows are
changed and added; the version's own mariadb-backup makes a backup, prepares it, and a server on it is asked for every
row, too. The mark beside the data, which the first version wrote, is accepted by each and knows all keys, and each refuses
the key store of before the rotation by it. KEYROLL_SO and KEYROLL_BIN name what is tested. Everything is below a temporary directory, which is removed.
"""

import getpass
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TABLES = {
    "plain": "ENGINE=InnoDB",
    "compressed": "ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4 ENCRYPTION_KEY_ID=2",
    "page_compressed": "ENGINE=InnoDB PAGE_COMPRESSED=1 ENCRYPTION_KEY_ID=7",
    "redundant": "ENGINE=InnoDB ROW_FORMAT=REDUNDANT",
    "aria": "ENGINE=Aria",
}
ROWS = 2000
SETTINGS = """
skip-networking
innodb_log_file_size = 16M
innodb_buffer_pool_size = 16M
innodb_encryption_rotation_iops = 4000
log-bin = binlog
server-id = 1
"""


class Failure(Exception):
    """What this looks for."""


def run(*command, stdin=None, seconds=180):
    """What the command prints; fails with all of it unless it succeeds."""
    done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True, text=True,
                          timeout=seconds, check=False)
    if done.returncode:
        raise Failure(f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


class Version:
    """The server in a prefix."""

    def __init__(self, prefix, folder, plugin):
        self.usr = Path(prefix) / "usr"
        self.name = self.tell("--version").split("Ver ")[1].split()[0]
        self.plugins = folder / f"plugins-{self.name}"
        self.plugins.mkdir()
        told = next(line for line in self.tell("--verbose", "--help").splitlines() if line.startswith("plugin-dir "))
        for entry in (Path(prefix) / told.split()[1].lstrip("/")).iterdir():
            (self.plugins / entry.name).symlink_to(entry)
        (self.plugins / "keyroll.so").symlink_to(plugin)
        share = next(self.usr / "share" / name for name in ("mysql", "mariadb")
                     if (self.usr / "share" / name / "english").is_dir())
        self.places = [f"basedir = {self.usr}", f"plugin-dir = {self.plugins}", f"lc-messages-dir = {share}",
                       f"character-sets-dir = {share}/charsets"]

    def tell(self, *options):
        return run(self.usr / "sbin/mariadbd", "--no-defaults", *options)

    def client(self, name):
        return self.usr / "bin" / name


class Server:
    """A data directory and the process that serves it, each time by the version wanted."""

    def __init__(self, folder, data, settings):
        self.folder, self.data, self.settings = folder, data, settings
        self.socket, self.log = folder / "socket", folder / "error.log"
        self.version = self.process = None
        folder.mkdir(exist_ok=True)

    def write_settings(self, version):
        self.version = version
        lines = [f"user = {getpass.getuser()}", f"datadir = {self.data}", f"socket = {self.socket}",
                 f"pid-file = {self.folder}/pid", f"log-error = {self.log}", *version.places, SETTINGS, self.settings]
        (self.folder / "my.cnf").write_text("\n".join(["[mysqld]", *lines, ""]))

    def start(self, version):
        self.write_settings(version)
        self.process = subprocess.Popen([version.usr / "sbin/mariadbd", f"--defaults-file={self.folder}/my.cnf"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        until = time.monotonic() + 120
        while True:
            try:
                self.sql("DO 1")
                return
            except Failure as error:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise Failure(f"{version.name} did not start:\n{self.log.read_text()[-3000:]}\n{error}") from None
            time.sleep(0.2)

    def stop(self):
        self.sql("SHUTDOWN")
        if self.process.wait(120):
            raise Failure(f"{self.version.name} ended with {self.process.returncode}")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def options(self):
        return ["--no-defaults", f"--socket={self.socket}", "--user=root"]

    def sql(self, statements):
        return run(self.version.client("mariadb"), *self.options(), "--batch", "--skip-column-names",
                   "--default-character-set=utf8mb4", stdin=statements)


class Ledger:
    """What each table must hold."""

    def __init__(self, server):
        self.rows = {}
        server.sql("CREATE DATABASE upgraded; CREATE FUNCTION keyroll_keys RETURNS STRING SONAME 'keyroll.so'")
        for table, options in TABLES.items():
            server.sql(f"CREATE TABLE upgraded.{table} (id INT PRIMARY KEY, a VARCHAR(1000), KEY(a(20))) {options}")

    def change(self, server, words):
        """Adds rows and changes every third one."""
        first = len(self.rows) + 1
        for number in range(first, first + ROWS):
            self.rows[number] = f"row {number} of {words} " + "0123456789" * (number % 30)
        values = ",".join(f"({number},'{self.rows[number]}')" for number in range(first, first + ROWS))
        statements = []
        for table in TABLES:
            statements.append(f"INSERT INTO upgraded.{table} VALUES {values};")
            statements.append(f"UPDATE upgraded.{table} SET a = CONCAT(a, ' {words}') WHERE id % 3 = 0;")
        server.sql("\n".join(statements))
        for number in self.rows:
            if number % 3 == 0:
                self.rows[number] += f" {words}"

    def check(self, server, when):
        wanted = [f"{number}\t{text}" for number, text in sorted(self.rows.items())]
        for table in TABLES:
            if server.sql(f"SELECT id, a FROM upgraded.{table} ORDER BY id").splitlines() != wanted:
                raise Failure(f"{when}: upgraded.{table} does not hold what was written")
            checked = server.sql(f"CHECK TABLE upgraded.{table} EXTENDED")
            if not checked.strip().endswith("OK"):
                raise Failure(f"{when}: {checked}")
        return len(wanted) * len(TABLES)


def rotate(server, kind):
    """Rotates all there is, and waits until no page has an older version."""
    server.sql("SET GLOBAL keyroll_rotate_key = -1")
    if kind == "keystore":
        server.sql("SET GLOBAL keyroll_rotate_master_key = 1")
    left = ("SELECT COUNT(*) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION WHERE ENCRYPTION_SCHEME = 1 "
            "AND (MIN_KEY_VERSION < CURRENT_KEY_VERSION OR ROTATING_OR_FLUSHING)")
    until = time.monotonic() + 120
    while server.sql(left).strip() != "0":
        if time.monotonic() > until:
            raise Failure(f"{server.version.name} does not end the re-encryption")
        time.sleep(0.5)
    return server.sql("SELECT MIN(MIN_KEY_VERSION) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION "
                      "WHERE ENCRYPTION_SCHEME = 1").strip()


def back_up(server, ledger):
    """Makes a backup, prepares it, and asks a server on it for every row."""
    version, folder = server.version, server.folder / f"backup-{server.version.name}"
    tool, target = version.client("mariadb-backup"), f"--target-dir={folder}/data"
    folder.mkdir()
    tries = 0
    while True:
        tries += 1
        try:
            run(tool, f"--defaults-file={server.folder}/my.cnf", "--backup", target, f"--socket={server.socket}",
                "--user=root", seconds=120)
            break
        except subprocess.TimeoutExpired:
            # A backup of 11.8 hangs in its own threads now and then, without a plugin, too.
            if tries == 3:
                raise Failure(f"mariadb-backup of {version.name} hung three times") from None
            run("rm", "-rf", f"{folder}/data")
    run(tool, f"--defaults-file={folder}/data/backup-my.cnf", "--prepare", target, seconds=120)
    restored = Server(folder, folder / "data", server.settings)
    try:
        restored.start(version)
        rows = ledger.check(restored, f"a backup of {version.name}")
        restored.stop()
    finally:
        restored.kill()
    return f"{rows} rows in the restored backup" + (f" (the backup's {tries}. try)" if tries > 1 else "")


def check_mark(server, keyroll, store):
    """The mark must know exactly the versions that the store holds, and no start may have had anything to say about it."""
    mark = json.loads((server.data / "keyroll.mark").read_text())
    known = {(key["id"], int(number)) for key in mark["keys"] for number in key["versions"]}
    held = {(key["id"], key["version"]) for key in json.loads(run(keyroll, "list", "--no-defaults", "--json", *store))["keys"]}
    if known != held:
        raise Failure(f"{server.version.name}: the mark knows {sorted(known)}, the store has {sorted(held)}")
    if told := [line for line in server.log.read_text().splitlines()
                if "[Warning]" in line and "keyroll: " in line and ("mark" in line or "older copy" in line)]:
        raise Failure(f"{server.version.name}: {told[0]}")


def refuse_older(server, version, path, older):
    """With an older copy of the store the server must not start, and say by what it knows that."""
    newest = path.read_bytes()
    path.write_bytes(older)
    try:
        server.start(version)
    except Failure as failure:
        if "lacks key versions that this data knows" not in str(failure):
            raise
    else:
        raise Failure(f"{version.name} started with an older copy of {path}")
    finally:
        server.kill()
        path.write_bytes(newest)


def climb(kind, versions, folder, keyroll):
    """Takes one data directory of this kind of key store up through all versions."""
    home, data = folder / kind, folder / kind / "data"
    home.mkdir()
    store = (["--filename", home / "keys"] if kind == "key-file"
             else ["--keystore", home / "keystore", "--master-key", f"file:{home}/master"])
    settings = run(keyroll, "init", "--no-defaults", *store, "--owner", getpass.getuser())
    if kind == "key-file":
        # A keystore makes key 7 at its first use.
        with open(home / "keys", "a", encoding="ascii") as keys:
            keys.write(f"7;{os.urandom(32).hex()}\n")
    settings = "\n".join(line for line in settings.splitlines() if not line.startswith("["))
    server, oldest = Server(home, data, settings), versions[0]
    run(oldest.client("mariadb-install-db"), "--no-defaults", f"--basedir={oldest.usr}", f"--datadir={data}",
        f"--user={getpass.getuser()}", "--auth-root-authentication-method=normal", "--skip-test-db",
        *[f"--{line.replace(' = ', '=')}" for line in oldest.places[1:]], "--innodb-log-file-size=16M")
    ledger = None
    try:
        for version in versions:
            server.start(version)
            if ledger is None:
                ledger = Ledger(server)
                ledger.change(server, version.name)
            else:
                run(version.client("mariadb-upgrade"), *server.options(), "--force")
            ledger.check(server, f"{version.name} after the upgrade")
            check_mark(server, keyroll, store)
            older = Path(store[1]).read_bytes()
            page_version = rotate(server, kind)
            ledger.change(server, f"{version.name} rotated")
            server.stop()
            refuse_older(server, version, Path(store[1]), older)
            server.start(version)
            check_mark(server, keyroll, store)
            rows = ledger.check(server, f"{version.name} after a restart")
            backup = back_up(server, ledger)
            server.stop()
            print(f"{kind}, {version.name}: {rows} rows, pages of version {page_version} and later, {backup}", flush=True)
    finally:
        server.kill()


def main():
    keyroll = Path(os.environ["KEYROLL_BIN"]).resolve()
    plugin = Path(os.environ["KEYROLL_SO"]).resolve()
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="keyroll_upgrade.") as name:
        folder = Path(name)
        try:
            versions = [Version(prefix, folder, plugin) for prefix in sys.argv[1:]]
            for kind in ("key-file", "keystore"):
                climb(kind, versions, folder, keyroll)
        except Failure as failure:
            sys.exit(f"upgrade.py: {failure}")


main()
