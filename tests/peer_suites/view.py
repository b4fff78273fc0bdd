"""A copy of MariaDB's test suites in which the peers' tests have keyroll's name. Each run makes it anew, and none keeps it."""

import os
import re
import shutil
from pathlib import Path

from installed_mariadb import SetupFailed, installed_plugins
from meant import DIFFERENCES

PREFIX = Path("/usr")
SUITES = PREFIX / "share/mysql/mysql-test"
VAULT = Path("plugin/hashicorp_key_management")
MENTION = re.compile(rb"(?:file|hashicorp)[_-]key[_-]management", re.IGNORECASE)
# Where a peer's name begins a word, in options, variables and names of plugins. Names of tests and of sourced files stay.
START_OF_WORD = rb"(?<![A-Za-z_])"
MEANT = {difference.file for difference in DIFFERENCES}
# What these tests need of mtr. Files of keys are the server's alone, or keyroll warns of them, and mtr fails a test with a
# warning: those that tests write, and those that mtr copies. And tests that start a server themselves do not say that it may run
# as root.
COPIED = b'"$opt_vardir/std_data", "0022");'
OF_MTR = {
    "mysql-test-run.pl": [(b"umask(022)", b"umask(077)"), (COPIED, COPIED + b"chmod 0600, <$opt_vardir/std_data/*key*.txt>;")],
    "include/" "default_mysqld.cnf": [] if os.geteuid() else [(b"\n[mysqld]\n", b"\n[mysqld]\nuser=root\n")],
}
KEY_FILES = re.compile(r"keys\d?\.txt|logkey\.txt|filekeys.*\.(enc|key)")
SOURCE = re.compile(rb"^[ \t]*(?:--)?[ \t]*source[ \t]+([^;\s]+)", re.MULTILINE)


def renamed(path, text):
    """The text of a file, whose path is below the suites, with keyroll's name. The tests of Vault move data from a server with
    file_key_management, so there that name stays."""
    peer = b"hashicorp" if VAULT in path.parents else b"file"
    name = peer + rb"[_-]key[_-]management"
    for name, new in ((name, b"keyroll"), (name.upper(), b"KEYROLL")):
        text = re.sub(START_OF_WORD + name, new, text)
    for difference in DIFFERENCES:
        if path.name == difference.file:
            text, count = re.subn(difference.pattern, difference.text, text, flags=re.MULTILINE)
            if not count:
                raise SetupFailed(f"{path} has no {difference.pattern}: look whether meant.py is out of date")
    return text


class View:
    """The folder that mtr takes for the installation: links to the real one, and copies of the files that are changed.

    `library` is keyroll's plugin; without it the peers keep their names, and are what is tested.
    """

    def __init__(self, folder, library):
        self.mysql_test = folder / "mysql-test"
        folder.mkdir()
        for name in ("bin", "sbin", "share"):
            (folder / name).symlink_to(PREFIX / name)
        plugins = folder / installed_plugins().relative_to(PREFIX)
        plugins.mkdir(parents=True)
        for plugin in installed_plugins().iterdir():
            if plugin.name != "keyroll.so":
                (plugins / plugin.name).symlink_to(plugin)
        if library:
            (plugins / "keyroll.so").symlink_to(library.resolve())
        changed = {}
        for path in SUITES.rglob("*"):
            if path.is_file() and (change := _changed(path, library)):
                changed[path] = change
        # mtr writes beside the tests that it runs, and none of it may get into the installation.
        of_suites = {SUITES.joinpath(*path.relative_to(SUITES).parts[:2]) for path in changed if path.parent != SUITES}
        below = {folder for suite in of_suites if suite.is_dir() for folder in suite.rglob("*") if folder.is_dir()}
        self._place(SUITES, self.mysql_test, changed, below | {parent for path in changed for parent in path.parents})

    def _place(self, there, here, changed, folders):
        """Links a folder in which nothing is changed, and makes any other."""
        if there.suffix == ".result" and there not in changed:
            # mtr has patch(1) apply differences to it, which takes no links.
            shutil.copy(there, here)
        elif there in changed:
            text, mode = changed[there]
            here.write_bytes(text)
            here.chmod(mode)
        elif there in folders:
            here.mkdir()
            for entry in there.iterdir():
                if entry != SUITES / "var":
                    self._place(entry, here / entry.name, changed, folders)
        else:
            here.symlink_to(there)


def _changed(path, library):
    """The text and mode of a file that has others than the installed one, or nothing."""
    text = path.read_bytes()
    is_key_file = bool(KEY_FILES.fullmatch(path.name))
    others = OF_MTR.get(path.relative_to(SUITES).as_posix(), [])
    if not (is_key_file or others or path.name in MEANT or MENTION.search(text)):
        return None
    for old, new in others:
        if old not in text:
            raise SetupFailed(f"{path} has no {old}: look whether view.py is out of date")
        text = text.replace(old, new)
    return renamed(path.relative_to(SUITES), text) if library else text, 0o600 if is_key_file else 0o644


class Selection:
    """Which tests load a peer: what the tests of a suite have in common says so, or a test, what lies beside it, or a file that it
    sources."""

    def __init__(self):
        self.known = {}

    def tests(self):
        """Their names, SUITE.TEST."""
        folders = [(path, path.name) for kind in ("suite/*", "plugin/*/*") for path in SUITES.glob(kind)]
        found = set()
        for suite, name in [(SUITES / "main", "main"), *folders]:
            tests = suite / "t" if (suite / "t").is_dir() else suite
            whole = any(_mentions(suite / common) for common in ("my.cnf", "suite.opt", "combinations"))
            found |= {f"{name}.{test.stem}" for test in tests.glob("*.test") if whole or self._loads(test, suite)}
        return sorted(found)

    def _loads(self, path, suite):
        if path not in self.known:
            self.known[path] = False  # where files source each other in a circle
            beside = [path.with_name(path.stem + end) for end in (".opt", "-master.opt", "-slave.opt", ".cnf", ".combinations")]
            self.known[path] = (any(_mentions(file) for file in (path, *beside))
                                or any(self._loads(file, suite) for file in _sourced(path, suite)))
        return self.known[path]


def _mentions(path):
    return path.is_file() and bool(MENTION.search(path.read_bytes()))


def _sourced(path, suite):
    """The files that a test sources, looked for where mtr looks."""
    for (name,) in (match.groups() for match in SOURCE.finditer(path.read_bytes())):
        places = (folder / name.decode(errors="replace") for folder in (path.parent, suite, SUITES))
        yield from [place for place in places if place.is_file()][:1]
