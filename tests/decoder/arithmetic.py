"""What ciphers do with bytes and with polynomials."""


def xor(left, right):
    """Both byte by byte, as far as the left one goes."""
    return (int.from_bytes(left, "little") ^ int.from_bytes(right[:len(left)], "little")).to_bytes(len(left), "little")


def product(left, right):
    """Of two polynomials over GF(2), whose coefficients are the bits of the numbers: a product without carries."""
    result = 0
    while right:
        if right & 1:
            result ^= left
        left, right = left << 1, right >> 1
    return result
