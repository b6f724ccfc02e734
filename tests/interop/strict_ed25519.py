"""Ed25519 as docs/protocol.md (section 2) wants it: stricter than the library."""
import functools

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


class Refused(Exception):
    """The one argument is the reason."""


def small_order_encodings():
    """The canonical encodings of the points whose order divides 8, and what else decodes to one."""
    ys = {0, 1, P - 1}
    # Order 8: the doubled point has y = 0, so that x² = −y² … solved for y²: d·y⁴ + 2·y² − 1 = 0.
    root = pow(1 + D, (P + 3) // 8, P)
    for factor in (1, pow(2, (P - 1) // 4, P)):
        s = root * factor % P
        if s * s % P != (1 + D) % P:
            continue
        for sign in (1, -1):
            square = (-1 + sign * s) * pow(D, P - 2, P) % P
            y = pow(square, (P + 3) // 8, P)
            for candidate in (y, y * pow(2, (P - 1) // 4, P) % P):
                if candidate * candidate % P == square:
                    ys |= {candidate, P - candidate}
    return {(y | bit << 255).to_bytes(32, "little") for y in ys for bit in (0, 1)}


SMALL = small_order_encodings()


def is_canonical(point):
    return int.from_bytes(point, "little") & (2**255 - 1) < P


def decode(point):
    """(x, y), or None: RFC 8032, 5.1.3."""
    number = int.from_bytes(point, "little")
    y, sign = number & (2**255 - 1), number >> 255
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if v * x * x % P != u or (x == 0 and sign):
        return None
    return (P - x if x & 1 != sign else x), y


def add(a, b):
    """In extended coordinates: RFC 8032, 5.1.4."""
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def encode(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def times(factor, point):
    """The extended coordinates of factor · (x, y)."""
    out, step = (0, 1, 1, 0), (point[0], point[1], 1, point[0] * point[1] % P)
    while factor:
        if factor & 1:
            out = add(out, step)
        step, factor = add(step, step), factor >> 1
    return out


@functools.lru_cache(maxsize=None)
def is_public_key(key):
    """32 bytes, canonical, of prime order."""
    if len(key) != 32 or key in SMALL:
        return False
    point = decode(key)
    return point is not None and encode(times(ORDER, point)) == encode((0, 1, 1, 0))


def verify(key, message, signature):
    """Of a canonical key that is not of small order. Refused (BAD_SIGNATURE)."""
    if len(signature) != 64 or key in SMALL or signature[:32] in SMALL or not is_canonical(key) or not is_canonical(signature[:32]):
        raise Refused("BAD_SIGNATURE")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Refused("BAD_SIGNATURE") from None


def sign(seed, message):
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


@functools.lru_cache(maxsize=1000)
def public_key(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
