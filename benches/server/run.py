#!/usr/bin/env -S python3 -B
"""Measures what encryption costs a private real server: unencrypted, file_key_management and keyroll, interleaved.

`make bench-server` builds and runs it; README.md beside it says what is measured and how to read the table.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import report
from configuration import CONFIGURATIONS, FULL, QUICK, Configuration
from server import ServerError

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "scripts"))
from installed_mariadb import SetupFailed, installed_plugins, make_template  # noqa: E402, its folder is known only now


class Progress:
    """What runs, how far it is and roughly how long it still takes, on stderr."""

    def __init__(self, sessions):
        self.sessions, self.done, self.started = sessions, 0, None
        self.where = ""

    def session(self, where):
        """A configuration's turn begins."""
        self.started = self.started or time.monotonic()
        self.where = where

    def step(self, what):
        """Shows what is measured now."""
        left = "time left: known after the first"
        if self.done:
            seconds = (time.monotonic() - self.started) / self.done * (self.sessions - self.done)
            left = f"about {seconds / 60:.1f} min left"
        line = f"[{self.done}/{self.sessions}] {self.where}: {what} ({left})"
        print(f"\r\033[K{line}" if sys.stderr.isatty() else line, end="" if sys.stderr.isatty() else "\n",
              file=sys.stderr, flush=True)

    def say(self, text):
        """A line that stays."""
        print(("\r\033[K" if sys.stderr.isatty() else "") + text, file=sys.stderr, flush=True)


def place(wanted, sizes, count):
    """Where the data goes: memory if there is plenty of it, so that the disk is no part of the numbers."""
    need = count * (700 << 20) if sizes is FULL else count * (200 << 20)
    if wanted:
        return wanted
    memory = Path("/dev/shm")
    # Both are asked: the file system's limit may be larger than the memory that is left.
    available = next(int(line.split()[1]) << 10 for line in open("/proc/meminfo") if line.startswith("MemAvailable"))
    if memory.is_dir() and shutil.disk_usage(memory).free > 2 * need and available > 2 * need:
        return memory
    return Path(tempfile.gettempdir())


def filesystem(folder):
    """The type of the file system that holds `folder`."""
    return subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True).stdout.strip()


def share(folder, library, names, sizes):
    """What all configurations use: data directory template, plugins, one key file, the updates."""
    (folder / "plugins").mkdir()
    shutil.copy(library, folder / "plugins" / "keyroll.so")
    peers = installed_plugins()
    for plugin in {CONFIGURATIONS[name][0] for name in names} - {None, "keyroll"}:
        if not (peers / f"{plugin}.so").exists():
            raise ServerError(f"{peers}/{plugin}.so is missing: `make test-packages` installs it")
        shutil.copy(peers / f"{plugin}.so", folder / "plugins")
    (folder / "keys").write_text("".join(f"{key};{secrets.token_hex(32)}\n" for key in (1, 2)))
    (folder / "updates.sql").write_text("".join(
        f"UPDATE counters SET n = n + 1 WHERE id = {1 + i % 1000};\n" for i in range(sizes.updates)))
    make_template(folder / "template")


def measure(arguments, folder, running):
    """Sets up and measures the chosen configurations; returns the conditions, the results and the rounds done."""
    sizes = QUICK if arguments.quick else FULL
    names = arguments.configurations
    progress = Progress(len(names) * (arguments.rounds + 1))
    progress.say(f"{len(names)} configurations, {arguments.rounds} round(s), data in {folder}")
    share(folder, arguments.library, names, sizes)
    ended = time.monotonic() + arguments.minutes * 60
    for name in names:
        progress.session(f"set-up, {name}")
        progress.step("filling the tables")
        configuration = Configuration(name, folder / name.replace("/", "-"), folder, sizes)
        running.append(configuration)
        configuration.set_up()
        progress.done += 1
    first = running[0]
    sizes.table_mb = first.check_pages("source")
    first.start()
    version = first.server.sql("SELECT CONCAT(@@version, ', ', @@version_ssl_library)")
    first.server.stop()
    told = report.conditions(version, folder.parent, filesystem(folder), sizes)

    if arguments.profile:
        first.profile()
        return told, {}, 0
    longest = 0.0
    for number in range(arguments.rounds):
        began = time.monotonic()
        if number and began + longest > ended:
            progress.say(f"{arguments.minutes} minutes would be over: {number} of {arguments.rounds} rounds were done")
            break
        # Another one begins each time, so that none always has the same neighbour in time.
        shift = number % len(running)
        for configuration in running[shift:] + running[:shift]:
            progress.session(f"round {number + 1}/{arguments.rounds}, {configuration.name}")
            configuration.round(progress.step)
            progress.done += 1
        longest = max(longest, time.monotonic() - began)
        done = number + 1
    progress.say(f"{done} round(s) done")
    told["load average"] += f", after {os.getloadavg()[0]:.2f} (the measurement itself makes about 1)"
    return told, {configuration.name: configuration.samples for configuration in running}, done


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run on little data; its numbers mean nothing")
    parser.add_argument("--rounds", type=int, help="how often each configuration is measured (5; quick: 1)")
    parser.add_argument("--minutes", type=float, default=15, help="begin no round that would end later (15)")
    parser.add_argument("--configurations", help="comma-separated: " + ", ".join(CONFIGURATIONS))
    parser.add_argument("--dir", type=Path, help="where the data goes (memory if there is plenty, else TMPDIR)")
    parser.add_argument("--json", type=Path, help="also write conditions and every sample to this file")
    parser.add_argument("--profile", metavar="CONFIGURATION", choices=CONFIGURATIONS,
                        help="measure nothing, show where the CPU of updates goes (needs perf)")
    arguments = parser.parse_args()
    chosen = arguments.profile or arguments.configurations
    arguments.configurations = chosen.split(",") if chosen else list(CONFIGURATIONS)
    if unknown := [name for name in arguments.configurations if name not in CONFIGURATIONS]:
        parser.error(f"no such configuration: {', '.join(unknown)}")
    if arguments.rounds is None:
        arguments.rounds = 1 if arguments.quick else 5
    if arguments.rounds < 1:
        parser.error("--rounds: at least one")
    arguments.library = Path(os.environ.get("KEYROLL_SO", ROOT / "target/release/libkeyroll.so"))
    if not arguments.library.exists():
        parser.error(f"{arguments.library} does not exist: `make build` makes it, KEYROLL_SO names another")
    if arguments.profile and not shutil.which("perf"):
        parser.error("--profile needs perf (Debian: linux-perf)")
    return arguments


def main():
    arguments = parse()
    load = os.getloadavg()[0]
    if load > 0.3 * os.cpu_count():
        print(f"WARNING: the load average is {load:.2f}: something else uses the machine, the numbers will be off",
              file=sys.stderr)

    def interrupt(*_):
        raise KeyboardInterrupt
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)

    sizes = QUICK if arguments.quick else FULL
    parent = place(arguments.dir, sizes, len(arguments.configurations))
    folder = Path(tempfile.mkdtemp(prefix="keyroll-bench.", dir=parent))
    running = []
    try:
        told, results, rounds = measure(arguments, folder, running)
    except (ServerError, SetupFailed) as error:
        sys.exit(f"\nFAILED: {error}\n(--configurations measures without one that does not work here)")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for configuration in running:
            configuration.server.kill()
        shutil.rmtree(folder)
    if results:
        print(report.markdown(told, results, rounds))
        if arguments.json:
            document = {"conditions": told, "rounds": rounds, "sizes": asdict(sizes), "samples": results}
            arguments.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
