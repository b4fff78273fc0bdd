"""Records of the redo log, from MariaDB 10.8 on, in its new form: docs/encrypted-files.md, "Redo log, from 10.8 on"."""

from ciphers import Refused
from crc32c import crc32c

ENCRYPTED = bytes.fromhex("F09F979D")
BEGIN = 12288


def number(data, begin, end):
    """The big-endian number at these bytes."""
    return int.from_bytes(data[begin:end], "big")


def variable(data, at):
    """A number of variable length: (value, how many bytes it takes)."""
    first = data[at] if at < len(data) else 0xFF
    if first > 0xF0:
        raise Refused("no number begins here")
    length = next((count for count, bound in enumerate((0x80, 0xC0, 0xE0, 0xF0), 1) if first < bound), 5)
    least = (0, 128, 16512, 2113664, 270549120)[length - 1]
    return least + (number(data, at, at + length) & (1 << 7 * length if length < 5 else 1 << 32) - 1), length


class Log:
    """A log file. `checkpoint` is the LSN where recovery begins to read, `file_checkpoint` that of the record of it."""

    def __init__(self, data, keys):
        self.data, self.keys = data, keys
        if data[:4] != ENCRYPTED or crc32c(data[:508]) != number(data, 508, 512):
            raise Refused("no encrypted redo log in the new form")
        self.first, self.capacity = number(data, 8, 16), len(data) - BEGIN
        self.name = number(data, 48, 52), number(data, 52, 56)
        self.key = keys.handed_in(self.name, data[56:72])
        blocks = [data[at:at + 64] for at in (4096, 8192)]
        self.checkpoint, self.file_checkpoint = max((number(block, 0, 8), number(block, 8, 16)) for block in blocks
                                                    if crc32c(block[:60]) == number(block, 60, 64))

    def read(self, lsn, length):
        """Bytes of the ring."""
        at = (lsn - self.first) % self.capacity
        part = self.data[BEGIN + at:BEGIN + min(at + length, self.capacity)]
        return part + self.data[BEGIN:BEGIN + length - len(part)]

    def mini_transactions(self):
        """From the checkpoint on: (LSN, records in clear), a record being its first byte and what follows the length."""
        lsn = self.checkpoint
        while found := self.mini_transaction(lsn):
            records, nonce, behind = found
            yield lsn, self.decrypted(records, nonce)
            lsn = behind

    def mini_transaction(self, lsn):
        """At an LSN: the records as they are in the file, (in clear, encrypted), the nonce, the LSN behind; None at the end."""
        at, records = lsn, []
        while (first := self.read(at, 1)[0]) > 1:
            head, length = self.read(at, 1), first & 15
            if not length:
                value, taken = variable(self.read(at + 1, 5), 0)
                head, length = self.read(at, 1 + taken), value + 15 - taken
            if at + length - lsn > self.capacity:
                return None
            records.append((head, self.read(at + len(head), length)))
            at += len(head) + length
        nonce, checksum = self.read(at + 1, 8), self.read(at + 9, 4)
        round_is_even = (at - self.first) // self.capacity % 2 == 0
        summed = b"".join(head + body for head, body in records) + nonce
        if not records or first != round_is_even or crc32c(summed) != number(checksum, 0, 4):
            return None
        return records, nonce, at + 13

    def decrypted(self, records, nonce):
        """What is encrypted of all records is one message."""
        iv = (nonce + records[0][0]).ljust(16, b"\0")
        message = b"".join(body for _, body in records)
        # The server passes up to 256 bytes of whole blocks at once.
        first_update = min(256, len(message) - len(message) % 16) or len(message)
        clear = self.keys.decrypt(self.name, self.key, iv, message, first_update)
        result, at = [], 0
        for head, body in records:
            result.append((head[0], clear[at:at + len(body)]))
            at += len(body)
        return result


def pages_changed(records):
    """The records of pages among those of one mini-transaction: (space id, page number, type, what follows)."""
    page = None
    for first, body in records:
        if first & 0x80 and page is None:
            # It is of a file.
            continue
        if not first & 0x80:
            (space, taken), page = variable(body, 0), None
            page_number, more = variable(body, taken)
            page, body = (space, page_number), body[taken + more:]
        yield *page, first >> 4 & 7, body
