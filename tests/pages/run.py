#!/usr/bin/env -S python3 -B
"""Runs the commands of pages of the documentation, as they stand there, with real servers.

Each page has a machine of its own. Its test brings the machine into the state that the page begins with, runs the
commands under each heading, and looks whether they did what the page says. A command that no test runs is a failure.
"""

import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "scripts"), str(ROOT / "tests/soak")]
import encrypt_existing  # noqa: E402, the folders of what it needs are known only now
import leaving  # noqa: E402
import restore  # noqa: E402
from installed_mariadb import SetupFailed, installed_plugins, make_template  # noqa: E402
from machine import CommandFailed, Machine  # noqa: E402
from page import Page, PageFailed  # noqa: E402
from server import parsed  # noqa: E402

PAGES = {"encrypt-existing": encrypt_existing.test, "leaving": leaving.test, "restore": restore.test}


def passes(name, folder, arguments):
    """Whether the page is true; tells about it."""
    started, failure, machine = time.monotonic(), None, None
    try:
        machine = Machine(folder / name, arguments.library, arguments.command, installed_plugins())
        machine.new_server(folder / "template")
        page = Page(ROOT / f"docs/{name}.md", machine)
        PAGES[name](machine, page)
        page.end()
    except (CommandFailed, PageFailed, SetupFailed, OSError, subprocess.SubprocessError) as error:
        failure = str(error)
    finally:
        if machine:
            machine.end()
    print(f"{'FAILED' if failure else 'ok'}  {name}.md ({time.monotonic() - started:.1f} s)", file=sys.stderr, flush=True)
    if failure:
        print(failure, file=sys.stderr, flush=True)
    return not failure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"these alone: {', '.join(PAGES)} (all)")
    arguments = parsed(parser)
    if unknown := set(arguments.pages) - set(PAGES):
        parser.error(f"no test is there of {', '.join(sorted(unknown))}")
    if os.geteuid():
        if not shutil.which("sudo"):
            sys.exit("pages: root must run this, or a user who has sudo")
        os.execvp("sudo", ["sudo", "--preserve-env=KEYROLL_SO,KEYROLL_BIN,TMPDIR,PATH", sys.executable, "-B", *sys.argv])
    wanted = arguments.pages or list(PAGES)
    folder = Path(tempfile.mkdtemp(prefix="keyroll-pages."))
    # The server's own user must get to its data below.
    folder.chmod(0o755)
    make_template(folder / "template")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        passed = sum(pool.map(lambda name: passes(name, folder, arguments), wanted))
    failed = len(wanted) - passed
    if failed:
        print(f"the machines are kept in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    print(f"{len(wanted)} pages, {passed} passed, {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
