"""AES of single blocks, by the installed OpenSSL, and what page ciphers make of it under a key that is known."""

import ctypes
import ctypes.util

CRYPTO = ctypes.CDLL(ctypes.util.find_library("crypto"))


class Aes:
    """AES under one key."""

    def __init__(self, key):
        # More than the room that OpenSSL's AES_KEY takes.
        self._forwards, self._backwards = ctypes.create_string_buffer(512), ctypes.create_string_buffer(512)
        CRYPTO.AES_set_encrypt_key(key, len(key) * 8, self._forwards)
        CRYPTO.AES_set_decrypt_key(key, len(key) * 8, self._backwards)

    def encrypt(self, block):
        """One block of 16 bytes."""
        out = ctypes.create_string_buffer(16)
        CRYPTO.AES_encrypt(block, out, self._forwards)
        return out.raw

    def decrypt(self, block):
        """One block of 16 bytes."""
        out = ctypes.create_string_buffer(16)
        CRYPTO.AES_decrypt(block, out, self._backwards)
        return out.raw


def xor(one, other):
    """The XOR of both, as long as the shorter one."""
    length = min(len(one), len(other))
    return (int.from_bytes(one[:length], "big") ^ int.from_bytes(other[:length], "big")).to_bytes(length, "big")


def blocks(data):
    """Its whole blocks of 16 bytes."""
    return [data[at:at + 16] for at in range(0, len(data) - 15, 16)]


def counter(iv, blocks_on):
    """The counter block of aes_ctr that many blocks on: the IV as a number, the last byte the lowest."""
    return ((int.from_bytes(iv, "big") + blocks_on) % (1 << 128)).to_bytes(16, "big")


def ctr(key, iv, data):
    """aes_ctr without padding, either way."""
    aes = Aes(key)
    stream = b"".join(aes.encrypt(counter(iv, number)) for number in range(-(-len(data) // 16)))
    return xor(data, stream)


def cbc(key, iv, data):
    """aes_cbc without padding, decrypted. A message of fewer than 16 bytes is its own way back."""
    aes, whole = Aes(key), blocks(data)
    plain = [xor(aes.decrypt(block), before) for block, before in zip(whole, [iv, *whole])]
    return b"".join(plain) + xor(data[16 * len(whole):], aes.encrypt(iv))
