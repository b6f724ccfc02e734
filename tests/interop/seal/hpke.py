"""HPKE by the letter of RFC 9180: mode base, one message, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.

With no code of this project: Python's standard library and stock `cryptography` (Debian's has no HPKE of its own).
"""
import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEM = b"KEM" + (0x20).to_bytes(2, "big")
SUITE = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x20, 1, 3))
OVERHEAD = 32 + 16


class Refused(Exception):
    """It does not open."""


def extract(salt, secret):
    return hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()


def expand(key, info, length):
    out, block = b"", b""
    while len(out) < length:
        block = hmac.new(key, block + info + bytes([len(out) // 32 + 1]), hashlib.sha256).digest()
        out += block
    return out[:length]


def labeled_extract(suite, salt, label, secret):
    return extract(salt, b"HPKE-v1" + suite + label + secret)


def labeled_expand(suite, key, label, info, length):
    return expand(key, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)


def public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def agree(private, other):
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError:  # the result is zero
        raise Refused from None


def shared_secret(agreed, enc, recipient):
    return labeled_expand(KEM, labeled_extract(KEM, b"", b"eae_prk", agreed), b"shared_secret", enc + recipient, 32)


def key_schedule(secret, info):
    context = b"\0" + labeled_extract(SUITE, b"", b"psk_id_hash", b"") + labeled_extract(SUITE, b"", b"info_hash", info)
    secret = labeled_extract(SUITE, secret, b"secret", b"")
    return labeled_expand(SUITE, secret, b"key", context, 32), labeled_expand(SUITE, secret, b"base_nonce", context, 12)


def seal(ephemeral, recipient, info, aad, plaintext):
    enc = public(ephemeral)
    key, nonce = key_schedule(shared_secret(agree(ephemeral, recipient), enc, recipient), info)
    return enc + ChaCha20Poly1305(key).encrypt(nonce, plaintext, aad)


def open_(recipient, info, aad, sealed):
    if len(sealed) < OVERHEAD:
        raise Refused
    enc = sealed[:32]
    key, nonce = key_schedule(shared_secret(agree(recipient, enc), enc, public(recipient)), info)
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed[32:], aad)
    except InvalidTag:
        raise Refused from None
