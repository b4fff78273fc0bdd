"""A place for one move: key stores, data directories with rows in them, and the servers that are started on these."""

import contextlib
import copy
import getpass
import itertools
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time

from server import Failure, Server
from store import KeyFile, Keystore, Store

# What the server's own tables do not show: several keys, page formats and engines.
TABLES = {
    "plain": "ENGINE=InnoDB",
    "other_key": "ENGINE=InnoDB ENCRYPTED=YES ENCRYPTION_KEY_ID=3",
    "compressed": "ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8 ENCRYPTED=YES ENCRYPTION_KEY_ID=4",
    "aria": "ENGINE=Aria TRANSACTIONAL=1",
}
ROWS = 300
# Below those that outgoing connections get, or one of these could take a port before its server does.
PORTS = itertools.count(random.randrange(10240, 30720))
BY_THE_MARK = re.compile("that this data knows|than this data knows|of the format")
BEHIND = """SELECT COUNT(*) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION WHERE ENCRYPTION_SCHEME = 1
            AND (MIN_KEY_VERSION < CURRENT_KEY_VERSION OR ROTATING_OR_FLUSHING)"""


def run(*command, codes=(0,), text=None):
    """What a program prints, which must end with one of the codes within a minute."""
    done = subprocess.run([str(word) for word in command], input=text, capture_output=True, text=True, timeout=60,
                          check=False)
    if done.returncode not in codes:
        raise Failure(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout + done.stderr


class Site:
    """The folder of one move and all that is made there."""

    def __init__(self, folder, template, plugins, command):
        self.folder, self.template, self.plugins, self.command = folder, template, plugins, command
        self.hosts = []
        folder.mkdir()

    def keystore(self, name="store", number=4, algorithm=None):
        """A new keystore, all of one algorithm, with its master key in a file; 0: aes_cbc, 2: aes_ctr, 4: aes_256_xts, or the
        named one, for keys of 256 bits."""
        store = self._store(Keystore, name, number)
        store.algorithm = algorithm or store.algorithm
        store.path.unlink()
        ids = [word for key in range(2, 8) for word in ("--id", key)]
        run(self.command, "init", "--no-defaults", *store.options(), *ids, "--key-algorithm", store.algorithm,
            "--key-spec", store.key_spec, "--owner", user())
        return store

    def key_file(self, name="store", number=0):
        """A new key file. An odd number has a password; 0: aes_cbc, 1: aes_ctr."""
        return self._store(KeyFile, name, number)

    def _store(self, kind, name, number):
        (self.folder / name).mkdir()
        return kind(self.command, self.folder / name, number, random.Random(name))

    def copied(self, store, name):
        """A copy of a key store and of what opens it, in places of its own: a backup, or another host's."""
        folder = self.folder / name
        shutil.copytree(store.folder, folder)
        return at_folder(store, folder)

    def host(self, store, name="server", of=None, data=None):
        """A server on a store: with rows of its own, or with the data (and the rows) of another host."""
        host = Host(self, name, store, data or (of.data if of else self.template))
        if of:
            host.written = list(of.written)
        else:
            host.start()
            host.make_tables()
        return host

    def backup(self, host, name="backup"):
        """A prepared backup of a running server by mariadb-backup, as a folder."""
        target = self.folder / name
        host.backup(target)
        host.prepare(target)
        return target

    def end(self):
        """Ends all servers, whatever their state. Fails if a process is left all the same."""
        for host in self.hosts:
            host.server.end()
        deadline = time.monotonic() + 10
        while left := run("pgrep", "--full", "--list-full", f"{self.folder}/", codes=(0, 1)):
            if time.monotonic() > deadline:
                raise Failure(f"these still run:\n{left}")
            time.sleep(0.1)


def at_folder(store, folder):
    """The same kind of store, with its files in another folder."""
    other = copy.copy(store)
    other.folder, other.place, other.secret = folder, folder / "keys", folder / "secret"
    other.path = other.place / store.path.name
    if getattr(store, "password", None):
        other.password = other.secret / "password"
    if getattr(store, "master_key", None):
        other.master_key = store.master_key.replace(str(store.folder), str(folder))
    return other


def put_in_place(store, saved):
    """Puts the files of a saved copy in the store's place: the newest version, or yesterday's."""
    for ours, theirs in ((store.place, saved.place), (store.secret, saved.secret)):
        shutil.rmtree(ours)
        shutil.copytree(theirs, ours)


class Host:
    """A data directory, its server, and what was written to it."""

    def __init__(self, site, name, store, data):
        self.site, self.store, self.more = site, store, []
        self.server = Server(site.folder / name, data, site.plugins, lambda: [*self.store.settings(), *self.more])
        self.data = self.server.folder / "data"
        self.mark = self.data / "keyroll.mark"
        self.written = []
        site.hosts.append(self)

    def run_as(self, name):
        """Gives the data directory to another user, who runs the server from now on."""
        run("chown", "-R", f"{name}:", self.server.folder)
        self.server.user = name

    def make_tables(self):
        """What a new data directory begins with."""
        self.sql("CREATE DATABASE moved", "CREATE FUNCTION keyroll_keys RETURNS STRING SONAME 'keyroll.so'",
                 *[f"CREATE TABLE moved.{table} (id INT PRIMARY KEY, a VARCHAR(200), KEY(a)) {options}"
                   for table, options in TABLES.items()])
        self.write("the beginning")

    def sql(self, *statements):
        """Executes statements in one connection; the rows of the last one."""
        with self.server.connect() as connection:
            return [connection.query(statement) for statement in statements][-1]

    def write(self, words):
        """Adds rows to each table."""
        first = len(self.written) * ROWS + 1
        self.written.append(words)
        self.sql(*[f"INSERT INTO moved.{table} SELECT seq, CONCAT('row ', seq, ' of {words}') "
                   f"FROM moved.seq_{first}_to_{first + ROWS - 1}" for table in TABLES], "FLUSH BINARY LOGS")

    def rotate(self, key=-1, wait=True):
        """A new version of a key or of all, in whose pages everything that is there is written anew."""
        self.sql(f"SET GLOBAL keyroll_rotate_key = {key}")
        deadline = time.monotonic() + 30
        while wait and self.sql(BEHIND) != [["0"]]:
            if time.monotonic() > deadline:
                raise Failure("the re-encryption does not end")
            time.sleep(0.05)
        self.write(f"rotation {len(self.written)}")

    def check(self):
        """Every row of every table must be there, and the binary logs must be readable."""
        wanted = [[str(number * ROWS + row), f"row {number * ROWS + row} of {words}"]
                  for number, words in enumerate(self.written) for row in range(1, ROWS + 1)]
        with self.server.connect() as connection:
            for table in TABLES:
                if connection.query(f"SELECT id, a FROM moved.{table} ORDER BY id") != wanted:
                    raise Failure(f"moved.{table} does not hold what was written")
                if (checked := connection.query(f"CHECK TABLE moved.{table}"))[-1][2:] != ["status", "OK"]:
                    raise Failure(f"CHECK TABLE: {checked}")
            for log in connection.query("SHOW BINARY LOGS"):
                connection.query(f"SHOW BINLOG EVENTS IN '{log[0]}'")

    def start(self, warns=(), errors=()):
        """Starts it: it must hold every row. keyroll must warn of what these texts tell, or of nothing; likewise errors."""
        self._checks_out(0, 1)
        self.server.launch()
        try:
            self.server.wait_until_up()
        except Failure as failure:
            raise Failure(f"{failure}:\n{self.short_text()}") from None
        said = self.new_text()
        warnings = [line for line in said.splitlines() if re.search(r"\[Warning\].*keyroll: ", line)]
        if warnings and not warns:
            raise Failure("\n".join(["a start that is as it should be is warned of:", *warnings]))
        require(said, *warns)
        if errors:
            self.has_said(*errors)
        self.server.read_log(())
        if self.written:
            self.check()

    def restart(self):
        """Stops it in good order and starts it."""
        self.stop()
        self.start()

    def stop(self):
        """Stops it in good order."""
        self.server.shut_down()
        self.server.read_log(())

    def kill(self):
        """Ends it as a power cut would."""
        self.server.shoot()
        self.server.bury()

    def new_text(self):
        """What the error log has got since the last time it was read."""
        with open(self.server.log, encoding="utf-8", errors="replace") as log:
            log.seek(self.server.log_read)
            return log.read()

    def short_text(self):
        """The same, of a server that failed: what is no Note, and the last lines."""
        lines = self.new_text().splitlines()
        return "\n".join([*[line for line in lines[:-20] if re.search(r"\[(ERROR|Warning)\]", line)][-20:], *lines[-20:]])

    def refused(self, *texts):
        """Starts it, which must fail, for a reason that all the texts tell. Returns what the error log says."""
        self.server.launch()
        if not self.server.ends_by_itself():
            raise Failure(f"a server started that should have been refused with {texts}")
        said = self.has_said(*texts)
        if BY_THE_MARK.search(said):
            self._checks_out(2)
        return said

    def _checks_out(self, *codes):
        """The command must say of the store and the mark what the server says; what only a page shows it cannot know."""
        if isinstance(self.store, Store):
            self.store.run("check", "--no-defaults", "--user", user(), "--datadir", self.data, codes=codes)

    def has_said(self, *texts):
        """Errors that are as they should be. Returns what the error log has got."""
        said = self.new_text()
        self.server.log_read = self.server.log.stat().st_size
        require(said, *texts)
        return said

    def backup(self, target):
        """What mariadb-backup copies of the running server."""
        run("mariadb-backup", f"--defaults-file={self.server.folder}/my.cnf", "--backup", f"--target-dir={target}",
            f"--socket={self.server.socket}", "--user=root", f"--plugin-dir={self.site.plugins}")

    def prepare(self, target, codes=(0,)):
        """Makes data of what mariadb-backup copied, with the key store of this host."""
        options = target / "backup-my.cnf"
        lines = [line for line in options.read_text().splitlines() if not line.startswith("keyroll_")]
        options.write_text("\n".join([*lines, *self.store.settings()[1:], ""]))
        return run("mariadb-backup", f"--defaults-file={options}", "--prepare", f"--target-dir={target}",
                   f"--plugin-dir={self.site.plugins}", codes=codes)

    def copy_back(self, target):
        """Puts a prepared backup in the place of all data. A mark that lay there stays."""
        for entry in self.data.iterdir():
            if entry != self.mark:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        run("mariadb-backup", f"--defaults-file={self.server.folder}/my.cnf", "--copy-back", f"--target-dir={target}",
            "--force-non-empty-directories", f"--plugin-dir={self.site.plugins}")


def require(said, *texts):
    """All these parts must be in what was said, and each of keyroll's messages must be whole."""
    for text in texts:
        if not re.search(text, said):
            raise Failure(f"nothing says {text!r}:\n{said[-6000:]}")
    for line in said.splitlines():
        if re.search(r"keyroll: .*\.\.\.", line):
            raise Failure(f"the server had to cut a message:\n{line}")


def obey(said, pattern):
    """Runs the command that a message names between back quotes, as a user would."""
    command = re.search(f"`({pattern}[^`]*)`", said)
    if not command:
        raise Failure(f"nothing says `{pattern}...`:\n{said[-6000:]}")
    return run("sh", "-c", command[1])


def user():
    """The user who runs this, who owns all files that the command makes."""
    return getpass.getuser()


def free_port():
    """A port on loopback that no other server here uses."""
    for port in PORTS:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def copy_while_it_runs(host, name):
    """The data directory as it is at one moment, without a word to the server: a snapshot of its file system."""
    target = host.site.folder / name
    os.kill(host.server.process.pid, signal.SIGSTOP)
    try:
        shutil.copytree(host.data, target)
    finally:
        os.kill(host.server.process.pid, signal.SIGCONT)
    return target
