#!/usr/bin/env -S python3 -B
"""Kills a private real server, again and again, while it rotates keys and data changes, and checks every row.

docs/testing.md says what is done and what counts as a failure. The last line is
`N kills, M rotations, K master key rotations, R rows checked, 0 lost`; anything else is a failure.
"""

import argparse
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from client import ConnectionLost, StatementFailed
from ledger import compare
from rotation import Rotations, Rotator, Shot
from server import Failure, Lost, Server, parsed
from store import STORES
from work import ARIA_TABLES, COLUMNS, INNODB_TABLES, clients, new_ledgers

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "scripts"))
from installed_mariadb import SetupFailed, installed_plugins, make_template  # noqa: E402, its folder is known only now

BINARY_LOG_ENDS_EARLY = 1220
PEER = "file_key_management.so"
# A server gets a new data directory and a new store after so many kills: other algorithms and kinds of file, and
# no more versions than a key file of 1 MiB holds.
KILLS_OF_A_STORE = 40
# How often a server is killed while it starts, and how often two servers use the store.
WHILE_STARTING, TWO_SERVERS = 0.1, 0.15
# How often an older copy of the key store is put in its place, which the server must refuse.
OLDER_COPY = 0.1
REFUSED = "lacks key versions that this data knows"
SYSTEM_TABLES = "mysql.func, mysql.global_priv, mysql.innodb_table_stats, mysql.innodb_index_stats"


class Host:
    """A server and all that it was asked to keep."""

    def __init__(self, server, rotates):
        self.server, self.rotates, self.ledgers = server, rotates, new_ledgers()
        self.clients = []

    def set_up(self, random_of):
        """Makes the tables and their first rows."""
        self.server.launch()
        self.server.wait_until_up()
        with self.server.connect() as connection:
            if self.rotates:
                connection.query("CREATE FUNCTION keyroll_keys RETURNS STRING SONAME 'keyroll.so'")
            connection.query("CREATE DATABASE soak")
            for table, options in (INNODB_TABLES | ARIA_TABLES).items():
                connection.query(f"CREATE TABLE soak.{table} {COLUMNS} {options}")
            connection.query("USE soak")
            for client in clients(self.server, random_of, None, self.ledgers, None):
                client.set_up(connection)
        self.server.shut_down()

    def check(self, spoiled):
        """Compares everything that the running server holds with the ledgers; returns the number of rows.

        With `spoiled`, a row was lost, as far as the rest of the check can see.
        """
        with self.server.connect() as connection:
            connection.query("USE soak")
            tables = [row[0] for row in connection.query(
                "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'soak'")]
            found = {(table, None): True for table in tables}
            for table in tables:
                for row, n, note in connection.query(f"SELECT id, n, note FROM {table} FORCE INDEX (PRIMARY)"):
                    found[table, int(row)] = (int(n), note)
            if spoiled:
                del found[next(key for key in found if key[1] is not None)]
            if problems := compare(self.ledgers.values(), found):
                raise Lost(problems)
            checked = connection.query(f"CHECK TABLE {', '.join(tables)}, {SYSTEM_TABLES}")
            if bad := [row for row in checked if row[2:] != ["status", "OK"]]:
                raise Failure(f"CHECK TABLE: {bad}")
            self.check_binary_logs(connection)
        return len(found) - len(tables)

    def read_log(self):
        """Fails if the error log says that something is wrong."""
        self.server.read_log({table for ledger in self.ledgers.values() for table, row in ledger.kept if row is None})

    @staticmethod
    def check_binary_logs(connection):
        """Reads the binary logs since the last time from end to end, then drops all but the newest."""
        logs = [row[0] for row in connection.query("SHOW BINARY LOGS")]
        for log in logs[:-1]:
            try:
                connection.query(f"SHOW BINLOG EVENTS IN '{log}'")
            except StatementFailed as error:
                # The error log tells an event that a kill has cut from one that cannot be decrypted.
                if error.code != BINARY_LOG_ENDS_EARLY:
                    raise
        connection.query(f"PURGE BINARY LOGS TO '{logs[-1]}'")


class Soak:
    """The run: what it is to do and how far it is."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.kills = self.rows = self.stores = self.interrupted = self.versions = self.refused = 0
        self.rotations = Rotations()
        self.hosts, self.store = [], None
        self.started = time.monotonic()
        self.now = "setting up"

    def random_of(self, name):
        """A generator of its own for each purpose, so that a seed says what every client tries."""
        return random.Random(f"{self.arguments.seed} {self.kills} {name}")

    def run(self):
        (self.folder / "plugins").mkdir()
        shutil.copy(self.arguments.library, self.folder / "plugins" / "keyroll.so")
        (self.folder / "plugins" / PEER).symlink_to(installed_plugins() / PEER)
        make_template(self.folder / "template")
        while not self.done():
            self.one_store()
            self.stores += 1

    def done(self):
        """Whether it was enough."""
        minutes = (time.monotonic() - self.started) / 60
        return self.kills >= self.arguments.kills or bool(self.arguments.minutes and minutes > self.arguments.minutes)

    def one_store(self):
        """A new store and new servers, killed some times and shut down at last."""
        place = self.folder / f"store-{self.stores}"
        place.mkdir()
        self.store = STORES[self.arguments.store](self.arguments.command, place, self.stores, self.random_of("store"))
        self.hosts = [self.new_host(place / name) for name in ("first", "second")]
        for host in self.hosts:
            host.set_up(lambda client: self.random_of(f"set-up {client}"))
        until = self.kills + KILLS_OF_A_STORE
        while not self.done() and self.kills < until:
            two = self.random_of("how many servers").random() < TWO_SERVERS
            self.round(self.hosts if two else self.hosts[:1])
        for host in self.hosts:
            self.start(host)
            host.server.shut_down()
            self.start(host)
            host.server.shut_down()
        if not self.arguments.keep:
            shutil.rmtree(place)
        self.interrupted += self.store.interrupted
        self.versions += len(self.store.seen)

    def new_host(self, folder):
        """A server with a new data directory."""
        server = Server(folder, self.folder / "template", self.folder / "plugins",
                        lambda: [*self.store.settings(), *self.arguments.set])
        return Host(server, self.store.rotates)

    def round(self, hosts):
        """Starts servers, checks what the last kill left, and kills them at work."""
        for host in hosts:
            self.start(host)
        shots = []
        for host in hosts:
            name = host.server.folder.name
            kinds = [self.arguments.aim] if self.arguments.aim else self.store.aims
            shot = Shot(host.server, self.random_of(f"{name} shot"), self.arguments.seconds, kinds)
            host.clients = clients(host.server, lambda client, name=name: self.random_of(f"{name} {client}"), shot,
                                   host.ledgers, self.store.next_id)
            if self.store.rotates:
                host.clients.append(Rotator(host.server, self.random_of(f"{name} rotator"), shot, self.store,
                                            self.rotations))
            shots.append(shot)
        self.say(f"at work, to be killed {' and '.join(map(str, shots))}")
        for host in hosts:
            for client in host.clients:
                client.start()
        for shot in shots:
            shot.start()
        for host, shot in zip(hosts, shots):
            shot.join()
            host.server.bury()
            self.kills += 1
            for client in host.clients:
                client.join(60)
                if client.failure:
                    raise client.failure
            host.read_log()
        self.store.keep_copy()
        if self.arguments.spoil == "version" and self.kills > 2:
            self.store.spoil()
        self.store.check()
        self.store.between_rounds()

    def start(self, host):
        """Starts a server and checks all rows; now and then it is killed while it starts."""
        chance = self.random_of(f"{host.server.folder.name} start")
        if chance.random() < WHILE_STARTING and not self.done():
            self.say("starting, to be killed meanwhile")
            host.server.launch()
            time.sleep(chance.uniform(0, 0.4))
            host.server.shoot()
            host.server.bury()
            self.kills += 1
            host.read_log()
        if chance.random() < (1 if self.arguments.spoil == "mark" else OLDER_COPY):
            self.start_with_older_copy(host)
        self.say("starting")
        host.server.launch()
        host.server.wait_until_up()
        self.say("checking")
        self.rows += host.check(self.arguments.spoil == "row" and self.kills > 2)
        host.read_log()

    def start_with_older_copy(self, host):
        """Starts a server with a key store that lacks what its data may need: it must say so, and end.

        With `--spoil mark` the server is told to go on all the same, as one would that does not look at its mark.
        """
        server = host.server
        copy = self.store.older_copy(server.known_versions())
        if not copy:
            return
        self.say("starting with an older copy of the key store")
        with self.store.put_back_after(copy):
            log_before = server.log.stat().st_size
            server.launch(["keyroll_accept_lost_keys = ON"] if self.arguments.spoil == "mark" else [])
            if not server.ends_by_itself():
                raise Failure(f"a server started with an older copy of the key store: {copy}")
        with open(server.log, encoding="utf-8", errors="replace") as log:
            log.seek(log_before)
            if REFUSED not in log.read():
                raise Failure("a server did not refuse an older copy of the key store by its mark")
            server.log_read = log.tell()
        self.refused += 1

    def say(self, what):
        """Where it is, on stderr."""
        self.now = f"{self.kills} kills, {self.store}, {what}"
        with open(self.folder / "soak.log", "a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {self.now}\n")
        if sys.stderr.isatty():
            seconds = time.monotonic() - self.started
            left = seconds / self.kills * (self.arguments.kills - self.kills) / 60 if self.kills else 0
            print(f"\r\033[K[{self.kills}/{self.arguments.kills}] {what} ({left:.1f} min left)", end="",
                  file=sys.stderr, flush=True)

    def summary(self, lost):
        """The last line."""
        return (f"{self.kills} kills, {self.rotations.keys} rotations, {self.rotations.master_keys} master key "
                f"rotations, {self.rows} rows checked, {lost} lost")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=25, help="how often a server is killed (25)")
    parser.add_argument("--minutes", type=float, default=0, help="begin no round after so many minutes (no limit)")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="for all that is random here (random)")
    parser.add_argument("--store", choices=STORES, default="key-file", help="the kind of key store (key-file)")
    parser.add_argument("--seconds", type=float, default=1.2, help="the longest time at work before a kill (1.2)")
    parser.add_argument("--aim", choices=Shot.SOON, help="kill at any moment, or shortly after such a statement alone")
    parser.add_argument("--set", action="append", default=[], metavar="LINE", help="a line for my.cnf")
    parser.add_argument("--spoil", choices=("row", "version", "mark"),
                        help="lose one after two kills, or start in spite of the mark: it must be found")
    parser.add_argument("--dir", type=Path, help="where the data goes, on a disk (TMPDIR or /tmp)")
    parser.add_argument("--keep", action="store_true", help="keep the data also when nothing is wrong")
    return parsed(parser)


def on_a_disk(parent):
    """A new folder. In memory (tmpfs) there is no O_DIRECT, and a kill can tear a page that InnoDB is writing."""
    folder = Path(tempfile.mkdtemp(prefix="keyroll-soak.", dir=parent))
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        folder.rmdir()
        sys.exit(f"soak: {folder.parent} is in memory ({kind}); name a folder on a disk with --dir")
    return folder


def main():
    arguments = parse()
    # The threads here wait for each other only shortly, so that shots come when they should.
    sys.setswitchinterval(0.001)

    def interrupt(*_):
        raise KeyboardInterrupt
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)

    folder = on_a_disk(arguments.dir)
    soak = Soak(arguments, folder)
    print(f"soak: {arguments.kills} kills, store {arguments.store}, seed {arguments.seed}, data in {folder}",
          file=sys.stderr)
    keep, status, lost = arguments.keep, 1, 0
    try:
        soak.run()
        status = 0
    except (Failure, SetupFailed, StatementFailed, ConnectionLost) as error:
        keep, lost = True, max(1, getattr(error, "count", 1))
        print(f"\nsoak: FAILED after {soak.now}\n{error}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"\nsoak: interrupted after {soak.now}", file=sys.stderr)
        status = 130
    finally:
        for host in soak.hosts:
            host.server.end()
    if status == 1:
        for host in soak.hosts:
            print("\n".join([f"the end of {host.server.log}:", *host.server.end_of_log()]), file=sys.stderr)
    if keep:
        print(f"soak: the data is kept in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    minutes = (time.monotonic() - soak.started) / 60
    print(f"soak: {minutes:.1f} minutes, {soak.stores} stores, {soak.rotations.commands_killed} commands killed, "
          f"{soak.versions} key versions, {soak.interrupted} writes of a store interrupted, {soak.refused} older copies "
          f"refused, seed {arguments.seed}", file=sys.stderr)
    print(soak.summary(lost) if status != 130 else "interrupted")
    sys.exit(status)


if __name__ == "__main__":
    main()
