"""InnoDB's encrypted redo log as it lies on the disk (MariaDB 10.8 and later): its header, its records, its checksums."""

import struct
from dataclasses import dataclass

FORMAT, CREATOR_END, HEADER_CHECKSUM = 0xF09F979D, 48, 508
CHECKPOINTS, START = (4096, 8192), 12288
KEY_ID, MESSAGE = CREATOR_END, CREATOR_END + 8
# The record that a checkpoint leaves: its type and length, which stand in clear, and 10 bytes that are encrypted.
FILE_CHECKPOINT = 0xFA
POLYNOMIAL = 0x82F63B78


def _table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
        yield byte


TABLE = list(_table())


def crc32c(data):
    """CRC-32C of the bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


@dataclass
class MiniTransaction:
    """A group of records: one message of the cipher. `begin` counts from the start of the ring, `iv` and `cipher` are the message's."""

    begin: int
    size: int
    iv: bytes
    cipher: bytes


class RedoLog:
    """The bytes of ib_logfile0 of a server that was stopped, to be read and changed."""

    def __init__(self, path):
        self.path, self.content = path, bytearray(path.read_bytes())
        if self._number(0, 4) != FORMAT:
            raise ValueError(f"{path} is no encrypted redo log of MariaDB 10.8 or later")
        self.first_lsn = self._number(8, 8)
        # Twice, so that what runs over the end goes on.
        self.ring = bytes(self.content[START:]) * 2

    def _number(self, at, length):
        return int.from_bytes(self.content[at:at + length], "big")

    def checkpoint(self):
        """The LSN of the last checkpoint, and that of the record which it left."""
        return max((self._number(at, 8), self._number(at + 8, 8)) for at in CHECKPOINTS)

    def message(self):
        """The 16 bytes whose encryption under the data key is the redo log's key."""
        return bytes(self.content[MESSAGE:MESSAGE + 16])

    def key_version(self):
        """The version of the data key."""
        return self._number(KEY_ID + 4, 4)

    def mini_transactions(self, lsn):
        """All that follow from this LSN on."""
        capacity = len(self.content) - START
        begin = (lsn - self.first_lsn) % capacity
        sequence = 1 - (lsn - self.first_lsn) // capacity % 2
        while group := self._at(begin, sequence):
            yield group
            begin += group.size

    def _at(self, begin, sequence):
        """The group that begins there, or None behind the last one."""
        ring, at, cipher, types = self.ring, begin, [], b""
        while ring[at] > 1:
            body = at + 1
            if not (length := ring[at] & 15):
                number, digits = _varint(ring, body)
                body, length = body + digits, number + 15 - digits
            types = types or ring[at:body]
            cipher.append(ring[body:body + length])
            at = body + length
        # One byte that tells one lap of the ring from the next, the nonce, and a checksum of all but that byte.
        records, nonce = ring[begin:at], ring[at + 1:at + 9]
        if not records or ring[at] != sequence or crc32c(records + nonce) != int.from_bytes(ring[at + 9:at + 13], "big"):
            return None
        return MiniTransaction(begin, at + 13 - begin, (nonce + types).ljust(16, b"\0"), b"".join(cipher))

    def with_checkpoint(self, message, encrypt, version=None):
        """Writes the file anew with another message (and version of the data key), and the record of its checkpoint encrypted
        by `encrypt(iv, plaintext)`, both checksums mended. The server must have been stopped in good order: no other record
        counts then."""
        lsn, record_lsn = self.checkpoint()
        first, *rest = self.mini_transactions(record_lsn)
        if rest or lsn != record_lsn or first.size != 24 or self.ring[first.begin] != FILE_CHECKPOINT:
            raise ValueError(f"{self.path} is not that of a server which was stopped in good order")
        content = bytearray(self.content)
        content[MESSAGE:MESSAGE + 16] = message
        if version:
            struct.pack_into(">I", content, KEY_ID + 4, version)
        struct.pack_into(">I", content, HEADER_CHECKSUM, crc32c(content[:HEADER_CHECKSUM]))
        record = bytes([FILE_CHECKPOINT]) + encrypt(first.iv, bytes(2) + lsn.to_bytes(8, "big"))
        nonce = self.ring[first.begin + 12:first.begin + 20]
        content[START + first.begin:START + first.begin + 11] = record
        struct.pack_into(">I", content, START + first.begin + 20, crc32c(record + nonce))
        self.path.write_bytes(content)


def _varint(data, at):
    """A number as InnoDB writes it, and how many bytes it takes."""
    first, least = data[at], 0
    for digits, (limit, bits) in enumerate(((0x80, 7), (0xC0, 14), (0xE0, 21), (0xF0, 28)), 1):
        if first < limit:
            return (int.from_bytes(data[at:at + digits], "big") & (1 << bits) - 1) + least, digits
        least += 1 << bits
    return int.from_bytes(data[at + 1:at + 5], "big"), 5
