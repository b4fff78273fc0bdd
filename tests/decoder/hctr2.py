"""HCTR2, a wide-block mode, as docs/ciphers.md has it of aes_256_hctr2: every byte of a message depends on every other."""

import functools

import aes
from aes import BLOCK
from arithmetic import product, xor

# x^128 + x^127 + x^126 + x^121 + 1, and the inverse of x^128 modulo it: RFC 8452, section 3.
POLYNOMIAL = 1 << 128 | 1 << 127 | 1 << 126 | 1 << 121 | 1
INVERSE = 1 << 127 | 1 << 124 | 1 << 121 | 1 << 114 | 1


def reduced(polynomial):
    """Modulo that polynomial."""
    while (above := polynomial.bit_length() - 129) >= 0:
        polynomial ^= POLYNOMIAL << above
    return polynomial


@functools.lru_cache(maxsize=16)
def multiples(key):
    """For each byte of a block and each of its values, the product of it with the key and x^-128."""
    factor = reduced(product(int.from_bytes(key, "little"), INVERSE))
    bits = [reduced(factor << bit) for bit in range(8 * BLOCK)]
    tables = []
    for byte in range(BLOCK):
        table = [0]
        for bit in bits[8 * byte:8 * byte + 8]:
            table += [value ^ bit for value in table]
        tables.append(table)
    return tables


def polyval(key, blocks):
    """Of whole blocks."""
    tables, total = multiples(key), 0
    for at in range(0, len(blocks), BLOCK):
        total ^= int.from_bytes(blocks[at:at + BLOCK], "little")
        total = functools.reduce(int.__xor__, map(list.__getitem__, tables, total.to_bytes(BLOCK, "little")))
    return total.to_bytes(BLOCK, "little")


def number_block(number):
    """A number as a block."""
    return number.to_bytes(BLOCK, "little")


def decrypt(key, iv, ciphertext):
    """A message of 17 bytes or more."""
    hash_key, masking = aes.encrypt(key, number_block(0)), aes.encrypt(key, number_block(1))

    def hashed(text):
        if len(text) % BLOCK == 0:
            return polyval(hash_key, number_block(258) + iv + text)
        return polyval(hash_key, number_block(259) + iv + text + b"\1" + bytes(-(len(text) + 1) % BLOCK))

    first, rest = ciphertext[:BLOCK], ciphertext[BLOCK:]
    encrypted = xor(first, hashed(rest))
    masked = aes.decrypt(key, encrypted)
    start = xor(xor(masked, encrypted), masking)
    counters = b"".join(xor(start, number_block(count)) for count in range(1, -(-len(rest) // BLOCK) + 1))
    clear = xor(rest, aes.encrypt(key, counters))
    return xor(masked, hashed(clear)) + clear
