#!/usr/bin/env -S python3 -B
"""Runs MariaDB's own tests of file_key_management and hashicorp_key_management with keyroll in the peer's place.

The installed test suites (package mariadb-test) are copied to a temporary folder, and the peer's name is changed there to
keyroll's. Every test that passes.txt names, for it passes with the stock plugin, must pass. The last line is
`N tests of the peers, N passed, 0 lost`; anything else is a failure.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "scripts")]
from installed_mariadb import SetupFailed  # noqa: E402, the folder of what it needs is known only now
from meant import SUPPRESSED  # noqa: E402
from vault import Vault  # noqa: E402
from view import SUITES, Selection, View  # noqa: E402

FOLDER = Path(__file__).resolve().parent
PASSES, PART, LOST = FOLDER / "passes.txt", FOLDER / "part.txt", FOLDER / "lost.txt"
# `encryption.aria_tiny 'cbc' w1 [ pass ]   1234`
# What mtr says of servers that it shut down: one of these tests has its server write what it should not.
LATE = re.compile(r"^\*\*\*Warnings generated in error logs during shutdown after running tests: (.*)$")
PROBLEM = re.compile(r"\[(ERROR|Warning)\]")
IS_MEANT = re.compile("|".join(text.decode() for text, _ in SUPPRESSED))
RESULT = re.compile(r"^([\w-]+\.[\w-]+) +(?:'([^']*)' +)?(?:w\d+ +)?\[ ([a-z-]+) \] *(.*)$")


def version():
    """The installed server's, as 10.11.19."""
    told = subprocess.run(["mariadbd", "--no-defaults", "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"Ver (\d+\.\d+\.\d+)", told)[1]


def names(path):
    """The lines of a list, and the version in its first line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")], re.search(r"\d+\.\d+\.\d+|$", lines[0])[0]


def name_of(test, combination):
    """A line of the lists, which is also what mtr takes: SUITE.TEST, and ,COMBINATION where it has one."""
    return ",".join([test, combination]) if combination else test


def without_combination(name):
    """SUITE.TEST of a line."""
    return name.split(",")[0]


class Run:
    """One run of mtr after the other, in a folder of its own."""

    def __init__(self, folder, library, jobs):
        self.folder, self.jobs = folder, jobs
        self.view = View(folder / "installation", library)
        self.running = []

    def results(self, tests):
        """What became of these tests: (status, what mtr said) by the name in the lists."""
        of_vault = [test for test in tests if test.startswith("vault.")]
        others = [test for test in tests if test not in of_vault]
        # Those of Vault mostly wait.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            runs = [pool.submit(run, names) for run, names in ((self._plain, others), (self._with_vault, of_vault)) if names]
            try:
                return {name: result for run in runs for name, result in run.result().items()}
            except BaseException:
                for mtr in self.running:
                    # It ends its servers itself.
                    os.killpg(mtr.pid, signal.SIGTERM)
                raise

    def _plain(self, tests):
        return self._mtr(tests, {}, f"--parallel={self.jobs}")

    def _with_vault(self, tests):
        with Vault(Path(tempfile.mkdtemp(prefix="vault.", dir=self.folder))) as vault:
            # All use the same secrets. One is big, for it takes a backup.
            return self._mtr(tests, vault.environment, "--parallel=1", "--big-test")

    def _mtr(self, tests, environment, *options):
        place = Path(tempfile.mkdtemp(prefix="mtr.", dir=self.folder))
        log = place / "mtr.log"
        suites = ",".join(sorted({test.split(".")[0] for test in tests}))
        command = ["perl", "./mysql-test-run.pl", f"--suite={suites}", f"--vardir={place}/var",
                   "--force", "--max-test-fail=0", "--retry=0", "--testcase-timeout=6", "--suite-timeout=120", *options, *tests]
        # mtr makes variables of these names itself.
        environment = {key: value for key, value in (os.environ | environment).items() if not key.endswith("_SO")}
        done, said, last, late = {}, [], None, {}
        with log.open("w", encoding="utf-8") as kept, subprocess.Popen(
                command, cwd=self.view.mysql_test, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True) as mtr:
            self.running.append(mtr)
            for line in mtr.stdout:
                kept.write(line)
                if found := RESULT.match(line):
                    test, combination, status, comment = found.groups()
                    said, last = [comment] if comment else [], name_of(test, combination)
                    done[last] = (status, said)
                    print(line.rstrip(), file=sys.stderr, flush=True)
                elif found := LATE.match(line):
                    said, last = [], found[1]
                    late |= {test: said for test in found[1].split()}
                elif last:
                    said.append(line.rstrip())
            self.running.remove(mtr)
        for name, (status, _) in done.items():
            said = late.get(without_combination(name), [])
            if status == "pass" and any(PROBLEM.search(line) and not IS_MEANT.search(line) for line in said):
                done[name] = ("warnings at the shutdown", said)
        if not done:
            raise SetupFailed(f"mtr ran nothing:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}")
        return done


def passed(results):
    """The names of those that did."""
    return {name for name, (status, _) in results.items() if status == "pass"}


def record(folder, arguments):
    """Writes the list anew, by the stock plugins."""
    results = Run(folder, None, arguments.jobs).results(Selection().tests())
    passing = sorted(passed(results))
    PASSES.write_text("\n".join([
        f"# What of the peers' tests passes with the stock plugins of MariaDB {version()}; `make peer-suites-record` writes it.",
        "# SUITE.TEST, and ,COMBINATION where there are several.", *passing, ""]), encoding="utf-8")
    print(f"{len(passing)} of {len(results)} pass with the stock plugins", flush=True)


def compare(folder, arguments):
    """Whether nothing is lost."""
    wanted, of_version = names(PASSES)
    known = dict(line.split(": ", 1) for line in names(LOST)[0])
    if unknown := set(known) - {without_combination(name) for name in wanted}:
        raise SetupFailed(f"{LOST.name} has tests that {PASSES.name} has not: {', '.join(sorted(unknown))}")
    if arguments.part:
        part = names(PART)[0]
        if unknown := set(part) - {without_combination(name) for name in wanted}:
            raise SetupFailed(f"{PART.name} has tests that {PASSES.name} has not: {', '.join(sorted(unknown))}")
        wanted = [name for name in wanted if without_combination(name) in part]
    if arguments.tests:
        wanted = [name for name in wanted if any(words in name for words in arguments.tests)]
    if of_version != version():
        print(f"{PASSES.name} was made with MariaDB {of_version}, and this is {version()}", file=sys.stderr)
        there = set(Selection().tests())
        wanted = [name for name in wanted if without_combination(name) in there]
    if not wanted:
        raise SetupFailed(f"{PASSES.name} has no such test")
    run = Run(folder, arguments.library, arguments.jobs)
    results = run.results(sorted({without_combination(name) for name in wanted}))
    found_again = []
    for name in wanted:
        if reason := known.get(without_combination(name)):
            if name in passed(results):
                found_again.append(name)
                print(f"NOT LOST  {name} passes: take it out of {LOST.name}", file=sys.stderr)
            else:
                print(f"{name} is known to be lost: {reason}", file=sys.stderr)
    wanted = [name for name in wanted if without_combination(name) not in known]
    lost = [name for name in wanted if name not in passed(results)]
    if lost:
        # Some depend on time, with any plugin. One that fails twice is lost.
        print(f"once more: {' '.join(lost)}", file=sys.stderr, flush=True)
        again = run.results([name for name in lost if name in results] or lost)
        for name in sorted(passed(again)):
            print(f"{name} passed only when it ran again", file=sys.stderr)
        lost = [name for name in lost if name not in passed(again)]
        for name in lost:
            status, said = again.get(name) or results.get(name) or ("did not run", [])
            print(f"LOST  {name}: {status}\n" + "\n".join(f"    {line}" for line in said[:60]), file=sys.stderr)
    print(f"{len(wanted)} tests of the peers, {len(wanted) - len(lost)} passed, {len(lost)} lost", flush=True)
    return not (lost or found_again)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", metavar="TEST", help="these alone; parts of names are enough (all)")
    parser.add_argument("--part", action="store_true", help=f"only those in {PART.name}: each kind, in some three minutes")
    parser.add_argument("--record", action="store_true", help=f"run the stock plugins, and write {PASSES.name}")
    parser.add_argument("--list", action="store_true", help="print which tests load one of the peers")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (2)")
    parser.add_argument("--dir", type=Path, help="where the data goes, on a disk (TMPDIR or /tmp)")
    parser.add_argument("--keep", action="store_true", help="keep the copy and the data, to look at them")
    arguments = parser.parse_args()
    arguments.library = Path(os.environ.get("KEYROLL_SO", ROOT / "target/release/libkeyroll.so"))
    if arguments.record and (arguments.tests or arguments.part):
        parser.error("--record runs all")
    if arguments.list:
        print("\n".join(Selection().tests()))
        return
    if not (arguments.record or arguments.library.exists()):
        parser.error(f"{arguments.library} does not exist: `make build` makes it; KEYROLL_SO names another")
    if not (SUITES / "mysql-test-run.pl").exists():
        parser.error(f"{SUITES} has no test suites (Debian: mariadb-test)")

    def interrupt(*_):
        raise KeyboardInterrupt
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    folder = Path(tempfile.mkdtemp(prefix="keyroll-peers.", dir=arguments.dir))
    started, well = time.monotonic(), False
    try:
        well = record(folder, arguments) is None if arguments.record else compare(folder, arguments)
    except SetupFailed as error:
        print(f"peer_suites: {error}", file=sys.stderr)
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    if well and not arguments.keep:
        shutil.rmtree(folder)
    else:
        print(f"its data is in {folder}", file=sys.stderr)
    sys.exit(not well)


if __name__ == "__main__":
    main()
