"""The clients that work on a server until it is killed, each keeping a ledger of what the server acknowledged."""

import hashlib
import threading

from client import ConnectionLost, StatementFailed
from ledger import Ledger
from server import Failure

COLUMNS = "(id INT PRIMARY KEY, n INT NOT NULL, note MEDIUMTEXT NOT NULL, KEY (n), KEY (note(40))) CHARSET=latin1"

# Table -> what follows its columns. InnoDB takes its keys by number, Aria knows key 1 alone.
INNODB_TABLES = {
    "plain": "ENGINE=InnoDB",
    "third_key": "ENGINE=InnoDB ENCRYPTION_KEY_ID=3",
    "compressed": "ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8 ENCRYPTION_KEY_ID=4",
    "page_compressed": "ENGINE=InnoDB PAGE_COMPRESSED=1 ENCRYPTION_KEY_ID=5",
}
ARIA_TABLES = {"aria": "ENGINE=Aria TRANSACTIONAL=1"}

ROWS_OF_A_CLIENT = 250
TRANSACTIONS = ("transactions 0", "transactions 1", "transactions 2")
DEADLOCK, LOCK_WAIT_TIMEOUT = 1213, 1205


class Client(threading.Thread):
    """A connection that takes steps until the server is gone. `shot` is told what it sends; `failure` is what it
    found wrong."""

    def __init__(self, server, random, shot):
        super().__init__(daemon=True)
        self.server, self.random, self.shot = server, random, shot
        self.connection = None
        self.failure = None

    def run(self):
        try:
            with self.server.connect() as self.connection:
                self.begin()
                while True:
                    self.step()
        except ConnectionLost:
            pass
        except Exception as error:  # A thread's exception would be lost: the soak raises it.
            self.failure = error

    def set_up(self, connection):
        """Done once on a new data directory, before others work."""

    def begin(self):
        """Done once on a new connection."""

    def step(self):
        """One piece of work."""
        raise NotImplementedError

    def query(self, statement, kind=None):
        """Executes a statement; `kind` names it for a shot that waits for such a one."""
        self.connection.send(statement)
        self.shot.sent(kind)
        return self.connection.receive()


class Writer(Client):
    """A client that changes data. `number` of `count`: the ids that it owns are those with this remainder."""

    def __init__(self, server, random, shot, ledger, number, count, tables):
        super().__init__(server, random, shot)
        self.ledger, self.number, self.count, self.tables = ledger, number, count, tables

    def begin(self):
        self.query("USE soak")

    def commit(self, changes, statement="COMMIT", kind=None):
        """Sends the statement that makes the changes last, and keeps the ledger."""
        self.ledger.promise(changes)
        try:
            self.query(statement, kind)
        except StatementFailed:
            self.ledger.withdraw()
            raise
        self.ledger.acknowledge()

    def set_up(self, connection):
        """Gives each of the client's tables its first rows."""
        for table in self.tables:
            ids = range(self.number, ROWS_OF_A_CLIENT * self.count, self.count)
            changes = {(table, row): (self.random.randrange(1000), self.note()) for row in ids}
            connection.query(insert(table, changes))
            self.ledger.kept.update(changes)

    def note(self):
        """Some text, now and then so long that it goes to pages of its own."""
        length = 20000 if self.random.random() < 0.01 else self.random.randint(1, 300)
        word = f"{self.random.getrandbits(64):016x} "
        return (word * (length // len(word) + 1))[:length]

    def ids(self, table):
        """The ids of this client's rows in the table."""
        return [row for name, row in self.ledger.kept if name == table and row is not None]

    def change(self, table, ids):
        """A random statement on one row and the change that it makes. `ids` is what there is, and is kept up."""
        if self.random.random() < 1 - len(ids) / (2 * ROWS_OF_A_CLIENT):
            row = self.random.randrange(1 << 20) * self.count + self.number
            if row not in ids:
                ids.append(row)
                value = (self.random.randrange(1000), self.note())
                return (f"INSERT INTO {table} VALUES ({row}, {value[0]}, '{value[1]}')"), (table, row), value
        row = self.random.choice(ids)
        if self.random.random() < 0.5:
            value = (self.random.randrange(1000), self.note())
            return f"UPDATE {table} SET n = {value[0]}, note = '{value[1]}' WHERE id = {row}", (table, row), value
        ids.remove(row)
        return f"DELETE FROM {table} WHERE id = {row}", (table, row), None

    def change_one(self, table):
        """One statement that commits itself."""
        statement, key, value = self.change(table, self.ids(table))
        self.commit({key: value}, statement)
        self.one_row(statement)

    def one_row(self, statement):
        """Each statement names one row, which must have been there."""
        if self.connection.affected != 1:
            raise Failure(f"{self.connection.affected} rows instead of 1 by {statement[:200]}")

    def look(self, table):
        """Reads a row while others work."""
        if ids := self.ids(table):
            row = self.random.choice(ids)
            wanted = self.ledger.kept[table, row]
            found = self.query(f"SELECT n, note FROM {table} WHERE id = {row}")
            if found != [[str(wanted[0]), wanted[1]]]:
                raise Failure(f"row {row} of {table} was read wrong: {str(found)[:200]}, not {str(wanted)[:200]}")


class TransactionClient(Writer):
    """Inserts, updates and deletes in InnoDB's tables, alone and in transactions."""

    def step(self):
        kind = self.random.random()
        try:
            if kind < 0.2:
                self.look(self.random.choice(self.tables))
            elif kind < 0.4:
                self.change_one(self.random.choice(self.tables))
            else:
                # More than a few rows do not fit the binary log's cache and go to an encrypted temporary file.
                size = 40 if kind > 0.97 else self.random.randint(2, 5)
                self.transaction(size, self.random.random() < 0.1)
        except StatementFailed as error:
            if error.code not in (DEADLOCK, LOCK_WAIT_TIMEOUT):
                raise
            self.query("ROLLBACK")

    def transaction(self, size, rolled_back):
        """Changes of several rows of several tables that come together or not at all."""
        self.query("BEGIN")
        changes = {}
        ids = {table: self.ids(table) for table in self.tables}
        for _ in range(size):
            table = self.random.choice(self.tables)
            statement, key, value = self.change(table, ids[table])
            self.query(statement)
            self.one_row(statement)
            changes[key] = value
        if rolled_back:
            self.query("ROLLBACK")
        else:
            self.commit(changes)


class AriaClient(Writer):
    """Changes rows of Aria's tables, where each statement commits itself."""

    def step(self):
        table = self.random.choice(self.tables)
        if self.random.random() < 0.2:
            self.look(table)
        else:
            self.change_one(table)


class TableClient(Writer):
    """Makes, fills and drops tables of its own. `next_id` says which key to use.

    ALTER TABLE that builds a table anew, RENAME TABLE and TRUNCATE TABLE are left out: of a server that was killed in
    or soon after one of them, and then in its recovery, InnoDB's files may be beyond its own recovery. The server does
    so with file_key_management, too.
    """

    def __init__(self, server, random, shot, ledger, next_id):
        super().__init__(server, random, shot, ledger, 0, 1, [])
        self.next_id = next_id

    def step(self):
        tables = [table for table, row in self.ledger.kept if row is None]
        if len(tables) < 3:
            self.create()
        else:
            self.random.choice((self.fill, self.fill, self.fill, self.drop))(self.random.choice(tables))

    def create(self):
        table = f"made_{self.random.getrandbits(40):010x}"
        self.commit({(table, None): True}, f"CREATE TABLE {table} {COLUMNS} ENGINE=InnoDB ENCRYPTED=YES "
                                           f"ENCRYPTION_KEY_ID={self.next_id()}", "create")
        self.fill(table)

    def fill(self, table):
        ids = self.ids(table)
        changes = {}
        for _ in range(self.random.randint(1, 20)):
            row = len(ids) + len(changes)
            changes[table, row] = (self.random.randrange(1000), self.note())
        self.commit(changes, insert(table, changes))

    def drop(self, table):
        gone = [key for key in self.ledger.kept if key[0] == table]
        self.commit(dict.fromkeys(gone), f"DROP TABLE {table}", "drop")


class TemporaryDataClient(Client):
    """Queries that go through temporary files and tables, and whose results are known."""

    # As the server sorts and groups them: numbers by their MD5.
    SORTED = [str(n) for n in sorted(range(1, 1001), key=lambda n: hashlib.md5(str(n).encode()).digest())]
    NOTE = "temporary " * 30

    def begin(self):
        self.query("USE soak")
        # So small that a thousand rows do not fit.
        self.query("SET sort_buffer_size = 1024, tmp_memory_table_size = 0, max_heap_table_size = 16384")

    def step(self):
        kind = self.random.choice(("sort", "group", "table"))
        if kind == "sort":
            rows = self.query("SELECT seq, REPEAT(MD5(seq), 10) AS note FROM seq_1_to_1000 ORDER BY UNHEX(MD5(seq))")
            right = [row[0] for row in rows] == self.SORTED
        elif kind == "group":
            rows = self.query("SELECT COUNT(*), SUM(many) FROM (SELECT MD5(seq DIV 2), COUNT(*) AS many "
                              "FROM seq_1_to_1000 GROUP BY MD5(seq DIV 2)) AS pairs")
            right = rows == [["501", "1000"]]
        else:
            engine = self.random.choice(("InnoDB", "Aria"))
            self.query(f"CREATE OR REPLACE TEMPORARY TABLE passing (id INT PRIMARY KEY, note TEXT) ENGINE={engine}")
            self.query(f"INSERT INTO passing SELECT seq, '{self.NOTE}' FROM seq_1_to_500")
            self.query("UPDATE passing SET note = REVERSE(note) WHERE id % 7 = 0")
            rows = self.query("SELECT COUNT(*), MIN(note), MAX(note) FROM passing")
            right = rows == [["500", *sorted((self.NOTE, self.NOTE[::-1]))]]
        if not right:
            raise Failure(f"wrong temporary data ({kind}): {str(rows)[:300]}")


def insert(table, rows):
    """The statement that inserts the rows of a change."""
    values = ", ".join(f"({row}, {n}, '{note}')" for (_, row), (n, note) in rows.items())
    return f"INSERT INTO {table} VALUES {values}"


def new_ledgers():
    """The ledgers of a new data directory, by client; nobody drops the tables of the first."""
    ledgers = {name: Ledger() for name in ("nobody", "aria", "tables", *TRANSACTIONS)}
    ledgers["nobody"].kept = {(table, None): True for table in INNODB_TABLES | ARIA_TABLES}
    return ledgers


def clients(server, random_of, shot, ledgers, next_id):
    """All clients of a server. `random_of` makes a random generator out of a name."""
    made = [TransactionClient(server, random_of(name), shot, ledgers[name], number, len(TRANSACTIONS),
                              list(INNODB_TABLES))
            for number, name in enumerate(TRANSACTIONS)]
    made.append(AriaClient(server, random_of("aria"), shot, ledgers["aria"], 0, 1, list(ARIA_TABLES)))
    made.append(TableClient(server, random_of("tables"), shot, ledgers["tables"], next_id))
    made.append(TemporaryDataClient(server, random_of("temporary data"), shot))
    return made
