"""Events of binary logs: docs/encrypted-files.md, "Binary and relay logs"."""

import zlib

from ciphers import Refused

FORMAT_DESCRIPTION, START_ENCRYPTION = 15, 164
HEADER = 19


def number(data, begin, end):
    """The little-endian number at these bytes."""
    return int.from_bytes(data[begin:end], "little")


def decrypted(event, at, keys, version, nonce):
    """One encrypted event in clear; `at` is its offset in the file."""
    size = event[9:13]
    message = event[4:9] + event[:4] + event[13:]
    clear = keys.decrypt((1, version), None, nonce + at.to_bytes(4, "little"), message)
    return clear[5:9] + clear[:5] + size + clear[9:]


def events(data, keys):
    """Each event as (offset, its bytes in clear). An event that a kill has cut off at the end of the file is left out."""
    if data[:4] != bytes.fromhex("FE62696E"):
        raise Refused("no binary log")
    at, encryption, checksums = 4, None, None
    while at + HEADER <= len(data):
        size = number(data, at + 9, at + 13)
        event = data[at:at + size]
        if size < HEADER:
            raise Refused(f"the event at {at} has an impossible length")
        if len(event) < size:
            return
        if encryption:
            event = decrypted(event, at, keys, *encryption)
        if at == 4:
            if event[4] != FORMAT_DESCRIPTION:
                raise Refused("the first event is no format description")
            checksums = event[-5]
        # The first event's checksum is that of a closed file: bit 0 of its flags is not in it.
        summed = event[:17] + bytes([event[17] & 0xFE]) + event[18:-4] if at == 4 else event[:-4]
        if checksums and zlib.crc32(summed) != number(event, size - 4, size):
            raise Refused(f"the event at {at} was changed, or the key is another one: its CRC-32 is wrong")
        if event[4] == START_ENCRYPTION:
            encryption = number(event, 20, 24), event[24:36]
        yield at, event
        at += size
