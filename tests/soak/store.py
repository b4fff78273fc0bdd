"""The key store under the soak: how it is made, what the command is told, and what must never be missing from it."""

import contextlib
import getpass
import hashlib
import json
import secrets
import shutil
import subprocess
import threading
import time
from pathlib import Path

from server import Failure

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "exec-provider-openssl.sh"
ALGORITHMS = ("aes_cbc", "aes_ctr", "aes_256_xts", "aes_256_hctr2")
# What clients send that a kill may be aimed at.
TABLE_AIMS = ["create", "drop"]
INTERRUPTED = "was interrupted and left"
# A kill came before the copy of the keystore was removed that the master key of before opens.
NOT_REMOVED = "opens with an older master key"


class Store:
    """A key store and the key versions that were ever seen in it. Thread-safe. `number` chooses among its kinds."""

    aims = [*TABLE_AIMS, "rotate key", "reload keys", "command"]
    rotates = True
    master_key_rotates = False

    def __init__(self, command, folder, number, random):
        self.command, self.folder, self.number, self.random = command, folder, number, random
        self.lock = threading.Lock()
        # (key id, version) -> what is fixed at its birth, and the digest of its bytes.
        self.seen, self.digests = {}, {}
        # Copies of the store's file, and the versions and the master key of each.
        self.copies = []
        # How many checks found that a kill had come in the middle of a write.
        self.interrupted = 0
        # Those of the store and, apart from them, those of what opens it.
        self.place, self.secret = folder / "keys", folder / "secret"
        for directory in (self.place, self.secret):
            directory.mkdir(mode=0o700)

    def options(self):
        """The options that name the store to the command."""
        raise NotImplementedError

    def settings(self):
        """The lines of my.cnf that name the store."""
        return ["plugin-load-add = keyroll"] + [f"keyroll_{name} = {value}" for name, value in self.variables().items()]

    def variables(self):
        """The plugin's system variables, without their prefix."""
        raise NotImplementedError

    def next_id(self):
        """The id of a key for a table."""
        return self.random.randint(1, 7)

    def make(self):
        """Makes the store with the keys 1 to 7."""
        ids = [argument for key in range(2, 8) for argument in ("--id", str(key))]
        self.run("init", *ids, "--owner", getpass.getuser())

    def start(self, subcommand, *arguments):
        """Starts the command on the store."""
        return subprocess.Popen([self.command, subcommand, *self.options(), *arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments, codes=(0,)):
        """Runs the command on the store, which must end with one of the codes, and returns what it prints."""
        with self.start(*arguments) as process:
            told, errors = process.communicate(timeout=60)
        if process.returncode not in codes:
            raise Failure(f"keyroll {arguments[0]} ended with {process.returncode}:\n{told}{errors}")
        return told

    def run_killed(self, *arguments):
        """Starts the command and kills it soon. Returns whether it was faster."""
        with self.start(*arguments) as process:
            time.sleep(self.random.uniform(0, 0.03))
            process.kill()
            told, errors = process.communicate()
        if process.returncode > 0:
            raise Failure(f"keyroll {arguments[0]} ended with {process.returncode}:\n{told}{errors}")
        return process.returncode == 0

    def acknowledge(self, keys):
        """Key versions as the server or the command shows them: from now on they must not be missing or change."""
        with self.lock:
            for key in keys:
                name = (key["id"], key["version"])
                fixed = {word: key[word] for word in ("bits", "algorithm") if word in key}
                before = self.seen.setdefault(name, {})
                if changed := {word for word in fixed.keys() & before.keys() if fixed[word] != before[word]}:
                    raise Failure(f"key {name[0]} version {name[1]} has another {changed} than before: {fixed}")
                before.update(fixed)

    def list(self):
        """All versions that the command finds in the store, which from now on must not be missing or change."""
        listed = json.loads(self.run("list", "--json"))["keys"]
        self.acknowledge(listed)
        return {(key["id"], key["version"]) for key in listed}

    def check(self):
        """What a kill has left must be sound and whole."""
        with self.lock:
            promised = set(self.seen)
        report = json.loads(self.run("check", "--json", "--user", getpass.getuser(), codes=(0, 1)))
        doubtful = [step["what"] for step in report["steps"] if step["result"] != "ok"]
        if other := [what for what in doubtful if INTERRUPTED not in what and NOT_REMOVED not in what]:
            raise Failure("keyroll check is not content: " + "; ".join(other))
        self.interrupted += bool(doubtful)
        if lost := sorted(promised - self.list()):
            raise Failure("the key store has lost versions (key id, version): " + ", ".join(map(str, lost[:20])))
        self.check_bytes()

    def check_bytes(self):
        """Fails if the bytes of a version are others than before."""
        exported = self.folder / "exported"
        self.run("export", "--insecure-plaintext", "--to", exported, "--owner", getpass.getuser())
        for line in exported.read_text().splitlines():
            if not line.startswith("#"):
                *name, key = line.split(";")
                name = (int(name[0]), int(name[1]) if len(name) > 1 else 1)
                digest = hashlib.sha256(key.encode()).hexdigest()
                if self.digests.setdefault(name, digest) != digest:
                    raise Failure(f"key {name[0]} version {name[1]} has other bytes than before")
        exported.unlink()

    def keep_copy(self):
        """Keeps a copy of the store's file as it is now, to be put in its place later."""
        copy = self.folder / f"copy-{len(self.copies)}"
        shutil.copy(self.path, copy)
        # Looked up afterwards: what was made just before, and was told to nobody, is in the copy as well.
        held = self.list()
        with self.lock:
            self.copies.append((copy, held, self.opened_by()))

    def opened_by(self):
        """What opens the store's file now."""
        return None

    def older_copy(self, known):
        """A copy that lacks one of the known versions, and that opens; `None` if there is none."""
        lacking = [copy for copy, held, opened_by in self.copies if known - held and opened_by == self.opened_by()]
        return self.random.choice(lacking) if lacking else None

    @contextlib.contextmanager
    def put_back_after(self, copy):
        """Has the copy in the store's place for a while."""
        previous = self.path.with_name(self.path.name + ".previous")
        aside = [(path, path.with_name(path.name + ".aside")) for path in (self.path, previous) if path.exists()]
        for path, kept in aside:
            path.rename(kept)
        shutil.copy(copy, self.path)
        self.path.chmod(0o600)
        try:
            yield
        finally:
            for path, kept in aside:
                kept.rename(path)

    def between_rounds(self):
        """What is done to the store while no server uses it."""


class KeyFile(Store):
    """A key file, every second one encrypted with a password, in turn with each of the algorithms."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.algorithm = ALGORITHMS[self.number % len(ALGORITHMS)]
        self.path, self.password = self.place / "keys", self.secret / "password" if self.number % 2 else None
        if self.password:
            self.password.write_text(secrets.token_hex(16))
            self.password.chmod(0o600)
        self.make()

    def spoil(self):
        """Loses the version that was made last."""
        lines = self.path.read_text().splitlines(keepends=True)
        self.path.write_text("".join(lines[:-1]))

    def __str__(self):
        return f"{'encrypted' if self.password else 'plain'} key file, {self.algorithm}"

    def options(self):
        protection = ["--filekey", f"FILE:{self.password}", "--digest", "sha256", "--use-pbkdf2", "10"]
        return ["--filename", self.path, *(protection if self.password else [])]

    def variables(self):
        protection = {"filekey": f"FILE:{self.password}", "digest": "sha256", "use_pbkdf2": 10}
        return {"filename": self.path, "encryption_algorithm": self.algorithm,
                **(protection if self.password else {})}


class Keystore(Store):
    """A keystore, whose master key is in a file or behind a command. It makes keys at their first use."""

    aims = [*Store.aims, "rotate key", "rotate master key"]
    master_key_rotates = True
    # What new versions may be made for.
    SPECS = (("aes_cbc", "AES_128"), ("aes_cbc", "AES_256"), ("aes_ctr", "AES_128"), ("aes_ctr", "AES_256"),
             ("aes_256_xts", "AES_256"))
    # The same, and what no store of a fixed number begins with.
    LATER_SPECS = (*SPECS, ("aes_256_hctr2", "AES_256"))
    NEW_IDS = range(100, 130)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.path, self.master_keys = self.place / "keystore", self.number % 2
        self.master_key = self.next_master_key()
        self.algorithm, self.key_spec = self.SPECS[self.number % len(self.SPECS)]
        self.make()
        self.first = shutil.copy(self.path, self.folder / "keystore-at-first")

    def spoil(self):
        """Puts the keystore of the beginning in its place."""
        shutil.copy(self.first, self.path)
        self.path.with_suffix(".previous").unlink()

    def __str__(self):
        return f"keystore, {self.algorithm}, {self.key_spec}, {self.master_key.split(':')[0]}"

    def options(self):
        return ["--keystore", self.path, "--master-key", self.master_key]

    def variables(self):
        return {"keystore": self.path, "master_key": self.master_key, "key_algorithm": self.algorithm,
                "key_spec": self.key_spec}

    def opened_by(self):
        return self.master_key

    def next_id(self):
        """A key that is there, or one that may have to be made."""
        return self.random.choice(self.NEW_IDS) if self.random.random() < 0.5 else super().next_id()

    def between_rounds(self):
        """Now and then moves the keystore to another master key, killed on its way every second time."""
        if self.random.random() > 0.1:
            return
        old, new = self.master_key, self.next_master_key()
        move = ("rotate-master-key", "--to", new, "--owner", getpass.getuser())
        if self.random.random() < 0.5:
            self.run(*move)
            self.master_key = new
        elif self.run_killed(*move) or not self.opens():
            self.master_key = new
            if not self.opens():
                raise Failure(f"neither {old} nor {new} opens the keystore after a killed move from one to the other")
        self.check()

    def next_master_key(self):
        """The URI of another master key: in turn a file, which the command makes, and a command."""
        self.master_keys += 1
        if self.master_keys % 2:
            return f"file:{self.secret}/master-{self.master_keys}"
        rsa = self.secret / f"rsa-{self.master_keys}"
        rsa.mkdir(mode=0o700)
        # The example with short keys, which are made in no time. One after the other, because it goes on alone when a
        # server is killed in a call.
        short = EXAMPLE.read_text().replace("rsa_keygen_bits:3072", "rsa_keygen_bits:1024")
        (rsa / "example").write_text(short)
        (rsa / "provider").write_text(f"#!/bin/sh\nKEYROLL_EXEC_KEYS={rsa} exec flock {rsa}/lock {rsa}/example\n")
        for script in ("example", "provider"):
            (rsa / script).chmod(0o700)
        subprocess.run(rsa / "provider", input='{"version":1,"operation":"rotate"}\n', capture_output=True, text=True,
                       check=True, timeout=60)
        return f"exec:{rsa}/provider"

    def opens(self):
        """Whether the master key opens the keystore."""
        with self.start("list", "--json") as process:
            process.communicate(timeout=60)
        return process.returncode == 0


class Peer:
    """The server's own plugin, which cannot rotate: what fails with it as well is a fault of the server."""

    aims = TABLE_AIMS
    rotates = False
    interrupted, seen = 0, ()

    def __init__(self, _, folder, number, random):
        self.path, self.random = folder / "keys", random
        self.path.write_text("".join(f"{key};{secrets.token_hex(32)}\n" for key in range(1, 8)))
        self.algorithm = ALGORITHMS[number % 2]

    def __str__(self):
        return f"file_key_management, {self.algorithm}"

    def settings(self):
        return ["plugin-load-add = file_key_management", f"file_key_management_filename = {self.path}",
                f"file_key_management_encryption_algorithm = {self.algorithm}"]

    def next_id(self):
        return self.random.randint(1, 7)

    def check(self):
        """There is nothing to check."""

    between_rounds = keep_copy = check

    def older_copy(self, _):
        """This plugin knows no older copies."""


STORES = {"key-file": KeyFile, "keystore": Keystore, "file_key_management": Peer}
