"""CRC-32C (Castagnoli): as in iSCSI, reflected, begun and ended with all ones."""


def _row(byte):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


TABLE = [_row(byte) for byte in range(256)]


def crc32c(data):
    """Of these bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
