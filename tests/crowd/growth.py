"""Many statements of one kind on an otherwise idle server: what it holds before and after."""

from process import MIB, Held, grown, mib
from server import Failure

TABLES, RELOADS, KEYS = 3000, 2000, 4000
MAPPINGS = 64
TEMPORARY = "(id INT PRIMARY KEY, note VARCHAR(200)) ENGINE=InnoDB ENCRYPTED=YES"


class Growth:
    """One server and what was seen of it."""

    def __init__(self, server, say, memory):
        self.server, self.say, self.memory = server, say, memory
        self.next_key = 1000

    def new_key(self):
        self.next_key += 1
        return self.next_key

    def tables(self, key, count=TABLES):
        """Makes temporary tables in one connection; every second one is dropped, the others stay until it ends."""
        with self.server.connect() as connection:
            connection.query("USE crowd")
            for number in range(count):
                connection.query(f"CREATE TEMPORARY TABLE t{number} {TEMPORARY} ENCRYPTION_KEY_ID={key()}")
                connection.query(f"INSERT INTO t{number} VALUES (1, REPEAT('x', 200))")
                if number % 2:
                    connection.query(f"DROP TEMPORARY TABLE t{number}")
            return Held.by(self.server.process.pid)

    def reload(self):
        with self.server.connect() as connection:
            for _ in range(RELOADS):
                connection.query("SET GLOBAL keyroll_reload_keys = 1")
            return Held.by(self.server.process.pid)

    def watch(self, what, work):
        """Does it; what the server held before and after."""
        before = Held.by(self.server.process.pid)
        during = work()
        with self.server.connect() as connection:
            # Returns when the connection before it is gone.
            while connection.query("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'root'") != [["1"]]:
                pass
        after = Held.by(self.server.process.pid)
        self.say(f"{what}: before: {before}")
        self.say(f"{what}: at its end: {during}")
        self.say(f"{what}: after: {after}")
        return before, after

    def judge(self, what, looks, baseline=None):
        """Fails if memory or mappings grew by more than they may, beside what the baseline grew by."""
        before, after = looks
        more = {"resident": self.memory, "mappings": MAPPINGS, "threads": 2, "files": 8}
        if baseline:
            more = {name: most + max(0, getattr(baseline[1], name) - getattr(baseline[0], name))
                    for name, most in more.items()}
        self.say(f"{what}: resident grew by {mib(after.resident - before.resident)}, "
                 f"mappings by {after.mappings - before.mappings}")
        if wrong := grown(before, after, more):
            raise Failure("\n".join([f"{what}:", *wrong]))


def measure(server, say, arguments):
    """The whole of it."""
    growth = Growth(server, say, arguments.memory * MIB)
    with server.connect() as connection:
        connection.query("CREATE DATABASE crowd")
    growth.watch("warming up", lambda: (growth.tables(lambda: 1), growth.tables(growth.new_key, KEYS - TABLES))[1])
    baseline = growth.watch(f"{TABLES} temporary tables of a key that is there", lambda: growth.tables(lambda: 1))
    tables = growth.watch(f"{TABLES} temporary tables of a new key each", lambda: growth.tables(growth.new_key))
    growth.judge("temporary tables of new keys", tables, baseline)
    with server.connect() as connection:
        keys = int(connection.query("SHOW GLOBAL STATUS LIKE 'Keyroll_keys'")[0][1])
    if keys < KEYS:
        raise Failure(f"the server has {keys} keys, not {KEYS}")
    reloads = growth.watch(f"{RELOADS} reloads with {keys} keys", growth.reload)
    growth.judge(f"{RELOADS} reloads", reloads)
    server.shut_down()
    server.read_log(set())
