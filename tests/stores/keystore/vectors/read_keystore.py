#!/usr/bin/env python3
"""A second reader of keystores, written from docs/keystore-format.md with nothing but Python's standard library.

    read_keystore.py FILE... KEYSTORE_KEY_IN_HEX

Prints `id;version;algorithm;key in hex` of each data key, in the order of the file, or says why it refuses. Of several files
it prints that one after the other, and a line `end of FILE` behind each.
"""

import base64
import datetime
import hashlib
import hmac
import json
import re
import sys
import unicodedata


class Refused(Exception):
    """The file is not a keystore that this key opens."""


def require(condition, why):
    if not condition:
        raise Refused(why)


def split_last_line(text, label):
    """What stands before the last line, and the digest in it."""
    before, line = text[: -len(label) - 66], text[-len(label) - 66 :]
    require(before.endswith(b"\n") and line.startswith(label + b" ") and line.endswith(b"\n"), f"{label.decode()} is missing")
    digest = line[len(label) + 1 : -1].decode("ascii")
    require(digest == digest.lower(), "a digest is not in lower case")
    return before, bytes.fromhex(digest)


def record(line, *names):
    """The values of a record, which has these members."""

    def members(pairs):
        require(len(dict(pairs)) == len(pairs), "a member stands twice")
        return dict(pairs)

    def number(digits):
        require(not digits.startswith("-"), "a number has a sign")
        return int(digits)

    def fraction(_):
        raise Refused("a number is not whole")

    require(line.startswith(b"{"), "a line is no object")
    found = json.loads(
        line.decode("utf-8"), object_pairs_hook=members, parse_int=number, parse_float=fraction, parse_constant=fraction
    )
    require(set(found) == set(names), "the members of a record are others")
    return [found[name] for name in names]


def integer(value, last):
    """A number from 1 to `last`; `true` is none."""
    require(type(value) is int and 1 <= value <= last, "a number is none, or out of its range")
    return value


def string(value):
    """A string without half a surrogate pair."""
    require(isinstance(value, str), "a value is no string")
    value.encode("utf-8")
    return value


def time(value):
    """RFC 3339 in UTC and whole seconds, of the years 1970 to 9999; a second 60 may stand in any minute."""
    parts = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z", string(value), re.ASCII)
    require(parts, "a time is none")
    year, month, day, hour, minute, second = map(int, parts.groups())
    datetime.datetime(year, month, day, hour, minute, min(second, 59))
    require(year >= 1970 and second <= 60, "a time is out of its range")
    return value


def b64(value, lengths):
    """Bytes in base64, as many as one of these lengths, written in the only way."""
    decoded = base64.b64decode(string(value), validate=True)
    require(base64.b64encode(decoded).decode() == value, "base64 is not written as it should be")
    require(len(decoded) in lengths, "base64 has another length")
    return decoded


def hkdf(key, salt, info, length):
    """HKDF-SHA256, RFC 5869."""
    pseudorandom_key = hmac.digest(salt, key, "sha256")
    out, block = b"", b""
    while len(out) < length:
        block = hmac.digest(pseudorandom_key, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:length]


def s_box():
    """FIPS 197, 5.1.1: the inverse in GF(2^8), then an affine map."""
    box, p, q = [0x63] + [0] * 255, 1, 1
    while True:
        p ^= p << 1 ^ (0x11B if p & 0x80 else 0)
        for shift in 1, 2, 4:
            q ^= q << shift
        q &= 0xFF
        q ^= 0x09 if q & 0x80 else 0
        box[p] = 0x63 ^ q ^ (q << 1 | q >> 7) & 0xFF ^ (q << 2 | q >> 6) & 0xFF ^ (q << 3 | q >> 5) & 0xFF ^ (q << 4 | q >> 4) & 0xFF
        if p == 1:
            return box


S = s_box()


def aes_256(key):
    """The encryption of one block (FIPS 197)."""
    words, constant = [list(key[i : i + 4]) for i in range(0, 32, 4)], 1
    for i in range(8, 60):
        word = words[-1]
        if i % 8 == 0:
            word = [S[byte] for byte in word[1:] + word[:1]]
            word[0] ^= constant
            constant <<= 1
        elif i % 8 == 4:
            word = [S[byte] for byte in word]
        words.append([a ^ b for a, b in zip(words[i - 8], word)])
    rounds = [sum(words[i : i + 4], []) for i in range(0, 60, 4)]

    def double(byte):
        return byte << 1 ^ (0x11B if byte & 0x80 else 0)

    def encrypt(block):
        state = [a ^ b for a, b in zip(block, rounds[0])]
        for number in range(1, 15):
            state = [S[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]
            if number < 14:
                mixed = []
                for column in range(0, 16, 4):
                    a = state[column : column + 4]
                    every = a[0] ^ a[1] ^ a[2] ^ a[3]
                    mixed += [a[i] ^ every ^ double(a[i] ^ a[(i + 1) % 4]) for i in range(4)]
                state = mixed
            state = [a ^ b for a, b in zip(state, rounds[number])]
        return bytes(state)

    return encrypt


def gcm_open(key, nonce, sealed, aad):
    """AES-256-GCM with a nonce of 12 bytes and a tag of 16 (NIST SP 800-38D)."""
    encrypt = aes_256(key)
    h = int.from_bytes(encrypt(bytes(16)), "big")
    ciphertext, tag = sealed[:-16], sealed[-16:]

    def times_h(x):
        z, v = 0, h
        for bit in range(127, -1, -1):
            if x >> bit & 1:
                z ^= v
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
        return z

    def blocks(data):
        return [data[i : i + 16].ljust(16, b"\0") for i in range(0, len(data), 16)]

    lengths = (len(aad) * 8).to_bytes(8, "big") + (len(ciphertext) * 8).to_bytes(8, "big")
    y = 0
    for block in blocks(aad) + blocks(ciphertext) + [lengths]:
        y = times_h(y ^ int.from_bytes(block, "big"))
    mask = int.from_bytes(encrypt(nonce + (1).to_bytes(4, "big")), "big")
    require(hmac.compare_digest((y ^ mask).to_bytes(16, "big"), tag), "a data key does not open")
    stream = b"".join(encrypt(nonce + (2 + i).to_bytes(4, "big")) for i in range(len(blocks(ciphertext))))
    return bytes(a ^ b for a, b in zip(ciphertext, stream))


# What each algorithm's keys may be long, in bits.
ALGORITHMS = {"aes_cbc": (128, 192, 256), "aes_ctr": (128, 192, 256), "aes_256_xts": (256,),
              "aes_256_hctr2": (256,)}


def read(text, keystore_key):
    require(len(text) <= 64 << 20, "it is too long")
    require(text.startswith(b"keyroll keystore "), "it is no keystore")
    require(text.startswith(b"keyroll keystore 1\n"), "its version is not known")
    checked, checksum = split_last_line(text, b"checksum")
    require(checksum == hashlib.sha256(checked).digest(), "it is damaged")
    signed, mac = split_last_line(checked, b"mac")
    _, keystore, master_key, *keys = signed.split(b"\n")[:-1]
    uuid, generation, created = record(keystore, "uuid", "generation", "created")
    require(re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", string(uuid)), "the UUID is none")
    integer(generation, (1 << 53) - 1)
    time(created)
    provider, key_version, wrapped, wrapped_at, check = record(
        master_key, "provider", "key_version", "wrapped", "wrapped_at", "key_check"
    )
    require(len(string(provider).encode("utf-8")) <= 4096, "the provider is too long")
    require(all(unicodedata.category(c) != "Cc" for c in provider), "the provider holds a control character")
    require(re.fullmatch("[ -~]{0,512}", string(key_version)), "the version of the master key is none")
    b64(wrapped, range(1, 16385))
    time(wrapped_at)

    salt = bytes.fromhex(uuid.replace("-", ""))
    wrapping_key = hkdf(keystore_key, salt, b"keyroll keystore v1 wrapping key", 32)
    mac_key = hkdf(keystore_key, salt, b"keyroll keystore v1 mac key", 32)
    key_check = hkdf(keystore_key, salt, b"keyroll keystore v1 key check", 8)
    require(hmac.compare_digest(key_check, b64(check, [8])), "the keystore key is another one")
    require(hmac.compare_digest(mac, hmac.digest(mac_key, signed, "sha256")), "it was changed")

    names = set()
    for key in keys:
        *bound, nonce, wrapped = record(key, "id", "version", "algorithm", "bits", "created", "nonce", "wrapped")
        id, version, algorithm, bits, created = bound
        require(bits in ALGORITHMS.get(string(algorithm), ()), "an algorithm is not known, or its keys have other lengths")
        name = (integer(id, (1 << 32) - 1), integer(version, (1 << 32) - 2), integer(bits, 256))[:2]
        require(name not in names, "a version stands twice")
        names.add(name)
        time(created)
        aad = " ".join(map(str, [uuid, *bound])).encode("ascii")
        data_key = gcm_open(wrapping_key, b64(nonce, [12]), b64(wrapped, [bits // 8 + 16]), aad)
        yield f"{id};{version};{algorithm};{data_key.hex()}"


def main():
    *paths, keystore_key = sys.argv[1:]
    for path in paths:
        with open(path, "rb") as file:
            text = file.read()
        try:
            for line in list(read(text, bytes.fromhex(keystore_key))):
                print(line)
        except (Refused, KeyError, ValueError) as error:
            if len(paths) == 1:
                sys.exit(f"refused: {error}")
            print(f"refused: {error}")
        if len(paths) > 1:
            print(f"end of {path}")


if __name__ == "__main__":
    main()
