"""Keys that are canonical and not of small order, and still not of prime order: a point of the subgroup and one of small order, added. Whoever leaves out a
check, or multiplies by the cofactor where another does not, judges their signatures otherwise."""
import hashlib

from strict_ed25519 import ORDER, SMALL, add, decode, encode, times

BASE = decode(bytes([0x58]) + bytes([0x66]) * 31)


def beside_the_subgroup(rng, key):
    x, y = decode(key)
    order_8 = [point for point in map(decode, sorted(SMALL)) if point and point[0]]
    a, b = rng.choice(order_8)
    return encode(add((x, y, 1, x * y), (a, b, 1, a * b)))


def sign_beside(rng, seed, key, message, holds):
    """The signature by `seed` under `key`, beside_the_subgroup of its own. It always holds with the cofactor; without it, which is the rule, if `holds`."""
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little") & (2**254 - 8) | 2**254
    while True:
        nonce = rng.randrange(1, ORDER)
        point = encode(times(nonce, BASE))
        challenge = int.from_bytes(hashlib.sha512(point + key + message).digest(), "little") % ORDER
        # The small part of the key times the challenge: nothing if 8 divides it, something if it is odd.
        if challenge % 8 == 0 if holds else challenge % 2:
            return point + ((nonce + challenge * scalar) % ORDER).to_bytes(32, "little")
