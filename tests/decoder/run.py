#!/usr/bin/env -S python3 -B
"""Reads what real servers with keyroll have encrypted, by a decoder that was written from the documents alone.

For each cipher with a keystore, and for two with a key file, a private server writes rows, rotates its keys, and is killed. Then
each reading, a function whose name is a sentence, must find the rows in clear, and notice what the documents say is
noticed. The last line is `N readings, N passed, 0 failed`; anything else is a failure.
"""

import argparse
import concurrent.futures
import json
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / folder) for folder in ("tests/moves", "tests/soak", "scripts")]
import ciphers  # noqa: E402, the folders of what it needs are known only now
import keys  # noqa: E402
import readings  # noqa: E402
from client import ConnectionLost, StatementFailed  # noqa: E402
from host import Site  # noqa: E402
from installed_mariadb import SetupFailed, make_template  # noqa: E402
from server import Failure, Server, parsed  # noqa: E402
from store import ALGORITHMS  # noqa: E402

VECTORS = [ROOT / f"tests/ciphers/vectors/{cipher}.json" for cipher in ("aes_256_xts", "aes_256_hctr2")]
EXAMPLE = ROOT / "tests/stores/keystore/vectors/keystore"
# Each cipher with a keystore; key files are the same for all.
STORES = [*(("keystore", cipher) for cipher in ALGORITHMS), ("key_file", "aes_cbc"), ("key_file", "aes_256_xts")]


def the_published_vectors_decrypt_or_are_refused():
    """Those of keyroll's own ciphers, with and without padding."""
    for path in VECTORS:
        vectors = json.loads(path.read_text(encoding="utf-8"))

        def decrypted(vector, with_padding=False):
            name = vector["key_id"], vector["key_version"]
            key, salt, iv = (bytes.fromhex(vector[part]) for part in ("data_key", "salt", "iv"))
            ciphertext = bytes.fromhex(vector.get("ciphertext", ""))
            if with_padding or vector.get("padded") or vector.get("kind") == "padded":
                return ciphers.padded(vectors["algorithm"], key, name, salt, iv, ciphertext)
            first_update = 0 if vector.get("kind") == "streamed" else None
            return ciphers.decrypt(vectors["algorithm"], key, name, salt, iv, ciphertext, first_update)

        for vector in vectors["accept"]:
            if decrypted(vector) != bytes(at % 251 for at in range(vector["length"])):
                raise Failure(f"this vector decrypts to something else: {vector}")
        for vector in vectors["reject_ciphertext"] + vectors["reject_start"]:
            try:
                decrypted(vector, with_padding="ciphertext" in vector)
            except ciphers.Refused:
                continue
            raise Failure(f"this vector is not refused: {vector}")


def the_example_keystore_opens():
    """As docs/keystore-format.md prints its keys."""
    document = (ROOT / "docs/keystore-format.md").read_text(encoding="utf-8")
    for (number, version), (_, key) in keys.read_keystore(EXAMPLE.read_bytes(), {1: bytes(range(32))}).keys.items():
        if f"| data key {number}, version {version} | `{key.hex()}` |" not in document:
            raise Failure(f"the document has another key {number}, version {version}")


def make_files(site, kind, cipher):
    """Has a server write its files and ends it by a kill, right after a last row."""
    store = site.keystore(algorithm=cipher) if kind == "keystore" else site.key_file()
    store.algorithm = cipher
    server = Server(site.folder / "server", site.template, site.plugins, store.settings)
    try:
        server.launch(readings.SETTINGS)
        server.wait_until_up()
        with server.connect() as connection:
            for statement in readings.STATEMENTS:
                connection.query(statement)
        server.shut_down()
        # What is in the files of tables when nothing is left to be written.
        shutil.copytree(server.folder / "data", site.folder / "at rest")
        server.launch(readings.SETTINGS)
        server.wait_until_up()
        with server.connect() as connection:
            connection.query(readings.LAST_STATEMENT)
            server.shoot()
        server.bury()
    finally:
        server.end()
    return readings.Files(store, site.folder / "at rest", server.folder / "data")


def passed(title, reading, *arguments):
    """Whether a reading does; tells about it."""
    started = time.monotonic()
    try:
        reading(*arguments)
        failure = None
    except Exception as error:  # A decoder that is wrong can fail in any way.
        steps = [f"{Path(frame.filename).name}:{frame.lineno}: {frame.line}"
                 for frame in traceback.extract_tb(error.__traceback__)]
        failure = "\n".join([*steps[1:], str(error) or repr(error)])
    name = f"{title}{reading.__name__.replace('_', ' ')}"
    print(f"{'FAILED' if failure else 'ok'}  {name} ({time.monotonic() - started:.1f} s)", file=sys.stderr, flush=True)
    if failure:
        print(failure, file=sys.stderr, flush=True)
    return not failure


def of_one_store(site, command_line, kind, cipher):
    """How many readings there are of one server's files, and how many passed."""
    wanted = [reading for reading in readings.ALL if kind == "keystore" or reading not in readings.OF_KEYSTORES]
    try:
        files = make_files(site, kind, cipher)
    except (Failure, StatementFailed, ConnectionLost, OSError) as error:
        print(f"FAILED  {cipher}, {kind}: a server wrote no files: {error}", file=sys.stderr, flush=True)
        return len(wanted), 0
    title = f"{cipher}, {kind.replace('_', ' ')}: "
    well = sum(passed(title, reading, files) for reading in wanted)
    if well == len(wanted) and not command_line.keep:
        shutil.rmtree(site.folder)
    return len(wanted), well


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=Path, help="where the data goes (TMPDIR or /tmp)")
    parser.add_argument("--jobs", type=int, default=3, help="how many servers at once (3)")
    parser.add_argument("--keep", action="store_true", help="keep the files, to look at them")
    arguments = parsed(parser)

    def interrupt(*_):
        raise KeyboardInterrupt
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    folder = Path(tempfile.mkdtemp(prefix="keyroll-decoder.", dir=arguments.dir))
    counts = [(1, passed("documents: ", reading))
              for reading in (the_published_vectors_decrypt_or_are_refused, the_example_keystore_opens)]
    template, plugins = folder / "template", folder / "plugins"
    plugins.mkdir()
    shutil.copy(arguments.library, plugins / "keyroll.so")
    try:
        make_template(template)
    except SetupFailed as error:
        sys.exit(f"decoder: {error}")
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        done = [pool.submit(of_one_store, Site(folder / f"{kind}-{cipher}", template, plugins, arguments.command),
                            arguments, kind, cipher) for kind, cipher in STORES]
        try:
            counts += [each.result() for each in done]
        except BaseException:
            # Those that run are waited for: no server is left.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    wanted, well = (sum(column) for column in zip(*counts))
    if wanted != well or arguments.keep:
        print(f"the files are kept in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    print(f"{wanted} readings, {well} passed, {wanted - well} failed")
    sys.exit(wanted != well)


if __name__ == "__main__":
    main()
