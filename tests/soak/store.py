"""The key store under the soak: how it is made, what the command is told, and what must never be missing from it."""

import hashlib
import json
import os
import secrets
import subprocess
import threading

from server import Failure

ALGORITHMS = ("aes_cbc", "aes_ctr", "aes_256_xts")


class Store:
    """A key store and the key versions that were ever seen in it. Thread-safe."""

    def __init__(self, command):
        self.command = command
        self.lock = threading.Lock()
        # (key id, version) -> what is fixed at its birth.
        self.seen = {}
        # How many checks found that a kill had come in the middle of a write.
        self.interrupted = 0

    def start(self, *arguments):
        """Starts the command on the store."""
        return subprocess.Popen(self.command_line(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def run(self, *arguments, warning=None):
        """Runs the command on the store, which must succeed, and returns what it prints.

        With `warning` it may also end with code 1 and nothing but warnings that hold this text.
        """
        with self.start(*arguments) as process:
            told, errors = process.communicate(timeout=60)
        warned = warning and process.returncode == 1 and all(warning in line for line in errors.splitlines())
        if process.returncode and not warned:
            raise Failure(f"keyroll {arguments[0]} ended with {process.returncode}:\n{told}{errors}")
        return told if not warned else errors

    def command_line(self, subcommand, *arguments):
        """The arguments of a process that runs the command on the store."""
        raise NotImplementedError

    def settings(self):
        """The lines of my.cnf that name the store."""
        raise NotImplementedError

    def acknowledge(self, keys):
        """Key versions as the server or the command shows them: from now on they must not be missing or change."""
        with self.lock:
            for key in keys:
                name = (key["id"], key["version"])
                fixed = {word: key[word] for word in ("bits", "algorithm") if word in key}
                if changed := {word for word in fixed.keys() & self.seen.get(name, {}).keys()
                               if fixed[word] != self.seen[name][word]}:
                    raise Failure(f"key {name[0]} version {name[1]}: other {changed} than before: {fixed}")
                self.seen.setdefault(name, {}).update(fixed)

    def missing(self, keys):
        """The versions that were seen and are not among these."""
        return sorted(self.seen.keys() - {(key["id"], key["version"]) for key in keys})

    def check(self):
        """What a kill has left must be sound and whole. Returns how many versions there are."""
        with self.lock:
            promised = set(self.seen)
        if self.run("check", "--quiet", warning="a rotation was interrupted"):
            self.interrupted += 1
        listed = json.loads(self.run("list", "--json"))
        self.acknowledge(listed)
        if lost := sorted(promised - {(key["id"], key["version"]) for key in listed}):
            raise Failure("the key store has lost versions (key id, version): " + ", ".join(map(str, lost[:20])))
        self.check_bytes()
        return len(listed)

    def check_bytes(self):
        """Fails if the bytes of a version are others than before, where they can be had."""


class KeyFile(Store):
    """A key file with seven keys, every second one encrypted with a password."""

    rotates = True

    def __init__(self, command, folder, number, random):
        super().__init__(command)
        self.path, self.password = folder / "keys", None
        self.algorithm = ALGORITHMS[number % len(ALGORITHMS)]
        if number % 2:
            self.password = folder / "password"
            self.password.write_text(secrets.token_hex(16))
            os.chmod(self.password, 0o600)
        ids = [argument for key in range(2, 8) for argument in ("--id", str(key))]
        self.run("init", *ids)
        self.random = random
        self.digests = {}

    def __str__(self):
        return f"{'encrypted' if self.password else 'plain'} key file, {self.algorithm}"

    def command_line(self, subcommand, *arguments):
        protection = ["--filekey-file", self.password, "--digest", "sha256", "--use-pbkdf2", "10"]
        return [self.command, subcommand, self.path, *(protection if self.password else []), *arguments]

    def settings(self):
        lines = ["plugin-load-add = keyroll", f"keyroll_filename = {self.path}",
                 f"keyroll_encryption_algorithm = {self.algorithm}"]
        if self.password:
            lines += [f"keyroll_filekey = FILE:{self.password}", "keyroll_digest = sha256", "keyroll_use_pbkdf2 = 10"]
        return lines

    def next_id(self):
        """The id of a key for a table."""
        return self.random.randint(1, 7)

    def check_bytes(self):
        if self.password:
            return
        for line in self.path.read_text().splitlines():
            if line.startswith("#") or not line.strip():
                continue
            *name, key = line.split(";")
            name = (int(name[0]), int(name[1]) if len(name) > 1 else 1)
            digest = hashlib.sha256(key.encode()).hexdigest()
            if self.digests.setdefault(name, digest) != digest:
                raise Failure(f"key {name[0]} version {name[1]} has other bytes than before")


class Peer:
    """The server's own plugin, which cannot rotate: what fails with it as well is a fault of the server."""

    rotates = False
    interrupted = 0

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


STORES = {"key-file": KeyFile, "file_key_management": Peer}
