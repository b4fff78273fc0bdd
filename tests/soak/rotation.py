"""The client that rotates keys, by SQL and by the command, and the shots that are aimed at it."""

import json
import threading
import time

from work import Client


class Shot(threading.Thread):
    """Kills a server once: at any moment of `seconds`, or soon after a statement of some kind was sent."""

    # About as long as the statements take: writing a store, a table's files and the log of table changes.
    SOON = {"rotate key": 0.010, "rotate master key": 0.010, "reload keys": 0.010, "command": 0.020,
            "create": 0.040, "drop": 0.040}

    def __init__(self, server, random, seconds, kinds):
        super().__init__(daemon=True)
        self.server = server
        self.fired = threading.Event()
        self.lock = threading.Lock()
        self.kind = random.choice((None, *kinds, *kinds))
        self.left = random.randint(1, 4)
        self.delay = random.uniform(0, self.SOON.get(self.kind, 0))
        # A statement that does not come is not waited for.
        self.limit = random.uniform(0, seconds) if self.kind is None else 2 * seconds

    def __str__(self):
        if self.kind is None:
            return f"at {self.limit * 1000:.0f} ms"
        return f"{self.delay * 1000:.1f} ms after: {self.kind}"

    def run(self):
        self.fired.wait(self.limit)
        self.fire()

    def sent(self, kind):
        """A client has just sent a statement of this kind."""
        if kind is not None and kind == self.kind:
            with self.lock:
                self.left -= 1
                hit = self.left == 0
            if hit:
                time.sleep(self.delay)
                self.fire()

    def fire(self):
        """Now, unless it has happened."""
        with self.lock:
            if not self.fired.is_set():
                self.server.shoot()
                self.fired.set()


class Rotations:
    """How many rotations were acknowledged. Thread-safe."""

    def __init__(self):
        self.lock = threading.Lock()
        self.keys = self.master_keys = self.commands_killed = 0

    def add(self, counter):
        with self.lock:
            setattr(self, counter, getattr(self, counter) + 1)


class Rotator(Client):
    """Rotates keys without pause, and keeps what it was told exists."""

    def __init__(self, server, random, shot, store, rotations):
        super().__init__(server, random, shot)
        self.store, self.rotations = store, rotations
        self.acts = [self.rotate] * 4 + [self.rotate_all, self.command, self.command, self.killed_command,
                                         self.next_binary_log]
        if store.master_key_rotates:
            self.acts += [self.rotate_master_key] * 3 + [self.command_master_key, self.killed_command_master_key,
                                                         self.change_algorithm]

    def step(self):
        time.sleep(self.random.uniform(0, 0.1))
        self.random.choice(self.acts)()

    def take_stock(self):
        """Whatever the server holds in memory must be in the store for good."""
        self.store.acknowledge(json.loads(self.query("SELECT keyroll_keys()")[0][0]))

    def reload(self):
        """Takes up what the command has done."""
        self.query("SET GLOBAL keyroll_reload_keys = 1", "reload keys")
        self.take_stock()

    def rotate(self):
        self.query(f"SET GLOBAL keyroll_rotate_key = {self.random.randint(1, 5)}", "rotate key")
        self.rotations.add("keys")
        self.take_stock()

    def rotate_all(self):
        self.query("SET GLOBAL keyroll_rotate_key = -1", "rotate key")
        self.rotations.add("keys")
        self.take_stock()

    def rotate_master_key(self):
        self.query("SET GLOBAL keyroll_rotate_master_key = 1", "rotate master key")
        self.rotations.add("master_keys")
        self.take_stock()

    def change_algorithm(self):
        """New versions are for another cipher from now on."""
        algorithm, spec = self.random.choice(self.store.LATER_SPECS)
        # The longer key first: there is no moment at which the two do not fit.
        self.query("SET GLOBAL keyroll_key_spec = 'AES_256'")
        self.query(f"SET GLOBAL keyroll_key_algorithm = '{algorithm}'")
        self.query(f"SET GLOBAL keyroll_key_spec = '{spec}'")

    def which(self):
        """Options of `keyroll rotate`."""
        return self.random.choice((["--all"], ["--key", str(self.random.randint(1, 5))]))

    def command(self):
        self.shot.sent("command")
        self.store.run("rotate", *self.which())
        self.rotations.add("keys")
        self.store.list()
        self.reload()

    def command_master_key(self):
        self.shot.sent("command")
        self.store.run("rotate-master-key")
        self.rotations.add("master_keys")
        self.reload()

    def killed_command(self):
        """The command is killed, too; it must not stand in the way of the server afterwards."""
        self.rotations.add("keys" if self.store.run_killed("rotate", *self.which()) else "commands_killed")
        self.reload()

    def killed_command_master_key(self):
        self.rotations.add("master_keys" if self.store.run_killed("rotate-master-key") else "commands_killed")
        self.reload()

    def next_binary_log(self):
        """The new file has the latest version of key 1."""
        self.query("FLUSH BINARY LOGS")
