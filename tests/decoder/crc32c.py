"""CRC-32C (Castagnoli): as in iSCSI, reflected, begun and ended with all ones."""

import struct


def _row(crc, bits):
    for _ in range(bits):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


# Two bytes at once, which is half of the time.
TABLE = [_row(pair, 16) for pair in range(1 << 16)]


def crc32c(data):
    """Of these bytes."""
    crc = 0xFFFFFFFF
    for pair in struct.unpack(f"<{len(data) // 2}H", data[:len(data) // 2 * 2]):
        crc = crc >> 16 ^ TABLE[(crc ^ pair) & 0xFFFF]
    if len(data) % 2:
        crc = crc >> 8 ^ _row((crc ^ data[-1]) & 0xFF, 8)
    return crc ^ 0xFFFFFFFF
