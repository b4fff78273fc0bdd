#!/usr/bin/env -S python3 -B
"""A crowd of connections on one private real server, for minutes: nothing may be lost, and nothing may grow.

docs/testing.md says what is done and what counts as a failure. The last line is
`M minutes, C connections, S statements, K kills, V key versions, R rows checked, 0 lost`; anything else is a failure.
"""

import argparse
import random
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/soak"), str(ROOT / "scripts")]
import growth  # noqa: E402, the folders of what it needs are known only now
from client import ConnectionLost, StatementFailed  # noqa: E402
from installed_mariadb import SetupFailed, installed_plugins, make_template  # noqa: E402
from load import Crowd  # noqa: E402
from process import KIB, MIB, Held, grown, mappings_of  # noqa: E402
from server import Failure, Lost, Server, parsed  # noqa: E402
from store import STORES  # noqa: E402

# Beyond those of the soak: room for the crowd, and caches of the server so small that a minute fills them. No thread
# outlives its connection, so that what keyroll keeps for a thread has to go with it.
SETTINGS = """
max_connections = 300
back_log = 300
thread_cache_size = 0
innodb_buffer_pool_size = 16M
innodb_sync_spin_loops = 0
innodb_use_native_aio = OFF
innodb_log_buffer_size = 2M
innodb_log_file_size = 16M
innodb_open_files = 2000
table_open_cache = 1000
table_definition_cache = 1000
open_files_limit = 8000
sync_binlog = 0
innodb_flush_log_at_trx_commit = 2
max_binlog_size = 16M
"""
PEER = "file_key_management.so"
KEYSTORE_SETTINGS = ["keyroll_auto_create_limit = 100000"]
# How much more than at the end of the first minute there may be at any later one. Memory: what the server's heap loses
# between pieces in use, and each key version, of which there are some thousand. The server's own threads come and go.
MOST = {"mappings": 64, "threads": 2, "files": 32}
# The server's pool of workers grows under load; one that has nothing to do ends within this time, in seconds.
WORKERS_END_AFTER = 90
OF_A_VERSION = 1 * KIB
# Of these 32 bytes are used, and the memory doubles.
LOCKED_OF_A_VERSION, LOCKED = 64, 64 * KIB
SHUTDOWN_SECONDS = 10
# Errors in the log that are right where statements are killed.
KILLED = re.compile(r"\[ERROR\] mariadbd: keyroll: .* failed: .*the statement was killed")


class Run:
    """One server, its crowd, and how far it is."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.server = self.crowd = None
        self.versions = self.rows = 0
        self.looks = []

    def random_of(self, name):
        """A generator of its own for each purpose."""
        return random.Random(f"{self.arguments.seed} {name}")

    def set_up(self):
        """Makes the store, the data directory and a running server."""
        (self.folder / "plugins").mkdir()
        shutil.copy(self.arguments.library, self.folder / "plugins" / "keyroll.so")
        (self.folder / "plugins" / PEER).symlink_to(installed_plugins() / PEER)
        make_template(self.folder / "template")
        place = self.folder / "store"
        place.mkdir()
        (place / "saved").mkdir(mode=0o700)
        # A keystore of aes_256_xts, with its master key in a file: the cipher that keeps the most for each thread.
        number = 4 if self.arguments.store == "keystore" else 2
        store = STORES[self.arguments.store](self.arguments.command, place, number, self.random_of("store"))
        more = KEYSTORE_SETTINGS if self.arguments.store == "keystore" else []
        self.server = Server(self.folder / "server", self.folder / "template", self.folder / "plugins",
                             lambda: [*store.settings(), SETTINGS, *more, *self.arguments.set])
        # Of glibc's heaps there are as few as can be: each keeps what its threads gave back, so that memory in many of
        # them grows for long, whoever asks for it.
        self.server.program = ["env", "MALLOC_ARENA_MAX=2", "mariadbd"]
        self.server.launch()
        self.server.wait_until_up()
        return store

    def run(self):
        """The whole of it."""
        store = self.set_up()
        if self.arguments.growth:
            growth.measure(self.server, say, self.arguments)
            return
        self.crowd = Crowd(self.server, store, self.random_of, self.arguments.connections, self.arguments.pause,
                           self.arguments.spoil)
        with self.server.connect() as connection:
            connection.query("CREATE DATABASE crowd")
            if self.arguments.spoil == "memory":
                connection.query("SET max_heap_table_size = 1 << 32")
                connection.query("CREATE DATABASE kept")
                connection.query("CREATE TABLE kept.kept (x VARCHAR(60000)) CHARSET=latin1 ENGINE=MEMORY")
        for member in self.crowd.members:
            member.start()
        self.crowd.wait()
        say(f"all have tables: {self.done()}")
        for _ in range(self.arguments.minutes):
            self.minute()
        self.rows += self.check()
        self.crowd.go_on()
        self.end()
        self.rows += self.after_restart()

    def minute(self):
        """Lets the crowd work for a minute, and looks at the server while all rest."""
        if self.looks:
            self.crowd.go_on()
        until = time.monotonic() + 60
        while time.monotonic() < until:
            time.sleep(0.2)
            self.crowd.check()
        self.crowd.stop()
        # What still runs for connections that are gone ends, and the purge of what they left.
        wanted, until = self.arguments.connections + 1, time.monotonic() + 60
        while (connected := int((status := self.status())["Threads_connected"])) != wanted:
            if time.monotonic() > until:
                raise Failure(f"{connected} connections instead of {wanted}")
            time.sleep(0.2)
        time.sleep(self.arguments.rest)
        self.look(int(status.get("Keyroll_key_versions", 0)))
        self.server.read_log(set(), KILLED)

    def look(self, versions):
        """Compares what the server holds with what it held after the first minute."""
        pid = self.server.process.pid
        held, until = Held.by(pid), time.monotonic() + WORKERS_END_AFTER
        while self.looks and held.threads > self.looks[0][0].threads + MOST["threads"] and time.monotonic() < until:
            time.sleep(1)
            held = Held.by(pid)
        self.looks.append((held, versions))
        first, at_first = self.looks[0]
        say(f"minute {len(self.looks)}: {held}, {versions} key versions, {self.done()}")
        if self.arguments.keep:
            (self.folder / f"smaps-{len(self.looks)}").write_text(mappings_of(pid))
        new = versions - at_first
        memory = self.arguments.memory * MIB + OF_A_VERSION * new
        most = {**MOST, "resident": memory, "anonymous": memory, "locked": LOCKED + LOCKED_OF_A_VERSION * new}
        if wrong := grown(first, held, most):
            raise Failure("\n".join([*wrong, f"since the first minute, with {new} new key versions"]))
        self.versions = versions

    def status(self):
        with self.server.connect() as connection:
            return dict(connection.query("SHOW GLOBAL STATUS"))

    def done(self):
        """What the crowd did, in words."""
        with self.crowd.lock:
            return ", ".join(f"{number} {name}" for name, number in self.crowd.counts.items())

    def check(self):
        """Every row of every permanent table must be as the server said, and the tables sound. Returns how many rows."""
        problems, rows, tables = [], 0, self.crowd.tables()
        with self.server.connect() as connection:
            connection.query("USE crowd")
            there = {row[0] for row in connection.query("SHOW TABLES")}
            problems += [f"table {name} was not made" for name in there - tables.keys()]
            for name, table in tables.items():
                found = None
                if name in there:
                    found = {int(row): value for row, value in connection.query(
                        f"SELECT id, note FROM {name} FORCE INDEX (PRIMARY)")}
                    rows += len(found)
                    if self.arguments.spoil == "row" and len(found) > 1:
                        found.popitem()
                    if (checked := connection.query(f"CHECK TABLE {name}"))[-1][2:] != ["status", "OK"]:
                        problems.append(f"CHECK TABLE: {checked}")
                problems += table.wrong(found)
        if problems:
            raise Lost(problems)
        return rows

    def end(self):
        """Shuts the server down while all work on."""
        time.sleep(3)
        self.crowd.check()
        self.crowd.ending = True
        started = time.monotonic()
        self.server.shut_down()
        seconds = time.monotonic() - started
        say(f"shut down in {seconds:.1f} s")
        if seconds > SHUTDOWN_SECONDS:
            raise Failure(f"the shutdown took {seconds:.1f} s")
        for member in self.crowd.members:
            member.join(120)
            if member.is_alive():
                raise Failure("a client still works on a server that is gone")
        self.crowd.check()
        self.server.read_log(set(), KILLED)

    def after_restart(self):
        """What a new process finds of it."""
        self.server.launch()
        self.server.wait_until_up()
        rows = self.check()
        if (versions := int(self.status().get("Keyroll_key_versions", 0))) < self.versions:
            raise Failure(f"{versions} key versions after the restart, {self.versions} before")
        self.server.shut_down()
        self.server.read_log(set(), KILLED)
        return rows

    def summary(self, lost):
        """The last line."""
        if self.arguments.growth:
            return "0 grew" if not lost else "something grew"
        counts = self.crowd.counts if self.crowd else {"statements": 0, "kills": 0}
        return (f"{len(self.looks)} minutes, {self.arguments.connections} connections, {counts['statements']} statements, "
                f"{counts['kills']} kills, {self.versions} key versions, {self.rows} rows checked, {lost} lost")


def say(what):
    """Where it is, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def in_memory():
    """A folder in memory, if there is room. No server is killed here, so nothing is asked of a disk, and a slow one takes
    work away; the keystore's own fsyncs are made there as well."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() and shutil.disk_usage(shared).free > 2048 * MIB else None


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=10, help="how long; the first is for comparison (10)")
    parser.add_argument("--connections", type=int, default=200, help="how many clients (200)")
    parser.add_argument("--pause", type=float, default=1.6, help="the longest pause of a client, in seconds (1.6)")
    parser.add_argument("--rest", type=float, default=3, help="seconds without work before each look (3)")
    parser.add_argument("--store", choices=STORES, default="keystore",
                        help="the key store; what file_key_management does as well is not keyroll's (keystore)")
    parser.add_argument("--memory", type=float, default=32, metavar="MIB",
                        help="how much memory may grow, beside that of key versions (32)")
    parser.add_argument("--spoil", choices=("row", "memory"), help="lose a row, or have the server keep memory: to be found")
    parser.add_argument("--growth", action="store_true", help="many statements of one kind instead, each beside a baseline")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="for all that is random here (random)")
    parser.add_argument("--set", action="append", default=[], metavar="LINE", help="a line for my.cnf")
    parser.add_argument("--dir", type=Path, help="where the data goes (/dev/shm if it has 2 GiB, else TMPDIR or /tmp)")
    parser.add_argument("--keep", action="store_true", help="keep the data, and the mappings at each look, in any case")
    return parsed(parser)


def main():
    arguments = parse()

    def interrupt(*_):
        raise KeyboardInterrupt
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    folder = Path(tempfile.mkdtemp(prefix="keyroll-crowd.", dir=arguments.dir or in_memory()))
    run = Run(arguments, folder)
    say(f"store {arguments.store}, seed {arguments.seed}, data in {folder}")
    keep, status, lost = arguments.keep, 1, 0
    try:
        run.run()
        status = 0
    except (Failure, SetupFailed, StatementFailed, ConnectionLost, OSError) as error:
        keep, lost = True, getattr(error, "count", 1)
        say(f"FAILED\n{error}")
        if run.server:
            print("\n".join([f"the end of {run.server.log}:", *run.server.end_of_log()]), file=sys.stderr)
    except KeyboardInterrupt:
        say("interrupted")
    finally:
        if run.crowd:
            run.crowd.ending = True
        if run.server:
            run.server.end()
    if keep:
        say(f"the data is kept in {folder}")
    else:
        shutil.rmtree(folder)
    print(run.summary(lost))
    sys.exit(status)


if __name__ == "__main__":
    main()
