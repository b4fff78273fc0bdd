"""AES of single blocks, from OpenSSL's libcrypto. Everything above one block is written out in ciphers.py."""

import ctypes
import ctypes.util
import functools

BLOCK = 16


@functools.lru_cache(maxsize=1)
def _library():
    """libcrypto, with the types of what is used of it."""
    library = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
    for name in ("EVP_CIPHER_CTX_new", "EVP_aes_128_ecb", "EVP_aes_192_ecb", "EVP_aes_256_ecb"):
        getattr(library, name).restype = ctypes.c_void_p
    library.EVP_CipherInit_ex.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_char_p] * 2 + [ctypes.c_int]
    library.EVP_CIPHER_CTX_set_padding.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.EVP_CipherUpdate.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int), ctypes.c_char_p,
                                         ctypes.c_int]
    library.EVP_CIPHER_CTX_free.argtypes = [ctypes.c_void_p]
    return library


def _blocks(key, blocks, encrypts):
    """Each block by itself, with AES-128, 192 or 256 by the length of the key."""
    if len(blocks) % BLOCK:
        raise ValueError(f"{len(blocks)} bytes are no whole blocks")
    library = _library()
    cipher = {16: library.EVP_aes_128_ecb, 24: library.EVP_aes_192_ecb, 32: library.EVP_aes_256_ecb}[len(key)]()
    context = library.EVP_CIPHER_CTX_new()
    output, length = ctypes.create_string_buffer(len(blocks) + BLOCK), ctypes.c_int()
    done = (library.EVP_CipherInit_ex(context, cipher, None, key, None, encrypts)
            and library.EVP_CIPHER_CTX_set_padding(context, 0)
            and library.EVP_CipherUpdate(context, output, ctypes.byref(length), blocks, len(blocks)))
    library.EVP_CIPHER_CTX_free(context)
    if not done or length.value != len(blocks):
        raise RuntimeError("libcrypto does no AES")
    return output.raw[:len(blocks)]


def encrypt(key, blocks):
    """AES of each block."""
    return _blocks(key, blocks, 1)


def decrypt(key, blocks):
    """The inverse of AES, of each block."""
    return _blocks(key, blocks, 0)
