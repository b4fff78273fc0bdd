"""A connection to a MariaDB server: as much of its client protocol as the soak needs, over a Unix socket.

Its own, and not a library's, because the soak has to know at which moment a statement was on its way, must see a
killed server at once, and shall run wherever Python does.
The protocol: https://mariadb.com/kb/en/clientserver-protocol/
"""

import socket
import struct

# CLIENT_FOUND_ROWS (an UPDATE counts the rows that it found), CLIENT_PROTOCOL_41, CLIENT_TRANSACTIONS,
# CLIENT_SECURE_CONNECTION, CLIENT_PLUGIN_AUTH.
CAPABILITIES = 0x2 | 0x200 | 0x2000 | 0x8000 | 0x80000
UTF8MB4 = 45
LONGEST_PACKET = 0xFFFFFF


class ConnectionLost(Exception):
    """The server is gone; a statement that had been sent may have been executed or not."""


class StatementFailed(Exception):
    """The server refused a statement. `code` is the server's error number."""

    def __init__(self, code, text, statement):
        super().__init__(f"error {code}: {text}; the statement was: {statement[:300]}")
        self.code = code


class Connection:
    """One connection of root without a password. `timeout` is in seconds, for each read and write."""

    def __init__(self, path, timeout=60):
        self.statement = "(connecting)"
        self.affected = 0
        self.stream = None
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(str(path))
            self.stream = self.socket.makefile("rb")
            self._log_in()
        except OSError as error:
            self.close()
            raise ConnectionLost(str(error)) from None
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the connection without a word."""
        if self.stream:
            self.stream.close()
        self.socket.close()

    def query(self, statement):
        """Executes one statement and returns its rows as lists of text; None is NULL."""
        self.send(statement)
        return self.receive()

    def send(self, statement):
        """Puts a statement on its way."""
        self.statement = statement
        self._write(0, b"\x03" + statement.encode())

    def receive(self):
        """Waits for the end of the statement that was sent; see `query`."""
        first = self._checked()
        if first[0] == 0:
            self.affected, _ = number(first, 1)
            return []
        columns, _ = number(first, 0)
        for _ in range(columns):
            self._read()
        self._read()
        rows = []
        while True:
            packet = self._checked()
            if packet[0] == 0xFE and len(packet) < 9:
                return rows
            row, at = [], 0
            while at < len(packet):
                length, at = number(packet, at)
                if length is None:
                    row.append(None)
                else:
                    row.append(packet[at:at + length].decode())
                    at += length
            rows.append(row)

    def _log_in(self):
        self._checked()
        self._write(1, struct.pack("<IIB23x", CAPABILITIES, 1 << 24, UTF8MB4)
                    + b"root\0" + b"\0" + b"mysql_native_password\0")
        if self._checked()[0] != 0:
            raise StatementFailed(0, "the server wants more than the name root", "(connecting)")

    def _write(self, sequence, payload):
        try:
            self.socket.sendall(struct.pack("<I", len(payload))[:3] + bytes([sequence]) + payload)
        except OSError as error:
            raise ConnectionLost(str(error)) from None

    def _read(self):
        try:
            header = self.stream.read(4)
            length = int.from_bytes(header[:3], "little")
            packet = self.stream.read(length) if len(header) == 4 else b""
        except TimeoutError:
            raise StatementFailed(0, "no answer in time", self.statement) from None
        except OSError as error:
            raise ConnectionLost(str(error)) from None
        if len(header) < 4 or len(packet) < length:
            raise ConnectionLost("the server is gone")
        if length == LONGEST_PACKET:
            raise StatementFailed(0, "an answer of more than 16 MB", self.statement)
        return packet

    def _checked(self):
        packet = self._read()
        if packet[0] == 0xFF:
            code = int.from_bytes(packet[1:3], "little")
            raise StatementFailed(code, packet[3:].decode(errors="replace"), self.statement)
        return packet


def number(packet, at):
    """A length-encoded integer (None for NULL) and where the next thing begins."""
    first = packet[at]
    if first < 0xFB:
        return first, at + 1
    if first == 0xFB:
        return None, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(packet[at + 1:at + 1 + size], "little"), at + 1 + size
