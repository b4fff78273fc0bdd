#!/usr/bin/env python3
"""Makes aes_256_hctr2.json, the test vectors of the algorithm aes_256_hctr2 (docs/ciphers.md).

    pip install cryptography
    python3 tests/ciphers/vectors/make_aes_256_hctr2.py > tests/ciphers/vectors/aes_256_hctr2.json
    python3 tests/ciphers/vectors/make_aes_256_hctr2.py HCTR2_AES256.json     checks HCTR2 against published vectors

It shares no code with keyroll: HKDF, AES-ECB and AES-GCM come from Python's `cryptography` (OpenSSL), POLYVAL and
HCTR2 are written from RFC 8452 and from the paper (https://eprint.iacr.org/2021/1441) with Python's integers. The
published vectors are those of the paper's authors: test_vectors/ours/HCTR2/HCTR2_AES256.json in
https://github.com/google/hctr2, 350 messages with tweaks of 0 to 47 bytes. What is streamed is XTS as
make_aes_256_xts.py has it.
"""

import json
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from make_aes_256_xts import case_of, derive, flipped, gcm, plaintext, refused_starts, shown, xor, xts

HCTR2_LABEL = b"keyroll aes-256-hctr2 v1"
XTS_LABEL = b"keyroll aes-256-hctr2 xts v1"
GCM_LABEL = b"keyroll aes-256-hctr2 gcm v1"

# Whole messages: from the shortest, around each width of a loop, an InnoDB page and an Aria page.
WHOLE = [17, 31, 33, 47, 63, 65, 79, 81, 127, 129, 143, 145, 255, 257, 258, 271, 272, 273, 287, 288, 500, 504, 512, 513]
WHOLE += [527, 528, 529, 544, 1023, 1024, 1040, 1041, 1056, 4064, 8172, 16354]
# Streamed ones: less than a block, or whole blocks of which more might come.
STREAMED = [0, 1, 15, 16, 32, 48, 64, 240, 256]
FIELD = (1 << 128) | (1 << 127) | (1 << 126) | (1 << 121) | 1


def ecb(key, blocks, encrypt=True):
    cipher = Cipher(algorithms.AES(key), modes.ECB())
    context = cipher.encryptor() if encrypt else cipher.decryptor()
    return context.update(blocks) + context.finalize()


def le128(number):
    return number.to_bytes(16, "little")


def times(a, b):
    """The product in POLYVAL's field (RFC 8452, section 3)."""
    product = 0
    for bit in range(128):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(255, 127, -1):
        if product >> bit & 1:
            product ^= FIELD << (bit - 128)
    return product


# x^-128 in that field.
INVERSE = (1 << 127) | (1 << 124) | (1 << 121) | (1 << 114) | 1
# Multiples of numbers up to 255, by which a product is made byte by byte.
TABLES = {}


def dot(a, b):
    """a * b * x^-128."""
    if b not in TABLES:
        TABLES.clear()
        scaled = times(b, INVERSE)
        TABLES[b] = [[times(byte << (8 * at), scaled) for byte in range(256)] for at in range(16)]
    product = 0
    for at, byte in enumerate(le128(a)):
        product ^= TABLES[b][at][byte]
    return product


def polyval(h, message):
    state = 0
    for at in range(0, len(message), 16):
        state = dot(state ^ int.from_bytes(message[at : at + 16], "little"), h)
    return le128(state)


def padded(message):
    return message + bytes(-len(message) % 16)


def hctr2_hash(h, tweak, message):
    bits = 8 * len(tweak)
    if len(message) % 16 == 0:
        return polyval(h, le128(2 * bits + 2) + padded(tweak) + message)
    return polyval(h, le128(2 * bits + 3) + padded(tweak) + padded(message + b"\1"))


def xctr(key, start, message):
    start = int.from_bytes(start, "little")
    blocks = b"".join(le128(start ^ number) for number in range(1, -(-len(message) // 16) + 1))
    return xor(message, ecb(key, blocks)[: len(message)])


def hctr2(key, tweak, message, encrypt=True):
    h, mask = int.from_bytes(ecb(key, le128(0)), "little"), ecb(key, le128(1))
    first, rest = message[:16], message[16:]
    a = xor(first, hctr2_hash(h, tweak, rest))
    b = ecb(key, a, encrypt)
    out = xctr(key, xor(xor(a, b), mask), rest)
    return xor(b, hctr2_hash(h, tweak, out)) + out


def comes_whole(case, length):
    return len(case["salt"]) == 16 and (length > 256 or (length > 16 and length % 16 != 0))


def whole(case, message):
    key = derive(case, HCTR2_LABEL, 32)
    ciphertext = hctr2(key, case["iv"], message)
    assert hctr2(key, case["iv"], ciphertext, encrypt=False) == message
    return ciphertext


def streamed(case, message):
    return xts(case, message, XTS_LABEL)


def nopad(case, message):
    return whole(case, message) if comes_whole(case, len(message)) else streamed(case, message)


def accepted():
    for salt_length in (16, 24, 32):
        lengths = STREAMED + (WHOLE if salt_length == 16 else [17, 33, 257, 272, 500])
        for length in sorted(lengths):
            case = case_of(f"{salt_length} {length}", salt_length)
            message = plaintext(length)
            kind = "whole" if comes_whole(case, length) else "streamed"
            assert (kind == "whole") == (salt_length == 16 and length in WHOLE)
            yield case | {"kind": kind, "length": length, "ciphertext": nopad(case, message)}
            if length < 66:
                yield case | {"kind": "padded", "length": length, "ciphertext": gcm(case, message, GCM_LABEL)}
    case = case_of("zero salt and IV") | {"salt": bytes(16), "iv": bytes(16)}
    for length in (33, 272):
        yield case | {"kind": "whole", "length": length, "ciphertext": whole(case, plaintext(length))}


def refused_ciphertexts():
    """Padded messages: without padding every ciphertext decrypts to something."""
    case = case_of("refused")
    good = gcm(case, plaintext(21), GCM_LABEL)
    iv, other = case["iv"], lambda **changed: case | changed

    yield "the first bit of the ciphertext is flipped", case, flipped(good, 0, 0x80)
    yield "the last bit of the ciphertext is flipped", case, flipped(good, 20)
    yield "the first bit of the tag is flipped", case, flipped(good, 21, 0x80)
    yield "the last bit of the tag is flipped", case, flipped(good, 36)
    yield "the last byte is cut", case, good[:-1]
    yield "the tag is cut", case, good[:21]
    yield "there is nothing", case, b""
    yield "a byte is appended", case, good + b"\0"
    yield "the nonce differs", other(iv=flipped(iv, 11)), good
    yield "the additional data differs", other(iv=flipped(iv, 15)), good
    yield "the additional data was left out", case, gcm(case, plaintext(21), GCM_LABEL, aad=False)
    yield "the key id differs", other(key_id=2), good
    yield "the key version differs", other(key_version=2), good
    yield "the salt differs", other(salt=flipped(case["salt"], 15)), good
    yield "the data key differs", other(data_key=flipped(case["data_key"], 31)), good
    yield "the key was derived with the label of HCTR2", case, gcm(case, plaintext(21), HCTR2_LABEL)
    xts_label = b"keyroll aes-256-xts gcm v1"
    yield "the key was derived with the label of aes_256_xts", case, gcm(case, plaintext(21), xts_label)
    yield "the message was encrypted without padding", case, whole(case, plaintext(37))


def wrong_ciphertexts():
    """Whole messages in which something is wrong: they decrypt, but to none of the plaintext."""
    case = case_of("wrong")
    good = whole(case, plaintext(100))
    key = derive(case, HCTR2_LABEL, 32)
    other = lambda **changed: case | changed

    yield "the first bit is flipped", case, flipped(good, 0, 0x80)
    yield "a bit in the middle is flipped", case, flipped(good, 50)
    yield "the last bit is flipped", case, flipped(good, 99)
    yield "the last byte is cut", case, good[:-1]
    yield "the IV differs", other(iv=flipped(case["iv"], 15)), good
    yield "the key version differs", other(key_version=2), good
    yield "the salt differs", other(salt=flipped(case["salt"], 0)), good
    yield "the tweak was left out", case, hctr2(key, b"", plaintext(100))
    yield "the key was derived with the label of XTS", case, hctr2(derive(case, XTS_LABEL, 64)[:32], case["iv"], plaintext(100))
    yield "it was encrypted as a streamed message", case, streamed(case, plaintext(100))


def check_published(path):
    with open(path) as published:
        vectors = json.load(published)
    for vector in vectors:
        key, tweak = (bytes.fromhex(vector["input"][name]) for name in ("key_hex", "tweak_hex"))
        message, ciphertext = (bytes.fromhex(vector[name]) for name in ("plaintext_hex", "ciphertext_hex"))
        assert hctr2(key, tweak, message) == ciphertext, vector["description"]
        assert hctr2(key, tweak, ciphertext, encrypt=False) == message, vector["description"]
    print(f"all {len(vectors)} published vectors hold")


def main():
    if len(sys.argv) > 1:
        return check_published(sys.argv[1])
    vectors = {
        "algorithm": "aes_256_hctr2",
        "made_by": "tests/ciphers/vectors/make_aes_256_hctr2.py",
        "plaintext": "of `length` bytes; the byte at i is i modulo 251",
        "accept": [shown(case) for case in accepted()],
        "decrypt_to_something_else": [
            {"defect": defect} | shown(case | {"ciphertext": ciphertext}) for defect, case, ciphertext in wrong_ciphertexts()
        ],
        "reject_ciphertext": [
            {"defect": defect} | shown(case | {"ciphertext": ciphertext})
            for defect, case, ciphertext in refused_ciphertexts()
        ],
        "reject_start": [{"defect": defect, "error": error} | shown(case) for defect, case, error in refused_starts()],
    }
    json.dump(vectors, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
