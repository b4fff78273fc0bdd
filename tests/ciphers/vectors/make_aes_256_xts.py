#!/usr/bin/env python3
"""Makes aes_256_xts.json, the test vectors of the algorithm aes_256_xts (docs/ciphers.md).

    pip install cryptography
    python3 tests/ciphers/vectors/make_aes_256_xts.py > tests/ciphers/vectors/aes_256_xts.json

It shares no code with keyroll: HKDF, AES-ECB and AES-GCM come from Python's `cryptography` (OpenSSL). Whole
blocks are made from AES-ECB by the formula and checked against the same package's XTS; tails are plain arithmetic
on Python's integers, and every one is decrypted again here.
"""

import hashlib
import json
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LENGTHS = [0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 512]
LONG_LENGTHS = [4096, 16354]
# Tails of every length behind so many blocks: few and many, on both sides of the 256 bytes that make a message long.
TAILS_BEHIND = [0, 1, 15, 16, 17, 100]
XTS_LABEL = b"keyroll aes-256-xts v1"
GCM_LABEL = b"keyroll aes-256-xts gcm v1"


def plaintext(length):
    return bytes(i % 251 for i in range(length))


def random(name, length):
    """Bytes that look random and are the same in every run."""
    return hashlib.shake_256(name.encode()).digest(length)


def be32(number):
    return number.to_bytes(4, "big")


def derive(case, label, length):
    info = label + be32(case["key_id"]) + be32(case["key_version"])
    return HKDF(hashes.SHA256(), length, case["salt"], info).derive(case["data_key"])


def aes(key, block):
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def double(tweak):
    number = int.from_bytes(tweak, "little") << 1
    if number >> 128:
        number ^= (1 << 128) | 0x87
    return number.to_bytes(16, "little")


def carryless(a, b):
    """The product of two polynomials over GF(2): bit i is the coefficient of x^i."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a, b = a << 1, b >> 1
    return product


def tail_permutation(k1, tweak, before, blocks, n):
    """Both directions of the permutation of n bytes behind so many blocks."""
    size = 1 << 4 * n  # the values of a half

    def z(k):
        polynomial, multiple = 64 * k + 4 * n + 1, bytes(16)
        for coefficient in f"{polynomial:b}":
            multiple = double(multiple)
            if coefficient == "1":
                multiple = xor(multiple, tweak)
        return int.from_bytes(aes(k1, xor(before, multiple)), "little")

    if blocks < 16:
        rounds, whitening = {1: 20, 2: 12}.get(n, 10), 0
        z0 = z(0)

        def f(i, s):
            block = (z0 ^ s ^ i << 64).to_bytes(16, "little")
            return int.from_bytes(aes(k1, block), "little") % size
    else:
        stream = b"".join(z(k).to_bytes(16, "little") for k in range(5))
        whitening, *keys = (int.from_bytes(stream[n * at : n * (at + 1)], "little") for at in range(5))
        rounds = len(keys)

        def f(i, s):
            return (carryless(keys[i], s) >> (4 * n - 1)) % size

    def encrypt(tail):
        high, low = divmod(int.from_bytes(tail, "little") ^ whitening, size)
        for i in range(rounds):
            low, high = high, low ^ f(i, high)
        return (high * size + low).to_bytes(n, "little")

    def decrypt(tail):
        high, low = divmod(int.from_bytes(tail, "little"), size)
        for i in reversed(range(rounds)):
            low, high = high ^ f(i, low), low
        return ((high * size + low) ^ whitening).to_bytes(n, "little")

    return encrypt, decrypt


def xts(case, message, label=XTS_LABEL):
    keys = derive(case, label, 64)
    k1, k2 = keys[:32], keys[32:]
    tweak, before, out = aes(k2, case["iv"]), bytes(16), b""
    whole = len(message) // 16 * 16
    for at in range(0, whole, 16):
        before = xor(aes(k1, xor(message[at : at + 16], tweak)), tweak)
        out += before
        tweak = double(tweak)
    if whole:
        encryptor = Cipher(algorithms.AES(keys), modes.XTS(case["iv"])).encryptor()
        assert out == encryptor.update(message[:whole]) + encryptor.finalize()
    if len(message) > whole:
        encrypt, decrypt = tail_permutation(k1, tweak, before, whole // 16, len(message) - whole)
        tail = encrypt(message[whole:])
        assert decrypt(tail) == message[whole:]
        out += tail
    return out


def gcm(case, message, label=GCM_LABEL, aad=True):
    key, iv = derive(case, label, 32), case["iv"]
    return AESGCM(key).encrypt(iv[:12], message, iv[12:] if aad else None)


def shown(case):
    return {k: v.hex() if isinstance(v, bytes) else v for k, v in case.items()}


def case_of(name, salt_length=16):
    names = {16: (1, 1), 24: (2, 3), 32: (0xFFFFFFFF, 0xFFFFFFFE)}
    key_id, key_version = names[salt_length]
    return {
        "key_id": key_id,
        "key_version": key_version,
        "data_key": random(f"data key {salt_length}", 32),
        "salt": random(f"salt {salt_length}", salt_length),
        "iv": random(f"iv {name}", 16),
    }


def accepted():
    for salt_length in (16, 24, 32):
        lengths = LENGTHS + (LONG_LENGTHS if salt_length == 16 else [])
        for length in lengths:
            case = case_of(f"{salt_length} {length}", salt_length)
            message = plaintext(length)
            yield case | {"padded": False, "length": length, "ciphertext": xts(case, message)}
            if length not in LONG_LENGTHS:
                yield case | {"padded": True, "length": length, "ciphertext": gcm(case, message)}
    for blocks in TAILS_BEHIND:
        for n in range(1, 16):
            length = 16 * blocks + n
            case = case_of(f"tail {length}")
            yield case | {"padded": False, "length": length, "ciphertext": xts(case, plaintext(length))}
    # The overflow of the tweak, the salt that is all zero, the keys that HMAC cannot tell from it.
    for salt_length in (16, 24, 32):
        case = case_of("zero salt") | {"salt": bytes(salt_length)}
        yield case | {"padded": False, "length": 33, "ciphertext": xts(case, plaintext(33))}


def flipped(data, byte, bit=0x01):
    return data[:byte] + bytes([data[byte] ^ bit]) + data[byte + 1 :]


def refused_ciphertexts():
    """Padded messages: without padding every ciphertext decrypts to something."""
    case = case_of("refused")
    good = gcm(case, plaintext(21))
    iv, other = case["iv"], lambda **changed: case | changed

    yield "the first bit of the ciphertext is flipped", case, flipped(good, 0, 0x80)
    yield "the last bit of the ciphertext is flipped", case, flipped(good, 20)
    yield "the first bit of the tag is flipped", case, flipped(good, 21, 0x80)
    yield "the last bit of the tag is flipped", case, flipped(good, 36)
    yield "the last byte is cut", case, good[:-1]
    yield "the tag is cut", case, good[:21]
    yield "the first byte is cut", case, good[1:]
    yield "there is one byte less than a tag", case, good[:15]
    yield "there is nothing", case, b""
    yield "a byte is appended", case, good + b"\0"
    yield "the tag stands before the ciphertext", case, good[21:] + good[:21]
    yield "the nonce differs", other(iv=flipped(iv, 11)), good
    yield "the additional data differs", other(iv=flipped(iv, 15)), good
    yield "the additional data was left out", case, gcm(case, plaintext(21), aad=False)
    yield "the key id differs", other(key_id=2), good
    yield "the key version differs", other(key_version=2), good
    swapped = other(key_id=2, key_version=3)
    yield "key id and key version are swapped", other(key_id=3, key_version=2), gcm(swapped, plaintext(21))
    yield "the salt differs", other(salt=flipped(case["salt"], 15)), good
    yield "the data key differs", other(data_key=flipped(case["data_key"], 31)), good
    yield "the key was derived with the label of XTS", case, gcm(case, plaintext(21), label=XTS_LABEL)
    yield "the message was encrypted without padding", case, xts(case, plaintext(37))


def refused_starts():
    case = case_of("refused")
    for length in (0, 1, 15, 17, 23, 25, 31, 33, 64):
        yield f"the salt has {length} bytes", case | {"salt": bytes(length)}, "key length"
    for length in (0, 16, 24, 31, 33, 64):
        yield f"the data key has {length} bytes", case | {"data_key": bytes(length)}, "data key length"
    for length in (0, 8, 12, 15, 17, 32):
        yield f"the IV has {length} bytes", case | {"iv": bytes(length)}, "IV length"


def main():
    vectors = {
        "algorithm": "aes_256_xts",
        "made_by": "tests/ciphers/vectors/make_aes_256_xts.py",
        "plaintext": "of `length` bytes; the byte at i is i modulo 251",
        "accept": [shown(case) for case in accepted()],
        "reject_ciphertext": [
            {"defect": defect} | shown(case | {"padded": True, "ciphertext": ciphertext})
            for defect, case, ciphertext in refused_ciphertexts()
        ],
        "reject_start": [
            {"defect": defect, "error": error} | shown(case) for defect, case, error in refused_starts()
        ],
    }
    json.dump(vectors, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
