"""What the decoder must find in the files of a server, and what it must notice."""

import hashlib
import re

import aria
import keys as key_stores
import redo
from binlog import START_ENCRYPTION, events, number
from ciphers import Refused
from crc32c import crc32c
from innodb import Tablespace
from server import Failure

# So many that the bitmap of an Aria table could be taken for a page of rows.
ROWS = 2200
TABLES = {"with_key_1": "ENCRYPTION_KEY_ID=1", "with_key_3": "ENCRYPTION_KEY_ID=3"}
ARIA_TABLES = {"crash_safe": "TRANSACTIONAL=1", "not_crash_safe": "TRANSACTIONAL=0"}
LAST = "the last row, which only logs have"
# The checkpoint that a quiet server makes must not come between the last row and the kill.
SETTINGS = ["innodb_max_dirty_pages_pct = 90", "innodb_stats_persistent = OFF"]


def fill(table, time):
    """Rows before or after the rotation."""
    first = 1 if time == "before" else ROWS + 1
    return (f"INSERT INTO decoded.{table} SELECT seq, CONCAT('row ', seq, ' of {table} {time} the rotation') "
            f"FROM decoded.seq_{first}_to_{first + ROWS - 1}")


ROW = re.compile(rb"row \d+ of \w+ (?:before|after) the rotation")


def texts(table):
    """What `fill` has written."""
    return [f"row {row} of {table} {'before' if row <= ROWS else 'after'} the rotation".encode()
            for row in range(1, 2 * ROWS + 1)]


def must_hold_rows(table, data):
    """Each text must be somewhere in this."""
    missing = sorted(set(texts(table)) - set(ROW.findall(data)))
    must(not missing, f"{len(missing)} rows of {table} are not there: {missing[:3]}")


STATEMENTS = [
    "CREATE DATABASE decoded",
    *[f"CREATE TABLE decoded.{table} (id INT PRIMARY KEY, a VARCHAR(200), KEY(a)) ENGINE=Aria ROW_FORMAT=PAGE {options}"
      for table, options in ARIA_TABLES.items()],
    *[f"CREATE TABLE decoded.{table} (id INT PRIMARY KEY, a VARCHAR(200)) ENGINE=InnoDB ENCRYPTED=YES {options}"
      for table, options in TABLES.items()],
    *[fill(table, "before") for table in [*TABLES, *ARIA_TABLES]],
    "SET GLOBAL keyroll_rotate_key = -1",
    "FLUSH BINARY LOGS",
    *[fill(table, "after") for table in [*TABLES, *ARIA_TABLES]],
]
LAST_STATEMENT = f"INSERT INTO decoded.with_key_3 VALUES (1000000, '{LAST}')"


class Files:
    """The files of one server: `at_rest` after a shutdown, `killed` after the kill."""

    def __init__(self, store, at_rest, killed):
        self.store, self.at_rest, self.killed = store, at_rest, killed

    def keys(self):
        """The data keys, as the decoder reads them."""
        text = self.store.path.read_bytes()
        if not hasattr(self.store, "master_key"):
            return key_stores.read_key_file(text, self.store.algorithm)
        return key_stores.read_keystore(text, self.master_keys())

    def master_keys(self):
        """Those of the keystore's master key file."""
        with open(self.store.master_key.removeprefix("file:"), "rb") as file:
            return key_stores.read_master_keys(file.read())

    def other_keys(self):
        """Keys of the same names, whose bytes are wrong in one bit."""
        return key_stores.Keys({name: (algorithm, bytes([key[0] ^ 1]) + key[1:])
                                for name, (algorithm, key) in self.keys().keys.items()})

    def tablespace(self, table, keys=None):
        """A table's file at rest."""
        return Tablespace(self.at_rest / "decoded" / f"{table}.ibd", keys or self.keys())

    def aria_table(self, table, keys=None):
        """An Aria table's files at rest."""
        index, rows = (self.at_rest / "decoded" / f"{table}.{kind}" for kind in ("MAI", "MAD"))
        return aria.Table(index, rows, keys or self.keys())

    def binary_logs(self):
        """The contents of all of them."""
        return [path.read_bytes() for path in sorted(self.killed.glob("binlog.0*"))]

    def redo_log(self):
        """The content of the redo log that the kill has left."""
        return (self.killed / "ib_logfile0").read_bytes()


def must(holds, otherwise):
    """Fails if something does not hold."""
    if not holds:
        raise Failure(otherwise)


def refused(why, reading, *arguments):
    """The decoder must not take this, and say why."""
    try:
        reading(*arguments)
    except Refused as error:
        must(why in str(error), f"refused, but not because of {why!r}: {error}")
    else:
        raise Failure(f"nothing was noticed: {why}")


def flipped(data, at):
    """A copy with the lowest bit of one byte flipped."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def every_row_is_in_the_pages_of_its_table(files):
    """Each of them in clear, and none in the file as it stands."""
    for table in TABLES:
        space = files.tablespace(table)
        must(space.encrypted, f"{table} is not encrypted")
        clear = b"".join(filter(None, map(space.page, range(len(space)))))
        must_hold_rows(table, clear)
        must(not ROW.search(space.data), f"{table} has rows in clear")
        must(max(map(space.key_version, range(len(space)))) > 1, f"no page of {table} has the new version")


def every_page_of_the_data_directory_opens(files):
    """Tables of the server and its own tablespaces as well; but the doublewrite buffer, which has pages of others."""
    encrypted = 0
    for path in [files.at_rest / "ibdata1", *sorted(files.at_rest.glob("undo*")), *sorted(files.at_rest.glob("*/*.ibd"))]:
        space = Tablespace(path, files.keys())
        for page in range(len(space)):
            if path.name != "ibdata1" or not 64 <= page < 192:
                encrypted += space.page(page) is not None and space.key_version(page) > 0
    must(encrypted > 100, f"only {encrypted} pages are encrypted")


def a_changed_page_and_a_wrong_key_are_noticed(files):
    """A change by the checksum, a wrong key by what a page has twice."""
    space, wrong = files.tablespace("with_key_3"), files.tablespace("with_key_3", files.other_keys())
    page = next(page for page in range(len(space)) if space.key_version(page))
    refused("was changed", space.decrypted, flipped(space.raw(page), 5000), page)
    refused("does not open", wrong.page, page)


def a_flipped_bit_does_what_the_ciphers_document_says(files):
    """Where the checksum is made anew, nothing need notice: no cipher of pages is authenticated."""
    space = files.tablespace("with_key_3")
    page = next(page for page in range(len(space)) if space.key_version(page))
    raw, before = space.raw(page), space.page(page)
    # The ciphertext begins at byte 26, and has 1,022 blocks and a tail of two bytes.
    begin, tail = 26 + 300 * 16, {26 + 1022 * 16, 26 + 1022 * 16 + 1}

    def what_differs(at):
        changed = flipped(raw, at)[:-4]
        after = space.decrypted(changed + crc32c(changed).to_bytes(4, "big"), page)
        differ = {byte for byte in range(len(raw)) if before[byte] != after[byte]} - set(range(len(raw) - 4, len(raw)))
        return differ, {byte for byte in differ if before[byte] ^ after[byte] == 1}

    cipher = files.store.algorithm
    differ, one_bit = what_differs(begin + 7)
    block = differ & {*range(begin, begin + 16)}
    must({"aes_ctr": differ == one_bit == {begin + 7},
          "aes_cbc": len(block) > 8 and differ - block == {begin + 23} <= one_bit,
          "aes_256_xts": len(block) > 8 and differ == block,
          "aes_256_hctr2": len(differ) > 16000}[cipher], f"a flipped bit at {begin + 7} changes the bytes {sorted(differ)}")
    at = min(tail)
    differ, one_bit = what_differs(at)
    must({"aes_ctr": differ == one_bit == {at}, "aes_cbc": differ == one_bit == {at},
          "aes_256_xts": differ and differ <= tail, "aes_256_hctr2": len(differ) > 16000}[cipher],
         f"a flipped bit of the tail at {at} changes the bytes {sorted(differ)}")


def every_row_is_in_the_pages_of_its_aria_table(files):
    """And those of its index open. Keys have there what they do not share with the one before, so the first are whole."""
    for table in ARIA_TABLES:
        space = files.aria_table(table)
        rows, index = b"".join(space.pages_of_rows()), b"".join(space.pages_of_index(table == "crash_safe"))
        must_hold_rows(table, rows)
        must(texts(table)[0] in index, f"the index of {table} has no keys in clear")
        # The index file may have some: the server fills up its pages with memory as it finds it.
        must(not ROW.search(space.rows), f"{table} has rows in clear")


def a_changed_aria_page_and_a_wrong_key_are_noticed(files):
    """Both by the checksum, which was made of the page in clear."""
    for table in ARIA_TABLES:
        space, wrong = files.aria_table(table), files.aria_table(table, files.other_keys())
        # Page 0 is a bitmap.
        space.rows = flipped(space.rows, aria.SIZE + 1000)
        for changed in (space, wrong):
            refused("page 1 was changed", list, changed.pages_of_rows())


def every_row_is_in_the_binary_logs(files):
    """In events whose checksums are right, under the key version that each file names."""
    clear, versions = [], set()
    for log in files.binary_logs():
        for _, event in events(log, files.keys()):
            clear.append(event)
            if event[4] == START_ENCRYPTION:
                versions.add(number(event, 20, 24))
        must(not ROW.search(log) and LAST.encode() not in log, "a binary log is in clear")
    for table in [*TABLES, *ARIA_TABLES]:
        must_hold_rows(table, b"".join(clear))
    must(LAST.encode() in b"".join(clear), f"{LAST!r} is in no event")
    must(len(versions) > 1, f"all binary logs have the key version {versions}")


def a_changed_event_and_a_wrong_key_are_noticed(files):
    """Both by the checksum, which was made of the event in clear."""
    log = files.binary_logs()[0]
    offsets = [at for at, _ in events(log, files.keys())]
    refused(f"the event at {offsets[3]} was changed", list, events(flipped(log, offsets[3] + 20), files.keys()))
    refused(f"the event at {offsets[2]} was changed", list, events(log, files.other_keys()))


def with_last_row(log):
    """What writes the last row: (LSN, space id) for each record that has its text."""
    return [(lsn, space) for lsn, records in log.mini_transactions()
            for space, _, _, body in redo.pages_changed(records) if LAST.encode() in body]


def the_last_row_is_in_the_redo_log(files):
    """Behind the checkpoint, in a record of a page of its table."""
    log, space = redo.Log(files.redo_log(), files.keys()), files.tablespace("with_key_3").space
    found = with_last_row(log)
    must(found and {each[1] for each in found} == {space}, f"{LAST!r} of space {space} is in these records: {found}")
    must(LAST.encode() not in log.data, "the redo log is in clear")
    records = log.decrypted(*log.mini_transaction(log.file_checkpoint)[:2])
    must((0xF0, b"\0\0" + log.checkpoint.to_bytes(8, "big")) in [(first & 0xF0, body) for first, body in records],
         "FILE_CHECKPOINT has another LSN than the checkpoint")


def a_changed_redo_log_ends_and_a_wrong_key_reads_nothing(files):
    """A change by the checksum, which is of the bytes in the file: so it tells nothing of the key."""
    data = files.redo_log()
    log, wrong = redo.Log(data, files.keys()), redo.Log(data, files.other_keys())
    lsn = with_last_row(log)[0][0]
    at = redo.BEGIN + (lsn + 40 - log.first) % log.capacity
    before = [each for each in log.mini_transactions() if each[0] < lsn]
    changed = redo.Log(flipped(data, at), files.keys())
    must(list(changed.mini_transactions()) == before, "the log does not end at the change")
    try:
        must(not with_last_row(wrong), "a wrong key reads the log")
    except Refused:
        # What it decrypts to is no records.
        pass


def a_changed_keystore_and_another_master_key_are_refused(files):
    """Each with its own reason."""
    text, master_keys = files.store.path.read_bytes(), files.master_keys()
    at = text.index(b'"created"', text.index(b'"id"')) + len('"created":"2')
    changed = flipped(text, at)
    refused("damaged", key_stores.read_keystore, changed, master_keys)
    refused("cut off", key_stores.read_keystore, text[:-1], master_keys)
    body = changed[:changed.rindex(b"checksum ")]
    mended = body + f"checksum {hashlib.sha256(body).hexdigest()}\n".encode()
    refused("changed by someone", key_stores.read_keystore, mended, master_keys)
    others = {version: flipped(key, 0) for version, key in master_keys.items()}
    refused("another master key", key_stores.read_keystore, text, others)


OF_KEYSTORES = [a_changed_keystore_and_another_master_key_are_refused]
ALL = [every_row_is_in_the_pages_of_its_table, every_page_of_the_data_directory_opens,
       a_changed_page_and_a_wrong_key_are_noticed, a_flipped_bit_does_what_the_ciphers_document_says,
       every_row_is_in_the_pages_of_its_aria_table, a_changed_aria_page_and_a_wrong_key_are_noticed,
       every_row_is_in_the_binary_logs, a_changed_event_and_a_wrong_key_are_noticed,
       the_last_row_is_in_the_redo_log, a_changed_redo_log_ends_and_a_wrong_key_reads_nothing, *OF_KEYSTORES]
