#!/usr/bin/env -S python3 -B
"""Moves key stores and data directories as users do, with real servers: no legitimate move may be refused.

Each move is a function whose name is a sentence; docs/lost-keys.md tells users what to do in it. Each also makes the
mistake that is next to it, if there is one: it must be refused, and what the message says must help. The last line is
`N moves, N passed, 0 failed`; anything else is a failure.
"""

import argparse
import concurrent.futures
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/soak"), str(ROOT / "scripts")]
import backup_moves  # noqa: E402, the folders of what it needs are known only now
import cluster_moves  # noqa: E402
import leaving_moves  # noqa: E402
import mark_moves  # noqa: E402
import store_moves  # noqa: E402
from client import ConnectionLost, StatementFailed  # noqa: E402
from host import Site  # noqa: E402
from installed_mariadb import SetupFailed, installed_plugins, make_template  # noqa: E402
from server import Failure, parsed  # noqa: E402

# Nodes of a cluster spend their time waiting for each other: they come first.
MODULES = (cluster_moves, backup_moves, store_moves, mark_moves, leaving_moves)
PEER = "file_key_management.so"
TABLE = ROOT / "docs/lost-keys.md"


def all_moves():
    """The functions by their names."""
    return {name: value for module in MODULES for name, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")}


def sentence(name):
    """How the table has it."""
    return name.replace("_", " ")


def check_table(moves):
    """Each move has its row in the table, and each row its move."""
    section = TABLE.read_text(encoding="utf-8").split("\n## Moves\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")][1:]
    rows = [row.strip().replace("`", "").replace("_", " ") for row in rows]
    names = {sentence(name) for name in moves}
    wrong = [f"{TABLE.name} has no row of the move: {name}" for name in sorted(names - set(rows))]
    wrong += [f"no move is tested that {TABLE.name} has: {row}" for row in rows if row not in names]
    if wrong or len(rows) != len(set(rows)):
        raise Failure("\n".join(wrong or [f"{TABLE.name} has a row twice"]))


def passes(number, move, folder, arguments, template, plugins):
    """Whether a move does; tells about it."""
    started = time.monotonic()
    site = Site(folder / str(number), template, plugins, arguments.command)
    try:
        try:
            move(site)
        finally:
            site.end()
        failure = None
    except (Failure, StatementFailed, ConnectionLost, OSError, subprocess.SubprocessError, LookupError) as error:
        steps = [f"{Path(frame.filename).name}:{frame.lineno}: {frame.line}" for frame in traceback.extract_tb(error.__traceback__)
                 if Path(frame.filename).parent == Path(__file__).parent]
        failure = "\n".join([*steps[1:], str(error) or repr(error)])
    name = sentence(move.__name__)
    print(f"{'FAILED' if failure else 'ok'}  {name} ({time.monotonic() - started:.1f} s)", file=sys.stderr, flush=True)
    if failure:
        print(f"{failure}\nits data is kept in {site.folder}", file=sys.stderr, flush=True)
    else:
        shutil.rmtree(site.folder)
    return not failure


def parse(moves):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("moves", nargs="*", metavar="MOVE", help="these alone; words of a name are enough (all)")
    parser.add_argument("--list", action="store_true", help="print their names")
    parser.add_argument("--jobs", type=int, default=4, help="how many at once (4)")
    parser.add_argument("--dir", type=Path, help="where the data goes (TMPDIR or /tmp)")
    arguments = parsed(parser)
    if unknown := [wanted for wanted in arguments.moves if not any(wanted in name for name in moves)]:
        parser.error(f"no move is named {', '.join(unknown)}; --list prints their names")
    return arguments


def main():
    moves = all_moves()
    arguments = parse(moves)
    wanted = {name: move for name, move in moves.items()
              if not arguments.moves or any(words in name for words in arguments.moves)}
    if arguments.list:
        print("\n".join(wanted))
        return
    if os.geteuid():
        # Files change their owners, and the nodes of a cluster have mounts of their own.
        if not shutil.which("sudo"):
            sys.exit("moves: root must run this, or a user who has sudo")
        os.execvp("sudo", ["sudo", "--preserve-env=KEYROLL_SO,KEYROLL_BIN,TMPDIR,PATH", sys.executable, "-B", *sys.argv])
    folder = Path(tempfile.mkdtemp(prefix="keyroll-moves.", dir=arguments.dir))
    # A server that is not root's own, as a node of a cluster is, has its data below.
    folder.chmod(0o755)
    passed = 0

    def interrupt(*_):
        raise KeyboardInterrupt
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        check_table(moves)
        plugins = folder / "plugins"
        plugins.mkdir()
        shutil.copy(arguments.library, plugins / "keyroll.so")
        (plugins / PEER).symlink_to(installed_plugins() / PEER)
        make_template(folder / "template")
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            done = [pool.submit(passes, number, move, folder, arguments, folder / "template", plugins)
                    for number, move in enumerate(wanted.values())]
            try:
                passed = sum(each.result() for each in done)
            except BaseException:
                # Those that run are waited for: no server is left.
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except (Failure, SetupFailed) as error:
        print(f"moves: {error}", file=sys.stderr)
    failed = len(wanted) - passed
    if not failed:
        shutil.rmtree(folder)
    print(f"{len(wanted)} moves, {passed} passed, {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
