"""The ciphers, as docs/ciphers.md has them: how the server's pages and logs are decrypted, and GCM for wrapped keys."""

import hmac

import aes
import hctr2
from arithmetic import product, xor

BLOCK = aes.BLOCK


class Refused(Exception):
    """What a reader must not take: a wrong tag, or keys and IVs of impossible lengths."""


def hkdf(key, salt, info, length):
    """HKDF-SHA256, RFC 5869."""
    extracted, block, output = hmac.digest(salt, key, "sha256"), b"", b""
    while len(output) < length:
        block = hmac.digest(extracted, block + info + bytes([len(output) // 32 + 1]), "sha256")
        output += block
    return output[:length]


def derived(data_key, name, salt, label, length):
    """Keys of keyroll's own ciphers: they come from the data key itself, and what the server passes is the salt."""
    if len(data_key) != 32:
        raise Refused("this cipher has data keys of 256 bits")
    return hkdf(data_key, salt, label + b"".join(number.to_bytes(4, "big") for number in name), length)


def decrypt(algorithm, data_key, name, handed_in, iv, ciphertext, first_update=None):
    """A message without padding. `name` is the data key's id and version; `handed_in` what the server passes as the key.

    `first_update` is how many bytes the server passes first: all, unless it is told.
    """
    if len(iv) != BLOCK or len(handed_in) not in (16, 24, 32):
        raise Refused("an IV has 16 bytes, the key that the server passes has 16, 24 or 32")
    first_update = len(ciphertext) if first_update is None else first_update
    if algorithm == "aes_cbc":
        return aes_cbc(handed_in, iv, ciphertext)
    if algorithm == "aes_ctr":
        return aes_ctr(handed_in, iv, ciphertext)
    if algorithm == "aes_256_xts":
        return xts(derived(data_key, name, handed_in, b"keyroll aes-256-xts v1", 64), iv, ciphertext)
    if len(handed_in) == 16 and (first_update > 256 or first_update > 16 and first_update % BLOCK):
        return hctr2.decrypt(derived(data_key, name, handed_in, b"keyroll aes-256-hctr2 v1", 32), iv, ciphertext)
    return xts(derived(data_key, name, handed_in, b"keyroll aes-256-hctr2 xts v1", 64), iv, ciphertext)


def padded(algorithm, data_key, name, handed_in, iv, ciphertext):
    """A message with padding, of keyroll's own ciphers."""
    if len(iv) != BLOCK or len(handed_in) not in (16, 24, 32):
        raise Refused("an IV has 16 bytes, the key that the server passes has 16, 24 or 32")
    label = {"aes_256_xts": b"keyroll aes-256-xts gcm v1", "aes_256_hctr2": b"keyroll aes-256-hctr2 gcm v1"}[algorithm]
    return gcm(derived(data_key, name, handed_in, label, 32), iv[:12], iv[12:], ciphertext)


def aes_cbc(key, iv, ciphertext):
    """CBC of the whole blocks; the rest is masked with AES of the IV."""
    whole = len(ciphertext) - len(ciphertext) % BLOCK
    blocks, tail = ciphertext[:whole], ciphertext[whole:]
    return xor(aes.decrypt(key, blocks), iv + blocks) + xor(tail, aes.encrypt(key, iv))


def aes_ctr(key, iv, ciphertext):
    """The counter is the IV as a big-endian number, one more with each block."""
    first = int.from_bytes(iv, "big")
    count = -(-len(ciphertext) // BLOCK)
    counters = b"".join(((first + number) % 2**128).to_bytes(BLOCK, "big") for number in range(count))
    return xor(ciphertext, aes.encrypt(key, counters))


def reduced(polynomial):
    """Modulo x^128 + x^7 + x^2 + x + 1, as 16 bytes."""
    while polynomial >> 128:
        polynomial = polynomial & (1 << 128) - 1 ^ product(polynomial >> 128, 0x87)
    return polynomial.to_bytes(BLOCK, "little")


def xts(keys, iv, ciphertext):
    """XTS of the whole blocks, under K1 and K2; then the tail."""
    whole = len(ciphertext) - len(ciphertext) % BLOCK
    blocks, tail = ciphertext[:whole], ciphertext[whole:]
    tweaks = [aes.encrypt(keys[32:], iv)]
    while len(tweaks) * BLOCK <= whole:
        tweaks.append(reduced(int.from_bytes(tweaks[-1], "little") << 1))
    mask = b"".join(tweaks[:-1])
    clear = xor(aes.decrypt(keys[:32], xor(blocks, mask)), mask)
    return clear + (xts_tail(keys[:32], blocks, tweaks[-1], tail) if tail else b"")


def xts_tail(key, blocks, tweak, tail):
    """Decrypts the last 1 to 15 bytes, behind whole blocks of ciphertext: a Feistel network with halves of 4 bits a byte."""
    size, last = len(tail), blocks[-BLOCK:] or bytes(BLOCK)
    multiples = [reduced(product(int.from_bytes(tweak, "little"), 64 * number + 4 * size + 1)) for number in range(5)]
    stream = aes.encrypt(key, b"".join(xor(last, multiple) for multiple in multiples))
    half = (1 << 4 * size) - 1
    if len(blocks) < 16 * BLOCK:
        rounds, whitening = {1: 20, 2: 12}.get(size, 10), 0

        def function(step, value):
            block = xor(stream[:BLOCK], (value | step << 64).to_bytes(BLOCK, "little"))
            return int.from_bytes(aes.encrypt(key, block), "little") & half
    else:
        whitening, *factors = (int.from_bytes(stream[at:at + size], "little") for at in range(0, 5 * size, size))
        rounds = len(factors)

        def function(step, value):
            return product(factors[step], value) >> 4 * size - 1 & half

    number = int.from_bytes(tail, "little")
    low, high = number & half, number >> 4 * size
    for step in reversed(range(rounds)):
        low, high = high ^ function(step, low), low
    return ((low | high << 4 * size) ^ whitening).to_bytes(size, "little")


def gcm(key, nonce, additional, sealed):
    """Decrypts AES-GCM with a nonce of 12 bytes, NIST SP 800-38D; `sealed` ends with the tag of 16 bytes."""
    if len(sealed) < BLOCK:
        raise Refused("there is no tag")
    ciphertext, tag = sealed[:-BLOCK], sealed[-BLOCK:]
    # Bits count from the left there, so the numbers are big-endian and x is a shift to the right.
    hash_key = int.from_bytes(aes.encrypt(key, bytes(BLOCK)), "big")
    lengths = (8 * len(additional)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    hashed = 0
    for part in (additional, ciphertext, lengths):
        for at in range(0, len(part), BLOCK):
            hashed ^= int.from_bytes(part[at:at + BLOCK].ljust(BLOCK, b"\0"), "big")
            factor, product = hashed, 0
            for bit in range(127, -1, -1):
                if hash_key >> bit & 1:
                    product ^= factor
                factor = factor >> 1 ^ (0xE1 << 120 if factor & 1 else 0)
            hashed = product
    first = nonce + (1).to_bytes(4, "big")
    if not hmac.compare_digest(xor(hashed.to_bytes(BLOCK, "big"), aes.encrypt(key, first)), tag):
        raise Refused("the tag is wrong: other key, additional data or ciphertext")
    return aes_ctr(key, nonce + (2).to_bytes(4, "big"), ciphertext)
