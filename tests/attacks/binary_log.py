"""An encrypted binary log as it lies on the disk: what anyone can read of it without a key."""

from dataclasses import dataclass

MAGIC = b"\xfebin"
FORMAT_DESCRIPTION, START_ENCRYPTION = 15, 164
HEADER = 19
CHECKSUM = 4


@dataclass
class Event:
    """An encrypted event: where it begins, its IV, and its ciphertext in the order in which it was encrypted.

    The first four bytes of an event take the place of its length before it is encrypted, and the length stands there in
    clear afterwards: what is encrypted are all bytes from the fifth on, and four of the ciphertext stand at the start.
    """

    offset: int
    iv: bytes
    cipher: bytes
    length: bytes

    def on_disk(self):
        """The bytes of the file."""
        return self.cipher[5:9] + self.cipher[:5] + self.length + self.cipher[9:]


def events(path):
    """The events of a file that are encrypted."""
    content = path.read_bytes()
    if content[:4] != MAGIC:
        raise ValueError(f"{path} is no binary log")
    at, nonce, found = 4, None, []
    while at + HEADER <= len(content):
        length = int.from_bytes(content[at + 9:at + 13], "little")
        event = content[at:at + length]
        if nonce is None:
            if event[4] == START_ENCRYPTION:
                nonce = event[HEADER + 5:HEADER + 17]
            elif event[4] != FORMAT_DESCRIPTION:
                raise ValueError(f"{path} is not encrypted")
        else:
            iv = nonce + (at % (1 << 32)).to_bytes(4, "little")
            found.append(Event(at, iv, event[4:9] + event[:4] + event[13:], event[9:13]))
        at += length
    return found


def replace(path, event):
    """Writes a changed event over the one in the file."""
    with open(path, "r+b") as file:
        file.seek(event.offset)
        file.write(event.on_disk())
