"""The clients of a crowd: each works with tables of its own, keeps what the server acknowledged, and is killed by others."""

import secrets
import threading
import time

from client import Connection, ConnectionLost, StatementFailed
from server import Failure
from store import Keystore

SHUTTING_DOWN, UNKNOWN_THREAD, INTERRUPTED, CONNECTION_KILLED = 1053, 1094, 1317, 1927
# What a statement says that a KILL has met: that, or, where a key was being made for a table, that there is none.
OF_A_KILL = {INTERRUPTED, CONNECTION_KILLED, 1005, 1478}
COLUMNS = "(id INT PRIMARY KEY, note VARCHAR(400) NOT NULL, KEY (note(20))) ENGINE=InnoDB"
# How many permanent tables each client has.
TABLES = 2
# How long all wait for the slowest, in seconds.
PATIENCE = 180
# What a KILL is aimed at rather than at any moment.
WORTH_KILLING = {"rotate", "rotate master key", "reload", "save", "create", "temporary"}


def note(table, row):
    """What a row holds: it follows from its table and number, so that nothing has to be kept to know it."""
    return f"{table} {row} " * 8


class Table:
    """A permanent table of one client and what is known of its rows."""

    def __init__(self, name):
        self.name = name
        self.next_row = 1
        # The ranges of rows of each statement that was acknowledged, and of each of which nobody knows.
        self.kept, self.doubt = [], []
        # Whether the server said that it is there; False from the moment that it is dropped.
        self.there = False

    def wrong(self, found):
        """What is wrong with what a server holds: the rows by number, or None if there is no such table. In words."""
        if found is None:
            return [f"table {self.name} is gone"] if self.there else []
        problems = []
        for rows in self.kept:
            problems += [f"row {row} of {self.name} is gone" for row in rows if row not in found]
        for rows in self.doubt:
            if len({row in found for row in rows}) > 1:
                problems.append(f"of rows {rows} of {self.name}, one statement, some are there")
        known = {row for rows in self.kept + self.doubt for row in rows}
        problems += [f"row {row} of {self.name} was not written" for row in found if row not in known]
        return problems + [f"row {row} of {self.name} holds {value[:60]}" for row, value in found.items()
                           if value != note(self.name, row)]


class Crowd:
    """All clients, and what they share. `store` is what the command made; `pause` is how long a client rests, at most."""

    def __init__(self, server, store, random_of, size, pause, spoil=None):
        self.server, self.store, self.random_of, self.pause = server, store, random_of, pause
        self.of_a_keystore = isinstance(store, Keystore)
        # Counters of all; a thread adds under the lock.
        self.lock = threading.Lock()
        self.counts = dict.fromkeys(("statements", "kills", "met", "cut", "tables", "temporary", "rotations",
                                     "master keys", "reloads", "saves"), 0)
        self.next_key, self.keys = 100, list(range(1, 8))
        # While it is set each client stops, and waits for all others and for whoever set it.
        self.pausing, self.meeting = False, threading.Barrier(size + 1)
        self.ending = False
        self.spoil = spoil
        self.members = [Member(self, number) for number in range(size)]

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def new_key(self):
        """The id of a key that nobody used, if the server makes keys at their first use."""
        if not self.of_a_keystore:
            return self.store.random.randint(1, 7)
        with self.lock:
            self.next_key += 1
            return self.next_key

    def key_is_there(self, key):
        """The server made a table with it."""
        with self.lock:
            if key not in self.keys:
                self.keys.append(key)

    def wait(self):
        """Waits for all clients at one of the points of a pause."""
        try:
            self.meeting.wait(PATIENCE)
        except threading.BrokenBarrierError:
            self.check()
            raise Failure(f"the clients did not come to rest in {PATIENCE} seconds") from None

    def check(self):
        """Fails if a client did."""
        for member in self.members:
            if member.failure:
                raise member.failure

    def stop(self):
        """Returns when no client is at work and each has a connection that answers."""
        self.pausing = True
        self.wait()
        self.wait()

    def go_on(self):
        """Lets them work again."""
        self.pausing = False
        self.wait()

    def tables(self):
        """All permanent tables, by name."""
        return {table.name: table for member in self.members for table in member.tables + member.dropped}


class Member(threading.Thread):
    """One client."""

    def __init__(self, crowd, number):
        super().__init__(daemon=True)
        self.crowd, self.number, self.random = crowd, number, crowd.random_of(f"client {number}")
        self.tables, self.dropped, self.made = [], [], 0
        self.connection, self.id, self.failure = None, None, None
        # What it is doing now; since when; when it began the statement before that.
        self.kind, self.began, self.before = None, 0.0, 0.0
        # How many KILLs are on their way to it, and when the last one was done.
        self.aims, self.shot = 0, 0.0
        self.acts = {self.insert: 430, self.look: 250, self.temporary: 40, self.kill: 25, self.leave: 10, self.renew: 5}
        if crowd.store.rotates:
            self.acts |= {self.rotate: 8, self.reload: 5, self.save: 0.3}
        if crowd.of_a_keystore:
            self.acts[self.rotate_master_key] = 3

    def run(self):
        try:
            self.enter()
            while len(self.tables) < TABLES:
                self.survive(self.create)
            self.crowd.wait()
            while not self.crowd.ending:
                if self.crowd.pausing:
                    self.rest()
                self.survive(self.random.choices(list(self.acts), self.acts.values())[0])
                time.sleep(self.random.uniform(0, self.crowd.pause))
        except (ConnectionLost, threading.BrokenBarrierError) as error:
            if not self.crowd.ending:
                self.fail(error)
        except Exception as error:  # A thread's exception would be lost: the crowd raises it.
            self.fail(error)
        finally:
            if self.connection:
                self.connection.close()

    def fail(self, error):
        self.failure = error
        self.crowd.meeting.abort()

    def rest(self):
        """Nobody works from the first wait on, so no KILL comes any more; all are connected from the second on."""
        self.crowd.wait()
        self.survive(lambda: self.query("DO 1"))
        self.survive(lambda: self.query("DO 1"))
        self.crowd.wait()
        self.crowd.wait()

    def enter(self):
        """Connects. Whoever was killed meanwhile comes again."""
        if self.connection:
            self.connection.close()
        self.connection, self.id, self.shot = None, None, 0.0
        while True:
            self.connection = Connection(self.crowd.server.socket, 120)
            try:
                self.id = int(self.query("SELECT CONNECTION_ID()")[0][0])
                self.query("USE crowd")
                return
            except (ConnectionLost, StatementFailed) as error:
                self.forgive(error)
                self.connection.close()

    def query(self, statement, kind="other"):
        """Executes a statement, which others may aim at."""
        self.began, self.before, self.kind = time.monotonic(), self.began, kind
        try:
            rows = self.connection.query(statement)
        finally:
            self.kind = None
        self.crowd.count("statements")
        return rows

    def survive(self, act):
        """Does something that a KILL may end, and connects anew if it took the connection."""
        try:
            act()
        except (ConnectionLost, StatementFailed) as error:
            self.forgive(error)
            if isinstance(error, ConnectionLost) or error.code != INTERRUPTED:
                self.enter()

    def forgive(self, error):
        """Fails with what no KILL explains: one that is on its way, or came since the statement before this one."""
        if self.crowd.ending:
            raise ConnectionLost("the end")
        killed = self.aims or self.shot >= self.before
        if not killed or isinstance(error, StatementFailed) and error.code not in OF_A_KILL:
            raise Failure(f"client {self.number}: {error} ({'killed' if killed else 'not killed'})")
        self.crowd.count("met")

    def key(self, new=0.7):
        """The key of a table: a new one, with this probability, or one that is there."""
        return self.crowd.new_key() if self.random.random() < new else self.random.choice(self.crowd.keys)

    def create(self):
        """Makes a permanent table."""
        self.made += 1
        table = Table(f"of_{self.number}_{self.made}")
        # Until the server says that it is there, it may be or not.
        self.dropped.append(table)
        key = self.key()
        self.query(f"CREATE TABLE {table.name} {COLUMNS} ENCRYPTED=YES ENCRYPTION_KEY_ID={key}", "create")
        self.crowd.key_is_there(key)
        table.there = True
        self.dropped.remove(table)
        self.tables.append(table)
        self.crowd.count("tables")

    def renew(self):
        """Drops a table and makes another one; what may be left of one whose DROP was killed is dropped, too."""
        if len(self.tables) == TABLES:
            table = self.tables.pop(0)
            table.there = False
            self.dropped.append(table)
        for table in self.dropped[-3:]:
            self.query(f"DROP TABLE IF EXISTS {table.name}")
        while len(self.tables) < TABLES:
            self.create()

    def insert(self):
        """Some rows by one statement."""
        table = self.random.choice(self.tables)
        rows = range(table.next_row, table.next_row + self.random.randint(1, 12))
        table.next_row = rows.stop
        table.doubt.append(rows)
        values = ", ".join(f"({row}, '{note(table.name, row)}')" for row in rows)
        statement = f"INSERT INTO {table.name} VALUES {values}"
        self.query(statement)
        table.doubt.remove(rows)
        table.kept.append(rows)

    def look(self):
        """Reads what it wrote, from a page that may have to be read and decrypted."""
        if (table := self.random.choice(self.tables)).kept:
            row = self.random.choice(self.random.choice(table.kept))
            found = self.query(f"SELECT note FROM {table.name} WHERE id BETWEEN {row} AND {row + 5} ORDER BY id")
            if not found or found[0] != [note(table.name, row)]:
                raise Failure(f"row {row} of {table.name} was read as {str(found)[:200]}")
        if self.crowd.spoil == "memory":
            self.query("INSERT INTO kept.kept VALUES (REPEAT('x', 60000))")

    def temporary(self):
        """A temporary table; now and then it is left for the end of the connection to remove."""
        self.made += 1
        name, rows = f"passing_{self.made}", self.random.randint(1, 40)
        key = self.key(new=0.03)
        self.query(f"CREATE TEMPORARY TABLE {name} {COLUMNS} ENCRYPTED=YES ENCRYPTION_KEY_ID={key}", "temporary")
        self.crowd.count("temporary")
        self.query(f"INSERT INTO {name} SELECT seq, REPEAT('{name} ', 20) FROM seq_1_to_{rows}")
        if (found := self.query(f"SELECT COUNT(*) FROM {name} WHERE note LIKE '{name} %'")) != [[str(rows)]]:
            raise Failure(f"a temporary table of {rows} rows was read as {found}")
        if self.random.random() < 0.9:
            self.query(f"DROP TEMPORARY TABLE {name}")

    def leave(self):
        """Closes the socket while a statement is under way, and comes back."""
        if self.random.random() < 0.5:
            table = self.random.choice(self.tables)
            row, table.next_row = table.next_row, table.next_row + 1
            table.doubt.append(range(row, row + 1))
            statement = f"INSERT INTO {table.name} VALUES ({row}, '{note(table.name, row)}')"
        else:
            statements = ["SELECT SLEEP(0.2)", f"CREATE TEMPORARY TABLE t {COLUMNS} ENCRYPTION_KEY_ID={self.key()}"]
            if self.crowd.store.rotates:
                statements += [f"SET GLOBAL keyroll_rotate_key = {self.random.randint(1, 7)}",
                               "SET GLOBAL keyroll_reload_keys = 1"]
            statement = self.random.choice(statements)
        self.connection.send(statement)
        time.sleep(self.random.choice((0, self.random.uniform(0, 0.02))))
        self.crowd.count("cut")
        self.enter()

    def kill(self):
        """Kills another one's statement or connection: at any moment, or shortly after one began that is worth it."""
        others = [member for member in self.crowd.members if member is not self and member.id]
        worth = [member for member in others if member.kind in WORTH_KILLING]
        victim = self.random.choice(worth if worth and self.random.random() < 0.7 else others)
        number, what = victim.id, self.random.choice(("QUERY", "CONNECTION", "HARD QUERY", "HARD CONNECTION"))
        # One whose answer was lost may come at any time.
        done = float("inf")
        with self.crowd.lock:
            victim.aims += 1
        try:
            time.sleep(self.random.choice((0, self.random.uniform(0, 0.02))))
            self.query(f"KILL {what} {number}")
            self.crowd.count("kills")
            done = time.monotonic()
        except StatementFailed as error:
            if error.code != UNKNOWN_THREAD:
                raise
        finally:
            with self.crowd.lock:
                victim.aims -= 1
                if victim.id == number:
                    victim.shot = done

    def rotate(self):
        self.query(f"SET GLOBAL keyroll_rotate_key = {self.random.choice(self.crowd.keys)}", "rotate")
        self.crowd.count("rotations")

    def rotate_master_key(self):
        self.query("SET GLOBAL keyroll_rotate_master_key = 1", "rotate master key")
        self.crowd.count("master keys")

    def reload(self):
        self.query("SET GLOBAL keyroll_reload_keys = 1", "reload")
        self.crowd.count("reloads")

    def save(self):
        place = self.crowd.store.folder / "saved"
        name = secrets.token_hex(4)
        self.query(f"SET GLOBAL keyroll_save_keys = '{place}/{name} file:{place}/{name}.master'", "save")
        self.crowd.count("saves")
        for path in (place / name, place / f"{name}.master"):
            path.unlink()
