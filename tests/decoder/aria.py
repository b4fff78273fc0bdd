"""Pages of Aria tables: docs/encrypted-files.md, "Aria"."""

import zlib

from ciphers import Refused

# The default of aria_block_size. Page 0 of the rows is a bitmap of the pages up to the next one.
SIZE = 8192
BITMAPS = (SIZE - 4) // 6 * 16 + 1
HEAD, TAIL, BLOB = 1, 2, 3
NO_CHECKSUM = 0xFFFFFFFE


def number(data, begin, end):
    """The little-endian number at these bytes."""
    return int.from_bytes(data[begin:end], "little")


class Table:
    """The two files of a table, encrypted with key 1. The header of the index file tells what the key is made of."""

    def __init__(self, index, rows, keys):
        self.index, self.rows, self.keys = index.read_bytes(), rows.read_bytes(), keys
        if self.index[:3] != bytes.fromhex("FEFE09"):
            raise Refused(f"{index.name} is no index of Aria")
        self.header = int.from_bytes(self.index[6:8], "big")
        information = self.index[self.header - 22:self.header]
        if information[:2] != bytes([1, 20]):
            raise Refused(f"{index.name} is not encrypted")
        self.number, self.scheme_iv = information[2:6], information[6:]

    def pages_of_rows(self):
        """Each page of rows and blobs in clear, if it is used."""
        for page in range(len(self.rows) // SIZE):
            if page % BITMAPS == 0:
                continue
            raw = self.rows[page * SIZE:(page + 1) * SIZE]
            version = {HEAD: 12, TAIL: 12, BLOB: 8}.get(raw[7] & 7)
            if version:
                yield self.opened(raw, page, version, version + 4, SIZE - 4)

    def pages_of_index(self, transactional):
        """Each page of the index in clear."""
        version, used = (13, 19) if transactional else (7, 13)
        for page in range(-(-self.header // SIZE), len(self.index) // SIZE):
            raw = self.index[page * SIZE:(page + 1) * SIZE]
            end = int.from_bytes(raw[used:used + 2], "big")
            if end:
                yield self.opened(raw, page, version, used + 2, end)

    def opened(self, raw, page, version, begin, end):
        """Decrypts a page from `begin` to `end`, and checks what is before `end`. The key version is at `version`."""
        name = 1, number(raw, version, version + 4)
        clear = raw
        if name[1]:
            lsn = number(raw, 0, 3) << 32 | number(raw, 3, 7)
            iv = self.number + page.to_bytes(4, "little") + lsn.to_bytes(8, "little")
            message = self.keys.decrypt(name, self.keys.handed_in(name, self.scheme_iv), iv, raw[begin:end])
            clear = raw[:begin] + message + raw[end:]
        checksum = number(raw, SIZE - 4, SIZE)
        without_version = clear[:version] + bytes(4) + clear[version + 4:end]
        if checksum < NO_CHECKSUM and zlib.crc32(without_version, page) != checksum:
            raise Refused(f"page {page} was changed, or the key is another one: its CRC-32 is wrong")
        return clear
