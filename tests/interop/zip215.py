"""The verdict of SPEC 3.5 on one signature, by libsodium's arithmetic (PyNaCl).

libsodium's own verdict is stricter than ZIP-215: it refuses R or keys of small order, R in a second encoding, and equations that hold only with the
cofactor. So its verdict is not asked. The equation is 8 S B = 8 R + k (8 A). Multiplied by 8 first, all points are in the group of prime
order, and there libsodium's multiplication is exact; it refuses only the identity, which is handled here.
"""

from hashlib import sha512

from nacl.bindings import (
    crypto_core_ed25519_add as add,
    crypto_core_ed25519_is_valid_point as is_member_key,  # canonical, on the curve, of prime order, not the identity: SPEC 3.5
    crypto_core_ed25519_sub as sub,
    crypto_scalarmult_ed25519_base_noclamp as base_times,
    crypto_scalarmult_ed25519_noclamp as times,
)

__all__ = ["is_member_key", "is_valid", "ORDER"]

ORDER = 2**252 + 27742317777372353535851937790883648493
IDENTITY = (1).to_bytes(32, "little")


def eightfold(point):
    """RuntimeError or ValueError where the bytes are no point of the curve."""
    for _ in range(3):
        point = add(point, point)
    return point


def scaled(scalar, point):
    """scalar · point, for a point of the group of prime order."""
    if scalar % ORDER == 0 or point == IDENTITY:
        return IDENTITY
    return times((scalar % ORDER).to_bytes(32, "little"), point)


def is_valid(key, payload, signature):
    r_bytes, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= ORDER:
        return False
    k = int.from_bytes(sha512(r_bytes + key + payload).digest(), "little") % ORDER
    try:
        r8, a8 = eightfold(r_bytes), eightfold(key)
    except Exception as error:  # PyNaCl's own class for it differs between versions
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        return False
    s8 = IDENTITY if s == 0 else eightfold(base_times(s.to_bytes(32, "little")))
    return sub(s8, scaled(k, a8)) == r8
