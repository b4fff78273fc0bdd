#!/usr/bin/env -S python3 -B
"""Attacks the page ciphers as someone does who has the disk and no key, on real servers.

Each attack is a file with a function `attack(site, store)`: it looks at the files of a server, or changes them, and says
what it got, or None. It must succeed under the ciphers that docs/ciphers.md says it of, or it proves nothing about the
others; under those it must get nothing. The last line is `N attacks, N ended as they should, 0 did not`.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path += [str(ROOT / "tests/soak"), str(ROOT / "tests/moves"), str(ROOT / "scripts")]
import changed_tail  # noqa: E402, the folders of what it needs are known only now
import chosen_page_key  # noqa: E402
import chosen_redo_key  # noqa: E402
import long_binary_log  # noqa: E402
import repeated_ivs  # noqa: E402
import way_back  # noqa: E402
from client import ConnectionLost, StatementFailed  # noqa: E402
from host import Host, Site  # noqa: E402
from installed_mariadb import SetupFailed, installed_plugins, make_template  # noqa: E402
from server import Failure, parsed  # noqa: E402
from store import Peer  # noqa: E402

PEER = "file_key_management.so"
# Those of keyroll, whose keystores have keys of 256 bits, and those of the peer by their numbers in tests/soak/store.py.
KEYSTORES = ("aes_cbc", "aes_ctr", "aes_256_xts", "aes_256_hctr2")
PEERS = {"peer_aes_cbc": 0, "peer_aes_ctr": 1}
CTR = {"aes_ctr", "peer_aes_ctr"}
CBC = {"aes_cbc", "peer_aes_cbc"}
ALL = [*KEYSTORES, *PEERS]
# Each attack and the ciphers under which it must succeed. Under all others it must get nothing.
ATTACKS = {
    "chosen_redo_key": (chosen_redo_key.attack, CTR | CBC),
    "chosen_page_key": (chosen_page_key.attack, CTR | CBC),
    "way_back": (way_back.attack, {"aes_ctr", "aes_cbc"}),
    "changed_tail": (changed_tail.attack, CTR | CBC),
    "long_binary_log": (long_binary_log.attack, CTR),
    "copied_data": (repeated_ivs.of_copied_data, CTR),
    "temporary_tables": (repeated_ivs.of_temporary_tables, CTR),
}
# What is tried under these alone: a way back is that of a keystore which leaves the cipher.
ONLY_UNDER = {"way_back": KEYSTORES}


class Target(Host):
    """A server under attack: with the data directory of the template, and nothing else in it."""

    def starts(self):
        """Whether it starts; it may refuse to."""
        self.server.launch()
        return not self.server.ends_by_itself()


class Targets(Site):
    """The folder of one attack."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.figures = []

    def measured(self, text):
        """Tells a figure, whatever comes out."""
        self.figures.append(text)

    def store_of(self, cipher):
        """Keys for one cipher: of keyroll, or of the server's own plugin."""
        if cipher in KEYSTORES:
            return self.keystore(algorithm=cipher)
        return Peer(None, self.folder, PEERS[cipher], random)

    def bare(self, store, name="server", data=None):
        """A server, not started."""
        return Target(self, name, store, data or self.template)


def ends_as_it_should(name, cipher, folder, arguments, template, plugins):
    """Whether an attack does; tells about it."""
    attack, succeeds = ATTACKS[name]
    started = time.monotonic()
    site = Targets(folder / f"{name}.{cipher}", template, plugins, arguments.command)
    try:
        try:
            got = attack(site, site.store_of(cipher))
        finally:
            site.end()
        wrong = None if bool(got) == (cipher in succeeds) else f"it should {'succeed' if cipher in succeeds else 'get nothing'}"
    except (Failure, StatementFailed, ConnectionLost, OSError, subprocess.SubprocessError, LookupError, ValueError) as error:
        steps = [f"{Path(frame.filename).name}:{frame.lineno}: {frame.line}" for frame in traceback.extract_tb(error.__traceback__)
                 if Path(frame.filename).parent == HERE]
        got, wrong = None, "\n".join([*steps[1:], str(error) or repr(error)])
    seconds = time.monotonic() - started
    told = "; ".join([*site.figures, got or "nothing"])
    print(f"{'FAILED' if wrong else 'ok'}  {name}, {cipher} ({seconds:.1f} s): {told}", file=sys.stderr, flush=True)
    if wrong:
        print(f"{wrong}\nits data is kept in {site.folder}", file=sys.stderr, flush=True)
    else:
        shutil.rmtree(site.folder)
    return not wrong


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="WORD", help="attacks or ciphers: those alone, of each kind that is named")
    parser.add_argument("--jobs", type=int, default=3, help="how many at once (3)")
    parser.add_argument("--dir", type=Path, help="where the data goes (TMPDIR or /tmp)")
    arguments = parsed(parser)
    known = [*ATTACKS, *ALL]
    if unknown := [word for word in arguments.words if word not in known]:
        parser.error(f"there is no {', '.join(unknown)}, but: {', '.join(known)}")
    return arguments


def wanted(words):
    """The attacks and ciphers that the command line names."""
    names = [name for name in ATTACKS if name in words] or ATTACKS
    ciphers = [cipher for cipher in ALL if cipher in words] or ALL
    return [(name, cipher) for name in names for cipher in ciphers if cipher in ONLY_UNDER.get(name, ALL)]


def main():
    arguments = parse()
    tried = wanted(arguments.words)
    folder = Path(tempfile.mkdtemp(prefix="keyroll-attacks.", dir=arguments.dir))
    ended = 0

    def interrupt(*_):
        raise KeyboardInterrupt
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        plugins = folder / "plugins"
        plugins.mkdir()
        shutil.copy(arguments.library, plugins / "keyroll.so")
        for name in (PEER, "ha_blackhole.so"):
            os.symlink(installed_plugins() / name, plugins / name)
        make_template(folder / "template")
        with ThreadPoolExecutor(arguments.jobs) as pool:
            done = [pool.submit(ends_as_it_should, name, cipher, folder, arguments, folder / "template", plugins)
                    for name, cipher in tried]
            try:
                ended = sum(each.result() for each in done)
            except BaseException:
                # Those that run are waited for: no server is left.
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except (Failure, SetupFailed) as error:
        print(f"attacks: {error}", file=sys.stderr)
    failed = len(tried) - ended
    if not failed:
        shutil.rmtree(folder)
    print(f"{len(tried)} attacks, {ended} ended as they should, {failed} did not")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
