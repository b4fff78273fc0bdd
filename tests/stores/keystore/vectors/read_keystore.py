#!/usr/bin/env python3
"""A second reader of keystores, written from docs/keystore-format.md with nothing but Python's standard library.

    read_keystore.py FILE KEYSTORE_KEY_IN_HEX

Prints `id;version;algorithm;key in hex` of each data key, in the order of the file, or says why it refuses.
"""

import base64
import hashlib
import hmac
import json
import sys


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

    def fraction(_):
        raise Refused("a number is not whole")

    require(line.startswith(b"{"), "a line is no object")
    found = json.loads(line.decode("utf-8"), object_pairs_hook=members, parse_float=fraction, parse_constant=fraction)
    require(set(found) == set(names), "the members of a record are others")
    return [found[name] for name in names]


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


def b64(text):
    return base64.b64decode(text, validate=True)


def read(text, keystore_key):
    require(text.startswith(b"keyroll keystore "), "it is no keystore")
    require(text.startswith(b"keyroll keystore 1\n"), "its version is not known")
    checked, checksum = split_last_line(text, b"checksum")
    require(checksum == hashlib.sha256(checked).digest(), "it is damaged")
    signed, mac = split_last_line(checked, b"mac")
    _, keystore, master_key, *keys = signed.split(b"\n")[:-1]
    uuid, generation, created = record(keystore, "uuid", "generation", "created")
    _, _, _, _, check = record(master_key, "provider", "key_version", "wrapped", "wrapped_at", "key_check")

    salt = bytes.fromhex(uuid.replace("-", ""))
    wrapping_key = hkdf(keystore_key, salt, b"keyroll keystore v1 wrapping key", 32)
    mac_key = hkdf(keystore_key, salt, b"keyroll keystore v1 mac key", 32)
    key_check = hkdf(keystore_key, salt, b"keyroll keystore v1 key check", 8)
    require(hmac.compare_digest(key_check, b64(check)), "the keystore key is another one")
    require(hmac.compare_digest(mac, hmac.digest(mac_key, signed, "sha256")), "it was changed")

    for key in keys:
        *bound, nonce, wrapped = record(key, "id", "version", "algorithm", "bits", "created", "nonce", "wrapped")
        aad = " ".join(map(str, [uuid, *bound])).encode("ascii")
        data_key = gcm_open(wrapping_key, b64(nonce), b64(wrapped), aad)
        id, version, algorithm, bits, _ = bound
        require(len(data_key) * 8 == bits, "a data key has another length")
        yield f"{id};{version};{algorithm};{data_key.hex()}"


def main():
    path, keystore_key = sys.argv[1:]
    with open(path, "rb") as file:
        text = file.read()
    try:
        for line in list(read(text, bytes.fromhex(keystore_key))):
            print(line)
    except (Refused, KeyError, ValueError) as error:
        sys.exit(f"refused: {error}")


if __name__ == "__main__":
    main()
