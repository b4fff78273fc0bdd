"""Pages of InnoDB tablespaces in the form full_crc32: docs/encrypted-files.md, "InnoDB tablespaces"."""

from ciphers import Refused
from crc32c import crc32c

MAGIC = bytes.fromhex("730E0C524574")
MIB = 1 << 20


def number(data, begin, end):
    """The big-endian number at these bytes."""
    return int.from_bytes(data[begin:end], "big")


class Tablespace:
    """A file of pages. Page 0 tells their size, and which key they are encrypted with."""

    def __init__(self, path, keys):
        self.data, self.keys = path.read_bytes(), keys
        self.space, flags = number(self.data, 34, 38), number(self.data, 54, 58)
        if not flags & 1 << 4 or flags >> 5 & 7:
            raise Refused(f"{path.name} has not the form full_crc32, or is page_compressed")
        self.size = 512 << (flags & 15)
        extent = max(64, MIB // self.size)
        at = 188 + (24 + extent // 4) * self.size // extent
        information = self.data[at:at + 33]
        self.encrypted = information[:7] == MAGIC + b"\1"
        self.scheme_iv, self.key_id = information[8:24], number(information, 28, 32)

    def __len__(self):
        return len(self.data) // self.size

    def raw(self, page):
        """A page as it stands in the file."""
        return self.data[page * self.size:(page + 1) * self.size]

    def key_version(self, page):
        """0: the page is in clear."""
        return number(self.raw(page), 0, 4)

    def page(self, page):
        """A page in clear, or None if it was never written. Fails if it was changed or the key is another one."""
        raw = self.raw(page)
        if raw == bytes(self.size):
            return None
        clear = self.decrypted(raw, page)
        # The IV has space id, page number and LSN, and what was encrypted has some of them again.
        if number(clear, 4, 8) != page or number(clear, 34, 38) != self.space or clear[-8:-4] != clear[20:24]:
            raise Refused(f"page {page} does not open: it is another one, or its key is")
        return clear

    def decrypted(self, raw, page):
        """The bytes of a page in clear, if nobody changed them as they stand in the file."""
        if crc32c(raw[:-4]) != number(raw, self.size - 4, self.size):
            raise Refused(f"page {page} was changed: its CRC-32C is wrong")
        version = number(raw, 0, 4)
        if not version:
            return raw
        name = self.key_id, version
        iv = self.space.to_bytes(4, "little") + page.to_bytes(4, "little") + raw[16:24][::-1]
        return raw[:26] + self.keys.decrypt(name, self.keys.handed_in(name, self.scheme_iv), iv, raw[26:-4]) + raw[-4:]
